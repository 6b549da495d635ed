"""Visits: each has a kernel of its own, which ends when its page has gone.

A page holds a WebSocket open for as long as it is there. So it is told at once when its kernel or the server has gone,
and its kernel is ended soon after it went, whether it said good-bye or its browser crashed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import allow_unauthenticated, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler
from traitlets import Float, Unicode
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from harness_nb import templates
from harness_nb.store.layout import Layout

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Coroutine

LOOK = 2.0
"""Seconds between two looks whether the project is there."""
STARTED: ContextVar[list[str]] = ContextVar("kernels that were started for this request")
KERNEL_GONE = 4404
"""What a page's WebSocket is closed with when there is no such kernel any more."""
CLOSED = "This page opens with the address that “harness-nb dashboard” printed, which ends in a token."
ERRORS = {403: CLOSED, 404: "There is no such page here.", 405: "That cannot be done here."}
BROKEN = "The page could not be made. Look at what “harness-nb dashboard” printed, and reload it."


class VisitKernels(AsyncMappingKernelManager):
    """The kernels of all visits."""

    grace = Float(20.0, config=True, help="Seconds that a page may be away before its kernel ends.")
    project = Unicode(config=True, help="The folder of the project that is shown.")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._pages: dict[str, set[PresenceHandler]] = {}
        self._ends: set[Task[None]] = set()

    async def start_kernel(self, **options: Any) -> str:  # type: ignore[override]
        """Start a visit's kernel."""
        kernel_id: str = await super().start_kernel(**options)
        self._pages[kernel_id] = set()
        STARTED.get().append(kernel_id)
        # never restarted, as the server's settings say: what came back would know nothing of its page
        self.add_restart_callback(kernel_id, lambda: self._soon(self._end(kernel_id)), "dead")
        return kernel_id

    async def watch_project(self) -> None:
        """Tell the pages when the project goes and comes back, for as long as this runs."""
        before = _identity(self.project)
        while True:
            await asyncio.sleep(LOOK)
            now = _identity(self.project)
            pages = [page for pages in self._pages.values() for page in pages]
            for page in pages:
                page.tell(gone=before is not None and now != before, back=now is not None)
            before = now

    def expect(self, kernel_id: str) -> None:
        """Note that all of a page was sent: it has to come soon, else its kernel ends."""
        self._soon(self._end_unless_here(kernel_id, self.grace))

    def come(self, page: PresenceHandler, kernel_id: str) -> bool:
        """Note that a kernel's page is there; return whether the kernel is."""
        if kernel_id not in self._pages:
            return False
        self._pages[kernel_id].add(page)
        return True

    def leave(self, page: PresenceHandler, kernel_id: str, *, for_good: bool) -> None:
        """Note that a kernel's page has gone, and end the kernel soon, or at once when it is for good."""
        if kernel_id in self._pages:
            self._pages[kernel_id].discard(page)
            self._soon(self._end_unless_here(kernel_id, 0 if for_good else self.grace))

    async def _end_unless_here(self, kernel_id: str, grace: float) -> None:
        await asyncio.sleep(grace)
        if not self._pages.get(kernel_id):
            await self._end(kernel_id)

    async def _end(self, kernel_id: str) -> None:
        if kernel_id in self:
            await self.shutdown_kernel(kernel_id, now=True)  # type: ignore[no-untyped-call]
        for page in self._pages.pop(kernel_id, ()):
            page.close(KERNEL_GONE)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._ends.add(task)  # the loop alone would let go of it
        task.add_done_callback(self._ends.discard)


def _identity(project: str) -> tuple[int, int] | None:
    """Return what tells a project's journal from another in its place, None where there is none."""
    try:
        found = Layout(Path(project)).database.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Sentences:
    """Says in a sentence what went wrong, where Jupyter's own pages would be shown otherwise."""

    def write_error(self, status_code: int, **_: Any) -> None:
        """Say it."""
        text = ERRORS.get(status_code, BROKEN)
        self.finish(templates.render("dashboard_closed.html", text=text))  # type: ignore[attr-defined]


class ChannelsHandler(Sentences, VoilaKernelWebsocketHandler):  # type: ignore[misc]
    """A page's way to its kernel."""


class PresenceHandler(Sentences, WebSocketHandler, JupyterHandler):  # type: ignore[misc]
    """A page's sign that it is there."""

    @property
    def _kernels(self) -> VisitKernels:
        kernels = self.kernel_manager
        assert isinstance(kernels, VisitKernels)
        return kernels

    def set_default_headers(self) -> None:
        """Leave them out: a WebSocket has none."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse who has no cookie: a WebSocket cannot be led to a form."""
        await super().prepare(_redirect_to_login=False)

    @ws_authenticated
    async def get(self, kernel_id: str) -> None:
        """Let a page in that has the cookie."""
        self._kernel_id, self._for_good = kernel_id, False
        await super().get(kernel_id=kernel_id)

    def open(self, kernel_id: str) -> None:
        """Note that the page is there."""
        if not self._kernels.come(self, kernel_id):
            self.close(KERNEL_GONE)
        self._told = False
        self.tell(gone=not Path(self._kernels.project).is_dir(), back=False)

    def tell(self, *, gone: bool, back: bool) -> None:
        """Tell the page that its project has gone, or is back after that."""
        words = (["gone"] if gone and not self._told else []) + (["back"] if back and (gone or self._told) else [])
        self._told = (self._told or gone) and not back
        for word in words:
            with suppress(WebSocketClosedError):
                self.write_message(word)

    def on_message(self, _message: str | bytes) -> None:
        """Hear that the page is left for good: all that it ever says."""
        self._for_good = True

    def on_close(self) -> None:
        """Note that the page has gone."""
        self._kernels.leave(self, self._kernel_id, for_good=self._for_good)


class KnockHandler(JupyterHandler):
    """Tells a page that has lost its server whether it is let in again, without a line in the log for each try."""

    @allow_unauthenticated
    def get(self) -> None:
        """Say it by the status."""
        self.set_status(204 if self.current_user is not None else 403)


class BeaconHandler(RequestHandler):
    """Takes the word of Voilà's own script that a page is left, which our WebSocket has said already."""

    def check_xsrf_cookie(self) -> None:
        """Let it be: nothing is done."""

    def post(self, _kernel_id: str) -> None:
        """Do nothing."""
        self.set_status(204)


class PageHandler(Sentences, TornadoVoilaHandler):  # type: ignore[misc]
    """Shows the page to those who come with the token or the cookie, each with a kernel of their own."""

    @allow_unauthenticated
    async def get(self, path: str = "") -> None:
        """Show the page; the token goes out of the address, and never into the kernel's environment."""
        if path:
            raise HTTPError(404)
        if self.current_user is None:
            self.set_status(403)
            self.finish(templates.render("dashboard_closed.html", text=CLOSED))
        elif self.get_query_arguments("token"):
            self.redirect(self.base_url)
        else:
            started: list[str] = []
            STARTED.set(started)
            try:
                await super().get()
            finally:
                for kernel_id in started:
                    self.kernel_manager.expect(kernel_id)
