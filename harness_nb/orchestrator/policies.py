"""Which answer comes by itself, and when: the first policy that matches a question, and whether somebody is there.

A deadline is a moment of the wall clock. Whoever answers for a question writes it down with the question once, together
with the policy, and from then on that is what holds: through restarts, and whatever becomes of the settings meanwhile.
What acts at once is not written down, nor what is left to a person: there is nothing in it that could be lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from harness_nb.protocol.files import CHECKPOINT_TYPES, Policy
from harness_nb.protocol.records import Foreseen
from harness_nb.protocol.wording import message_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from harness_nb.orchestrator.standing import Standing
    from harness_nb.protocol.files import Config
    from harness_nb.protocol.records import MessageRecord, RunOptions

ACCEPT_ALL = Policy.model_construct(do="approve")  # unvalidated: building the model would cost every import
"""What ``--yes`` means: the recommended option, else the first; yes to everything else."""


ALLOWED = Policy.model_construct(do="approve")
DENIED = Policy.model_construct(do="answer", answer="deny The settings deny these credentials.")
"""What stands already about credentials, as the policy that says so to the worker."""


@dataclass(frozen=True)
class Rules:
    """Who answers for some questions: policies, first match first, and whether somebody is there (None: unknown).

    ``standing`` says what the settings, or an earlier yes, have to say of credentials: that comes before all policies.
    """

    policies: tuple[Policy, ...] = ()
    attended: bool | None = None
    standing: Callable[[MessageRecord], Standing | None] = lambda _: None


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
    acts at once too, unless somebody is there: it is left to them. ``wait`` never acts, ``remind`` only says so. What
    was written down with the question comes before all rules.
    """
    if question.foreseen is not None:
        return Prospect(question.foreseen.policy, question.foreseen.at)
    standing = rules.standing(question)
    if standing is not None:
        policies = {"allow": ALLOWED, "deny": DENIED}
        return Prospect(policies[standing.do], question.timestamp) if standing.do in policies else Prospect()
    policy = policy_for(question, rules.policies)
    if policy is None or policy.do == "wait":
        return Prospect(policy)
    if acts_alone(policy) and policy.after is None and rules.attended:
        return Prospect(policy)
    return Prospect(policy, due_at(question, policy))


def foreseen_of(question: MessageRecord, rules: Rules, now: datetime) -> Foreseen | None:
    """Return what is to be written down with a question that somebody sees first, or None: no deadline is set.

    A question that comes from the future, since the clock was set back, is as if it was asked now.
    """
    ahead = prospect(question, rules)
    if question.foreseen is not None or ahead.policy is None or ahead.at is None or not ahead.policy.after:
        return None
    return Foreseen(policy=ahead.policy, at=min(ahead.at, now + timedelta(seconds=ahead.policy.after)))


def rules_of_run(options: RunOptions, config: Config, standing: Callable[[MessageRecord], Standing | None]) -> Rules:
    """Return who answers for a run: what stands already, then its own policies, then those of its settings."""
    return Rules((*options.policies, *config.policies), options.attended, standing)


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
    if not all(rule is None or rule == value for rule, value in wanted):
        return False
    return policy.pattern is None or re.search(policy.pattern, message_text(question.type, payload)) is not None
