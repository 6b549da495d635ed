"""What the orchestrator's tools take; each model's docstring is what an agent reads about its tool."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from harness_nb.mcp_server.replies import MOST_ENDED
from harness_nb.mcp_server.sending import sendable

State = Literal["initializing", "running", "checkpoint", "completed", "failed"]
TaskType = Literal["execute", "research", "verify"]
WorkerMessageType = Literal[
    "verification_needed", "decision_needed", "action_needed", "credentials_needed", "session_ready"
]
Answer = Literal[
    "assign_task", "verification_result", "decision_made", "action_completed", "credentials_provided", "abort_task"
]
RoadmapStatus = Literal["planning", "executing", "verifying", "blocked", "complete"]

WAIT = 50_000
"""Milliseconds that a wait lasts unless told otherwise: clients give a call up after a minute."""
LONGEST_WAIT = 600_000
SESSION = "The session's id, from harness_start_session or harness_list_sessions."
PROJECT = "The project's folder; this server serves one, and this must be it. '.' is it, too."


class Arguments(BaseModel):
    """The arguments of a tool: camelCase, and nothing but the named fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_alias=True, validate_by_name=False
    )

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, given: Any) -> Any:
        return sendable(given)  # what is half a character here would be one in the journal, and for the worker


class StartSession(Arguments):
    """Start a worker in a process of its own, which goes on even when this server ends.

    Give `plan` to have a plan of the project done: it is assigned to the worker by itself, and judged by its own checks
    when the worker is done. Or give `command` to run any program. Then follow it with harness_wait_for_state, and
    answer what it asks with harness_get_pending and harness_respond. A plan needs the user's trust in the project;
    only the user can give it, and the error says how. A plan that a session does already is not started again, so this
    may be called again after a time-out. To go on with a session give `resume` and nothing but `workingDir` beside it.
    """

    working_dir: str = Field(
        min_length=1, description="The folder to work in, inside the project: '.' for the project's own, or a path."
    )
    command: list[str] | str | None = Field(
        default=None,
        description="The program and its arguments, as a list of words. A string is split into words as a shell would,"
        " but no shell runs it; for pipes and variables give ['sh', '-c', '…'].",
    )
    worker: str | None = Field(
        default=None,
        description="The kind of worker: 'command' runs a program, 'runbook' does a plan's <run> blocks. Left out, it"
        " follows from command or plan.",
    )
    plan: str | None = Field(default=None, description="A plan's id, such as '03-02'; harness_get_state lists them.")
    prompt: str | None = Field(default=None, description="What the worker is to do, or to know besides its plan.")
    task_type: TaskType = Field(default="execute", description="What kind of work this is.")
    resume: str | None = Field(default=None, description="The id of a session to go on with, instead of a new one.")


class ListSessions(Arguments):
    """List the project's sessions, oldest first, with state, progress and how they ended.

    Use it to get an overview or to find a session's id. To learn of changes use harness_wait_for_state instead of
    calling this again and again.
    """

    state: State | None = Field(default=None, description="Only sessions in this state.")
    limit: int = Field(
        default=MOST_ENDED, ge=0, le=100_000,
        description="At most this many of the sessions that have ended, the newest; living ones are always listed.",
    )  # fmt: skip


class GetOutput(Arguments):
    """Read what a session's worker printed: the last lines, or all that came after an earlier call.

    To follow a session pass the `nextSince` of one answer as `since` of the next call. The whole output stays on disk,
    so nothing is lost by reading only its end.
    """

    session_id: str = Field(description=SESSION)
    lines: int = Field(default=100, ge=0, le=10_000, description="How many of the last lines; not used with since.")
    since: int | None = Field(default=None, ge=0, description="The nextSince of an earlier answer.")


