"""The server of the page: Voilà in this process, on this machine alone, with nothing in it but the board."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import re
import signal
import socket
from functools import cached_property
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server.auth.identity import IdentityProvider
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket
from traitlets import Unicode
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.static_file_handler import AllowListFileHandler, TemplateStaticFileHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from harness_nb.dashboard.gate import DOOR, Gate, Headers, hosts_of, refusal_of
from harness_nb.dashboard.kernel import PROJECT
from harness_nb.dashboard.leftovers import claim, give_up, sweep
from harness_nb.dashboard.visits import (
    BeaconHandler,
    ChannelsHandler,
    KnockHandler,
    PageHandler,
    PresenceHandler,
    VisitKernels,
)
from harness_nb.errors import DashboardSocketError, PortTakenError
from harness_nb.store.layout import Layout, runtime_folder
from harness_nb.store.refusals import Refusals
from harness_nb.store.tokens import same_token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_server.auth.identity import User
    from tornado.web import RequestHandler

PAGE = Path(__file__).parent / "page"
LOOPBACK = ("127.0.0.1", "::1")
EXTENSIONS = ("@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget")
"""What the page loads of JupyterLab's extensions, whatever else is installed."""
OURS = {
    TornadoVoilaHandler: PageHandler,
    VoilaKernelWebsocketHandler: ChannelsHandler,
    VoilaShutdownKernelHandler: BeaconHandler,
}
"""Handlers of Voilà that we have our own for."""
NOT_OURS = (AllowListFileHandler, TemplateStaticFileHandler)
"""Handlers of Voilà that give out files, of which the page needs none."""
LONGEST_FOLDER = 38
"""Bytes of the folder for connections, so that a kernel's sockets in it stay below the 104 that a path may have."""
PING = 30
"""Seconds between two looks whether a page's WebSockets still live."""


def bind_loopback(port: int) -> list[socket.socket]:
    """Listen on this machine's own addresses; 0 takes a port that is free.

    Raises: PortTakenError.
    """
    sockets: list[socket.socket] = []
    for address in LOOPBACK:
        try:
            sockets += bind_sockets(port, address)
        except OSError as error:
            # without IPv6 the other address is enough; where it is taken, a browser might send the token there
            if sockets and error.errno not in (errno.EADDRINUSE, errno.EACCES):
                break
            for one in sockets:
                one.close()
            raise PortTakenError(port, error.strerror or str(error)) from None
        port = sockets[0].getsockname()[1]
    return sockets


def bind_private(path: Path) -> list[socket.socket]:
    """Listen on a Unix socket that nobody else can connect to.

    Raises: DashboardSocketError.
    """
    before = os.umask(0o177)
    try:
        return [bind_unix_socket(str(path), mode=0o600)]
    except (OSError, ValueError) as error:
        raise DashboardSocketError(path, str(error)) from None
    finally:
        os.umask(before)


