"""The server on a port: loopback alone, nobody without the token, and not by way of a foreign page or name."""

from __future__ import annotations

import socket
import subprocess
from contextlib import AsyncExitStack, closing, suppress
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import psutil
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from harness_nb.mcp_server.http import NOT_A_MESSAGE, NOT_JSON
from harness_nb.store.layout import Layout
from harness_nb.store.tokens import make_token
from tests.mcp_server.conftest import PATIENCE, SERVER, port_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import TaskStatus

pytestmark = pytest.mark.row(12)

INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}  # fmt: skip
SECRET = "hunter2-is-no-password"
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
async def served(shared_root: Path) -> AsyncIterator[tuple[Path, str]]:
    """A project and the address of its running server, for all who only knock."""
    async with port_server(shared_root, shared_root.parent / "server.log") as address:
        yield shared_root, address


def token_of(root: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {Layout(root).door_token('mcp').read_text().strip()}"}


@pytest.mark.anyio
async def test_only_who_shows_the_token_is_let_in(served: tuple[Path, str]) -> None:
    root, url = served
    right = token_of(root)
    async with httpx2.AsyncClient(headers=ACCEPT) as web:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Bearer"},
            {"Authorization": "Basic x"},
        ):
            for method in ("GET", "POST", "DELETE", "OPTIONS"):
                refused = await web.request(method, url, headers=headers, json=INITIALIZE)
                assert refused.status_code == 401
                assert refused.headers["WWW-Authenticate"] == "Bearer"
                assert "Show the server's token" in refused.json()["error"]
        assert (await web.post(url.replace("/mcp", "/else"), headers={})).status_code == 401
        let_in = await web.post(url, headers=right, json=INITIALIZE)
        assert let_in.status_code == 200
        assert "harness-nb" in let_in.text
        small = {"Authorization": right["Authorization"].replace("Bearer", "bearer")}
        assert (await web.post(url, headers=small, json=INITIALIZE)).status_code == 200


@pytest.mark.anyio
async def test_foreign_pages_and_names_are_refused_even_with_the_token(served: tuple[Path, str]) -> None:
    root, url = served
    right = token_of(root)
    port = url.split(":")[2].split("/")[0]
    async with httpx2.AsyncClient(headers={**ACCEPT, **right}) as web:
        for name in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil:{port}"):
            refused = await web.post(url, headers={"Host": name}, json=INITIALIZE)
            assert refused.status_code == 421
            assert f"127.0.0.1:{port}" in refused.json()["error"]
        for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1"):
            refused = await web.post(url, headers={"Origin": origin}, json=INITIALIZE)
            assert refused.status_code == 403
            assert "Pages of other sites" in refused.json()["error"]
        own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
        assert (await web.post(url, headers=own, json=INITIALIZE)).status_code == 200


@pytest.mark.anyio
async def test_bodies_that_are_no_messages_are_refused_and_the_next_is_served(served: tuple[Path, str]) -> None:
    root, url = served
    async with httpx2.AsyncClient(headers={**ACCEPT, **token_of(root), "Content-Type": "application/json"}) as web:
        for body in (b"", b"nonsense", b"[1]", b"\xff", b'{"jsonrpc": "2.0"}', b"[" * 100_000):
            refused = await web.post(url, content=body)
            assert refused.status_code == 400
            assert refused.json()["error"]["message"] in (NOT_JSON, NOT_A_MESSAGE)
        call = {"jsonrpc": "2.0", "id": 3, "method": {"x": SECRET}, "params": {"name": SECRET}}
        refused = await web.post(url, json=call)
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, NOT_A_MESSAGE)
        assert SECRET not in refused.text
        assert (await web.post(url, content=b" " * (5 << 20))).status_code == 413
        assert (await web.post(url, json=INITIALIZE, headers={"mcp-session-id": "nobody"})).status_code == 404
        assert (await web.post(url, json=INITIALIZE)).status_code == 200


