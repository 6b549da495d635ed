"""Who may have which credentials: rules of the settings, and what people allowed.

Neither holds a value: a service, the environment that is meant, and the names of variables.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, get_args

from pydantic import field_validator

from harness_nb.protocol.base import Timestamp, WireModel

GrantScope = Literal["session", "plan", "run", "project"]
"""For whom a yes holds: the session that asked, every session of its plan, every one of its run, or any here."""

SCOPES: tuple[str, ...] = get_args(GrantScope)
ANY = "*"
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(m|min|h|d)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days"}
_REMEDY = "a time of day such as 18:00, a span such as 90m, 2h or 1d, or a moment as 2026-12-24T18:00"


class GrantRule(WireModel):
    """What the settings say of a service: ``allow`` it unasked, always ``ask`` a person, or ``deny`` it.

    Without a ``context`` an ``allow`` fits only questions that name none, as a lookup does; ``ask`` and ``deny`` fit
    all. ``*`` is any service, or any context. An ``allow`` ends with ``until``.
    """

    service: str
    context: str | None = None
    plan: str | None = None
    until: Timestamp | None = None
    do: Literal["allow", "ask", "deny"]

    @field_validator("until", mode="before")
    @classmethod
    def _as_people_mean_it(cls, given: Any) -> Any:
        """Take a moment as local time, and a day as a whole."""
        if isinstance(given, str):
            text = given.strip()
            given = date.fromisoformat(text) if _DAY.fullmatch(text) else datetime.fromisoformat(text)
        if isinstance(given, date) and not isinstance(given, datetime):
            given = datetime.combine(given, time.max)
        return given.astimezone() if isinstance(given, datetime) else given


class GrantRecord(WireModel):
    """That somebody allowed something: who, what, to whom and until when; ``id`` is the answer's own.

    ``asked`` are the variables that were asked for (none: those the service is known by), ``env_vars`` those that were
    handed over. It ends with what its ``scope`` names, at ``until``, or when it is revoked.
    """

    id: str
    service: str
    context: str | None = None
    asked: tuple[str, ...] = ()
    env_vars: tuple[str, ...] = ()
    source: str | None = None
    scope: GrantScope = "session"
    session_id: str
    plan_id: str | None = None
    run_id: str | None = None
    granted_at: Timestamp
    until: Timestamp | None = None
    actor: str
    door: str
    revoked_at: Timestamp | None = None
    revoked_by: str | None = None

    def holds_at(self, now: datetime) -> bool:
        """Say whether it is neither revoked nor over by the clock."""
        return self.revoked_at is None and (self.until is None or now < self.until)

    @property
    def whom(self) -> str:
        """For whom it holds, as people say it."""
        return {"plan": f"plan {self.plan_id}", "run": "this run", "project": "this project"}.get(
            self.scope, self.session_id
        )

    def __repr__(self) -> str:
        context = f" ({self.context})" if self.context else ""
        revoked = ", revoked" if self.revoked_at else ""
        return f"<grant of {self.service}{context}: {', '.join(self.env_vars)} for {self.whom}{revoked}>"


def moment_until(given: datetime | timedelta | str, now: datetime) -> datetime:
    """Return the moment until which something holds; a time of day is local, and tomorrow's where it has passed.

    Raises: ValueError, whose text says what can be given.
    """
    if isinstance(given, timedelta):
        moment = now + given
    elif isinstance(given, str):
        moment = _moment_said(given.strip(), now)
    else:
        moment = given
    moment = moment.astimezone(UTC)  # one without a zone is local time
    if moment <= now:
        raise ValueError(f"{given} has passed")
    return moment


def _moment_said(text: str, now: datetime) -> datetime:
    span = _SPAN.fullmatch(text.lower())
    try:
        if span is not None:
            return now + timedelta(**{_UNITS[span[2]]: float(span[1])})
        if re.fullmatch(r"\d{1,2}:\d\d", text):
            here = now.astimezone()
            today = here.replace(hour=int(text[:-3]), minute=int(text[-2:]), second=0, microsecond=0)
            return today if today > here else today + timedelta(days=1)
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no moment; give {_REMEDY}") from None
