"""Real servers in real processes, and the mcp package's own client on both transports and both eras of the protocol."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from harness_nb.errors import ShimFailedError
from harness_nb.protocol.messages import parse_worker_message
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import ask_shim
from harness_nb.store import Store
from harness_nb.store.layout import Layout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord

PATIENCE = 60.0
SERVER = [sys.executable, "-m", "harness_nb.cli", "mcp"]
WAYS = ("stdio auto", "stdio legacy", "http auto", "http legacy")
"""A transport, and whether the client speaks the newest protocol or the one that needs a handshake."""

both_transports = pytest.mark.parametrize("way", ["stdio legacy", "http auto"])
"""For what a tool does: each transport once, and each era once; the four ways are for what they do differently."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Everything asynchronous runs on asyncio; for the whole room, so that a server may serve a whole module."""
    return "asyncio"


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty project for a module's tests that change nothing in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_STATE_DIR", str(tmp_path_factory.mktemp("shared-state")))
        folder = tmp_path_factory.mktemp("shared") / "project"
        folder.mkdir()
        yield folder


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """How the client talks to the server."""
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An empty project; sessions that were left alive in it are ended by their ids."""
    folder = tmp_path / "project"
    folder.mkdir()
    yield folder
    if Layout(folder).database.exists():
        with closing(Store(folder)) as store:
            for session in store.sessions.select(live=True):
                with suppress(ShimFailedError):
                    ask_shim(store.layout.session(session.id), do="stop", by="test", grace=1.0)


@dataclass
class Agent:
    """An orchestrator's client."""

    client: Client
    log: Path
    told: list[Any] = field(default_factory=list)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must work, and return what it says."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    async def refused(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must not work, and return its sentence."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.content
        assert isinstance(result.content[0], TextContent)
        return result.content[0].text

    async def start(self, *command: str) -> str:
        """Start a command in the project's folder and return its session's id."""
        session = await self.call("harness_start_session", workingDir=".", command=list(command))
        return str(session["sessionId"])

    async def ended(self, session_id: str) -> dict[str, Any]:
        """Wait for a session's end and return it."""
        wanted = {"sessionIds": [session_id], "states": ["completed", "failed"]}
        while not (change := await self.call("harness_wait_for_state", **wanted))["sessions"]:
            pass
        session: dict[str, Any] = change["sessions"][0]
        return session

    async def read(self, uri: str) -> str:
        """Read a resource as text."""
        result = await self.client.read_resource(uri, cache_mode="bypass")
        return str(getattr(result.contents[0], "text", ""))


@asynccontextmanager
async def connect(root: Path, way: str, **more: Any) -> AsyncIterator[Agent]:
    """Start a server for a project and connect a client to it; both end with the block."""
    transport, mode = way.split()
    log = root.parent / f"{transport}-{mode}.log"
    opened = on_stdio(root, log) if transport == "stdio" else on_port(root, log)
    async with opened as streams, Client(streams, mode=mode, read_timeout_seconds=PATIENCE, **more) as client:
        yield Agent(client, log)


@asynccontextmanager
async def on_stdio(root: Path, log: Path) -> AsyncIterator[Any]:
    """Have the client start the server as its child."""
    parameters = StdioServerParameters(
        command=SERVER[0], args=[*SERVER[1:], "--project", str(root)], env=dict(os.environ)
    )
    with log.open("a") as errors:
        yield stdio_client(parameters, errlog=errors)


@asynccontextmanager
async def on_port(root: Path, log: Path) -> AsyncIterator[Any]:
    """Start a server on a port and show it the token."""
    async with port_server(root, log) as url:
        token = Layout(root).door_token("mcp").read_text().strip()
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as web:
            yield streamable_http_client(url, http_client=web)


@asynccontextmanager
async def port_server(root: Path, log: Path, *words: str) -> AsyncIterator[str]:
    """Start a server on a free port and return its address; it must end well when it is told to."""
    with log.open("a") as errors:
        process = _start([*SERVER, "--project", str(root), "--http", "--port", "0", *words])
        assert process.stderr is not None
        assert process.stdout is not None
        try:
            line = await anyio.to_thread.run_sync(process.stderr.readline)
            found = re.search(r"http://\S+", line)
            assert found, line + process.stderr.read()
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE)
            errors.write(line + process.stderr.read())
            printed = process.stdout.read()
            process.stdout.close()
            process.stderr.close()
        assert (code, printed) == (0, "")


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def say(root: Path) -> Callable[..., MessageRecord]:
    """Return a function that writes into the journal what a session's worker says, and rings as it does."""

    def post(session_id: str, message_type: str, **payload: Any) -> MessageRecord:
        with closing(Store(root)) as store:
            raw = {"id": store.new_id(), "sessionId": session_id, "type": message_type, "timestamp": store.clock()}
            record = store.questions.ask(parse_worker_message({**raw, "payload": payload}))
            store.ring()
            return record

    return post


PLAN = """\
---
phase: {phase}
plan: {number}
type: execute
wave: 1
depends_on: {depends_on}
must_pass: [{{id: ok, type: command_succeeds, command: 'true'}}]
---

<objective>
{title}
</objective>

<tasks>
<task type="auto">
<name>work</name>
<run lang="sh">
{code}
</run>
</task>
</tasks>
"""


def write_plan(root: Path, plan_id: str, code: str = "true", *, depends_on: str = "[]") -> None:
    """Write a plan into a project."""
    phase, number = plan_id.split("-")
    folder = root / "planning" / "plans" / f"{phase}-phase"
    folder.mkdir(parents=True, exist_ok=True)
    text = PLAN.format(phase=phase, number=number, depends_on=depends_on, title=f"Plan {plan_id}", code=code)
    (folder / f"{plan_id}-PLAN.md").write_text(text)


def write_history(root: Path, ended: int) -> list[str]:
    """Write a journal with sessions that have ended, and return their ids, oldest first."""
    names = [f"s{number}" for number in range(ended)]
    with closing(Store(root)) as store:
        for name in names:
            record = SessionRecord(
                id=name, worker="command", working_dir=".", command=("x" * 200,), created_at=store.clock()
            )
            store.sessions.create(record)
            store.sessions.end(name, state="completed")
    return names
