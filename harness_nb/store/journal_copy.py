"""A copy of the journal to be read elsewhere: taken at one moment, cut down to one run, and with no loose ends.

SQLite's own backup makes the copy, so it is whole although others go on writing. In the copy nothing is alive: a
session that had not ended is ``failed`` with the reason that it was still running when exported, its open questions are
expired, and a run that went on is ``exported``; so whoever opens the copy has nothing to adopt, to end or to answer.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from harness_nb.errors import DiskFullError, JournalBusyError, JournalDamagedError
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.records import EventRecord, RunRecord, SessionRecord
from harness_nb.store.journal import BUSY_TIMEOUT, is_full
from harness_nb.store.sessions import LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType
    from typing import Self

EXPORTED = "exported"
"""The state of a run in the copy that went on when the copy was made; also the event that tells of a copy."""
STILL = "was still running when exported"
PIECE = 1000
"""Rows that are read at once."""
TEXTS = {
    "sessions": "rowid",
    "messages": "seq",
    "events": "seq",
    "runs": "rowid",
    "run_plans": "rowid",
    "grants": "rowid",
}
"""The tables whose rows hold texts, and what numbers those."""


@contextmanager
def explained(journal: Path, target: Path) -> Iterator[None]:
    """Say in a sentence why a journal cannot be copied to a folder.

    Raises: JournalBusyError, JournalDamagedError, DiskFullError.
    """
    try:
        yield
    except sqlite3.Error as error:
        if "locked" in str(error) or "busy" in str(error):
            raise JournalBusyError(journal) from None
        if "full" in str(error) or ("I/O" in str(error) and is_full(target.parent)):
            raise DiskFullError(target) from None
        raise JournalDamagedError(journal, str(error)) from None


def copy_journal(journal: Path, target: Path) -> None:
    """Copy the journal as it is at one moment; who writes meanwhile is not held up.

    Raises: sqlite3.Error.
    """
    with (
        closing(sqlite3.connect(f"file:{quote(str(journal))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)) as source,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        source.backup(copy)


NOBODY_ELSES = ("credentialsDir", "policies", "params")
"""What a run was told that a reader has no use for: paths of the machine, answers given in advance, values."""


class JournalCopy:
    """A copy that nobody else has open, for as long as it is entered; each change may raise an sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def keep_run(self, run: RunRecord, sessions: Collection[str]) -> None:
        """Take out all that is neither of a run nor of these sessions, and what the project did at other times."""
        run_do = self._connection.execute
        run_do("CREATE TEMP TABLE kept AS SELECT id FROM sessions WHERE run_id = ?", (run.id,))
        self._connection.executemany("INSERT INTO kept VALUES (?)", [(one,) for one in sessions])
        run_do("BEGIN")
        run_do("DELETE FROM sessions WHERE id NOT IN (SELECT id FROM kept)")
        run_do("DELETE FROM messages WHERE session_id NOT IN (SELECT id FROM kept)")
        run_do("DELETE FROM grants WHERE session_id NOT IN (SELECT id FROM kept)")
        run_do("DELETE FROM runs WHERE id != ?", (run.id,))
        run_do("DELETE FROM run_plans WHERE run_id != ?", (run.id,))
        run_do("DELETE FROM events WHERE session_id IS NOT NULL AND session_id NOT IN (SELECT id FROM kept)")
        last = format_timestamp(run.ended_at) if run.ended_at else "9999"
        run_do(
            "DELETE FROM events WHERE session_id IS NULL AND coalesce(json_extract(data, '$.runId'), ?) != ?",
            (run.id, run.id),
        )
        run_do(
            "DELETE FROM events WHERE session_id IS NULL AND json_extract(data, '$.runId') IS NULL "
            "AND (timestamp < ? OR timestamp > ?)",
            (format_timestamp(run.created_at), last),
        )
        run_do("COMMIT")

    def tie_up(self, at: datetime, event: EventRecord) -> list[SessionRecord]:
        """End in the copy what had not ended, and return the sessions as they are in it, oldest first."""
        self._connection.execute("BEGIN")
        for row in self._connection.execute(f"SELECT data FROM sessions WHERE {LIVE}").fetchall():  # noqa: S608 — our own words
            self._end(SessionRecord.model_validate(json.loads(row["data"])), at)
        for row in self._rows("SELECT data FROM runs WHERE state = 'running'"):
            run = RunRecord.model_validate(json.loads(row["data"])).replace(state=EXPORTED)
            self._connection.execute(
                "UPDATE runs SET state = ?, data = ? WHERE id = ?",
                (EXPORTED, run.model_dump_json(exclude_none=True), run.id),
            )
        for told in NOBODY_ELSES:
            self._connection.execute("UPDATE runs SET data = json_remove(data, ?)", (f"$.options.{told}",))
        self._connection.execute(
            "UPDATE messages SET status = 'expired', data = json_set(data, '$.status', 'expired') "
            "WHERE status = 'pending' AND direction = 'in'"
        )
        self._connection.execute(
            "INSERT INTO events (timestamp, kind, session_id, data) VALUES (?, ?, NULL, ?)",
            (format_timestamp(event.timestamp), event.kind, json.dumps(event.to_wire())),
        )
        self._connection.execute("COMMIT")
        rows = self._rows("SELECT data FROM sessions ORDER BY created_at, rowid")
        return [SessionRecord.model_validate(json.loads(row["data"])) for row in rows]

    def _end(self, session: SessionRecord, at: datetime) -> None:
        asked = f", and waited for an answer ({session.reason})" if session.state == "checkpoint" else ""
        died = ", and waited to be resumed" if session.died else ""
        gone: dict[str, Any] = {"died_at": None, "launcher": None, "resumable": False, "ended_at": at}
        ended = session.replace(state="failed", reason=f"{STILL}{asked}{died}", **gone)
        self._connection.execute(
            "UPDATE sessions SET state = 'failed', data = ? WHERE id = ?",
            (ended.model_dump_json(exclude_none=True), session.id),
        )

    def rewrite(self, change: Callable[[Any], Any], is_concerned: Callable[[str], bool]) -> None:
        """Change what rows say, where they are concerned; as many at a time as fit into little memory."""
        for table, number in TEXTS.items():
            last = -1
            while rows := self._rows(
                f"SELECT {number} AS number, data FROM {table} WHERE {number} > ? ORDER BY {number} LIMIT {PIECE}",  # noqa: S608 — our own words
                last,
            ):
                last = rows[-1]["number"]
                self._connection.executemany(
                    f"UPDATE {table} SET data = ? WHERE {number} = ?",  # noqa: S608 — our own words
                    [
                        (json.dumps(change(json.loads(row["data"]))), row["number"])
                        for row in rows
                        if is_concerned(row["data"])
                    ],
                )

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        return self._connection.execute(query, values).fetchall()

    def finish(self) -> None:
        """Give back the space of what was taken out, and leave one file."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
