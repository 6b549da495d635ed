"""The server on a port: loopback alone, nobody without the token, and not by way of a foreign page or name."""

from __future__ import annotations

import socket
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import httpx2
import psutil
import pytest

from harness_nb.store.layout import Layout
from harness_nb.store.tokens import make_token
from tests.mcp_server.conftest import PATIENCE, SERVER, port_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.row(12)

INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}  # fmt: skip
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
async def url(root: Path) -> AsyncIterator[str]:
    """The address of a running server."""
    async with port_server(root, root.parent / "server.log") as address:
        yield address


def token_of(root: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {Layout(root).door_token('mcp').read_text().strip()}"}


@pytest.mark.anyio
async def test_only_who_shows_the_token_is_let_in(root: Path, url: str) -> None:
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
async def test_foreign_pages_and_names_are_refused_even_with_the_token(root: Path, url: str) -> None:
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
async def test_bodies_that_are_no_messages_are_refused_and_the_next_is_served(root: Path, url: str) -> None:
    async with httpx2.AsyncClient(headers={**ACCEPT, **token_of(root), "Content-Type": "application/json"}) as web:
        for body in (b"", b"nonsense", b"[1]", b"\xff", b'{"jsonrpc": "2.0"}', b"[" * 100_000):
            refused = await web.post(url, content=body)
            assert refused.status_code == 400
            assert refused.json()["error"]["message"]
        assert (await web.post(url, content=b" " * (5 << 20))).status_code == 413
        assert (await web.post(url, json=INITIALIZE, headers={"mcp-session-id": "nobody"})).status_code == 404
        assert (await web.post(url, json=INITIALIZE)).status_code == 200


@pytest.mark.anyio
async def test_it_listens_on_the_loopback_alone_and_shows_the_token_nowhere(root: Path, url: str) -> None:
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
