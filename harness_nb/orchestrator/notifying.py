"""Telling people who look at no board: at the addresses in ``config.yaml``, by the ``apprise`` package.

What is told once is told: that is written down before it is sent, so that of several processes one sends it, and none
that takes over sends it again. A notice whose sender dies in that moment is lost; the board and the page have it.

An address may hold a token. It is in no event, error or log: what is said of it is its place in the settings and the
word before its ``://``, and while something is sent the loggers on the way are silent.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import HarnessError
from harness_nb.orchestrator.notices import RunNotices
from harness_nb.orchestrator.verdicts import say
from harness_nb.store.settings import CurrentConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from harness_nb.orchestrator.notices import Found, Notice
    from harness_nb.protocol.files import NotifyAddress
    from harness_nb.sessions.host import SessionHost

__all__ = ["Notifier", "RunNotices", "deliver", "name_of_address"]

LIMIT = 10.0
"""Seconds that sending one notice to one address may take."""
LOOK_AGAIN = 1.0
"""Seconds until the next look after the journal could not be read."""
NOTIFIED, NOTIFY_FAILED = "notified", "notify_failed"
INSTALL = "the package apprise is missing; install it with: pip install 'harness-nb[notify]'"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEME = re.compile(r"[a-z][a-z0-9+]{0,20}(?=://)", re.IGNORECASE)


class Notifier:
    """Sends what ``find`` says is to be told, each thing once; it runs beside the work and never holds it up.

    ``find`` is called in a worker thread after every change, and only where the settings name an address.
    """

    def __init__(self, host: SessionHost, find: Callable[[], Found], run_id: str | None = None) -> None:
        self._host = host
        self._store = host.store
        self._find = find
        self._run_id = run_id
        self._config = CurrentConfig(host.store.layout)
        self._known: set[str] = set()
        self._read = 0
        self._told: set[tuple[str, str]] = set()
        self._turn = anyio.Lock()
        self._threads = anyio.CapacityLimiter(8)  # a hanging address takes no thread from the run

    async def serve(self) -> None:
        """Tell what there is to tell until cancelled, and then once more; woken by changes, and when ``find`` says so.

        A program that goes since nobody answers, in CI say, may well go in the moment that the question came.
        """
        try:
            while True:
                changed = self._host.changes.next
                wait = await self._tell()
                with anyio.move_on_after(wait):
                    await changed.wait()
        except anyio.get_cancelled_exc_class():
            await self._tell()
            raise

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve while the body goes on."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.serve)
            yield
            tasks.cancel_scope.cancel()

    async def finish(self, last: Iterable[Notice]) -> None:
        """Tell what is left, and these notices; that takes no longer than sending one of each does."""
        await self._tell(last)

    async def _tell(self, more: Iterable[Notice] = ()) -> float | None:
        wait: float | None = None
        # What is written down as told must be sent, whoever is being closed meanwhile; each sending has its limit.
        with anyio.CancelScope(shield=True):
            async with self._turn:
                wait = await self._tell_now(tuple(more))
        return wait

    async def _tell_now(self, more: Sequence[Notice]) -> float | None:
        due, wait = await anyio.to_thread.run_sync(self._look, more)
        async with anyio.create_task_group() as tasks:
            for notice, number, address in due:
                tasks.start_soon(self._send, notice, name_of_address(number, address), address)
        return wait

    def _look(self, more: Sequence[Notice]) -> tuple[list[tuple[Notice, int, NotifyAddress]], float | None]:
        """Return what is to be sent where, claimed for this process, and when to look again."""
        addresses = self._config().notify
        if not addresses:
            return [], None
        due = []
        try:
            found, wait = self._find()
            for notice in (*found, *more):
                wanted = [
                    (notice, number, one)
                    for number, one in enumerate(addresses, 1)
                    if one.events is None or notice.kind in one.events
                ]
                if wanted and self._claim(notice):
                    due += wanted
        except (HarnessError, OSError):
            return due, LOOK_AGAIN
        return due, wait

    def _claim(self, notice: Notice) -> bool:
        """Write down that this process tells something, unless that was told, or is being told, elsewhere."""
        if notice.subject in self._known:
            return False
        with self._store.journal.write():
            for event in self._store.events.select(since=self._read, kind=NOTIFIED):
                self._read = event.seq
                self._known.add(str(event.data.get("subject")))
            if notice.subject in self._known:
                return False
            data = {"subject": notice.subject, "reason": notice.title}
            who = {"session_id": notice.session_id, "run_id": self._run_id, "plan_id": notice.plan_id}
            self._store.events.add(NOTIFIED, **who, data=data)
        self._known.add(notice.subject)
        return True

    async def _send(self, notice: Notice, name: str, address: NotifyAddress) -> None:
        trouble: str | None = f"it took longer than {LIMIT:g} s"
        with anyio.move_on_after(LIMIT):
            trouble = await anyio.to_thread.run_sync(
                deliver, address, notice, abandon_on_cancel=True, limiter=self._threads
            )
        if trouble is not None and (name, trouble) not in self._told:
            self._told.add((name, trouble))
            await anyio.to_thread.run_sync(
                lambda: say(self._store, NOTIFY_FAILED, trouble, self._run_id, notice.plan_id, address=name)
            )
            await self._host.announce()


def name_of_address(number: int, address: NotifyAddress) -> str:
    """Return what an address is called where people read it: nothing of it that could be a secret."""
    text = address.url.get_secret_value().strip()
    whole = _VARIABLE.fullmatch(text)
    scheme = _SCHEME.match(text)
    word = whole[0] if whole else scheme[0] if scheme else ""
    return f"address {number}" + (f" ({word})" if word else "")


def deliver(address: NotifyAddress, notice: Notice, environment: Mapping[str, str] = os.environ) -> str | None:
    """Send a notice to an address and return None, or what went wrong as a sentence that holds nothing of it."""
    try:
        import apprise
    except ImportError:
        return INSTALL
    text = address.url.get_secret_value().strip()
    missing = [name for name in _VARIABLE.findall(text) if not environment.get(name)]
    if missing:
        return f"the variable {missing[0]} is not set where the plans are run from"
    url = _VARIABLE.sub(lambda found: environment[found[1]], text)
    with _QUIET_LOGGERS.hushed():
        try:
            sender = apprise.Apprise()
            if not sender.add(url):
                return "apprise cannot read it; its documentation has the form of each service's address"
            bad = notice.kind == "failed"
            kind = apprise.NotifyType.FAILURE if bad else apprise.NotifyType.INFO
            taken = sender.notify(
                title=notice.title, body=notice.body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
            )
        except Exception as error:  # whatever a service's plugin raises may have the address in its words
            return f"sending failed with a {type(error).__name__}"
    return None if taken else "the notice was not taken there"


class _Hush(logging.Filter):
    """Keeps loggers silent that would say where something is sent."""

    NAMES = ("apprise", "requests_oauthlib", "urllib3.connectionpool", "urllib3.util.retry")

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._sending = 0

    @contextmanager
    def hushed(self) -> Iterator[None]:
        """Keep them silent while the body goes on, on whatever thread they speak."""
        with self._lock:
            self._sending += 1
            for name in self.NAMES:
                logging.getLogger(name).addFilter(self)  # adding it a second time does nothing
        try:
            yield
        finally:
            with self._lock:
                self._sending -= 1

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 — logging's word
        """Say whether a record may be said."""
        return not self._sending


_QUIET_LOGGERS = _Hush()
