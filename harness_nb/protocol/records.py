"""What the journal keeps: sessions, runs, messages with their answers, and events."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field

from harness_nb.protocol.base import Timestamp, WireModel
from harness_nb.protocol.files import Policy, SessionState
from harness_nb.protocol.shown import short_line
from harness_nb.protocol.wording import message_text, through

LIVE_STATES = ("initializing", "running", "checkpoint")
ENDED_STATES = ("completed", "failed")

DIED = "died · will be resumed"
"""How a session is shown whose processes are gone and will be started again."""

PlanState = Literal["waiting", "held", "running", "verifying", "complete", "failed", "aborted"]
PLAN_STATES: tuple[str, ...] = get_args(PlanState)
RunState = Literal["running", "passed", "failed", "stopped"]
Direction = Literal["in", "out"]


class SessionRecord(WireModel):
    """One process of its own: a worker at a plan (an attempt), or a command.

    ``revision`` grows with every change; ``exit_code`` is negative for a signal; ``verdict`` is what
    verification said of the attempt (``None``: nothing yet). ``lives`` counts how often its process was started, and
    ``died_at`` says that it is not there at the moment and will be started again; ``launcher`` is who is starting it.
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
    lives: int = 1
    resumable: bool = False
    died_at: Timestamp | None = None
    launcher: dict[str, Any] | None = None
    launched_at: Timestamp | None = None

    @property
    def live(self) -> bool:
        """Whether the session has not ended."""
        return self.state in LIVE_STATES

    @property
    def died(self) -> bool:
        """Whether its processes are gone at the moment, and will be started again."""
        return self.live and self.died_at is not None

    @property
    def word(self) -> str:
        """The state as people read it: a session that died is not shown as if it lived."""
        return DIED if self.died else self.state

    @property
    def is_attempt(self) -> bool:
        """Whether the session is a try at a plan, and not a question about one."""
        return self.plan_id is not None and self.worker != "python" and self.task_type in ("execute", "research")

    @property
    def progress(self) -> str:
        """How far the session is: ``2/4 name of the task``, or the last that its worker said."""
        place = f"{self.current_task}/{self.total_tasks} " if self.total_tasks else ""
        return f"{place}{self.task_name or self.message or ''}".strip()

    def __repr__(self) -> str:
        name = f"session of {self.plan_id}, try {self.attempt}" if self.plan_id else f"{self.worker} session"
        verdict = {"passed": "verified", "failed": "not passed", "unverified": "not verified"}.get(self.verdict or "")
        detail = self.reason or (self.progress if self.live else verdict)
        return f"<{name}: {short_line(', '.join(filter(None, (self.word, detail))))}>"

    def __str__(self) -> str:
        return "\n".join(filter(None, (repr(self)[1:-1], self.message if not self.live else "")))


class Foreseen(WireModel):
    """What a policy does about a question by itself, and when: written down once, by whoever answers for it first."""

    policy: Policy
    at: Timestamp


class MessageRecord(WireModel):
    """A message as it is stored: ``direction`` is ``in`` from the worker and ``out`` to it.

    ``asked_by`` says how a question came (``message`` or ``file``); ``actor`` and ``door`` say who sent an
    answer and through what; ``foreseen`` is what comes of a question that nobody answers in time.
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
    foreseen: Foreseen | None = None

    @property
    def text(self) -> str:
        """What the message says, as one line."""
        return short_line(message_text(self.type, self.payload))

    def __repr__(self) -> str:
        if self.in_response_to is not None:
            return f"<answer: {self.text}{_who(self.actor, self.door)}>"
        way = "from" if self.direction == "in" else "to"
        plan = f" {way} {self.payload['plan']}" if self.payload.get("plan") else ""
        state = f", {self.status}" if self.type.endswith("_needed") else ""
        text = f": {self.text}" if self.text != self.type else ""
        return f"<{self.type}{plan}{text}{state}>"

    def __str__(self) -> str:
        return repr(self)[1:-1]


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

    @property
    def text(self) -> str:
        """What its data says, as one line: an answer, a reason, an error, a state, or how many of what."""
        said = ("answer", "state", "found", "reason", "feedback", "error", "folder")
        found = [str(self.data[key]) for key in said if isinstance(self.data.get(key), str) and self.data[key]]
        if self.kind == "recovered":
            found += [f"{count} {word}" for word, count in self.data.items()]
        tried = self.data.get("tried")
        found[:0] = [f"{name} {text}" for name, text in tried.items()] if isinstance(tried, dict) else []
        for unit in ("characters", "bytes"):
            found += [f"{self.data[unit]:,} {unit}"] if isinstance(self.data.get(unit), int) else []
        return short_line(", ".join(found))

    @property
    def is_act(self) -> bool:
        """Whether somebody did this, and it did not merely follow or happen."""
        return self.door is not None

    def __repr__(self) -> str:
        plan = f" of {self.plan_id}" if self.plan_id else ""
        text = f": {self.text}" if self.text else ""
        return f"<event {self.kind}{plan}{text}{_who(self.actor, self.door)}>"

    def __str__(self) -> str:
        return repr(self)[1:-1]


class RunOptions(WireModel):
    """What a run was asked to do; stored, so that another process can go on with it.

    ``attended`` is whether somebody is there to be asked (None: unknown); ``policies`` are the run's own, then those of
    the harness that began it. ``credentials_dir`` is where values are looked up, if not where the settings say.
    """

    plans: tuple[str, ...] | None = None
    worker: str | None = None
    max_parallel: int | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    again: bool = False
    policies: tuple[Policy, ...] = ()
    attended: bool | None = None
    inline_plans: tuple[dict[str, Any], ...] = ()
    credentials_dir: str | None = None


class RunRecord(WireModel):
    """One call of ``run()`` and how it went.

    ``generation`` counts who did it so far; ``detached`` is whether a process of its own does it; ``stopping`` that
    somebody asked for its end, and ``trouble`` why it cannot go on by itself. ``phases`` are the reports of phases.
    """

    id: str
    state: RunState | str = "running"
    options: RunOptions
    created_at: Timestamp
    ended_at: Timestamp | None = None
    report: dict[str, Any] | None = None
    generation: int = 0
    detached: bool = False
    stopping: bool = False
    trouble: str | None = None
    phases: dict[str, Any] = Field(default_factory=dict)


def _who(actor: str | None, door: str | None) -> str:
    way = through(actor, door)
    return f", by {actor}{way}" if actor else f",{way}" if way else ""
