"""Every message that passes between a worker and the harness, in both directions.

A message is an envelope around a typed payload. One ``TypeAdapter`` per direction picks the model by
``type``; ``parse_worker_message`` and ``parse_orchestrator_message`` turn its findings into one sentence.
Values of credentials travel in ``credentials_provided`` as ``SecretStr`` so that printing shows none of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_serializer

from harness_nb.errors import InvalidMessageError, UnknownMessageTypeError
from harness_nb.protocol.base import Timestamp, WireModel, problems_of
from harness_nb.protocol.entrance import require_json, whole
from harness_nb.protocol.grants import GrantScope

MessageStatus = Literal["pending", "responded", "expired"] | str
"""``pending``, ``responded`` or ``expired``; what another program writes here survives."""

TaskType = Literal["execute", "research", "verify"] | str

T = TypeVar("T")


class PlanPayload(WireModel):
    """The part that nearly every payload has: which plan it is about (empty for a session without one)."""

    phase: str = ""
    plan: str = ""


# --- worker → orchestrator -------------------------------------------------------------------


class SessionReadyPayload(WireModel):
    """Where the worker stands and what it can do."""

    working_dir: str
    capabilities: tuple[str, ...] = ()


class TaskStartedPayload(PlanPayload):
    """A task begins."""

    task_number: int
    total_tasks: int
    task_name: str
    plan_path: str = ""


class ProgressUpdatePayload(PlanPayload):
    """A task is on its way; ``percent_complete`` is 0–100."""

    task_number: int
    total_tasks: int
    message: str
    percent_complete: float | None = Field(default=None, allow_inf_nan=False)


class VerificationNeededPayload(PlanPayload):
    """Something was built that a person should look at."""

    what_built: str
    how_to_verify: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()


class Option(WireModel):
    """One way to decide."""

    id: str
    name: str = ""
    description: str = ""
    recommended: bool | None = None
    pros: tuple[str, ...] | str | None = None
    cons: tuple[str, ...] | str | None = None


class Permission(WireModel):
    """An agent's wish to use a tool."""

    tool: str
    input: dict[str, Any] = Field(default_factory=dict)


class DecisionNeededPayload(PlanPayload):
    """The worker needs somebody to choose."""

    decision: str
    context: str = ""
    options: tuple[Option, ...] = ()
    permission: Permission | None = None


class ActionNeededPayload(PlanPayload):
    """Something that only a person can do."""

    action: str
    instructions: str = ""
    reason: str = ""


class CredentialsNeededPayload(PlanPayload):
    """The worker needs variables of a service; ``context`` is an environment such as ``production``."""

    service: str
    env_vars: tuple[str, ...] = ()
    reason: str = ""
    context: str | None = None


class TaskCompletedPayload(PlanPayload):
    """A task is done."""

    task_number: int
    total_tasks: int
    summary: str
    files_modified: tuple[str, ...] = ()
    files_created: tuple[str, ...] = ()
    commit_hash: str | None = None


class TaskFailedPayload(PlanPayload):
    """A task could not be done; ``recoverable`` says whether another try can help."""

    task_number: int
    error: str
    recoverable: bool
    suggestion: str | None = None


class Envelope(WireModel):
    """What every message carries besides its payload."""

    id: str
    session_id: str
    timestamp: Timestamp


class WorkerEnvelope(Envelope):
    """A message from a worker."""

    status: MessageStatus = "pending"


class SessionReady(WorkerEnvelope):
    """A worker has started and may be given a task."""

    type: Literal["session_ready"] = "session_ready"
    payload: SessionReadyPayload


class TaskStarted(WorkerEnvelope):
    """A worker begins a task."""

    type: Literal["task_started"] = "task_started"
    payload: TaskStartedPayload


class ProgressUpdate(WorkerEnvelope):
    """A worker says how far it is."""

    type: Literal["progress_update"] = "progress_update"
    payload: ProgressUpdatePayload


