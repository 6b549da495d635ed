"""What changed in the project, told to clients: woken by the harness, only what changed, and a burst as one."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated

from harness_nb.errors import HarnessError
from harness_nb.mcp_server import resources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.session import ServerSession
    from mcp.server.subscriptions import SubscriptionBus

    from harness_nb.harness import AsyncHarness
    from harness_nb.protocol.records import SessionRecord

QUIET = 0.05
"""Seconds between two looks: of ten thousand reports in a burst a client wants to know the last."""
WORDS = {"checkpoint": "waiting for an answer", "initializing": "starting", "running": "running"}
LIST = ""
"""Stands for the list of resources among the addresses that a client is to be told of."""
logger = logging.getLogger(__name__)


class News:
    """Watches one project for all clients of a server."""

    def __init__(self, harness: AsyncHarness, bus: SubscriptionBus) -> None:
        self._harness = harness
        self._bus = bus
        self._listeners: set[Listener] = set()
        self._seen = -1
        self._live: dict[str, str] = {}
        self._reports: dict[str, int | None] = {}
        self._questions: list[tuple[str, str]] = []
        self._sizes: dict[str, int] = {}

    @property
    def summary(self) -> str:
        """What is going on, in a few words."""
        counts = Counter(self._live.values())
        return ", ".join(f"{counts[state]} {WORDS[state]}" for state in WORDS if counts[state]) or "no session lives"

    async def begin(self) -> None:
        """Look at what is there: it is no news."""
        await self._look()
        await self._look_at_output()

    async def serve(self) -> None:
        """Tell clients what changes, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow, lambda: self._harness.changes.next, self._look)
            tasks.start_soon(self._follow, lambda: self._harness.host.output.next, self._look_at_output)

    async def _follow(self, next_change: Callable[[], anyio.Event], look: Callable[[], Awaitable[set[str]]]) -> None:
        while True:
            changed = next_change()
            try:
                await self._tell(await look())
            except (HarnessError, OSError) as error:  # a busy journal, a project that is being deleted: look next time
                logger.warning("%s", error)
            await changed.wait()
            await anyio.sleep(QUIET)  # first those whom the change is for, then those who only like to know

    async def _tell(self, uris: set[str]) -> None:
        for uri in sorted(uris):
            await self._bus.publish(ResourceUpdated(uri) if uri != LIST else ResourcesListChanged())
        for listener in self._listeners:
            listener.tell(uris)

    # --- what changed ------------------------------------------------------------------------

    async def _look(self) -> set[str]:
        store = self._harness.store

        def read() -> tuple[int, list[SessionRecord], list[tuple[str, str]], bool]:
            last = store.events.last  # before the rest: what changes in between is told once more, not missed
            sessions = store.sessions.select(since=self._seen)
            questions = [(one.session_id, one.id) for one in store.messages.pending()]
            return last, sessions, questions, bool(store.events.select(since=max(self._seen, 0), kind="run_ended"))

        last, sessions, questions, run_ended = await anyio.to_thread.run_sync(read)
        uris = {uri for one in sessions for uri in self._of_session(one)}
        if last != self._seen or uris:
            uris.add(resources.STATE)
        if questions != self._questions:
            uris |= {resources.PENDING, resources.STATE}
        if run_ended:
            uris.add(resources.RUN_REPORT)
        self._questions, self._seen = questions, max([last, *(one.revision for one in sessions)])
        return uris

    def _of_session(self, session: SessionRecord) -> set[str]:
        uris = {resources.SESSIONS, resources.session_uri(session.id)}
        if session.live:
            self._live[session.id] = session.state
        else:
            self._live.pop(session.id, None)
            uris.add(resources.output_uri(session.id))  # what it printed last comes with its end
        if session.id not in self._reports:
            uris.add(LIST)
        report = hash(json.dumps([session.verdict, session.report])) if session.report is not None else None
        if self._reports.get(session.id) != report and session.plan_id is not None:
            uris.add(resources.report_uri(session.plan_id))
        self._reports[session.id] = report
        return uris

    async def _look_at_output(self) -> set[str]:
        sizes = self._harness.host.output_sizes
        grown = {resources.output_uri(one) for one, size in sizes.items() if self._sizes.get(one) != size}
        self._sizes = dict(sizes)
        return grown

    # --- clients of the earlier protocol -----------------------------------------------------

    async def listen(self, session: ServerSession) -> Listener:
        """Tell a client from now on that the list of resources changed, and what it subscribes to."""
        connection = session._connection  # nothing else lives as long as the client does
        if LISTENER in connection.state:
            known: Listener = connection.state[LISTENER]
            return known
        listener = connection.state[LISTENER] = Listener(session)
        self._listeners.add(listener)
        scope = anyio.CancelScope()

        async def serve() -> None:
            with scope:
                await listener.serve()

        def stop() -> None:
            self._listeners.discard(listener)
            scope.cancel()

        connection.exit_stack.callback(stop)
        await self._harness.keep(serve)
        return listener


LISTENER = "harness-nb listener"


class Listener:
    """A client of the earlier protocol; what it is slow to read becomes one notification for each address."""

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._wanted: set[str] = {LIST}
        self._untold: set[str] = set()
        self._news = anyio.Event()

    def subscribe(self, uri: str) -> None:
        """Tell of this address from now on."""
        self._wanted.add(uri)

    def unsubscribe(self, uri: str) -> None:
        """Tell of this address no more."""
        self._wanted.discard(uri)
        self._untold.discard(uri)

    def tell(self, uris: set[str]) -> None:
        """Take note of what changed; it is sent when the client can take it."""
        self._untold |= uris & self._wanted
        if self._untold:
            self._news.set()

    async def serve(self) -> None:
        """Send what there is to tell, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            while self._untold:
                await self._send(self._untold.pop())

    async def _send(self, uri: str) -> None:
        if uri == LIST:
            await self._session.send_resource_list_changed()
        else:
            await self._session.send_resource_updated(uri)
