"""Every message that passes between a worker and the harness, in both directions.

A message is an envelope around a typed payload. One ``TypeAdapter`` per direction picks the model by
``type``; ``parse_worker_message`` and ``parse_orchestrator_message`` turn its findings into one sentence.
Values of credentials travel in ``credentials_provided`` as ``SecretStr`` so that printing shows none of them.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar, get_args

from pydantic import Field, TypeAdapter, ValidationError

from harness_nb.errors import InvalidMessageError, UnknownMessageTypeError
from harness_nb.protocol.base import Timestamp, WireModel, problems_of
from harness_nb.protocol.entrance import require_json, whole
from harness_nb.protocol.payloads import (
    AbortTaskPayload,
    ActionCompletedPayload,
    ActionNeededPayload,
    AssignTaskPayload,
    CredentialsNeededPayload,
    CredentialsProvidedPayload,
    DecisionMadePayload,
    DecisionNeededPayload,
    ProgressUpdatePayload,
    SessionReadyPayload,
    TaskCompletedPayload,
    TaskFailedPayload,
    TaskStartedPayload,
    VerificationNeededPayload,
    VerificationResultPayload,
)

MessageStatus = Literal["pending", "responded", "expired"] | str
"""``pending``, ``responded`` or ``expired``; what another program writes here survives."""

T = TypeVar("T")


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