class VerificationNeeded(WorkerEnvelope):
    """A worker asks a person to verify."""

    type: Literal["verification_needed"] = "verification_needed"
    payload: VerificationNeededPayload


class DecisionNeeded(WorkerEnvelope):
    """A worker asks for a decision, or an agent for a permission."""

    type: Literal["decision_needed"] = "decision_needed"
    payload: DecisionNeededPayload


class ActionNeeded(WorkerEnvelope):
    """A worker asks a person to do something."""

    type: Literal["action_needed"] = "action_needed"
    payload: ActionNeededPayload


class CredentialsNeeded(WorkerEnvelope):
    """A worker asks for credentials."""

    type: Literal["credentials_needed"] = "credentials_needed"
    payload: CredentialsNeededPayload


class TaskCompleted(WorkerEnvelope):
    """A worker has done a task."""

    type: Literal["task_completed"] = "task_completed"
    payload: TaskCompletedPayload


class TaskFailed(WorkerEnvelope):
    """A worker could not do a task."""

    type: Literal["task_failed"] = "task_failed"
    payload: TaskFailedPayload


WorkerMessage = Annotated[
    SessionReady
    | TaskStarted
    | ProgressUpdate
    | VerificationNeeded
    | DecisionNeeded
    | ActionNeeded
    | CredentialsNeeded
    | TaskCompleted
    | TaskFailed,
    Field(discriminator="type"),
]

# --- orchestrator → worker -------------------------------------------------------------------


class AssignTaskPayload(PlanPayload):
    """What the worker is to do."""

    plan_path: str = ""
    spec_dir: str = ""
    task_type: TaskType = "execute"
    context: str | None = None


class VerificationResultPayload(PlanPayload):
    """Whether what was built is right."""

    verified: bool
    feedback: str | None = None
    issues: tuple[str, ...] | None = None
    next_steps: tuple[str, ...] | None = None


class DecisionMadePayload(PlanPayload):
    """Which option was chosen."""

    decision: str = ""
    selected_option_id: str
    selected_option_name: str = ""
    rationale: str | None = None


class ActionCompletedPayload(PlanPayload):
    """The action was done, and by whom."""

    action: str = ""
    completed_by: str = ""
    notes: str | None = None


class CredentialsProvidedPayload(PlanPayload):
    """Whether the variables were found; ``credentials`` is empty wherever this is stored.

    ``scope`` says for whom a yes holds and ``until`` until when; ``grant`` names the earlier yes that it stands on.
    """

    service: str = ""
    credentials: dict[str, SecretStr] = Field(default_factory=dict)
    found: bool
    env_vars: tuple[str, ...] = ()
    error: str | None = None
    instructions: str | None = None
    source: str | None = None
    notes: str | None = None
    completed_by: str | None = None
    file_identity: str | None = None
    scope: GrantScope | None = None
    until: Timestamp | None = None
    grant: str | None = None

    @field_serializer("credentials", when_used="json")
    def _stored_without_values(self, _: dict[str, SecretStr]) -> dict[str, str]:
        return {}  # not even stars: read back, those would pass for a value


class AbortTaskPayload(PlanPayload):
    """The worker is to stop this task."""

    reason: str
    should_retry: bool = False
    retry_instructions: str | None = None


class OrchestratorEnvelope(Envelope):
    """A message to a worker; ``completed_by`` of the journal says who sent it."""

    in_response_to: str | None = None


class AssignTask(OrchestratorEnvelope):
    """A task is given."""

    type: Literal["assign_task"] = "assign_task"
    payload: AssignTaskPayload


class VerificationResult(OrchestratorEnvelope):
    """The answer to ``verification_needed``."""

    type: Literal["verification_result"] = "verification_result"
    payload: VerificationResultPayload


class DecisionMade(OrchestratorEnvelope):
    """The answer to ``decision_needed``."""

    type: Literal["decision_made"] = "decision_made"
    payload: DecisionMadePayload


