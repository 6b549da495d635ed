"""The server on a port of this machine, for clients that connect: loopback alone, and only with the token."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from harness_nb.errors import PortTakenError
from harness_nb.harness.patience import only
from harness_nb.mcp_server.server import make_server
from harness_nb.store import Store
from harness_nb.store.refusals import shown_address, shown_method, shown_path
from harness_nb.store.tokens import make_token, same_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from harness_nb.store.refusals import Refusals

LOOPBACK = "127.0.0.1"
DOOR = "mcp port"
"""How the journal names this door."""
PATH = "/mcp"
FOREIGN_SITES = ("cross-site", "same-site")
"""What a browser says of a request that another site's page, or another port's, sends."""
GRACE = 1
"""Seconds that open answers have when the server is told to end: sessions live on, and clients can ask again."""
ENDING = "This server is about to end. Connect again when it is back; the sessions live on."
BAD_REQUEST = 400
NOT_JSON = "This body is not JSON. Send one JSON-RPC message, in UTF-8."
NOT_A_MESSAGE = "This body is no JSON-RPC message. It needs jsonrpc: '2.0', a method, and an id if it is a request."
PLAINLY = {"Parse error": NOT_JSON, "Validation error": NOT_A_MESSAGE, "Body must be a single JSON-RPC": NOT_A_MESSAGE}
"""What the SDK begins with, and what we say instead."""


def serve_http(root: Path, port: int, token_file: Path | None = None) -> None:
    """Serve a project until SIGINT or SIGTERM comes.

    Raises: PortTakenError, UnsafeTokenFileError, UnwritableFolderError, and what opening the project does.
    """
    with closing(Store(root)) as store:  # what is wrong with the journal is told here; what is refused is written there
        refusals = store.refusals
        place = token_file or store.layout.door_token("mcp")
    token = make_token(place)
    with _listening(port) as listener:
        port = listener.getsockname()[1]
        news = f"harness-nb: {root} is served at http://{LOOPBACK}:{port}{PATH}\n"
        news += f"harness-nb: clients show the token in {place} (Authorization: Bearer …)"
        try:
            anyio.run(_serve, root, token, listener, news, refusals)
        except Exception as error:
            raise only(error) from None
        finally:
            refusals.settle()


async def _serve(root: Path, token: str, listener: socket.socket, news: str, refusals: Refusals) -> None:
    port = listener.getsockname()[1]
    hosts = [f"{name}:{port}" for name in (LOOPBACK, "localhost")]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts])
    mcp = make_server(root)
    inside = mcp.streamable_http_app(streamable_http_path=PATH, transport_security=security)
    app = Guard(inside, hosts, token, partial(refusals.note, DOOR))
    server = Listener(app, news)

    async def end_when_told() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                server.should_exit = True
                for session in list(mcp.session_manager._server_instances.values()):
                    await session.terminate()  # first, or the SDK waits for somebody to read its last words
                app.end()

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
        logging.getLogger("uvicorn.error").addFilter(_without_traceback)

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

    def __init__(
        self, app: ASGIApp, hosts: list[str], token: str, note: Callable[[str, str, dict[str, str]], object]
    ) -> None:
        self._app = app
        self._note = note
        self._hosts = hosts
        self._origins = [f"http://{host}" for host in hosts]
        self._token = token
        self._open: set[anyio.CancelScope] = set()
        self._ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        refusal = self._refusal(Headers(scope=scope), scope) if scope["type"] == "http" else None
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        answer = Answer(send)
        with anyio.CancelScope() as open_request:
            self._open.add(open_request)
            try:
                await self._app(scope, receive, answer)
            finally:
                self._open.discard(open_request)
        if open_request.cancel_called:
            await answer.end(_refuse(503, ENDING), scope, receive)

    def end(self) -> None:
        """End what is open, each answer in good order, and let nobody in any more."""
        self._ending = True
        for open_request in self._open:
            open_request.cancel()

    def _refusal(self, headers: Headers, scope: Scope) -> JSONResponse | None:
        if self._ending:
            return _refuse(503, ENDING)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            sentence = f"This server is reached as {self._hosts[0]} alone, not by another name."
            return self._noted(421, "foreign_host", sentence, {"host": shown_address(", ".join(hosts))})
        if any(origin not in self._origins for origin in origins):
            sentence = "Pages of other sites may not use this server. Connect without an Origin header."
            return self._noted(403, "foreign_origin", sentence, {"origin": shown_address(", ".join(origins))})
        if headers.get("sec-fetch-site") in FOREIGN_SITES:
            sentence = "Pages of other sites may not use this server, says the browser that asks for one of them."
            return self._noted(403, "foreign_page", sentence, {"site": headers["sec-fetch-site"]})
        if self._shows_token(headers.getlist("authorization")):
            return None
        sentence = "Show the server's token: Authorization: Bearer …; the server said at its start where it lies."
        why = "wrong_token" if headers.get("authorization") else "no_token"
        tried = {"asked": f"{shown_method(scope['method'])} {shown_path(scope['path'], (PATH,))}"}
        return self._noted(401, why, sentence, tried, {"WWW-Authenticate": "Bearer"})

    def _shows_token(self, given: list[str]) -> bool:
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        return scheme.lower() == "bearer" and same_token(token.strip(), self._token)

    def _noted(
        self, status: int, why: str, sentence: str, tried: dict[str, str], headers: dict[str, str] | None = None
    ) -> JSONResponse:
        self._note(why, sentence, tried)
        return _refuse(status, sentence, headers)


class Answer:
    """What is sent to a client: it can be ended early, and what is said of a body that is no message is our own.

    The SDK says of such a body what pydantic does, with all that was in it.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: Message | None = None
        self._body = b""
        self._begun = self._done = False

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start" and message["status"] == BAD_REQUEST:
            self._held = message
        elif self._held is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_held(self._held)
        else:
            await self._pass_on(message)

    async def end(self, instead: JSONResponse, scope: Scope, receive: Receive) -> None:
        """Close an answer that was begun, or give another one instead."""
        if not self._begun:
            await instead(scope, receive, self._pass_on)
        elif not self._done:
            await self._pass_on({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_held(self, start: Message) -> None:
        body = _plainly(self._body)
        headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        await self._pass_on({**start, "headers": [*headers, length]})
        await self._pass_on({"type": "http.response.body", "body": body})

    async def _pass_on(self, message: Message) -> None:
        self._begun = True
        self._done = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)


def _plainly(body: bytes) -> bytes:
    try:
        refused = json.loads(body)
        said = refused["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return body
    plain = next((plain for sdk, plain in PLAINLY.items() if str(said).startswith(sdk)), said)
    return json.dumps({**refused, "error": {**refused["error"], "message": plain}}).encode()


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = record.exc_text = None  # its lines may hold what a client sent
    return True


def _refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    content: dict[str, Any] = {"error": sentence}
    return JSONResponse(content, status_code=status, headers=headers)
