"""The composition root: what every door opens."""

from harness_nb.harness.asynchronous import AsyncHarness
from harness_nb.harness.blocking import Harness
from harness_nb.harness.blocking_handles import Question, Run, Session
from harness_nb.harness.handles import AsyncQuestion, AsyncRun, AsyncSession
from harness_nb.harness.opened import current_user

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
