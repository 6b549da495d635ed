"""The journal, the documents and where credentials come from as DataFrames.

Each is read when it is called, and styled when it is displayed. An empty project gives the same columns and dtypes.
States have their words as categories in the order of a life; kinds have those that occur. What is not there is missing
(``NA``, ``NaT``). Values of credentials are in none of them: they never reach the journal.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from harness_nb.errors import UnknownStateError
from harness_nb.protocol import frame
from harness_nb.protocol.records import ENDED_STATES, LIVE_STATES, PLAN_STATES
from harness_nb.sessions import Quiet
from harness_nb.views.grants import grant_frame, grant_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd

    from harness_nb.credentials import CredentialProvider
    from harness_nb.protocol.credentials import CredentialEntry
    from harness_nb.protocol.records import EventRecord, MessageRecord, SessionRecord
    from harness_nb.protocol.state import PlanInfo, ProjectState
    from harness_nb.store import Store

SESSION_STATES = (*LIVE_STATES, *ENDED_STATES)


class Frames:
    """What is known of a project as DataFrames; the calls are plain ones, on ``AsyncHarness`` as well."""

    def __init__(
        self, store: Store, read_state: Callable[[], ProjectState], provider: Callable[[], CredentialProvider]
    ) -> None:
        self._store = store
        self._read_state = read_state
        self._provider = provider

    def sessions(self, *, state: str | Iterable[str] | None = None, plan_id: str | None = None) -> pd.DataFrame:
        """Return one row a session, oldest first, indexed by its ``id``; or those in a state, or of a plan.

        Columns: ``state`` (category), ``plan_id``, ``attempt`` (Int64), ``worker``, ``reason``, ``verdict`` (category),
        ``exit_code`` (Int64, negative for a signal), ``current_task``, ``total_tasks`` (Int64), ``task_name``,
        ``message``, ``duration`` (timedelta, missing until it has ended), ``created_at``, ``started_at``, ``ended_at``,
        ``quiet_since`` (UTC; since when one is silent that is at work and quiet), ``run_id``, ``phase``,
        ``command``, ``working_dir``, ``lives`` (Int64: how often its process was started) and ``died_at`` (UTC; there
        where its processes are gone and will be started again).

        Raises: UnknownStateError.
        """
        wanted = _known(state, SESSION_STATES)
        found = self._store.sessions.select(plan_id=plan_id)
        return session_frame([one for one in found if wanted is None or one.state in wanted], Quiet(self._store))

    def messages(
        self,
        *,
        session_id: str | None = None,
        direction: str | None = None,
        type: str | Iterable[str] | None = None,  # noqa: A002 — the protocol's own word
    ) -> pd.DataFrame:
        """Return one row a message in the order they were stored, indexed by ``seq``; or those that fit.

        Columns: ``id``, ``session_id``, ``direction`` (category: ``in`` from the worker, ``out`` to it), ``type``,
        ``status`` (categories), ``text`` (what it says), ``timestamp`` (UTC), ``plan_id``, ``in_response_to``,
        ``actor``, ``door``, ``payload`` (dicts).

        Raises: SessionNotFoundError.
        """
        if session_id is not None:
            self._store.sessions.get(session_id)
        kinds = _names(type)
        found = self._store.messages.select(session_id, direction=direction)
        return message_frame([one for one in found if kinds is None or one.type in kinds])

    def plans(self, *, state: str | Iterable[str] | None = None, phase: str | None = None) -> pd.DataFrame:
        """Return one row a plan in the order of the documents, indexed by its ``plan`` id; or those that fit.

        Columns: ``phase``, ``title``, ``state`` (category), ``reason``, ``verified`` (boolean), ``attempts`` (Int64:
        sessions at it in all runs), ``duration`` (timedelta of the last that ended), ``depends_on`` (tuples of ids),
        ``session_id`` (the newest), ``path``.

        Raises: UnknownStateError.
        """
        wanted = _known(state, PLAN_STATES)
        plans = [
            one
            for one in self._read_state().plans
            if (wanted is None or one.state in wanted) and (phase is None or one.phase == phase)
        ]
        return _plan_frame(plans, [one for one in self._store.sessions.select() if one.plan_id])

    def events(
        self,
        *,
        kind: str | Iterable[str] | None = None,
        since: int | datetime | None = None,
        session_id: str | None = None,
        plan_id: str | None = None,
        run_id: str | None = None,
        actor: str | Iterable[str] | None = None,
        door: str | Iterable[str] | None = None,
        acts: bool = False,
    ) -> pd.DataFrame:
        """Return one row an event, oldest first, indexed by ``seq``; or those that fit.

        ``since`` is the number of an event, or a moment (in UTC where it has no zone): what came after it. With
        ``acts`` only what somebody did, one row each, and not what followed by itself. Columns: ``timestamp`` (UTC),
        ``actor`` (who), ``door`` (through what), ``kind`` (category: what), ``text`` (what it says), ``plan_id``,
        ``session_id``, ``run_id`` (those of its session where it names none), ``data`` (dicts).

        Raises: SessionNotFoundError.
        """
        if session_id is not None:
            self._store.sessions.get(session_id)
        kinds, actors, doors = _names(kind), _names(actor), _names(door)
        moment = _moment(since) if isinstance(since, datetime) else None
        number = 0 if since is None or isinstance(since, datetime) else int(since)  # from a frame's index it is numpy's
        only = next(iter(kinds)) if kinds is not None and len(kinds) == 1 else None
        found = self._with_places(self._store.events.select(since=number, session_id=session_id, kind=only))
        return _event_frame([
            one
            for one in found
            if (kinds is None or one.kind in kinds)
            and (moment is None or one.timestamp > moment)
            and (plan_id is None or one.plan_id == plan_id)
            and (run_id is None or one.run_id == run_id)
            and (actors is None or one.actor in actors)
            and (doors is None or one.door in doors)
            and (one.is_act or not acts)
        ])  # fmt: skip

    def grants(self, *, service: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Return one row a yes to credentials, oldest first, indexed by its ``grant`` id; never a value.

        Columns: ``service``, ``context``, ``env_vars`` (tuples of names), ``source`` (files' names), ``scope`` and
        ``state`` (categories: ``in force``, ``over``, ``revoked``), ``whom`` (for whom, in words), ``granted_at`` and
        ``until`` (UTC), ``actor``, ``door``, ``session_id``, ``plan_id``, ``run_id``, ``revoked_at``, ``revoked_by``.
        """
        services = _names(service)
        found = [one for one in self._store.grants.select() if services is None or one.service in services]
        return grant_frame(found, [grant_state(self._store, one) for one in found])

    def credentials(self) -> pd.DataFrame:
        """Return one row a variable that is there, by service, context and variable, and never a value.

        Columns: ``service``, ``context`` (missing: none), ``variable``, ``source`` (the file's name, environment,
        keyring, or a source of your own), ``note`` (open to others, empty, broken, whom it comes after). Without a
        variable a row is about its whole source. A keyring cannot be listed: of it are those of the known services
        without a context or with one that a file has; it is asked for ten seconds at most, and not where it is locked.
        """
        return _credential_frame(self._provider().entries())

    def _with_places(self, events: list[EventRecord]) -> Iterator[EventRecord]:
        """Yield events with the plan and the run of their session, where they name none."""
        sessions = {one.id: one for one in self._store.sessions.select()} if events else {}
        for one in events:
            session = sessions.get(one.session_id or "")
            if session is None or (one.plan_id and one.run_id):
                yield one
            else:
                more = {"plan_id": one.plan_id or session.plan_id, "run_id": one.run_id or session.run_id}
                yield one.model_copy(update=more)

    def __repr__(self) -> str:
        return "<frames: sessions(), messages(), plans(), events(), credentials(), grants()>"


