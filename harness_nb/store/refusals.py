"""What a project's doors refused, as rows of its journal, written beside the refusing and never in its way.

A door that refuses says so and is done. A thread of its own writes it down as soon as the journal can be written, so
that one that is busy, full or read-only holds up nobody. Whoever knocks again and again must not fill the journal:
what was refused for the same reason within a minute is one row, and one more that counts the others. Past ``MOST``
different ones of a kind, the rest is counted together.

What was tried is in the row as far as that is safe: short, on one line, and without anything as long as a token.
"""

from __future__ import annotations

import atexit
import json
import re
import threading
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from harness_nb.errors import HarnessError
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.shown import short_line
from harness_nb.store.bell import ring
from harness_nb.store.events import Events
from harness_nb.store.journal import Journal, journal_location

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Mapping

    from harness_nb.store.layout import Layout

E = TypeVar("E", bound=HarnessError)

KIND = "door_refused"
MINUTE = timedelta(minutes=1)
MOST = 20
"""Different things that were tried at one door and refused for one reason, told apart within a minute."""
MOST_WAITING = 200
"""Refusals that wait to be written; more are counted with those that are alike."""
LOOKED_AT = 200
"""Rows that are looked at for the same refusal."""
PAUSE = 0.25
"""Seconds between two writings, however many knock."""
TRY_AGAIN = 2.0
LAST_PATIENCE = 1.0
"""Seconds that a process waits at its end until what it refused is written."""
LONGEST = 200
TOKEN_LIKE = re.compile(r"[A-Za-z0-9_\-]{40,}")
ADDRESS = re.compile(r"(?:[a-z][a-z+.\-]{0,20}://)?[A-Za-z0-9.\-_\[\]:]{1,200}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ODD = {
    "..": "'..' in it",
    "%2e": "'%2e' in it",
    "%2E": "'%2e' in it",
    "\0": "a null character in it",
    "//": "'//' in it",
}
OTHERS = {"tried": "more of the same kind"}


@dataclass(frozen=True)
class Refusal:
    """One refusal: at which door, why (a code and a sentence), and what was tried."""

    door: str
    why: str
    sentence: str
    tried: tuple[tuple[str, str], ...] = ()
    session_id: str | None = field(default=None, compare=False)

    @property
    def alone(self) -> Refusal:
        """The same without what was tried, for when too much was."""
        return Refusal(self.door, self.why, self.sentence, tuple(OTHERS.items()))


