"""The composition root: what every door opens."""

from harness_nb.harness.asynchronous import AsyncHarness, current_user
from harness_nb.harness.blocking import Harness, Question, Run, Session
from harness_nb.harness.handles import AsyncQuestion, AsyncRun, AsyncSession

__all__ = [
    "AsyncHarness",
    "AsyncQuestion",
    "AsyncRun",
    "AsyncSession",
    "Harness",
    "Question",
    "Run",
    "Session",
    "current_user",
]
