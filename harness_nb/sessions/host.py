"""Keeps one process in touch with a project's sessions: starts them, follows them, and notices what changes.

Nothing here is a session's life line: the shim is. A host may go at any moment, and the next one adopts what it finds.
What happens is noticed in three ways: a shim's socket (output, the end), a datagram from whoever wrote into the
journal, and the file system for files that others write, on the folders of living sessions only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from harness_nb.errors import HarnessError, ShimFailedError
from harness_nb.sessions.changes import Changes
from harness_nb.sessions.channel import ask_shim, watch_shim
from harness_nb.sessions.ending import conclude, tell_losses
from harness_nb.sessions.file_watch import FileWatch
from harness_nb.sessions.insisting import HINDRANCES, Insisting
from harness_nb.sessions.proof import proof_of
from harness_nb.sessions.starting import NeverStarted, confirm, end_without_process, start, start_again, this_process
from harness_nb.store import Bell
from harness_nb.store.locks import acquire, held_here, release

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anyio.abc import TaskGroup, TaskStatus

    from harness_nb.protocol.records import SessionRecord
    from harness_nb.sessions.drivers import Assignment
    from harness_nb.store import Store

LOOK_AGAIN = 0.05
LOOK_AT_OTHERS = 0.5
END_PATIENCE = 20.0
"""Seconds after its grace in which a session has ended for certain, unless its folder cannot be written."""
GIVE_WAY = 0.001
"""Seconds that looking after sessions leaves to whoever waits for a message: both want the journal."""


class SessionHost(Insisting):
    """One process's view of all sessions of a project."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, Changes())
        self.output = Changes()
        self.output_sizes: dict[str, int] = {}
        self._following: set[str] = set()
        self._seen_alive: set[str] = set()
        self._told: dict[str, set[str]] = {}
        self._files = FileWatch(self, self._following)
        self._tasks: TaskGroup | None = None

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Adopt every living session and stay in touch until cancelled."""
        bell = Bell(self.store.layout)
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await self.adopt(unwatched=True)
                tasks.start_soon(self._listen, bell)
                tasks.start_soon(self._adopt_new)
                tasks.start_soon(self._files.serve)
                task_status.started()
        finally:
            self._tasks = None
            bell.close()

    @property
    def following(self) -> frozenset[str]:
        """The sessions that this process follows and has seen alive."""
        return frozenset(self._seen_alive)

    async def adopt(self, *, unwatched: bool = False) -> list[SessionRecord]:
        """Follow every living session that is not followed yet, and journal the end of those that are gone.

        ``unwatched`` says that nobody here followed them until now, so that an end was found and not seen.
        """
        assert self._tasks is not None
        live = await self.insist("the sessions", lambda: self.store.sessions.select(live=True))
        for session in live:
            if session.id not in self._following and not held_here(self.store.layout.session(session.id).lock):
                self._following.add(session.id)
                self._tasks.start_soon(self._follow, session.id, unwatched)
                self._files.renew()
        return live

    # --- what a session lives through --------------------------------------------------------

    async def start(
        self,
        session: SessionRecord,
        assignment: Assignment,
        *,
        env: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        before_launch: Callable[[], object] | None = None,
        actor: str | None = None,
        door: str | None = None,
    ) -> SessionRecord:
        """Start a worker; the session is in the journal, and its token in its folder, before its process is there.

        Raises: CommandNotFoundError, WorkingFolderNotFoundError, ShimFailedError, UnknownWorkerError.
        """
        try:
            record = await anyio.to_thread.run_sync(
                lambda: start(
                    self.store, session, assignment, env=env or {}, credentials=credentials or {},
                    before_launch=before_launch, actor=actor, door=door,
                )
            )  # fmt: skip
        except NeverStarted as failure:
            await self._give_up(session.id, failure.reason)
            raise failure.why from None
        await self.adopt()
        await self.announce()
        return record

    async def _give_up(self, session_id: str, reason: str) -> None:
        """Write down that a session never started; where that cannot be now, as soon as it can."""

        def end() -> None:
            self.store.sessions.end(session_id, state="failed", reason=reason)

        try:
            await anyio.to_thread.run_sync(end)
        except HINDRANCES:
            assert self._tasks is not None
            self._tasks.start_soon(self.insist, f"the end of {session_id}", end)

    async def start_again(self, session_id: str) -> SessionRecord:
        """Start the process of a session that died, where it was; where that cannot be, the session has failed."""
        record = await anyio.to_thread.run_sync(start_again, self.store, session_id)
        await self.adopt()
        await self.announce()
        return record

    async def end(
        self,
        session_id: str,
        *,
        by: str = "end_session",
        grace: float = 5.0,
        actor: str | None = None,
        door: str | None = None,
    ) -> SessionRecord:
        """End a session's processes, and return how that went; one that has ended stays as it is.

        One of which nothing can be proved is given up: nothing is signalled, and the reason says so.

        Raises: SessionNotFoundError; a JournalTroubleError or ShimFailedError where its processes are gone and that
        cannot be stored; a ShimSilentError where what holds its terminal stands still: it ends once that goes on.
        """
        session = await anyio.to_thread.run_sync(self.store.sessions.get, session_id)
        if not session.live:
            return session
        await self._write_down_wish(session, {"by": by, "grace": grace}, actor=actor, door=door)
        await self._ask_to_stop(session_id, by=by, grace=grace)
        await self.adopt()
        ended = await self._see_end(session_id, anyio.current_time() + grace + END_PATIENCE)
        await self.announce()
        return ended

    async def _write_down_wish(
        self, session: SessionRecord, how: dict[str, Any], *, actor: str | None, door: str | None
    ) -> None:
        """Write down who wants a session to end; where that cannot be now it is done later, and holds no end up."""

        def add() -> None:
            self.store.events.add(
                "end_requested", session_id=session.id, run_id=session.run_id, plan_id=session.plan_id,
                actor=actor, door=door, data=how,
            )  # fmt: skip

        try:
            await anyio.to_thread.run_sync(add)
        except HINDRANCES:
            assert self._tasks is not None
            self._tasks.start_soon(self.insist, f"the end of {session.id}", add)

    async def _see_end(self, session_id: str, until: float) -> SessionRecord:
        """Wait for the end of a session that was asked to end; whoever asked is told where that cannot be stored."""
        while True:
            changed = self.changes.next
            session = await anyio.to_thread.run_sync(self._as_it_is, session_id)
            if not session.live:
                return session
            if anyio.current_time() > until:
                raise ShimFailedError(session_id, "it was asked to end, and how it ended cannot be written down yet")
            with anyio.move_on_after(LOOK_AT_OTHERS):
                await changed.wait()

    async def _ask_to_stop(self, session_id: str, **how: Any) -> None:
        folder, until = self.store.layout.session(session_id), anyio.current_time() + how["grace"] + END_PATIENCE
        while (session := await anyio.to_thread.run_sync(self._as_it_is, session_id)).live:
            if await anyio.to_thread.run_sync(end_without_process, self.store, session, f"ended by {how['by']}"):
                return
            if doubt := (await anyio.to_thread.run_sync(proof_of, self.store, session)).doubt:
                reason = f"given up by {how['by']}, its processes were left alone: {doubt}"
                self.store.sessions.end(session_id, state="failed", reason=reason)
                return
            try:
                await anyio.to_thread.run_sync(lambda: ask_shim(folder, do="stop", **how))
            except ShimFailedError:
                if anyio.current_time() > until:
                    raise
            else:
                return
            await anyio.sleep(LOOK_AGAIN)  # it is only just starting, or ended by itself this moment

    async def wait_until_ended(self, session_id: str, *, resume: Callable[[], bool] = lambda: False) -> SessionRecord:
        """Wait for the end of a session, however long that takes; one that dies goes on while ``resume`` says so."""
        while True:
            changed = self.changes.next
            session = await self.insist(f"waiting for {session_id}", lambda: self.store.sessions.get(session_id))
            if session.live and session.died_at is not None and resume():
                session = await self.start_again(session_id)
            if not session.live:
                return session
            await changed.wait()

    async def announce(self) -> None:
        """Wake everyone, here and in other processes, after something was written."""
        self.changes.happened()
        await anyio.to_thread.run_sync(self.store.ring)

    def open_python(
        self, session: SessionRecord, *, actor: str | None = None, door: str | None = None
    ) -> SessionRecord:
        """Add a session that is this very process: it may ask, and ends when this process does."""
        self.store.layout.session(session.id).create()
        acquire(self.store.layout.session(session.id).lock)
        here = {"started_at": self.store.clock(), "state": "running", "launcher": this_process()}
        return self.store.sessions.create(session.replace(**here), actor=actor, door=door)

    def close_python(self, session_id: str, *, state: str, reason: str | None = None) -> None:
        """End a session that is this very process."""
        try:
            self.store.sessions.end(session_id, state=state, reason=reason)
        finally:  # where that cannot be stored now, it is found to have ended, as any other
            release(self.store.layout.session(session_id).lock)

    # --- noticing ----------------------------------------------------------------------------

    async def _listen(self, bell: Bell) -> None:
        while True:
            await anyio.wait_readable(bell.socket)
            bell.drain()
            self.changes.happened()

    async def _adopt_new(self) -> None:
        while True:
            changed = self.changes.next
            await self.adopt()
            await changed.wait()
            await anyio.sleep(GIVE_WAY)

    async def _follow(self, session_id: str, unwatched: bool) -> None:  # noqa: FBT001 — a task's arguments have no names
        self.store.runs.act_as(None)  # a run may have started it, and it must go on when that is taken over
        if not unwatched:
            self._seen_alive.add(session_id)
        try:
            await self._files.settle(session_id)
            while (session := await self._look(session_id, unwatched=unwatched)).live:
                unwatched = False
                self._seen_alive.add(session_id)
                if await self.insist(f"the start of {session_id}", partial(confirm, self.store, session)):
                    await self.announce()
                await self._follow_once(session)
        finally:
            self._following.discard(session_id)
            self._seen_alive.discard(session_id)
            self._told.pop(session_id, None)
            self._files.renew()
        self.changes.happened()

    async def _look(self, session_id: str, *, unwatched: bool = False) -> SessionRecord:
        look = partial(self._as_it_is, session_id, unwatched=unwatched)
        return await self.insist(f"the life of {session_id}", look)

    def _as_it_is(self, session_id: str, *, unwatched: bool = False) -> SessionRecord:
        """Return a session once its end, if it came, is in the journal."""
        conclude(self.store, session_id, unwatched=unwatched)
        return self.store.sessions.get(session_id)

    async def _follow_once(self, session: SessionRecord) -> None:
        if session.died_at is not None:  # whoever carries it starts it again, and rings
            with anyio.move_on_after(LOOK_AT_OTHERS):
                await self.changes.next.wait()
            return
        try:
            async for news in watch_shim(self.store.layout.session(session.id)):
                if "output" in news:
                    self.output_sizes[session.id] = news["output"]
                    self.output.happened()
                    await self._tell_losses(session.id, news)
        except (OSError, ValueError, HarnessError):  # also where something else than a shim answers
            await anyio.sleep(await anyio.to_thread.run_sync(self._pause, session))

    def _pause(self, session: SessionRecord) -> float:
        """Return the seconds until the next look at a session that has no shim to be heard.

        It is just starting or ending; or it is another process itself, or out of reach, and may be so for long.
        """
        if session.worker == "python" or proof_of(self.store, session).doubt:
            return LOOK_AT_OTHERS
        return LOOK_AGAIN

    async def _tell_losses(self, session_id: str, news: Mapping[str, Any]) -> None:
        """Write down the first time that output is not kept, while the session still lives."""
        losses = {name for name in ("trouble", "dropped") if news.get(name)} - self._told.get(session_id, set())
        if not losses:
            return
        try:
            await anyio.to_thread.run_sync(tell_losses, self.store, session_id, news)
        except (HarnessError, OSError):  # the disk that loses output may well be the journal's: the end tells it again
            return
        self._told.setdefault(session_id, set()).update(losses)
        await self.announce()
