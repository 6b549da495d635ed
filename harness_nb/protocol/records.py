"""What the journal keeps: sessions, runs, messages with their answers, and events."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from harness_nb.protocol.base import Timestamp, WireModel
from harness_nb.protocol.files import Policy, SessionState

LIVE_STATES = ("initializing", "running", "checkpoint")
ENDED_STATES = ("completed", "failed")

PlanState = Literal["waiting", "held", "running", "verifying", "complete", "failed", "aborted"]
RunState = Literal["running", "passed", "failed", "stopped"]
Direction = Literal["in", "out"]


class SessionRecord(WireModel):
    """One process of its own: a worker at a plan (an attempt), or a command.

    ``revision`` grows with every change; ``exit_code`` is negative for a signal; ``verdict`` is what
    verification said of the attempt (``None``: nothing yet).
    """

    id: str
    worker: str
    state: SessionState = "initializing"
    reason: str | None = None
    run_id: str | None = None
    plan_id: str | None = None
    phase: str = ""
    attempt: int = 1
    working_dir: str
    command: tuple[str, ...] = ()
    task_type: str = "execute"
    created_at: Timestamp
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    exit_code: int | None = None
    current_task: int = 0
    total_tasks: int = 0
    task_name: str | None = None
    message: str | None = None
    agent_session_id: str | None = None
    verdict: Literal["passed", "failed", "unverified"] | None = None
    report: dict[str, Any] | None = None
    revision: int = 0

    @property
    def live(self) -> bool:
        """Whether the session has not ended."""
        return self.state in LIVE_STATES


class MessageRecord(WireModel):
    """A message as it is stored: ``direction`` is ``in`` from the worker and ``out`` to it.

    ``asked_by`` says how a question came (``message`` or ``file``); ``actor`` and ``door`` say who sent an
    answer and through what.
    """

    seq: int = 0
    id: str
    session_id: str
    direction: Direction
    type: str
    status: str
    timestamp: Timestamp
    payload: dict[str, Any] = Field(default_factory=dict)
    in_response_to: str | None = None
    asked_by: Literal["message", "file"] = "message"
    actor: str | None = None
    door: str | None = None


class EventRecord(WireModel):
    """One thing that happened: who did what, through which door, to what."""

    seq: int = 0
    timestamp: Timestamp
    kind: str
    session_id: str | None = None
    run_id: str | None = None
    plan_id: str | None = None
    actor: str | None = None
    door: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class RunOptions(WireModel):
    """What a run was asked to do; stored, so that another process can go on with it."""

    plans: tuple[str, ...] | None = None
    worker: str | None = None
    max_parallel: int | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    again: bool = False
    policies: tuple[Policy, ...] = ()
    inline_plans: tuple[dict[str, Any], ...] = ()


class RunRecord(WireModel):
    """One call of ``run()`` and how it went."""

    id: str
    state: RunState | str = "running"
    options: RunOptions
    created_at: Timestamp
    ended_at: Timestamp | None = None
    report: dict[str, Any] | None = None