@pytest.mark.anyio
async def test_it_listens_on_the_loopback_alone_and_shows_the_token_nowhere(served: tuple[Path, str]) -> None:
    root, url = served
    port = int(url.split(":")[2].split("/")[0])
    open_ports = [one for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr]
    listening = [(one.laddr.ip, one.pid) for one in open_ports if one.laddr and one.laddr.port == port]
    assert [ip for ip, _ in listening] == ["127.0.0.1"]
    process = psutil.Process(listening[0][1])
    token = Layout(root).door_token("mcp").read_text().strip()
    assert Layout(root).door_token("mcp").stat().st_mode & 0o777 == 0o600
    assert token not in " ".join(process.cmdline())
    assert token not in str(process.environ())


@pytest.mark.anyio
async def test_the_token_may_lie_elsewhere_and_is_in_no_log(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.token"
    token = make_token(own)
    log = tmp_path / "server.log"
    async with port_server(root, log, "--token-file", str(own)) as address, httpx2.AsyncClient(headers=ACCEPT) as web:
        let_in = await web.post(address, headers={"Authorization": f"Bearer {token}"}, json=INITIALIZE)
        assert let_in.status_code == 200
        assert not Layout(root).door_token("mcp").exists()
    said = log.read_text()
    assert f"clients show the token in {own}" in said
    assert f"{root} is served at http://127.0.0.1:" in said
    assert token not in said


@pytest.mark.anyio
@pytest.mark.parametrize("open_stream", ["a call", "notifications", "a call of the newest protocol"])
async def test_told_to_end_it_ends_its_streams_first_and_prints_no_traceback(
    root: Path, tmp_path: Path, open_stream: str
) -> None:
    log = tmp_path / "server.log"
    waiting = {"name": "harness_wait_for_state", "arguments": {"timeoutMs": 600_000}}
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": waiting}
    async with AsyncExitStack() as clients, port_server(root, log) as url:
        web = await clients.enter_async_context(
            httpx2.AsyncClient(headers={**ACCEPT, **token_of(root)}, timeout=PATIENCE)
        )
        if open_stream == "a call of the newest protocol":
            tasks = await clients.enter_async_context(anyio.create_task_group())
            clients.callback(tasks.cancel_scope.cancel)
            await tasks.start(wait_with_a_client, url, web, waiting)
        else:
            greeting = await web.post(url, json=INITIALIZE)
            web.headers["Mcp-Session-Id"] = greeting.headers["Mcp-Session-Id"]
            await web.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
            method, body = ("POST", call) if open_stream == "a call" else ("GET", None)
            await clients.enter_async_context(web.stream(method, url, json=body))
    served, token = log.read_text().splitlines()
    assert "is served at" in served
    assert "clients show the token" in token


async def wait_with_a_client(
    url: str, web: httpx2.AsyncClient, waiting: dict[str, Any], *, task_status: TaskStatus[None]
) -> None:
    with suppress(Exception):  # the server goes while it waits
        async with (
            Client(streamable_http_client(url, http_client=web), read_timeout_seconds=PATIENCE) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(client.call_tool, waiting["name"], waiting["arguments"])
            await client.call_tool("harness_list_sessions", {})
            task_status.started()


def start(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*SERVER, "--project", str(root), *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL
    )


def test_what_stands_in_the_way_of_serving_is_one_sentence(root: Path, tmp_path: Path) -> None:
    readable = tmp_path / "readable.token"
    readable.write_text("a-token\n")
    readable.chmod(0o644)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        for words, sentence in (
            (("--http", "--port", port), f"Cannot listen on port {port}: address already in use. Choose another"),
            (("--http", "--port", "0", "--token-file", str(readable)), f"Run: chmod 600 {readable}"),
            (("--http", "--worker"), "leave --http out"),
            (("--project", str(tmp_path / "nowhere")), f"There is no folder {tmp_path / 'nowhere'}."),
            (("--project", str(readable)), "is a file; give the project's folder."),
        ):
            done = start(root, *words)
            assert done.returncode == 2
            assert sentence in " ".join(done.stderr.split())
            assert "Traceback" not in done.stderr
            assert done.stdout == ""


def test_without_the_package_the_command_says_how_to_get_it(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['mcp'] = None; sys.argv = ['harness-nb', 'mcp']; "
        "from harness_nb.cli import main; main()"
    )
    done = subprocess.run(
        [SERVER[0], "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=root
    )
    assert done.returncode == 2
    assert done.stderr == (
        "harness-nb: An MCP server needs the mcp package. Install it with: pip install 'harness-nb[mcp]'\n"
    )
    assert not (root / ".orchestration").exists()
