"""A session and its own agent: the worker's MCP server as a client meets it, and the same things done from a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from mcp import Client, StdioServerParameters

from harness_nb.mcp_server.worker import WorkerServer
from harness_nb.sessions.worker_side import WorkerSide
from tests.sessions.living import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from mcp_types import CallToolResult

    from harness_nb import AsyncHarness
    from harness_nb.store import SessionFolder

OURS = (sys.executable, "-m", "harness_nb.cli")
PATIENCE = 60.0
"""Seconds after which a test gives up; it says nothing of how long anything should take."""


def environment_of(folder: SessionFolder) -> dict[str, str]:
    """What a session's worker finds in its environment, so that the test can be that worker."""
    return {**os.environ, "HARNESS_SESSION_DIR": str(folder.path), "HARNESS_TOKEN_FILE": str(folder.token)}


class Tools:
    """The worker's two tools, by a client of the ``mcp`` package."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> CallToolResult:
        result = await self.client.call_tool(tool, {**(arguments or {})}, **more)
        assert not hasattr(result, "input_requests")
        return result

    async def report(self, message_type: str, payload: Any = None) -> str:
        """Report something, and return its id."""
        arguments = {"messageType": message_type, **({} if payload is None else {"payload": payload})}
        result = await self.call("harness_worker_report", arguments)
        assert not result.is_error, text_of(result)
        return str(dict(result.structured_content or {})["id"])

    async def wait(self, message_id: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Await a message, once."""
        asked = {"messageId": message_id} if message_id is not None else {}
        result = await self.call("harness_worker_await", {**asked, **arguments})
        assert not result.is_error, text_of(result)
        return dict(result.structured_content or {})

    async def refusal(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool that refuses, and return what it says."""
        result = await self.call(tool, arguments)
        assert result.is_error, result
        return text_of(result)


class Shell:
    """The same from a shell in the session."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    async def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return await anyio.to_thread.run_sync(
            partial(
                subprocess.run, [*OURS, "worker", *words], env=self.environment, input=stdin, capture_output=True,
                text=True, timeout=PATIENCE, check=False,
            )
        )  # fmt: skip

    async def report(self, message_type: str, payload: Any = None) -> str:
        done = await self.run("report", message_type, "--payload", "-", stdin=json.dumps(payload or {}))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async def wait(self, message_id: str | None = None) -> dict[str, Any]:
        done = await self.run("await", *([message_id] if message_id else []), "--timeout", str(PATIENCE))
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


def text_of(result: CallToolResult) -> str:
    """Return what a result says to those who read text alone."""
    return "\n".join(getattr(part, "text", "") for part in result.content)


async def idle_session(h: AsyncHarness, **named: Any) -> SessionFolder:
    """Start a session whose process only waits: the test is its worker."""
    session = await h.start_session(command=["sh", "-c", "read line"], **named)
    return h.store.layout.session(session.id)


@asynccontextmanager
async def worker_client(folder: SessionFolder, *, program: tuple[str, ...] = OURS) -> AsyncIterator[Tools]:
    """Start the worker's server of a session on stdio, as an agent's configuration says."""
    started = StdioServerParameters(
        command=program[0], args=[*program[1:], "mcp", "--worker"], env=environment_of(folder)
    )
    async with Client(started) as client:
        yield Tools(client)


@asynccontextmanager
async def agent(project: Path) -> AsyncIterator[tuple[AsyncHarness, Tools, SessionFolder]]:
    """Open a project, start a session in it, and connect an agent to that session's server."""
    async with opened(project) as h:
        folder = await idle_session(h)
        async with worker_client(folder) as tools:
            yield h, tools, folder


@asynccontextmanager
async def in_this_process(project: Path) -> AsyncIterator[tuple[AsyncHarness, Tools, WorkerSide]]:
    """A server and its client in one process, where a test can hold the clock."""
    async with opened(project) as h:
        folder = await idle_session(h)
        with WorkerSide(environment_of(folder)) as side:
            async with Client(WorkerServer(side), mode="legacy") as client:
                yield h, Tools(client), side
