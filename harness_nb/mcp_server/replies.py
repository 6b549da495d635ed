"""What the orchestrator's tools and resources return: typed, camelCase, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness_nb.mcp_server.sending import sendable, shortened
from harness_nb.protocol.base import Timestamp, WireModel
from harness_nb.protocol.files import DependencyGraph, SessionState
from harness_nb.protocol.messages import ANSWERS
from harness_nb.protocol.plans import RoadmapFrontmatter
from harness_nb.protocol.shown import dropped_text
from harness_nb.protocol.state import PhaseState, PlanInfo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.protocol.state import ProjectState
    from harness_nb.sessions import Output, Quiet

MOST_ENDED = 100
"""How many ended sessions an answer tells of unless more are asked for: an agent has to read them."""
LEFT_OUT = Field(
    default=None,
    description="How many older sessions that have ended were left out; harness_list_sessions has them, with limit.",
)


class Reply(WireModel):
    """An answer of a tool."""

    def to_wire(self) -> dict[str, Any]:
        """Return plain JSON types, and nothing that cannot be sent."""
        wire: dict[str, Any] = sendable(super().to_wire())
        return wire

    @property
    def text(self) -> str:
        """The answer for clients that read text alone: JSON, shortened where it is too long for an agent."""
        return shortened(self.to_wire())


class SessionReply(Reply):
    """A session: a worker in a process of its own."""

    session_id: str
    worker: str
    state: SessionState
    reason: str | None = Field(default=None, description="Why it is in that state, where there is more to say.")
    plan: str | None = None
    phase: str = ""
    attempt: int = 1
    run_id: str | None = None
    working_dir: str
    command: tuple[str, ...] = ()
    task_type: str = "execute"
    created_at: Timestamp
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    exit_code: int | None = Field(default=None, description="The exit status; negative for a signal.")
    current_task: int = 0
    total_tasks: int = 0
    task_name: str | None = None
    message: str | None = Field(default=None, description="What its worker said last.")
    quiet_since: Timestamp | None = Field(
        default=None, description="Since when it is silent, where that is for longer than the settings call normal."
    )
    verdict: str | None = Field(
        default=None, description="What verification said of its plan: passed, failed or unverified; absent: nothing."
    )

    @classmethod
    def of(cls, record: SessionRecord, quiet: Quiet | None = None) -> Self:
        """Return a session of the journal as clients see it; without ``quiet`` none is shown to be silent."""
        known = record.model_dump(by_alias=False, include=set(cls.model_fields))
        since = quiet.since(record) if quiet is not None else None
        return cls.model_validate({**known, "session_id": record.id, "plan": record.plan_id, "quiet_since": since})


class SessionsReply(Reply):
    """Sessions, oldest first."""

    left_out: int | None = LEFT_OUT
    sessions: tuple[SessionReply, ...] = ()

    @classmethod
    def of(cls, records: Sequence[SessionRecord], most: int = MOST_ENDED, quiet: Quiet | None = None) -> Self:
        """Return sessions of the journal as clients see them: the living ones, and the newest of the others."""
        return cls(**_newest(records, most, quiet))


class OutputReply(Reply):
    """A piece of what a worker printed."""

    session_id: str
    state: SessionState
    output: str
    next_since: int = Field(description="Pass it as since to read what follows.")
    more: bool = Field(description="Whether there is more to read already.")
    dropped: int = Field(default=0, description="Bytes of the session's oldest output that are not kept any more.")

    @classmethod
    def of(cls, record: SessionRecord, piece: Output, *, more: bool) -> Self:
        """Return a piece of a session's output as clients see it."""
        return cls(
            session_id=record.id, state=record.state, output=piece.text, next_since=piece.end, more=more,
            dropped=piece.dropped,
        )  # fmt: skip

    @property
    def text(self) -> str:
        """The output as it is, and how to read on."""
        rest = "There is more already" if self.more else f"The session is {self.state}"
        lost = f"; the oldest {dropped_text(self.dropped)} were dropped" if self.dropped else ""
        return f"{self.output}\n[{rest}; read what follows with since={self.next_since}{lost}]"


class ChangeReply(Reply):
    """What changed, and where to wait on from."""

    cursor: int = Field(description="Pass it to the next call.")
    timed_out: bool = Field(description="Whether nothing changed in time.")
    left_out: int | None = LEFT_OUT
    sessions: tuple[SessionReply, ...] = Field(default=(), description="The sessions that changed, as they are now.")

    @classmethod
    def of(cls, records: Sequence[SessionRecord], cursor: int) -> Self:
        """Return a change as clients see it: the living sessions, and the newest of the others."""
        return cls(cursor=cursor, timed_out=not records, **_newest(records, MOST_ENDED))