class WaitForState(Arguments):
    """Wait until sessions change, and return those that did: the heart of an orchestrator's loop.

    Begin with the cursor of harness_get_state; each answer has another: pass it on in the next call, and you get what
    changed since then, at once if anything did, so nothing is missed and nothing is told twice. Without a cursor the
    call returns at once only if a session already is in one of `states`, also one that ended long ago. When nothing
    changed in time the answer is an empty list with `timedOut` true and a cursor: call again with that cursor. Never
    poll in between.

    A session in state `checkpoint` asks something: see harness_get_pending. `completed` and `failed` are its end; a
    plan's session is told once more when the plan's own checks have judged it, and `verdict` then says how.
    """

    session_ids: list[str] | None = Field(
        default=None, min_length=1, description="Only these sessions; left out, all of them."
    )
    states: list[State] | None = Field(
        default=None,
        min_length=1,
        description="Only sessions in one of these states, for example ['checkpoint', 'completed', 'failed'].",
    )
    timeout_ms: int = Field(
        default=WAIT,
        ge=0,
        le=LONGEST_WAIT,
        description="How long to wait, in milliseconds. The default is shorter than the minute after which clients"
        " give up.",
    )
    cursor: int | None = Field(
        default=None, ge=0, description="The cursor of the last answer; the first is in harness_get_state's."
    )


class Respond(Arguments):
    """Send a worker a message: the answer to its question, or a task, an abort or a verdict.

    Each question takes one type of answer; harness_get_pending says which, and gives the payload to fill in:
    verification_needed takes verification_result {verified, feedback?, issues?, nextSteps?}; decision_needed takes
    decision_made {selectedOptionId, selectedOptionName?, rationale?}; action_needed takes action_completed
    {completedBy, notes?}; credentials_needed takes credentials_provided {found: true} (the values are looked up and
    handed over for you: do not send them; scope? session, plan, run or project; until?) or {found: false, error};
    session_ready takes assign_task {plan, phase?,
    planPath?, specDir?, taskType?, context?}. abort_task {reason, shouldRetry?, retryInstructions?} answers any of
    them, and may be sent unasked, as may assign_task and verification_result.

    A person may answer the same question at the same time: the first answer holds, and the error tells who gave it.
    """

    type: Answer = Field(description="The type of the message; it must fit the question.")
    session_id: str = Field(description=SESSION)
    in_response_to: str | None = Field(
        default=None, description="The question's id, from harness_get_pending; not needed for what is sent unasked."
    )
    payload: dict[str, Any] = Field(description="The message's fields, as the description of this tool lists them.")


class GetPending(Arguments):
    """Return the questions that workers wait for an answer to, oldest first, each with how to answer it.

    Call it when harness_wait_for_state shows a session in state `checkpoint`. `respondWith` of a question holds the
    arguments for harness_respond; fill in its payload. Decide yourself what you can, and leave to the person at the
    page or in the notebook what only a person can judge: they see the same questions.
    """

    session_id: str | None = Field(default=None, description="Only this session's questions.")
    message_types: list[WorkerMessageType] | None = Field(
        default=None,
        description="Only these types; left out, the four that ask something. session_ready is shown when named.",
    )


class GetState(Arguments):
    """Return where the project stands: phases, plans, the dependency graph, living sessions and open questions.

    Start here. `graph.available` lists the plans that may start now (what they depend on is done, and no running plan
    touches the same files); start each with harness_start_session. Call it again when a session has completed, since
    that may make others available.
    """

    project_path: str | None = Field(default=None, description=PROJECT)


class EndSession(Arguments):
    """End a session's processes, and return how it ended.

    Use it for a worker that hangs or is not needed any more. To let a worker stop its task in its own way, send it
    abort_task with harness_respond first. Ending a session that has ended changes nothing.
    """

    session_id: str = Field(description=SESSION)


class SyncState(Arguments):
    """Read plans, summaries and roadmap from disk again, write the dependency graph, and return the state.

    Use it after plans were written, changed or removed.
    """

    project_path: str = Field(description=PROJECT)


class SetState(Arguments):
    """Set the quick state in the frontmatter of the project's ROADMAP.md, and return the state.

    Only what is given is changed; the text of the roadmap stays as it is. Which plans are done is not set here: that
    follows from how their sessions ended.
    """

    project_path: str = Field(description=PROJECT)
    phase: int | str | None = Field(default=None, description="The current phase.")
    plan: int | str | None = Field(default=None, description="The current plan.")
    status: RoadmapStatus | None = Field(default=None, description="What the project is doing.")
    completed_plans: int | None = Field(default=None, ge=0, description="How many plans are complete.")