async def serve(
    project: Path,
    sockets: Sequence[socket.socket],
    *,
    token: str,
    base_url: str = "/",
    grace: float,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve a project's page until SIGINT or SIGTERM; its kernels end with it, sessions go on.

    ``grace`` is how many seconds a page may be away, for example without a connection, before its kernel ends.
    """
    _log_without(token)
    stop = asyncio.Event()
    folder = runtime_folder(LONGEST_FOLDER)
    sweep(folder)
    dashboard = Dashboard(config=_config(project, folder, grace), token=token, base_url=base_url)
    dashboard.initialize([])
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    dashboard.start()
    claim(Path(dashboard.connection_dir))
    watching = asyncio.create_task(dashboard.kernel_manager.watch_project())
    ip = sockets[0].family != socket.AF_UNIX
    server = HTTPServer(Gate(dashboard.app, hosts_of(sockets[0].getsockname()[1]) if ip else None))
    server.add_sockets(sockets)
    ready()
    try:
        await stop.wait()
    finally:
        watching.cancel()
        server.stop()
        await dashboard.end()
        dashboard.refusals.settle()


def _log_without(token: str) -> None:
    """Have tornado tell of what goes wrong without the token, which an address may hold."""

    def redact(record: logging.LogRecord) -> bool:
        if token:
            record.msg, record.args = record.getMessage().replace(token, "…"), ()
        return True

    handler = logging.StreamHandler()
    handler.addFilter(redact)
    logger = logging.getLogger("tornado")
    logger.addHandler(handler)
    logger.propagate = False


class Dashboard(Voila):  # type: ignore[misc]
    """Voilà with one page, and without what else it offers: settings files, a login form, files, other notebooks."""

    name = "voila"
    project = Unicode(config=True)

    @cached_property
    def refusals(self) -> Refusals:
        """What this door refused."""
        return Refusals(Layout(Path(self.project)))

    def load_config_file(self, *_: Any, **__: Any) -> None:
        """Leave the user's Voilà settings alone: one of them could open this server up."""

    def init_settings(self) -> dict[str, Any]:
        """Return Voilà's settings with ours."""
        self.identity_provider_class = TokenOnly
        # the same token, the same cookies: a page that outlives a restart is let in again
        self.cookie_secret = hashlib.sha256(b"cookie:" + self.token.encode()).digest() if self.token else os.urandom(32)
        settings: dict[str, Any] = super().init_settings()
        return settings | {
            "transforms": [Headers],
            "log_function": self.look_at,  # prints nothing: an address may hold the token
            "websocket_ping_interval": PING,
            "ws_ping_interval": PING * 1000,  # Jupyter's own, in milliseconds
            "ws_ping_timeout": PING * 1000,
        }

    def look_at(self, handler: RequestHandler) -> None:
        """Have it written down where a request was refused."""
        refused = refusal_of(handler)
        if refused is not None:
            self.refusals.note(DOOR, refused.why, refused.text, refused.tried)

    def init_handlers(self) -> list[Any]:
        """Return Voilà's handlers without those that give out files, and with ours."""
        found: list[Any] = []
        for path, handler, *more in super().init_handlers():
            if handler not in NOT_OURS:
                found.append((path, OURS.get(handler, handler), *more))
        base = re.escape(self.server_url)
        ours = [
            (rf"{base}harness/present", KnockHandler),
            (rf"{base}harness/present/(\w+(?:-\w+){{4}})", PresenceHandler),
        ]
        return [*ours, *found]

    def setup_template_dirs(self) -> None:
        """Put our page before Voilà's own."""
        super().setup_template_dirs()
        self.template_paths: list[str] = [str(PAGE), *self.template_paths]

    def listen(self) -> None:
        """Leave that to ``serve``, which knows the sockets."""

    async def end(self) -> None:
        """End all kernels."""
        await self.kernel_manager.shutdown_all(now=True)
        give_up(Path(self.connection_dir))


class TokenOnly(IdentityProvider):
    """Lets in whoever has the token or the cookie; there is no form to log in with."""

    def __init__(self, **options: Any) -> None:
        options.pop("login_handler_class", None)
        super().__init__(**options, cookie_options={"samesite": "Lax"})

    @property
    def auth_enabled(self) -> bool:
        """Whether there is a token: behind a proxy, that one has let its users in."""
        return bool(self.token)

    async def get_user_token(self, handler: Any) -> User | None:
        """Return who comes with the token, which is compared in a time that tells nothing of it; None for others."""
        if not self.token or not same_token(self.get_token(handler), self.token):
            return None
        known = self.get_user_cookie(handler)
        user = await known if isawaitable(known) else known
        return user or self.generate_anonymous_user(handler)

    def get_handlers(self) -> list[tuple[str, object]]:
        """Return none."""
        return []


class OwnKernel(KernelSpecManager):
    """One kernel: this Python, without the user's start-up files, whatever other kernels are installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002
        """Return it."""
        spec = KernelSpec(resource_dir="", **get_kernel_dict())
        spec.argv += ["--HistoryManager.enabled=False"]
        dashboard: Any = self.parent
        spec.env = {PROJECT: dashboard.project, "IPYTHONDIR": dashboard.connection_dir}
        return spec


def _config(project: Path, folder: Path, grace: float) -> Config:
    def page_config(found: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**found, "project": project.name}

    return Config(
        Voila={
            "notebook_path": str(PAGE / "page.ipynb"),
            "root_dir": str(PAGE),
            "open_browser": False,
            "log_level": "ERROR",
            "connection_dir_root": str(folder),
        },
        KernelManager={"transport": "ipc"},  # files that only we can open, where ports are everybody's
        VoilaConfiguration={
            "allow_template_override": "NO",
            "allow_theme_override": "NO",
            "attempt_fix_notebook": False,
            "extension_allowlist": list(EXTENSIONS),
            "file_allowlist": [],
            "kernel_spec_manager_class": OwnKernel,
            "multi_kernel_manager_class": VisitKernels,
            "page_config_hook": page_config,
        },
        KernelRestarter={"restart_limit": 0},  # only watched: the page of one that died comes anew
        VisitKernels={"project": str(project), "grace": grace},
        Dashboard={"project": str(project)},
    )
