"""Which sessions are quiet: at work for all that anybody knows, and silent for long.

It is worked out at each look, from what is there anyway: when the session changed last in the journal, as each message
of its worker and each answer to it makes it do, and when its output was last written. A session is never guessed to
wait for somebody: its state stays what its worker said.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from harness_nb.store.settings import CurrentConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import Store

WORD = "quiet"
"""What such a session is called where its state is shown."""

LOOK_AGAIN = 2.0
"""Seconds until the next look at a session that is quiet, since output alone wakes nobody who shows its state."""


class Quiet:
    """Says of a project's sessions whether they are quiet, by the settings of now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._config = CurrentConfig(store.layout)

    def since(self, session: SessionRecord) -> datetime | None:
        """Return since when a session is silent that is quiet, or None."""
        left = self._left(session)
        return None if left is None or left > 0 else self._last_sign(session)

    def look_again_in(self, sessions: Iterable[SessionRecord]) -> float | None:
        """Return in how many seconds one of these sessions may be quiet, or not quiet any more, or None for never."""
        left = [one for one in map(self._left, sessions) if one is not None]
        return min((one if one > 0 else LOOK_AGAIN for one in left), default=None)

    def _left(self, session: SessionRecord) -> float | None:
        """Return the seconds until a session is quiet, None where it does not become that."""
        at_work = session.state == "running" and session.died_at is None and session.worker != "python"
        if not at_work or not (limit := self._config().quiet_after):
            return None
        return (self._last_sign(session) + timedelta(seconds=limit) - self._store.clock()).total_seconds()

    def _last_sign(self, session: SessionRecord) -> datetime:
        told = self._store.events.time_of(session.revision) or session.started_at or session.created_at
        try:
            printed = self._store.layout.session(session.id).output.stat().st_mtime
        except OSError:
            return told
        return max(told, datetime.fromtimestamp(printed, UTC))
