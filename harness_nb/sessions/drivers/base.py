"""What a kind of worker must be able to say: whether it can do a plan, and how it is started.

A driver does no I/O, so that a test needs no process. ``assignment.json`` in the session's folder carries what does not
fit a command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from harness_nb.protocol.base import WireModel
from harness_nb.protocol.plans import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping


class Assignment(WireModel):
    """What a session is started to do; all of it is written into the session's folder."""

    plan: Plan | None = None
    prompt: str | None = None
    command: tuple[str, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)
    task_type: str = "execute"
    attempt: int = 1
    terminal: bool = True


@dataclass(frozen=True)
class Start:
    """A command line, what its environment needs besides the usual, and whether it wants a terminal or pipes."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    terminal: bool = True


class Driver(Protocol):
    """One kind of worker; ``resumes`` says how one that died goes on, None where it cannot."""

    name: str
    resumes: str | None

    def refusal(self, plan: Plan) -> str | None:
        """Say why this worker cannot do a plan and what to choose instead, or None when it can."""

    def start(self, assignment: Assignment) -> Start:
        """Return how to start the worker for an assignment.

        Raises: HarnessError where the assignment lacks what this worker needs.
        """

    def resume(self, assignment: Assignment) -> Start | None:
        """Return how a session that died goes on where it was, or None where only a new try can mend that."""
