"""Sessions in the journal, and ``status.json`` as their view."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from harness_nb.errors import HarnessError, SessionNotFoundError, UnreadableFileError
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.files import SessionStatus
from harness_nb.protocol.records import ENDED_STATES, SessionRecord
from harness_nb.store.atomic import read_model, write_model

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from harness_nb.store.events import Events
    from harness_nb.store.journal import Journal
    from harness_nb.store.layout import Layout

LIVE = "state NOT IN ('completed', 'failed')"


class Sessions:
    """Every session of the project; each change is an event and rewrites ``status.json``."""

    def __init__(self, journal: Journal, layout: Layout, events: Events, clock: Callable[[], datetime]) -> None:
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

        Raises: SessionNotFoundError.
        """
        rows = self._journal.read("SELECT data FROM sessions WHERE id = ?", (session_id,))
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
    ) -> list[SessionRecord]:
        """Return the sessions that fit, oldest first; ``since`` keeps those changed after that event."""
        where: list[str] = [] if live is None else [LIVE if live else f"NOT ({LIVE})"]
        values: list[Any] = []
        for column, value, sign in (("run_id", run_id, "="), ("plan_id", plan_id, "="), ("revision", since, ">")):
            if value is not None:
                where.append(f"{column} {sign} ?")
                values.append(value)
        condition = " AND ".join(where) or "1"
        rows = self._journal.read(
            f"SELECT data FROM sessions WHERE {condition} ORDER BY created_at, rowid",  # noqa: S608 — our own words
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
        view = self._view(record)
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
                write_model(self._layout.session(session_id).status, self._view(record), durable=False)
                shown = record.revision

    def _view(self, record: SessionRecord) -> SessionStatus:
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
    return SessionRecord.model_validate(json.loads(row["data"]))


def _expire(connection: sqlite3.Connection, session_id: str) -> None:
    rows: Iterable[sqlite3.Row] = connection.execute(
        "SELECT seq, data FROM messages WHERE session_id = ? AND status = 'pending'", (session_id,)
    ).fetchall()
    for row in rows:
        data = json.loads(row["data"]) | {"status": "expired"}
        connection.execute(
            "UPDATE messages SET status = 'expired', data = ? WHERE seq = ?", (json.dumps(data), row["seq"])
        )
