"""What stands already when a worker asks for credentials: a rule of the settings, or a yes that still holds.

Rules come first, so that a yes of yesterday does not outlive a ``deny`` of today. Who asks for a service that is
allowed asks for it by name and context as strictly as a lookup does: a yes to staging is none to production.

What ``ask`` and ``deny`` name can be asked for under other names: a file answers to the service ``db`` and to
``postgres-production`` as well, and to its context's words in any order and number. So these rules fit whatever may
mean what they name, by the words that a lookup goes by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness_nb.credentials.file_names import TURNING_WORDS, without_stems, words_of
from harness_nb.credentials.request import stems_of
from harness_nb.credentials.services import KNOWN_SERVICES
from harness_nb.protocol.credentials import Service
from harness_nb.protocol.grants import ANY
from harness_nb.store.settings import CurrentConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from harness_nb.protocol.grants import GrantRecord, GrantRule
    from harness_nb.protocol.records import MessageRecord
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


def wish_of(question: MessageRecord, store: Store) -> Wish:
    """Return what a question asks for; its plan is one that the session was given, whatever its worker says."""
    payload, session = question.payload, store.sessions.get(question.session_id)
    return Wish(
        service=str(payload.get("service") or ""),
        context=str(payload.get("context") or "") or None,
        asked=tuple(payload.get("envVars") or ()),
        session_id=session.id,
        plan_id=session.plan_id or _plan_given(str(payload.get("plan") or ""), session.id, store),
        run_id=session.run_id,
    )


def _plan_given(said: str, session_id: str, store: Store) -> str | None:
    sent = store.messages.select(session_id, direction="out") if said else ()
    given = any(one.type == "assign_task" and one.payload.get("plan") == said for one in sent)
    return said if given else None


class StandingGrants:
    """The rules and the grants of a project as they are now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.config = CurrentConfig(store.layout)

    def for_question(self, question: MessageRecord) -> Standing | None:
        """Return what holds for a question of any kind, or None: then policies decide, or a person."""
        if question.type != QUESTION:
            return None
        return self.for_wish(wish_of(question, self._store))

    def for_wish(self, wish: Wish) -> Standing | None:
        """Return what holds for a wish, or None."""
        now, config = self._store.clock(), self.config()
        rule = rule_for(wish, config.grants, now, _services(config.services))
        if rule is not None and rule.do != "ask":
            return Standing(rule.do)
        grants = self._store.grants.standing(wish.service, wish.session_id)
        grant = next((one for one in grants if covers(one, wish, now)), None)
        if grant is not None:  # somebody was asked
            return Standing("allow", grant)
        return Standing("ask") if rule is not None else None


def rule_for(
    wish: Wish, rules: Iterable[GrantRule], now: datetime, services: Mapping[str, Service] = KNOWN_SERVICES
) -> GrantRule | None:
    """Return the first rule that fits a wish, or None."""
    return next((rule for rule in rules if _fits(rule, wish, now, services)), None)


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


def _fits(rule: GrantRule, wish: Wish, now: datetime, services: Mapping[str, Service]) -> bool:
    if rule.plan is not None and rule.plan != wish.plan_id:
        return False
    if rule.do != "allow":
        return _may_mean(rule, wish, services)
    if rule.until is not None and now >= rule.until:
        return False
    if rule.service != ANY and words_of(rule.service) != words_of(wish.service):
        return False
    if rule.context is None:
        return not wish.context and (rule.service != ANY or not _has_context_in_name(wish, services))
    return rule.context == ANY or _same(rule.context, wish.context)


def _may_mean(rule: GrantRule, wish: Wish, services: Mapping[str, Service]) -> bool:
    """Say whether a lookup for a wish may find what a rule names, whatever else it is called."""
    context, stems = words_of(wish.context or ""), _stems(wish.service, services)
    readings = [without_stems(context, stems)[0]]
    if rule.service == ANY or wish.service.strip().casefold() not in services:
        words = (*words_of(wish.service), *context)
        rest, rank = without_stems(words, () if rule.service == ANY else _stems(rule.service, services))
        readings += [rest] if rule.service == ANY or rank is not None else []
    named_so = rule.service == ANY or words_of(rule.service) in (words_of(wish.service), *stems)
    if not named_so and len(readings) == 1:
        return False
    if rule.context is None or rule.context == ANY:
        return True
    named = frozenset(words_of(rule.context))
    return any(named <= {*one} and not ({*one} - named) & TURNING_WORDS for one in readings)


def _has_context_in_name(wish: Wish, services: Mapping[str, Service]) -> bool:
    """Say whether a service that nobody knows is one that is known, with more words that say which."""
    words = words_of(wish.service)
    if wish.service.strip().casefold() in services:
        return False
    found = [without_stems(words, _stems(name, services)) for name in services]
    return any(rank is not None and rest for rest, rank in found)


def _services(own: Mapping[str, Service]) -> Mapping[str, Service]:
    return {**KNOWN_SERVICES, **{name.casefold(): one for name, one in own.items()}}


def _stems(service: str, services: Mapping[str, Service]) -> tuple[tuple[str, ...], ...]:
    name = service.strip().casefold()
    return stems_of(name, services.get(name, Service()))


def _same(one: str | None, other: str | None) -> bool:
    return frozenset(words_of(one or "")) == frozenset(words_of(other or ""))
