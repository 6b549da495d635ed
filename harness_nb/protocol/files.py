"""The JSON files under ``.orchestration/`` that people, shell workers and other programs read and write."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from harness_nb.protocol.base import Timestamp, WireModel
from harness_nb.protocol.credentials import SOURCES, Service
from harness_nb.protocol.grants import GrantRule

SessionState = Literal["initializing", "running", "checkpoint", "completed", "failed"] | str
"""The five words of ``status.json``; a word that another program writes survives."""

CheckpointType = Literal["verification", "decision", "action", "credentials"] | str

CHECKPOINT_TYPES: dict[str, str] = {
    "verification_needed": "verification",
    "decision_needed": "decision",
    "action_needed": "action",
    "credentials_needed": "credentials",
}
"""The name of each kind of question in ``checkpoint.json``."""

LONGEST = 1e9
"""Seconds of a setting at most, some thirty years: a moment further off may be none that can be written down."""


class GraphPlan(WireModel):
    """One plan of the dependency graph."""

    plan_id: str
    depends_on: tuple[str, ...] = ()
    files_modified: tuple[str, ...] = ()
    files_read: tuple[str, ...] = ()
    autonomous: bool = True
    checkpoints: tuple[str, ...] = ()


class DependencyGraph(WireModel):
    """``dependency-graph.json``: the plans and which of them are where."""

    timestamp: Timestamp
    spec_dir: str = ""
    plans: tuple[GraphPlan, ...] = ()
    completed: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    available: tuple[str, ...] = ()


class ActiveFile(WireModel):
    """A path that a running session may touch."""

    path: str
    session_id: str
    plan_id: str
    operation: Literal["read", "write"] | str
    started_at: Timestamp


class ActiveFiles(WireModel):
    """``active-files.json``: what is being modified now, and by whom."""

    timestamp: Timestamp
    files: tuple[ActiveFile, ...] = ()


class SessionStatus(WireModel):
    """``sessions/{id}/status.json``; ``reason`` says more where five words do not."""

    session_id: str
    timestamp: Timestamp
    state: SessionState
    phase: str = ""
    plan: str = ""
    current_task: int = 0
    total_tasks: int = 0
    task_name: str | None = None
    message: str | None = None
    reason: str | None = None


class Checkpoint(WireModel):
    """``sessions/{id}/checkpoint.json``: an open question, with the fields of its kind beside these."""

    id: str | None = None
    session_id: str = ""
    timestamp: Timestamp | None = None
    type: CheckpointType
    phase: str = ""
    plan: str = ""


class CheckpointResponse(WireModel):
    """``sessions/{id}/checkpoint_response.json``: the answer; without ``in_response_to`` to the oldest question."""

    session_id: str = ""
    timestamp: Timestamp | None = None
    checkpoint_type: CheckpointType | None = None
    in_response_to: str | None = None
    verified: bool | None = None
    feedback: str | None = None
    issues: tuple[str, ...] | None = None
    selected_option_id: str | None = None
    selected_option_name: str | None = None
    rationale: str | None = None
    action_completed: bool | None = None
    completed_by: str | None = None
    notes: str | None = None
    found: bool | None = None
    env_vars: tuple[str, ...] | None = None
    aborted: bool | None = None
    reason: str | None = None


class SessionResult(WireModel):
    """``sessions/{id}/result.json``: how a session ended."""

    session_id: str = ""
    timestamp: Timestamp | None = None
    success: bool
    phase: str = ""
    plan: str = ""
    summary: str | None = None
    files_modified: tuple[str, ...] = ()
    files_created: tuple[str, ...] = ()
    commit_hash: str | None = None
    error: str | None = None
    recoverable: bool | None = None
    suggestion: str | None = None


class Policy(WireModel):
    """What happens by itself when a worker asks: the first policy that matches a question wins.

    ``pattern`` is a regular expression that is searched in the question's text. ``after`` is in seconds. Without it a
    policy that answers, approves or aborts acts at once, unless somebody is there: then the question is theirs.
    ``after=0`` acts at once whoever is there.
    """

    kind: CheckpointType | None = None
    service: str | None = None
    plan: str | None = None
    tool: str | None = None
    pattern: str | None = None
    after: float | None = Field(default=None, ge=0, le=LONGEST)
    do: Literal["wait", "remind", "answer", "approve", "abort"]
    answer: str | None = None

    @field_validator("pattern")
    @classmethod
    def _is_a_regular_expression(cls, given: str | None) -> str | None:
        try:
            re.compile(given or "")
        except re.error as error:
            raise ValueError(f"{given!r} is no regular expression: {error}") from None
        return given


NoticeKind = Literal["question", "reminder", "failed", "ended"]
"""What people are told of: a question that no policy settles, one that still waits, a failure for good, a run's end."""


class NotifyAddress(WireModel):
    """Where people are told of what waits for them: an address as the ``apprise`` package writes them.

    It may hold a token, so it is shown nowhere; ``${NAME}`` in it is a variable of the environment. ``events`` keeps
    some kinds of notices.
    """

    url: SecretStr
    events: tuple[NoticeKind, ...] | None = None


class Config(WireModel):
    """``config.yaml``: the settings of a project.

    ``deliver`` says how a worker gets credentials: by ``reference`` it runs commands that have them, with ``message``
    the values are inside the answer that it awaits. ``max_output_megabytes`` is how much of each session's output is
    kept, the newest; None for all of it. A session is *quiet* that has neither printed nor said anything for
    ``quiet_after`` seconds; 0 is never. ``credential_sources`` are asked for credentials in their order, and
    ``services`` are known beyond the twelve, or in place of one.
    """

    version: int | str = 1
    spec_dir: str | None = None
    max_parallel_executions: int = Field(default=2, ge=1)
    max_parallel_research: int = Field(default=2, ge=1)
    verification_required: bool = True
    auto_commit: bool = False
    phase_order: Literal["implied", "declared"] = "implied"
    worker: str | None = None
    max_retries: int = Field(default=2, ge=0)
    retry_delay: float = Field(default=2.0, ge=0)
    credentials_dir: str | None = None
    credential_sources: tuple[str, ...] = Field(default=SOURCES[:1], min_length=1)
    services: dict[str, Service] = Field(default_factory=dict)
    deliver: Literal["reference", "message"] = "reference"
    max_output_megabytes: float | None = Field(default=1024, gt=0)
    grants: tuple[GrantRule, ...] = ()
    policies: tuple[Policy, ...] = ()
    quiet_after: float = Field(default=300.0, ge=0, le=LONGEST)
    notify: tuple[NotifyAddress, ...] = ()

    @field_validator("credential_sources")
    @classmethod
    def _each_once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            if given.count(name) > 1:
                raise ValueError(f"{name!r} is there twice")
        return given

    @field_validator("services")
    @classmethod
    def _have_names(cls, given: dict[str, Service]) -> dict[str, Service]:
        for name in given:
            if not re.fullmatch(r"[\w .-]{1,100}", name) or not re.search(r"[^\W_]", name):
                raise ValueError(f"{name[:100]!r} is no name of a service: use letters, digits, '-', '_' and '.'")
        # other keys go no further: somebody may have put a value there by mistake
        return {name: Service(variables=one.variables, stems=one.stems) for name, one in given.items()}

    @field_validator("notify", mode="before")
    @classmethod
    def _addresses_alone(cls, given: Any) -> Any:
        """Take an address without more as one that is told of everything."""
        return [{"url": one} if isinstance(one, str) else one for one in given] if isinstance(given, list) else given
