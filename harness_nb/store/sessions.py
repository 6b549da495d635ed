"""Sessions in the journal, and ``status.json`` as their view."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from harness_nb.errors import HarnessError, SessionNotFoundError, UnfitNameError, UnreadableFileError
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.files import SessionStatus
from harness_nb.protocol.records import ENDED_STATES, SessionRecord
from harness_nb.protocol.shown import short_line
from harness_nb.store.atomic import read_model, write_model
from harness_nb.store.layout import SHOWN, fit_file_stem, require_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from harness_nb.store.events import Events
    from harness_nb.store.journal import Journal
    from harness_nb.store.layout import Layout

AMONG = "IN (SELECT value FROM json_each(?))"
LIVE = "state NOT IN ('completed', 'failed')"
ATTEMPT = (
    "plan_id IS NOT NULL AND json_extract(data, '$.worker') <> 'python' "
    "AND json_extract(data, '$.taskType') IN ('execute', 'research')"
)
"""``SessionRecord.is_attempt`` in the words of an index, which must be these very ones to be used."""
UNJUDGED = f"run_id IS NULL AND json_extract(data, '$.verdict') IS NULL AND {ATTEMPT}"


class Sessions:
    """Every session of the project; each change is an event and rewrites ``status.json``."""

    def __init__(
        self,
        journal: Journal,
        layout: Layout,
        events: Events,
        clock: Callable[[], datetime],
        refused: Callable[[UnfitNameError], Exception] = lambda error: error,
    ) -> None:
        self._refused = refused
        self._journal = journal
        self._layout = layout
        self._events = events
        self._clock = clock

    def create(self, record: SessionRecord, *, actor: str | None = None, door: str | None = None) -> SessionRecord:
        """Add a session and make its folder."""
        self._layout.session(record.id).create()
        with self._journal.write() as connection:
            stored = self._store(record, "session_created", actor=actor, door=door)
            connection.execute(
                "INSERT INTO sessions (id, state, run_id, plan_id, created_at, revision, data) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    stored.id, stored.state, stored.run_id, stored.plan_id,
                    format_timestamp(stored.created_at), stored.revision, stored.model_dump_json(exclude_none=True),
                ),
            )  # fmt: skip
            self._journal.afterwards(partial(self._show, stored.id))
        return stored

    def get(self, session_id: str) -> SessionRecord:
        """Return one session.

        Raises: SessionNotFoundError, and the UnfitNameError among those.
        """
        try:
            require_name(str(session_id))
        except UnfitNameError as error:
            raise self._refused(error) from None
        rows = self._journal.read("SELECT data FROM sessions WHERE id = ?", (session_id,))
        if not rows and (not str(session_id).isascii() or fit_file_stem(session_id) is None):
            shown = short_line(repr(session_id), SHOWN)
            raise self._refused(UnfitNameError(str(session_id), shown, "no session has such signs in its id"))
        if not rows:
            raise SessionNotFoundError(session_id)
        return _record(rows[0])

    def select(
        self,
        *,
        live: bool | None = None,
        run_id: str | None = None,
        plan_id: str | None = None,
        since: int | None = None,
        states: Collection[str] | None = None,
        ids: Collection[str] | None = None,
    ) -> list[SessionRecord]:
        """Return the sessions that fit, in the order they began; ``since`` keeps those changed after that event.

        The order is the journal's own: a clock may be set back.
        """
        where: list[str] = [] if live is None else [LIVE if live else f"NOT ({LIVE})"]
        values: list[Any] = []
        for column, value, sign in (("run_id", run_id, "="), ("plan_id", plan_id, "="), ("revision", since, ">")):
            if value is not None:
                where.append(f"{column} {sign} ?")
                values.append(value)
        for column, among in (("state", states), ("id", ids)):
            if among is not None:
                where.append(f"{column} {AMONG}")
                values.append(json.dumps(sorted(among)))
        return self._read(" AND ".join(where), values)

    def ids(self, states: Collection[str] | None = None) -> list[str]:
        """Return the ids of all sessions, or of those in these states, oldest first."""
        condition = "1" if states is None else f"state {AMONG}"
        values = () if states is None else (json.dumps(sorted(states)),)
        rows = self._journal.read(f"SELECT id FROM sessions WHERE {condition} ORDER BY rowid", values)  # noqa: S608 — our own words
        return [row["id"] for row in rows]

    def newest_attempts(self) -> dict[str, SessionRecord]:
        """Return the newest try at each plan."""
        found = self._read(f"rowid IN (SELECT max(rowid) FROM sessions WHERE {ATTEMPT} GROUP BY plan_id)")  # noqa: S608 — our own words
        return {str(one.plan_id): one for one in found}

    def unjudged(self) -> list[SessionRecord]:
        """Return the tries at plans that are of no run and have no verdict, oldest first."""
        return self._read(UNJUDGED)

    def newest(self, without_plan: int) -> list[SessionRecord]:
        """Return the newest session at each plan, and of those without a plan what lives and so many others.

        Sessions that are a notebook's own process are left out.
        """
        worker = "json_extract(data, '$.worker') <> 'python'"
        return self._read(
            f"rowid IN (SELECT max(rowid) FROM sessions WHERE plan_id IS NOT NULL AND {worker} GROUP BY plan_id) "  # noqa: S608 — our own words
            f"OR rowid IN (SELECT rowid FROM sessions WHERE plan_id IS NULL AND {worker} AND {LIVE}) "
            f"OR rowid IN (SELECT rowid FROM sessions WHERE plan_id IS NULL AND {worker} AND NOT ({LIVE}) "
            "ORDER BY rowid DESC LIMIT ?)",
            (without_plan,),
        )

    def _read(self, condition: str, values: Sequence[Any] = ()) -> list[SessionRecord]:
        # what is left of a condition is put in order; without the sign, the whole table would be read in its order
        order = "+rowid" if condition else "rowid"
        rows = self._journal.read(
            f"SELECT data FROM sessions WHERE {condition or '1'} ORDER BY {order}",  # noqa: S608 — our own words
            values,
        )
        return [_record(row) for row in rows]

    def update(self, session_id: str, kind: str, **changes: Any) -> SessionRecord:
        """Change fields of a session, as an event of that kind.

        Raises: SessionNotFoundError.
        """
        with self._journal.write() as connection:
            old = self.get(session_id)
            record = self._store(old.replace(**changes), kind)
            connection.execute(
                "UPDATE sessions SET state = ?, revision = ?, data = ? WHERE id = ?",
                (record.state, record.revision, record.model_dump_json(exclude_none=True), session_id),
            )
            self._journal.afterwards(partial(self._show, session_id))
        return record

    def end(self, session_id: str, *, state: str, reason: str | None = None, **changes: Any) -> SessionRecord | None:
        """Write down how a session ended and expire its open questions; None when that was known already."""
        assert state in ENDED_STATES
        with self._journal.write() as connection:
            if not self.get(session_id).live:
                return None
            changes.setdefault("ended_at", self._clock())
            _expire(connection, session_id)
            return self.update(session_id, "session_ended", state=state, reason=reason, **changes)

    def mend_view(self, session_id: str) -> None:
        """Rewrite ``status.json`` if it does not show what the journal says, as after a crash between the two.

        Raises: SessionNotFoundError.
        """
        record = self.get(session_id)
        self._layout.session(session_id).create()  # somebody may have cleared it away
        try:
            shown = read_model(self._layout.session(session_id).status, SessionStatus)
        except (FileNotFoundError, UnreadableFileError):
            shown = None
        view = self.view_of(record)
        if shown is None or shown.replace(timestamp=record.created_at) != view.replace(timestamp=record.created_at):
            self._show(session_id)

    def _store(self, record: SessionRecord, kind: str, **who: Any) -> SessionRecord:
        number = self._events.add(
            kind,
            session_id=record.id,
            run_id=record.run_id,
            plan_id=record.plan_id,
            data={"state": record.state} | ({"reason": record.reason} if record.reason else {}),
            **who,
        )
        return record.model_copy(update={"revision": number})

    def _show(self, session_id: str) -> None:
        """Write ``status.json`` until it shows what the journal says: of two writers the later one's view stays.

        Where that cannot be, what was stored counts all the same, and a later look mends it.
        """
        shown = -1
        with contextlib.suppress(OSError, HarnessError):
            while (record := self.get(session_id)).revision != shown:
                write_model(self._layout.session(session_id).status, self.view_of(record), durable=False)
                shown = record.revision

    def view_of(self, record: SessionRecord) -> SessionStatus:
        """Return what ``status.json`` says of a session."""
        return SessionStatus(
            session_id=record.id,
            timestamp=self._clock(),
            state=record.state,
            phase=record.phase,
            plan=record.plan_id or "",
            current_task=record.current_task,
            total_tasks=record.total_tasks,
            task_name=record.task_name,
            message=record.message,
            reason=record.reason,
        )


def _record(row: sqlite3.Row) -> SessionRecord:
    return SessionRecord.model_validate_json(row["data"])


def _expire(connection: sqlite3.Connection, session_id: str) -> None:
    rows: Iterable[sqlite3.Row] = connection.execute(
        "SELECT seq, data FROM messages WHERE session_id = ? AND status = 'pending'", (session_id,)
    ).fetchall()
    for row in rows:
        data = json.loads(row["data"]) | {"status": "expired"}
        connection.execute(
            "UPDATE messages SET status = 'expired', data = ? WHERE seq = ?", (json.dumps(data), row["seq"])
        )