class MessageReply(Reply):
    """A message as it is stored; credentials are never in it."""

    id: str
    session_id: str
    type: str
    status: str
    timestamp: Timestamp
    in_response_to: str | None = None
    payload: dict[str, Any] = {}  # noqa: RUF012 — pydantic copies it

    @classmethod
    def of(cls, record: MessageRecord) -> Self:
        """Return a stored message as clients see it."""
        known = record.model_dump(by_alias=False, include=set(cls.model_fields))
        payload = {key: value for key, value in record.payload.items() if key != "credentials"}
        return cls.model_validate({**known, "payload": payload})


class RespondWith(WireModel):
    """The arguments of harness_respond that answer a question; what stands in <…> is to be filled in."""

    type: str
    session_id: str
    in_response_to: str
    payload: dict[str, Any]


class QuestionReply(MessageReply):
    """A question that waits for an answer."""

    respond_with: RespondWith = Field(description="Arguments for harness_respond, to fill in; abort_task fits, too.")

    @classmethod
    def of(cls, record: MessageRecord) -> Self:
        """Return an open question as clients see it."""
        asked = MessageReply.of(record).model_dump(by_alias=False)
        answer = RespondWith(
            type=ANSWERS[record.type], session_id=record.session_id, in_response_to=record.id, payload=_to_fill(record)
        )
        return cls.model_validate({**asked, "respond_with": answer})


class PendingReply(Reply):
    """The open questions, oldest first."""

    questions: tuple[QuestionReply, ...] = ()

    @classmethod
    def of(cls, records: list[MessageRecord]) -> Self:
        """Return open questions as clients see them."""
        return cls(questions=tuple(QuestionReply.of(one) for one in records))


class StateReply(Reply):
    """Where a project stands."""

    cursor: int = Field(description="Pass it to harness_wait_for_state, to be told what changes from here on.")
    project_path: str
    spec_dir: str = ""
    summary: str = Field(description="The project in one line.")
    trusted: bool = Field(description="Whether the user lets commands from its plans run.")
    roadmap: RoadmapFrontmatter | None = Field(default=None, description="The quick state of ROADMAP.md.")
    audit_status: str | None = None
    phases: tuple[PhaseState, ...] = ()
    plans: tuple[PlanInfo, ...] = ()
    graph: DependencyGraph = Field(
        description="Which plans are available, running, blocked and completed, and what each depends on."
    )
    sessions: tuple[SessionReply, ...] = Field(default=(), description="The living sessions.")
    questions: tuple[QuestionReply, ...] = Field(default=(), description="What waits for an answer.")
    problems: tuple[str, ...] = Field(default=(), description="What is wrong in the project's documents.")
    run_id: str | None = Field(default=None, description="The run that is going on or was left unfinished.")
    holder: dict[str, Any] | None = Field(default=None, description="The process that runs the project's plans.")

    @classmethod
    def of(
        cls, state: ProjectState, questions: list[MessageRecord], *, trusted: bool, cursor: int, quiet: Quiet
    ) -> Self:
        """Return a project's state as clients see it."""
        return cls(
            cursor=cursor,
            project_path=state.root,
            spec_dir=state.spec_dir,
            summary=state.headline,
            trusted=trusted,
            roadmap=state.roadmap,
            audit_status=state.audit_status,
            phases=state.phases,
            plans=state.plans,
            graph=state.graph,
            sessions=tuple(SessionReply.of(one, quiet) for one in state.sessions),
            questions=tuple(QuestionReply.of(one) for one in questions),
            problems=tuple(str(one) for one in state.problems),
            run_id=state.run_id,
            holder=state.holder,
        )


def _newest(records: Sequence[SessionRecord], most: int, quiet: Quiet | None = None) -> dict[str, Any]:
    ended = [one.id for one in records if not one.live]
    old = set(ended[: max(0, len(ended) - most)])
    sessions = tuple(SessionReply.of(one, quiet) for one in records if one.id not in old)
    return {"sessions": sessions, "left_out": len(old) or None}


def _to_fill(question: MessageRecord) -> dict[str, Any]:
    """Return the payload that answers a question, with what is known of it already."""
    asked = question.payload
    common = {key: asked[key] for key in ("phase", "plan") if asked.get(key)}
    match question.type:
        case "verification_needed":
            return {**common, "verified": "<true or false>", "feedback": "<what is wrong, if anything is>"}
        case "decision_needed":
            return {**common, "decision": asked.get("decision", ""), **_choice(asked.get("options") or [])}
        case "action_needed":
            return {**common, "action": asked.get("action", ""), "completedBy": "<who did it>", "notes": "<what>"}
        case "credentials_needed":
            return {**common, "service": asked.get("service", ""), "found": True}
    return {"plan": "<a plan's id>", "planPath": "<its file>", "taskType": "execute", "context": "<what else to know>"}


def _choice(options: list[dict[str, Any]]) -> dict[str, Any]:
    recommended = next((str(one["id"]) for one in options if one.get("recommended")), None)
    offered = " or ".join(str(one["id"]) for one in options)
    return {"selectedOptionId": recommended or f"<{offered or 'your own words'}>", "rationale": "<why>"}
