"""Noticing the files that others write into the folders of sessions, and letting them take part.

A worker that is a shell script, say, knows no journal: its question and its result are files, and so is the answer that
somebody puts beside them by hand. Only the folders of the sessions that a host follows are watched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from harness_nb.errors import JournalTroubleError
from harness_nb.sessions.changes import Changes
from harness_nb.sessions.ending import settle
from harness_nb.sessions.insisting import HINDRANCES

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from anyio.abc import TaskGroup

    from harness_nb.sessions.host import SessionHost

WATCHED = ("checkpoint.json", "checkpoint_response.json", "result.json")
WATCH_STEP = 50
"""Milliseconds between two looks of the file watcher."""
LOOK_AGAIN = 0.5
"""Seconds until the next look where no folder can be watched."""
CATCH_UP = 1.0
"""Seconds until the next look at what could not be taken in."""


class FileWatch:
    """Watches the folders of the sessions that a host follows; ``followed`` is the host's own set of them."""

    def __init__(self, host: SessionHost, followed: AbstractSet[str]) -> None:
        self._host = host
        self._store = host.store
        self._followed = followed
        self._renewed = Changes()
        self._behind: set[str] = set()

    def renew(self) -> None:
        """Watch the folders that there are now: a session was added or has gone."""
        self._renewed.happened()

    async def serve(self) -> None:
        """Watch until cancelled."""
        async with anyio.create_task_group() as late:
            while True:
                await self._watch(late)

    async def settle(self, session_id: str, *waited_for: type[Exception]) -> bool:
        """Let a session's files take part, and return whether all did; who waits is woken if that changed something."""

        def take_part() -> tuple[bool, bool]:
            before = self._store.events.last
            whole = settle(self._store, session_id)
            return self._store.events.last != before, whole

        rejected = self._store.layout.session(session_id).rejected
        watched = rejected.is_dir()
        changed, whole = await self._host.insist(f"the files of {session_id}", take_part, waited_for or HINDRANCES)
        if changed:
            await self._host.announce()
        if rejected.is_dir() and not watched:
            self.renew()
        return whole

    async def _watch(self, late: TaskGroup) -> None:
        """Watch the folders that there are now, until these are others; ``late`` is for what has to be done later."""
        renewed = self._renewed.next
        names = sorted(self._followed)
        sessions = [self._store.layout.session(name) for name in names]
        # what was set aside half-written may be completed there by whoever still has it open
        folders = [folder for one in sessions for folder in (one.path, one.rejected)]
        folders = [folder for folder in folders if folder.is_dir()]
        if not folders:
            await renewed.wait()
            return
        stop = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_relay, renewed, stop)
            # Begins once the new watcher is in place: what came while there was none is found now.
            tasks.start_soon(self._settle_all, names, late)
            await self._notice(folders, stop, late)
            tasks.cancel_scope.cancel()

    async def _notice(self, folders: list[Path], stop: anyio.Event, late: TaskGroup) -> None:
        from watchfiles import awatch
        from watchfiles._rust_notify import WatchfilesRustInternalError  # how it says that it may open nothing more

        try:
            async for found in awatch(
                *folders,
                watch_filter=lambda _, path: path.endswith(WATCHED),
                stop_event=stop,
                step=WATCH_STEP,
                debounce=WATCH_STEP,
                recursive=False,
            ):
                await self._settle_all(sorted({_session_of(path) for _, path in found}), late)
        except (OSError, WatchfilesRustInternalError):
            # a folder is gone, or the system's watches are all taken: look from time to time instead
            await anyio.sleep(LOOK_AGAIN)

    async def _settle_all(self, names: list[str], late: TaskGroup) -> None:
        for name in names:
            try:
                behind = not await self.settle(name, JournalTroubleError)
            except HINDRANCES:  # one session's folder, say: the others need not wait until that is mended
                behind = True
            if behind and name not in self._behind:
                self._behind.add(name)
                late.start_soon(self._catch_up, name)

    async def _catch_up(self, session_id: str) -> None:
        try:
            while not await self.settle(session_id):  # noqa: ASYNC110 — a shim that is busy tells nobody when it goes on
                await anyio.sleep(CATCH_UP)
        finally:
            self._behind.discard(session_id)


def _session_of(path: str) -> str:
    """Return the session that a watched file belongs to."""
    *_, above, folder, _ = path.split("/")
    return above if folder == "rejected" else folder


async def _relay(source: anyio.Event, target: anyio.Event) -> None:
    try:
        await source.wait()
    finally:
        target.set()
