"""Waiting for sessions to change: woken, never polling, and nothing between two waits is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from harness_nb.protocol.state import StateChange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from harness_nb.protocol.records import MessageRecord
    from harness_nb.sessions.host import SessionHost


class Watch:
    """One wait for the sessions that fit; ``cursor`` is where the next one goes on.

    ``require`` looks at the open questions each time that nothing has changed yet, and may end the wait by an error.
    """

    def __init__(
        self,
        host: SessionHost,
        session_ids: Collection[str] | None,
        states: Collection[str] | None,
        since: int,
        require: Callable[[Iterable[MessageRecord]], None] | None = None,
    ) -> None:
        self._host = host
        self._store = host.store
        self._session_ids = session_ids
        self._states = states
        self._since = since
        self._require = require
        self._found: StateChange | None = None
        self._changed = host.changes.next
        self.cursor = since

    async def look(self) -> None:
        """Look once, so that what has changed already is found whatever the time."""
        self._changed = self._host.changes.next
        self._found = await anyio.to_thread.run_sync(self._look)
        self.cursor = self._found.cursor

    async def next(self) -> StateChange:
        """Return the first change that fits."""
        while self._found is None or not self._found.sessions:
            if self._require is not None:
                await anyio.to_thread.run_sync(self._require_answers)
            await self._changed.wait()
            await self.look()
        return self._found

    def _look(self) -> StateChange:
        last = self._store.events.last  # before the sessions: what changes in between is found once more, not lost
        since = min(self._since, last)  # a cursor may be of another journal
        found = self._store.sessions.select(since=since, ids=self._session_ids, states=self._states)
        return StateChange(sessions=tuple(found), cursor=max([last, *(one.revision for one in found)]))

    def _require_answers(self) -> None:
        assert self._require is not None
        pending = self._store.messages.pending()
        self._require(one for one in pending if self._session_ids is None or one.session_id in self._session_ids)
