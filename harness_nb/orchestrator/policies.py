"""Which answer comes by itself, and when: the first policy that matches a question."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from harness_nb.protocol.files import CHECKPOINT_TYPES, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from harness_nb.protocol.records import MessageRecord

ACCEPT_ALL = Policy.model_construct(do="approve")  # unvalidated: building the model would cost every import
"""What ``--yes`` means: the recommended option, else the first; yes to everything else."""


def policy_for(question: MessageRecord, policies: Iterable[Policy]) -> Policy | None:
    """Return the first policy that matches a question, or None: then a person is asked."""
    return next((policy for policy in policies if _matches(policy, question)), None)


def due_at(question: MessageRecord, policy: Policy) -> datetime:
    """Return when a policy acts on a question."""
    return question.timestamp + timedelta(seconds=policy.after or 0)


def acts_alone(policy: Policy | None) -> bool:
    """Say whether a policy will settle a question without a person."""
    return policy is not None and policy.do in ("answer", "approve", "abort")


def _matches(policy: Policy, question: MessageRecord) -> bool:
    payload = question.payload
    permission = payload.get("permission") or {}
    wanted = (
        (policy.kind, CHECKPOINT_TYPES.get(question.type)),
        (policy.service, payload.get("service")),
        (policy.plan, payload.get("plan")),
        (policy.tool, permission.get("tool")),
    )
    return all(rule is None or rule == value for rule, value in wanted)
