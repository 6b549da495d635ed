"""Clients of our MCP servers, with a proxy between that writes down all that is said."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import anyio.abc

from tests.mcp_server.orchestrating import OURS, served_on_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Call = Callable[..., Awaitable[Any]]

TEE = Path(__file__).parent / "tee.py"
LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def stdio_tools(project: Path, log: Path) -> AsyncIterator[Call]:
    """Start a project's server on standard input and output, and give what calls its tools."""
    from mcp import Client, StdioServerParameters

    words = [os.fspath(TEE), os.fspath(log), *OURS, "mcp", "--project", os.fspath(project)]
    async with Client(StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))) as client:
        yield _caller(client)


@asynccontextmanager
async def http_tools(project: Path, log: Path) -> AsyncIterator[Call]:
    """Start a project's server on a port, with a proxy before it, and give what calls its tools."""
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    with served_on_port(project) as (url, token):
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            _recorded(url, log) as address,
            httpx2.AsyncClient(headers=headers, timeout=60) as web,
            Client(streamable_http_client(address, http_client=web)) as client,
        ):
            yield _caller(client)


def _caller(client: Any) -> Call:
    async def call(tool: str, **arguments: Any) -> Any:
        result = await client.call_tool(tool, arguments)
        if result.is_error:
            raise RuntimeError("\n".join(getattr(part, "text", "") for part in result.content))
        return result.structured_content

    return call


@asynccontextmanager
async def _recorded(url: str, log: Path) -> AsyncIterator[str]:
    """Listen on a port, pass on what comes there, and write it down; the server hears its own name as Host."""
    real = urlsplit(url)
    listener = await anyio.create_tcp_listener(local_host=LOOPBACK)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    there, here = f"{LOOPBACK}:{real.port}".encode(), f"{LOOPBACK}:{port}".encode()

    async def serve(client: anyio.abc.SocketStream) -> None:
        server = await anyio.connect_tcp(LOOPBACK, real.port or 0)
        async with client, server, anyio.create_task_group() as tasks:
            tasks.start_soon(_pass_on, client, server, log.with_name(f"{log.name}.sent"), (here, there))
            tasks.start_soon(_pass_on, server, client, log.with_name(f"{log.name}.received"), (b"", b""))

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield url.replace(f":{real.port}", f":{port}")
        tasks.cancel_scope.cancel()


async def _pass_on(
    source: anyio.abc.SocketStream, target: anyio.abc.SocketStream, log: Path, change: tuple[bytes, bytes]
) -> None:
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            data = await source.receive()
            with log.open("ab") as kept:
                kept.write(data)
            await target.send(data.replace(*change) if change[0] else data)
    await target.aclose()