def _names(given: str | Iterable[str] | None) -> set[str] | None:
    if given is None:
        return None
    return {given} if isinstance(given, str) else set(given)


def _known(given: str | Iterable[str] | None, states: Sequence[str]) -> set[str] | None:
    names = _names(given)
    for name in sorted(names or (), key=str):
        if name not in states:
            raise UnknownStateError(name, states)
    return names


def _moment(given: datetime) -> datetime:
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given


def _seconds(one: SessionRecord | None) -> float | None:
    if one is None or one.ended_at is None:
        return None
    return max(0.0, (one.ended_at - (one.started_at or one.created_at)).total_seconds())  # a clock may be set back


def session_frame(rows: Sequence[SessionRecord], quiet: Quiet) -> pd.DataFrame:
    """Return sessions as ``Frames.sessions`` does."""
    columns: dict[str, Any] = {
        "state": frame.words((one.state for one in rows), SESSION_STATES),
        "plan_id": frame.texts(one.plan_id for one in rows),
        "attempt": frame.counts(one.attempt for one in rows),
        "worker": frame.texts(one.worker for one in rows),
        "reason": frame.texts(one.reason for one in rows),
        "verdict": frame.words((one.verdict for one in rows), ("passed", "failed", "unverified")),
        "exit_code": frame.counts(one.exit_code for one in rows),
        "current_task": frame.counts(one.current_task or None for one in rows),
        "total_tasks": frame.counts(one.total_tasks or None for one in rows),
        "task_name": frame.texts(one.task_name for one in rows),
        "message": frame.texts(one.message for one in rows),
        "duration": frame.spans(_seconds(one) for one in rows),
        "created_at": frame.moments(one.created_at for one in rows),
        "started_at": frame.moments(one.started_at for one in rows),
        "ended_at": frame.moments(one.ended_at for one in rows),
        "quiet_since": frame.moments(quiet.since(one) for one in rows),
        "run_id": frame.texts(one.run_id for one in rows),
        "phase": frame.texts(one.phase or None for one in rows),
        "command": frame.texts(shlex.join(one.command) or None for one in rows),
        "working_dir": frame.texts(one.working_dir for one in rows),
        "lives": frame.counts(one.lives for one in rows),
        "died_at": frame.moments(one.died_at if one.died else None for one in rows),
    }
    return frame.styled(columns, (one.id for one in rows), "id")