class ActionCompleted(OrchestratorEnvelope):
    """The answer to ``action_needed``."""

    type: Literal["action_completed"] = "action_completed"
    payload: ActionCompletedPayload


class CredentialsProvided(OrchestratorEnvelope):
    """The answer to ``credentials_needed``."""

    type: Literal["credentials_provided"] = "credentials_provided"
    payload: CredentialsProvidedPayload


class AbortTask(OrchestratorEnvelope):
    """A lawful answer to anything, and may come unasked."""

    type: Literal["abort_task"] = "abort_task"
    payload: AbortTaskPayload


OrchestratorMessage = Annotated[
    AssignTask | VerificationResult | DecisionMade | ActionCompleted | CredentialsProvided | AbortTask,
    Field(discriminator="type"),
]

WORKER_MESSAGE: Final[TypeAdapter[WorkerMessage]] = TypeAdapter(WorkerMessage, config={"defer_build": True})
ORCHESTRATOR_MESSAGE: Final[TypeAdapter[OrchestratorMessage]] = TypeAdapter(
    OrchestratorMessage, config={"defer_build": True}
)

ANSWERS: Final[dict[str, str]] = {
    "session_ready": "assign_task",
    "verification_needed": "verification_result",
    "decision_needed": "decision_made",
    "action_needed": "action_completed",
    "credentials_needed": "credentials_provided",
}
"""Which answer each question takes; ``abort_task`` answers any of them too."""

QUESTIONS: Final = tuple(name for name in ANSWERS if name != "session_ready")
"""The four kinds of message that wait for a person or a policy."""

PAYLOADS: Final[dict[str, type[WireModel]]] = {
    model.model_fields["type"].default: model.model_fields["payload"].annotation
    for model in get_args(get_args(WorkerMessage)[0])
}
"""What each message of a worker carries."""

WORKER_TYPES: Final = (*ANSWERS, "task_started", "progress_update", "task_completed", "task_failed")
ORCHESTRATOR_TYPES: Final = (*dict.fromkeys(ANSWERS.values()), "abort_task")
UNASKED: Final = ("assign_task", "abort_task", "verification_result")
"""What a worker may be sent without having asked: a task, an abort, the verdict on a plan."""


def parse_worker_message(raw: object) -> WorkerMessage:
    """Return the typed message of a worker.

    Raises: UnknownMessageTypeError, InvalidMessageError.
    """
    return _parse(WORKER_MESSAGE, raw, WORKER_TYPES)


def parse_orchestrator_message(raw: object) -> OrchestratorMessage:
    """Return the typed message to a worker.

    Raises: UnknownMessageTypeError, InvalidMessageError.
    """
    return _parse(ORCHESTRATOR_MESSAGE, raw, ORCHESTRATOR_TYPES)


def require_known_keys(message: OrchestratorMessage) -> None:
    """Refuse credentials under a key that this message does not have: nothing would keep their values secret there.

    Raises: InvalidMessageError, which names the keys and no value.
    """
    if isinstance(message, CredentialsProvided):
        unknown = [*message.unknown_keys, *message.payload.unknown_keys]
        if unknown:
            raise InvalidMessageError(message.type, "; ".join(f"{key}: there is no such field" for key in unknown))


def _parse(adapter: TypeAdapter[T], raw: object, known: tuple[str, ...]) -> T:
    name = raw.get("type") if isinstance(raw, dict) else None
    if name not in known:
        raise UnknownMessageTypeError(name, known)
    try:
        require_json(raw)
        return adapter.validate_python(whole(raw))
    except ValidationError as error:
        # The union's own tag is the first part of every location and tells a reader nothing.
        raise InvalidMessageError(str(name), problems_of(error).replace(f"{name}.", "")) from None
    except ValueError as error:
        raise InvalidMessageError(str(name), str(error)) from None
