"""Which answer comes by itself, and when: the first policy that matches a question, and whether somebody is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from harness_nb.protocol.files import CHECKPOINT_TYPES, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from harness_nb.protocol.files import Config
    from harness_nb.protocol.records import MessageRecord, RunOptions

ACCEPT_ALL = Policy.model_construct(do="approve")  # unvalidated: building the model would cost every import
"""What ``--yes`` means: the recommended option, else the first; yes to everything else."""


@dataclass(frozen=True)
class Rules:
    """Who answers for some questions: policies, first match first, and whether somebody is there (None: unknown)."""

    policies: tuple[Policy, ...] = ()
    attended: bool | None = None


@dataclass(frozen=True)
class Prospect:
    """What comes of a question that nobody answers: its policy (None: none fits), and when that acts (None: never)."""

    policy: Policy | None = None
    at: datetime | None = None

    @property
    def settles(self) -> bool:
        """Whether the policy will settle the question without a person."""
        return self.at is not None and acts_alone(self.policy)

    @property
    def covered(self) -> bool:
        """Whether an answer can be expected where nobody is there: by the policy, or by another door."""
        return self.settles or (self.policy is not None and self.policy.do == "wait")


def prospect(question: MessageRecord, rules: Rules) -> Prospect:
    """Return what comes of a question by itself; everyone who asks that asks here.

    ``after`` seconds is when a policy acts, whoever is there, and 0 is at once. A policy that acts and names no time
    acts at once too, unless somebody is there: it is left to them. ``wait`` never acts, ``remind`` only says so.
    """
    policy = policy_for(question, rules.policies)
    if policy is None or policy.do == "wait":
        return Prospect(policy)
    if acts_alone(policy) and policy.after is None and rules.attended:
        return Prospect(policy)
    return Prospect(policy, due_at(question, policy))


def rules_of_run(options: RunOptions, config: Config) -> Rules:
    """Return who answers for a run: its own policies, then those of its settings."""
    return Rules((*options.policies, *config.policies), options.attended)


def policy_for(question: MessageRecord, policies: Iterable[Policy]) -> Policy | None:
    """Return the first policy that matches a question, or None: then a person is asked."""
    return next((policy for policy in policies if _matches(policy, question)), None)


def due_at(question: MessageRecord, policy: Policy) -> datetime:
    """Return when a policy acts on a question that is not left to a person."""
    return question.timestamp + timedelta(seconds=policy.after or 0)


def acts_alone(policy: Policy | None) -> bool:
    """Say whether a policy settles questions without a person."""
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