class Refusals:
    """The refusals of one project's doors; ``door`` is the one that this process is, where none is named."""

    def __init__(self, layout: Layout, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.door = "python"
        self._layout = layout
        self._clock = clock
        self._waiting: dict[Refusal, int] = {}
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None
        self._hurry = False

    def refuse(self, error: E, door: str | None = None) -> E:
        """Note the refusal that an error is, if it is one, and return the error to be raised."""
        if error.refusal:
            session_id = error.tried.get("session")
            self.note(door or self.door, error.refusal, str(error), error.tried, session_id)
        return error

    def note(
        self, door: str, why: str, sentence: str, tried: Mapping[str, str] | None = None, session_id: str | None = None
    ) -> None:
        """Have a refusal written down; returns at once, and nothing that hinders the writing is an error."""
        said = tuple((name, safely(text)) for name, text in (tried or {}).items())
        one = Refusal(door, why, safely(sentence), said, session_id)
        with self._changed:
            if one not in self._waiting and len(self._waiting) >= MOST_WAITING:
                one = one.alone
            self._waiting[one] = self._waiting.get(one, 0) + 1
            if self._writer is None or not self._writer.is_alive():
                if self._writer is None:
                    atexit.register(self.settle)
                self._writer = threading.Thread(target=self._write_all, name="refusals", daemon=True)
                self._writer.start()

    def settle(self, patience: float = LAST_PATIENCE) -> bool:
        """Wait until all is written, ``patience`` seconds at most, and say whether it is."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._writer is None or not self._writer.is_alive(), patience)
            self._hurry = False
            return done and not self._waiting

    def _write_all(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._end()
                    return
                taken, self._waiting = self._waiting, {}
            written = self._written(taken)
            with self._changed:
                if written:
                    self._changed.wait_for(lambda: self._hurry, PAUSE)
                    continue
                for one, count in taken.items():
                    self._waiting[one] = self._waiting.get(one, 0) + count
                if not self._layout.folder.is_dir():  # the project has gone, and its journal with it
                    self._waiting.clear()
                self._changed.wait(TRY_AGAIN)

    def _end(self) -> None:
        atexit.unregister(self.settle)
        self._writer = None
        self._changed.notify_all()

    def _written(self, refused: Mapping[Refusal, int]) -> bool:
        """Write refusals down; false where that cannot be now."""
        try:
            path, _ = journal_location(self._layout.database)
            if not path.exists():  # a refusal makes no journal
                return not self._layout.folder.is_dir()
            with closing(Journal(path)) as journal:
                events = Events(journal, self._clock)
                with journal.write() as connection:
                    for one, count in refused.items():
                        self._add(connection, events, one, count)
        except (HarnessError, OSError):
            return False
        ring(self._layout)
        return True

    def _add(self, connection: sqlite3.Connection, events: Events, one: Refusal, count: int) -> None:
        rows = self._latest(connection, one)
        if _alike(rows, one) == [] and len(rows) >= MOST:
            one = one.alone
        alike = _alike(rows, one)
        counted = [(number, data) for number, data in alike if "count" in data]
        if counted:
            number, data = counted[-1]
            connection.execute(
                "UPDATE events SET data = json_set(data, '$.data.count', ?) WHERE seq = ?",
                (data["count"] + count, number),
            )
            return
        data = {"why": one.why, "reason": one.sentence, "tried": dict(one.tried)}
        session_id = _known(connection, one.session_id)
        if not alike:
            events.add(KIND, session_id=session_id, door=one.door, data=data)
            count -= 1
        if count:
            events.add(KIND, session_id=session_id, door=one.door, data={**data, "count": count})

    def _latest(self, connection: sqlite3.Connection, one: Refusal) -> list[tuple[int, dict[str, Any]]]:
        since = format_timestamp(self._clock() - MINUTE)
        found = connection.execute(
            "SELECT seq, timestamp, data FROM events WHERE kind = ? ORDER BY seq DESC LIMIT ?", (KIND, LOOKED_AT)
        ).fetchall()
        events = [(row["seq"], json.loads(row["data"])) for row in reversed(found) if row["timestamp"] > since]
        return [(seq, event["data"]) for seq, event in events if _place(event) == (one.door, one.why)]


def safely(text: str) -> str:
    """Return a text as it may be written down: one line, cut, and nothing in it that could be a token."""
    line = TOKEN_LIKE.sub(lambda found: f"…({len(found[0])} characters)", str(text)[: 4 * LONGEST])
    return short_line(line, LONGEST)


def shown_address(text: str) -> str:
    """Return a host or an origin as it may be written down: any page chooses it, so only what addresses are made of."""
    fit = len(text) <= LONGEST and ADDRESS.fullmatch(text)
    return text if fit else f"{len(text)} characters that are no address"


def shown_method(method: str) -> str:
    """Return a request's method if it is one of those that there are."""
    return method if method in METHODS else "another method"


def shown_path(path: str, known: Collection[str]) -> str:
    """Return the path of somebody who was not let in: one that there is, else no word of it."""
    if path in known:
        return path
    odd = [f"with {what}" for sign, what in ODD.items() if sign in path]
    return " ".join([f"another path of {len(path)} characters", *odd])


def _place(event: dict[str, Any]) -> tuple[object, object]:
    data = event.get("data")
    return event.get("door"), data.get("why") if isinstance(data, dict) else None


def _alike(rows: list[tuple[int, dict[str, Any]]], one: Refusal) -> list[tuple[int, dict[str, Any]]]:
    return [(seq, data) for seq, data in rows if data.get("tried") == dict(one.tried)]


def _known(connection: sqlite3.Connection, session_id: str | None) -> str | None:
    found = connection.execute("SELECT 1 FROM sessions WHERE id = ?", (session_id,)).fetchone() if session_id else None
    return session_id if found else None
