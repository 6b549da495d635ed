"""Who was allowed which credentials: rows that are added with an answer, and revoked by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness_nb.errors import GrantNotFoundError
from harness_nb.protocol.grants import GrantRecord

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from harness_nb.store.events import Events
    from harness_nb.store.journal import Journal


class Grants:
    """Every grant of the project."""

    def __init__(self, journal: Journal, events: Events, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._events = events
        self._clock = clock

    def add(self, grant: GrantRecord) -> None:
        """Store a grant; the answer that it came with is the act that people see."""
        with self._journal.write() as connection:
            connection.execute(
                "INSERT INTO grants (id, service, scope, session_id, data) VALUES (?, ?, ?, ?, ?)",
                (grant.id, grant.service.casefold(), grant.scope, grant.session_id, json.dumps(grant.to_wire())),
            )

    def select(self) -> list[GrantRecord]:
        """Return all grants, oldest first."""
        return [_record(row) for row in self._journal.read("SELECT data FROM grants ORDER BY rowid")]

    def standing(self, service: str, session_id: str) -> list[GrantRecord]:
        """Return what may hold for a session's question about a service, newest first."""
        rows = self._journal.read(
            "SELECT data FROM grants WHERE service = ? AND (scope <> 'session' OR session_id = ?) ORDER BY rowid DESC",
            (service.casefold(), session_id),
        )
        return [one for one in map(_record, rows) if one.holds_at(self._clock())]

    def get(self, grant_id: str) -> GrantRecord:
        """Return a grant.

        Raises: GrantNotFoundError.
        """
        rows = self._journal.read("SELECT data FROM grants WHERE id = ?", (grant_id,))
        if not rows:
            raise GrantNotFoundError(grant_id, [one.id for one in self.select() if one.holds_at(self._clock())])
        return _record(rows[0])

    def revoke(self, grant_id: str, *, actor: str, door: str) -> GrantRecord:
        """Take a grant back from now on; one that was revoked stays as it is.

        Raises: GrantNotFoundError.
        """
        with self._journal.write() as connection:
            grant = self.get(grant_id)
            if grant.revoked_at is not None:
                return grant
            grant = grant.replace(revoked_at=self._clock(), revoked_by=actor)
            connection.execute("UPDATE grants SET data = ? WHERE id = ?", (json.dumps(grant.to_wire()), grant_id))
            self._events.add(
                "grant_revoked", session_id=grant.session_id, actor=actor, door=door,
                data={"grant": grant.id, "service": grant.service, "scope": grant.scope},
            )  # fmt: skip
        return grant


def _record(row: sqlite3.Row) -> GrantRecord:
    return GrantRecord.model_validate_json(row["data"])
