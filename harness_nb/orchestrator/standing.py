"""What stands already when a worker asks for credentials: a rule of the settings, or a yes that still holds.

Rules come first, so that a yes of yesterday does not outlive a ``deny`` of today. Who asks for a service that is
allowed asks for it by name and context as strictly as a lookup does: a yes to staging is none to production.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness_nb.credentials.file_names import words_of
from harness_nb.protocol.grants import ANY
from harness_nb.store.settings import CurrentConfig

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from harness_nb.protocol.grants import GrantRecord, GrantRule
    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.store import Store

QUESTION = "credentials_needed"


@dataclass(frozen=True)
class Wish:
    """Which credentials a session wants: a service, its environment, and variables (none: those it is known by)."""

    service: str
    context: str | None
    asked: tuple[str, ...]
    session_id: str
    plan_id: str | None
    run_id: str | None


@dataclass(frozen=True)
class Standing:
    """What holds for a wish: ``allow``, ``ask`` or ``deny``; with ``grant`` somebody has said yes before."""

    do: Literal["allow", "ask", "deny"]
    grant: GrantRecord | None = None


def wish_of(question: MessageRecord, session: SessionRecord) -> Wish:
    """Return what a question asks for."""
    payload = question.payload
    return Wish(
        service=str(payload.get("service") or ""),
        context=str(payload.get("context") or "") or None,
        asked=tuple(payload.get("envVars") or ()),
        session_id=session.id,
        plan_id=session.plan_id or str(payload.get("plan") or "") or None,
        run_id=session.run_id,
    )


class StandingGrants:
    """The rules and the grants of a project as they are now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.config = CurrentConfig(store.layout)

    def for_question(self, question: MessageRecord) -> Standing | None:
        """Return what holds for a question of any kind, or None: then policies decide, or a person."""
        if question.type != QUESTION:
            return None
        return self.for_wish(wish_of(question, self._store.sessions.get(question.session_id)))

    def for_wish(self, wish: Wish) -> Standing | None:
        """Return what holds for a wish, or None."""
        now = self._store.clock()
        rule = rule_for(wish, self.config().grants, now)
        if rule is not None and rule.do != "ask":
            return Standing(rule.do)
        grants = self._store.grants.standing(wish.service, wish.session_id)
        grant = next((one for one in grants if covers(one, wish, now)), None)
        if grant is not None:  # somebody was asked
            return Standing("allow", grant)
        return Standing("ask") if rule is not None else None


def rule_for(wish: Wish, rules: Iterable[GrantRule], now: datetime) -> GrantRule | None:
    """Return the first rule that fits a wish, or None."""
    return next((rule for rule in rules if _fits(rule, wish, now)), None)


def covers(grant: GrantRecord, wish: Wish, now: datetime) -> bool:
    """Say whether an earlier yes answers a wish: the same service and context, no more variables, in its scope."""
    if not grant.holds_at(now) or not _same(grant.service, wish.service) or not _same(grant.context, wish.context):
        return False
    scopes = {
        "session": grant.session_id == wish.session_id,
        "plan": grant.plan_id is not None and grant.plan_id == wish.plan_id,
        "run": grant.run_id is not None and grant.run_id == wish.run_id,
        "project": True,
    }
    if not scopes[grant.scope]:
        return False
    return set(wish.asked) <= {*grant.asked, *grant.env_vars} if wish.asked else not grant.asked


def _fits(rule: GrantRule, wish: Wish, now: datetime) -> bool:
    if rule.service != ANY and not _same(rule.service, wish.service):
        return False
    if rule.plan is not None and rule.plan != wish.plan_id:
        return False
    if rule.do == "allow" and rule.until is not None and now >= rule.until:
        return False
    if rule.context is None:
        return rule.do != "allow" or not wish.context
    return rule.context == ANY or _same(rule.context, wish.context)


def _same(one: str | None, other: str | None) -> bool:
    return sorted(words_of(one or "")) == sorted(words_of(other or ""))
