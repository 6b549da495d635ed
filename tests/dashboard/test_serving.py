"""The server's life: its port, its token's file, its kernels, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from harness_nb.cli import app as command_line
from harness_nb.cli import dashboard as command
from harness_nb.store.layout import Layout
from tests.dashboard.serving import COMMAND, Server, served, stop
from tests.sessions.workers import eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.row(14)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "inventory"
    folder.mkdir()
    return folder


def fails(*words: str) -> str:
    """Run the command where it cannot begin, and return what it says."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    listening = [one.laddr for one in psutil.Process(server.process.pid).net_connections() if one.status == "LISTEN"]
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}
    assert {port for _, port in listening} == {server.port}


def test_a_port_that_is_taken_is_a_sentence_that_says_what_to_do(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = fails("--project", str(project), "--port", str(taken.getsockname()[1]))
    assert "--port" in said


def test_a_port_that_another_has_on_ipv6_is_taken_too(project: Path) -> None:
    """A browser may try that address first, and would give the token to whoever listens there."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        assert "--port" in fails("--project", str(project), "--port", str(taken.getsockname()[1]))


def test_a_project_or_a_token_that_is_not_right_is_a_sentence(project: Path, tmp_path: Path) -> None:
    assert "no folder" in fails("--project", str(project / "nowhere"))
    loose = tmp_path / "token"
    loose.write_text("everybody knows this\n")
    loose.chmod(0o644)
    assert "chmod 600" in fails("--project", str(project), "--port", "0", "--token-file", str(loose))
    long = tmp_path / ("x" * 120)
    assert "short path" in fails("--project", str(project), "--socket", str(long))


def test_without_the_extra_it_says_how_to_install_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "NEEDED", ("json", "a_package_that_nobody_has"))
    monkeypatch.setattr(sys, "argv", ["harness-nb", "dashboard", "--project", str(project)])
    assert command_line.run_app() == command_line.UNUSABLE
    said = capsys.readouterr().err
    assert "no a_package_that_nobody_has here" in said
    assert "pip install 'harness-nb[dashboard]'" in said


def test_the_token_is_in_its_private_file_and_nowhere_else(server: Server) -> None:
    """Not where others see it: command lines, environments, what it prints to a file; nor in a kernel."""
    path = Layout(server.project).door_token("dashboard")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = server.get("/", Cookie=server.log_in()).text
    assert server.token not in page
    family = [psutil.Process(server.process.pid), *server.kernels]
    assert len(family) > 1
    for one in family:
        assert server.token not in " ".join(one.cmdline())
        assert server.token not in "\n".join(one.environ().values())
    assert server.get(f"/nothing?token={server.token}").status == 404
    unknown = "/api/kernels/01234567-0123-0123-0123-0123456789ab"
    assert server.get(f"{unknown}?token={server.token}").status == 404
    assert f"404 GET {unknown}?token=…" in server.log.read_text()
    assert server.token not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_the_users_own_voila_settings_do_not_open_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "jupyter"
    settings.mkdir()
    opening = {"Voila": {"token": "", "ip": "0.0.0.0"}, "IdentityProvider": {"token": ""}}
    (settings / "voila.json").write_text(json.dumps(opening))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(settings))
    monkeypatch.setenv("JUPYTER_TOKEN", "guessed")
    with served(project, folder=tmp_path) as server:
        assert server.get("/").status == 403
        assert server.get("/?token=guessed").status == 403
        assert server.get(f"/?token={server.token}").status == 302


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_its_kernels_and_a_session_lives_on(project: Path, tmp_path: Path, number: int) -> None:
    start = (
        "import sys; from harness_nb import Harness\n"
        "print(Harness(sys.argv[1]).start_session(command=['sleep', '600']).record.id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", start, str(project)], capture_output=True, text=True, timeout=60, check=True
    )
    with served(project, folder=tmp_path) as server:
        cookie = server.log_in()
        assert "voila.cell-output" in server.get("/", Cookie=cookie).text
        kernels = server.kernels
        assert len(kernels) == 1
        assert stop(server, number) == 0
        assert not any(one.is_running() for one in kernels)
        assert "Traceback" not in server.log.read_text()
    status = [sys.executable, "-m", "harness_nb.cli", "status", str(project)]
    assert done.stdout.strip() in subprocess.run(status, capture_output=True, text=True, timeout=60, check=True).stdout
    end = [sys.executable, "-m", "harness_nb.cli", "end", done.stdout.strip(), "--project", str(project)]
    subprocess.run(end, capture_output=True, timeout=60, check=True)


def test_the_kernel_of_a_visitor_who_never_came_back_ends(server: Server) -> None:
    """As of a program that only reads the page, or a browser that was closed while it loaded."""
    server.get("/", Cookie=server.log_in())
    kernels = server.kernels
    assert kernels
    eventually(lambda: not any(one.is_running() for one in kernels), "the kernel of a visit that is over ends")


def test_on_a_socket_only_its_owner_can_connect(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    process = subprocess.Popen([*COMMAND, "--project", str(project), "--socket", os.fspath(path)])
    try:
        eventually(path.exists, "the socket is there")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as connection:
            eventually(lambda: connection.connect_ex(str(path)) == 0, "it listens")
            connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n")
            assert b"404" in connection.makefile("rb").readline()
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_a_page_can_answer_but_not_run_code_in_its_kernel(server: Server, tmp_path: Path) -> None:
    """Voilà lets comm messages through, which the board is made of, and no others."""
    cookie, made = server.log_in(), tmp_path / "made"
    kernel_id = re.search(r'"kernelId": "([\w-]+)"', server.get("/", Cookie=cookie).text)
    assert kernel_id

    async def speak() -> None:
        address = f"ws://localhost:{server.port}/api/kernels/{kernel_id[1]}/channels?session_id=test"
        socket = await websocket_connect(HTTPRequest(address, headers={"Cookie": cookie}))
        code = {"code": f"open({str(made)!r}, 'w')", "silent": False}
        for kind, content in (("execute_request", code), ("kernel_info_request", {})):
            header = {"msg_id": kind, "msg_type": kind, "session": "test", "username": "", "version": "5.3", "date": ""}
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
            await socket.write_message(json.dumps(message))
        replies = []
        while "kernel_info_request" not in replies:
            reply = json.loads(str(await socket.read_message()))
            replies.append(reply["parent_header"].get("msg_id") if reply["channel"] == "shell" else None)
        assert "execute_request" not in replies
        socket.close()

    asyncio.run(speak())
    assert not made.exists()