def message_frame(rows: Sequence[MessageRecord]) -> pd.DataFrame:
    """Return messages as ``Frames.messages`` does."""
    columns: dict[str, Any] = {
        "id": frame.texts(one.id for one in rows),
        "session_id": frame.texts(one.session_id for one in rows),
        "direction": frame.words((one.direction for one in rows), ("in", "out")),
        "type": frame.words(one.type for one in rows),
        "status": frame.words((one.status for one in rows), ("pending", "responded", "expired")),
        "text": frame.texts(one.text for one in rows),
        "timestamp": frame.moments(one.timestamp for one in rows),
        "plan_id": frame.texts(str(one.payload.get("plan") or "") or None for one in rows),
        "in_response_to": frame.texts(one.in_response_to for one in rows),
        "actor": frame.texts(one.actor for one in rows),
        "door": frame.texts(one.door for one in rows),
        "payload": frame.objects(one.payload for one in rows),
    }
    return frame.styled(columns, (one.seq for one in rows), "seq", "int64")


def _plan_frame(rows: Sequence[PlanInfo], sessions: Sequence[SessionRecord]) -> pd.DataFrame:
    attempts = [one for one in sessions if one.worker != "python"]  # those ask from a cell, and try nothing
    ended = {one.plan_id: one for one in attempts if not one.live}
    columns: dict[str, Any] = {
        "phase": frame.texts(one.phase or None for one in rows),
        "title": frame.texts(one.title or None for one in rows),
        "state": frame.words((one.state for one in rows), PLAN_STATES),
        "reason": frame.texts(one.reason for one in rows),
        "verified": frame.flags(one.verified for one in rows),
        "attempts": frame.counts(sum(each.plan_id == one.id for each in attempts) for one in rows),
        "duration": frame.spans(_seconds(ended.get(one.id)) for one in rows),
        "depends_on": frame.objects(one.depends_on for one in rows),
        "session_id": frame.texts(one.session_id for one in rows),
        "path": frame.texts(one.path for one in rows),
    }
    return frame.styled(columns, (one.id for one in rows), "plan")


def _event_frame(rows: Sequence[EventRecord]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "timestamp": frame.moments(one.timestamp for one in rows),
        "actor": frame.texts(one.actor for one in rows),
        "door": frame.texts(one.door for one in rows),
        "kind": frame.words(one.kind for one in rows),
        "text": frame.texts(one.text or None for one in rows),
        "plan_id": frame.texts(one.plan_id for one in rows),
        "session_id": frame.texts(one.session_id for one in rows),
        "run_id": frame.texts(one.run_id for one in rows),
        "data": frame.objects(one.data for one in rows),
    }
    return frame.styled(columns, (one.seq for one in rows), "seq", "int64")


def _credential_frame(rows: Sequence[CredentialEntry]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        name: frame.texts(getattr(one, name) for one in rows)
        for name in ("service", "context", "variable", "source", "note")
    }
    return frame.styled(columns, range(len(rows)), "row", "int64")
