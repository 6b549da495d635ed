"""What messages say: the fields of each type, and what stands in them.

Values of credentials travel in ``credentials_provided`` as ``SecretStr`` so that printing shows none of them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SecretStr, field_serializer

from harness_nb.protocol.base import Timestamp, WireModel
from harness_nb.protocol.grants import GrantScope

TaskType = Literal["execute", "research", "verify"] | str


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
