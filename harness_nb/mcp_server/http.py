"""The server on a port of this machine, for clients that connect: loopback alone, and only with the token."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from harness_nb.errors import PortTakenError
from harness_nb.harness.handles import only
from harness_nb.mcp_server.server import make_server
from harness_nb.store.layout import Layout
from harness_nb.store.tokens import make_token, same_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
PATH = "/mcp"
GRACE = 1
"""Seconds that open answers have when the server is told to end: sessions live on, and clients can ask again."""


def serve_http(root: Path, port: int, token_file: Path | None = None) -> None:
    """Serve a project until SIGINT or SIGTERM comes.

    Raises: PortTakenError, UnsafeTokenFileError, UnwritableFolderError, and what opening the project does.
    """
    layout = Layout(root)
    layout.create()
    place = token_file or layout.door_token("mcp")
    token = make_token(place)
    with _listening(port) as listener:
        port = listener.getsockname()[1]
        news = f"harness-nb: {root} is served at http://{LOOPBACK}:{port}{PATH}\n"
        news += f"harness-nb: clients show the token in {place} (Authorization: Bearer …)"
        try:
            anyio.run(_serve, root, token, listener, news)
        except Exception as error:
            raise only(error) from None


async def _serve(root: Path, token: str, listener: socket.socket, news: str) -> None:
    port = listener.getsockname()[1]
    hosts = [f"{name}:{port}" for name in (LOOPBACK, "localhost")]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts])
    mcp = make_server(root)
    app = Guard(mcp.streamable_http_app(streamable_http_path=PATH, transport_security=security), hosts, token)
    server = Listener(app, news)

    async def end_when_told() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                server.should_exit = True

    async with mcp.session_manager.run(), anyio.create_task_group() as tasks:
        tasks.start_soon(end_when_told)
        await server.serve([listener])
        tasks.cancel_scope.cancel()


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            raise PortTakenError(port, (error.strerror or str(error)).lower()) from None
        yield listener


class Listener(uvicorn.Server):
    """Uvicorn, which leaves signals to us and says where it is once somebody can connect."""

    def __init__(self, app: ASGIApp, news: str) -> None:
        super().__init__(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )  # fmt: skip
        self._news = news

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        print(self._news, file=sys.stderr, flush=True)  # noqa: T201

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


class Guard:
    """Lets nobody through to the server who comes under another name, from a foreign page, or without the token."""

    def __init__(self, app: ASGIApp, hosts: list[str], token: str) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = [f"http://{host}" for host in hosts]
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        if headers.get("host") not in self._hosts:
            return _refuse(421, f"This server is reached as {self._hosts[0]} alone, not by another name.")
        if headers.get("origin", self._origins[0]) not in self._origins:
            return _refuse(403, "Pages of other sites may not use this server. Connect without an Origin header.")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not same_token(given.strip(), self._token):
            sentence = "Show the server's token: Authorization: Bearer …; the server said at its start where it lies."
            return _refuse(401, sentence, {"WWW-Authenticate": "Bearer"})
        return None


def _refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    content: dict[str, Any] = {"error": sentence}
    return JSONResponse(content, status_code=status, headers=headers)
