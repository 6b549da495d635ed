"""The journal's list of everything that happened; its numbers are also the cursor of whoever waits."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.records import EventRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.store.journal import Journal


class Events:
    """Rows that are only ever added."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._clock = clock

    def add(self, kind: str, *, session_id: str | None = None, **more: Any) -> int:
        """Write down that something happened; ``more`` are fields of ``EventRecord``. Return its number."""
        event = EventRecord(timestamp=self._clock(), kind=kind, session_id=session_id, **more)
        wire = event.to_wire()
        with self._journal.write() as connection:
            cursor = connection.execute(
                "INSERT INTO events (timestamp, kind, session_id, data) VALUES (?, ?, ?, ?)",
                (format_timestamp(event.timestamp), kind, session_id, json.dumps(wire)),
            )
            return int(cursor.lastrowid or 0)

    def select(self, *, since: int = 0, session_id: str | None = None, kind: str | None = None) -> list[EventRecord]:
        """Return the events after number ``since`` that fit, oldest first."""
        where = "seq > ?"
        values: list[int | str] = [since]
        for column, value in (("session_id", session_id), ("kind", kind)):
            if value is not None:
                where += f" AND {column} = ?"
                values.append(value)
        rows = self._journal.read(f"SELECT seq, data FROM events WHERE {where} ORDER BY seq", values)  # noqa: S608
        return [EventRecord.model_validate({**json.loads(row["data"]), "seq": row["seq"]}) for row in rows]

    def newest(self, kind: str) -> EventRecord | None:
        """Return the last event of a kind, or None."""
        rows = self._journal.read("SELECT seq, data FROM events WHERE kind = ? ORDER BY seq DESC LIMIT 1", (kind,))
        return EventRecord.model_validate({**json.loads(rows[0]["data"]), "seq": rows[0]["seq"]}) if rows else None

    def time_of(self, seq: int) -> datetime | None:
        """Return when the event with this number happened, or None where there is none."""
        rows = self._journal.read("SELECT timestamp FROM events WHERE seq = ?", (seq,))
        return datetime.fromisoformat(rows[0]["timestamp"]) if rows else None

    @property
    def last(self) -> int:
        """The number of the newest event, 0 before the first."""
        return int(self._journal.read("SELECT coalesce(max(seq), 0) FROM events")[0][0])
