"""The server on standard input and output, for a client that starts it as its child."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Self

import anyio
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

from harness_nb.harness.patience import only

if TYPE_CHECKING:
    from types import TracebackType

    from mcp.server import MCPServer
    from mcp.shared._stream_protocols import ReadStream, WriteStream

NOT_JSON = "This line is not JSON. Send one JSON-RPC message a line, in UTF-8."
NOT_A_MESSAGE = "This line is no JSON-RPC message. It needs jsonrpc: '2.0', a method, and an id if it is a request."


def serve_stdio(server: MCPServer[Any]) -> None:
    """Serve until the client closes our standard input, or SIGINT or SIGTERM comes.

    Raises: what opening the project does.
    """
    try:
        anyio.run(_serve, server)
    except Exception as error:
        raise only(error) from None


async def _serve(server: MCPServer[Any]) -> None:
    told_to_end = False

    async def end_when_told() -> None:
        nonlocal told_to_end
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                told_to_end = True
                scope.cancel()

    async with stdio_server() as (lines, answers):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end_when_told)
                await run_on(server, Messages(lines, answers), answers)
                tasks.cancel_scope.cancel()
        if told_to_end:
            sys.stderr.flush()
            os._exit(0)  # everything is closed, but the thread that reads standard input cannot be called back


async def run_on(server: MCPServer[Any], messages: Messages, answers: WriteStream[SessionMessage]) -> None:
    """Serve one client on a pair of streams."""
    low = server._lowlevel_server
    await low.run(messages, answers, low.create_initialization_options())


class Messages:
    """A client's messages; what is none is answered with an error, where the SDK would only write it into its log."""

    def __init__(self, lines: ReadStream[SessionMessage | Exception], answers: WriteStream[SessionMessage]) -> None:
        self._lines = lines
        self._answers = answers

    @property
    def last_context(self) -> Any:
        """Who sent the last message, as the SDK knows it."""
        return getattr(self._lines, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message."""
        while isinstance(item := await self._lines.receive(), Exception):
            await self._refuse(item)
        return item

    async def _refuse(self, error: Exception) -> None:
        broken = isinstance(error, ValidationError) and error.errors(include_input=False)[0]["type"] == "json_invalid"
        data = ErrorData(code=PARSE_ERROR if broken else INVALID_REQUEST, message=NOT_JSON if broken else NOT_A_MESSAGE)
        await self._answers.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=None, error=data)))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Take no more messages."""
        await self._lines.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
