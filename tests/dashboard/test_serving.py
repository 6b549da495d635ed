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
import tempfile
import webbrowser
from pathlib import Path

import psutil
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from harness_nb.cli import app as command_line
from harness_nb.cli import dashboard as command
from harness_nb.dashboard.leftovers import LOCK, claim, give_up, sweep
from harness_nb.store import layout
from harness_nb.store.layout import Layout
from harness_nb.store.locks import release
from tests.dashboard.serving import COMMAND, Server, served, stop
from tests.sessions.workers import eventually

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


def kernel_of(page: str) -> str:
    """Return the id of a page's kernel."""
    found = re.search(r'"kernelId": "([\w-]+)"', page)
    assert found, page
    return found[1]


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


def test_a_kernel_that_dies_late_is_not_started_again(server: Server) -> None:
    """Its page comes anew with another one, and would never hear of this."""
    cookie = server.log_in()
    kernel_id = kernel_of(server.get("/", Cookie=cookie).text)

    async def die() -> int | None:
        address = f"ws://localhost:{server.port}/harness/present/{kernel_id}"
        page = await websocket_connect(HTTPRequest(address, headers={"Cookie": cookie}))
        (kernel,) = (one for one in server.kernels if kernel_id in " ".join(one.cmdline()))
        other = kernel_of((await asyncio.to_thread(server.get, "/", Cookie=cookie)).text)
        gone = f"/api/kernels/{other}"  # a visit that began later and is over: so this one is settled
        over = lambda: server.get(gone, Cookie=cookie).status == 404  # noqa: E731
        await asyncio.to_thread(eventually, over, "the other kernel ends")
        kernel.kill()
        assert await page.read_message() is None
        page.close()
        return page.close_code

    assert asyncio.run(asyncio.wait_for(die(), 60)) == 4404
    assert server.get(f"/api/kernels/{kernel_id}", Cookie=cookie).status == 404
    assert not [one for one in server.kernels if kernel_id in " ".join(one.cmdline())]
    assert "Traceback" not in server.log.read_text()


def test_pages_are_told_that_the_project_has_gone_and_that_it_is_back(project: Path, tmp_path: Path) -> None:
    with served(project, folder=tmp_path) as server:
        cookie = server.log_in()
        kernel_id = kernel_of(server.get("/", Cookie=cookie).text)
        address = f"ws://localhost:{server.port}/harness/present/{kernel_id}"

        def move(*, back: bool) -> None:
            places = (tmp_path / "elsewhere", project) if back else (project, tmp_path / "elsewhere")
            places[0].rename(places[1])

        async def hear() -> list[object]:
            page = await websocket_connect(HTTPRequest(address, headers={"Cookie": cookie}))
            move(back=False)
            gone = await page.read_message()
            late = await websocket_connect(HTTPRequest(address, headers={"Cookie": cookie}))
            heard: list[object] = [gone, await late.read_message()]
            move(back=True)
            heard += [await page.read_message(), await late.read_message()]
            for one in (page, late):
                one.close()
                assert await one.read_message() is None
            return heard

        assert asyncio.run(asyncio.wait_for(hear(), 60)) == ["gone", "gone", "back", "back"]


def test_a_page_that_knocks_is_told_by_the_status_whether_it_is_let_in(server: Server) -> None:
    before = server.log.read_text()
    assert server.get("/harness/present", Cookie=server.log_in()).status == 204
    assert server.get("/harness/present").status == 403
    assert server.get("/harness/present", Cookie="username-localhost=forged").status == 403
    assert server.log.read_text() == before


def test_files_of_voilas_templates_are_not_given_out(server: Server) -> None:
    for path in ("/voila/templates/x", "/voila/templates/lab/static/index.html", "/voila/templates/../../etc/passwd"):
        assert server.get(path).status == 404
        assert server.get(path, Cookie=server.log_in()).status == 404


def test_what_a_killed_server_left_is_swept_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "runtime"
    folder.mkdir()
    killed, living = folder / "voila_killed", folder / "voila_living"
    for one in (killed, living):
        one.mkdir()
        claim(one)
        os.utime(one, (0, 0))
    release(killed / LOCK)
    fresh = folder / "voila_fresh"
    fresh.mkdir()
    opening = folder / "open-x.html"
    opening.write_text("a token")
    os.utime(opening, (0, 0))
    sweep(folder)
    assert {one.name for one in folder.iterdir()} == {"voila_living", "voila_fresh"}
    give_up(living)
    assert {one.name for one in folder.iterdir()} == {"voila_fresh"}


def test_a_long_runtime_folder_is_not_too_long_for_the_page(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets of kernels have long names of their own."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="hnb-") as made:
        base = Path(made, "x" * (layout.LONGEST_BASE - 1 - len(made)))
        base.mkdir(mode=0o700)
        assert len(os.fsencode(base)) == layout.LONGEST_BASE
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
        with served(project, folder=tmp_path) as server:
            assert "voila.cell-output" in server.get("/", Cookie=server.log_in()).text


def test_without_a_browser_no_file_holds_the_token_and_with_one_only_for_a_moment(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, opened = tmp_path / "runtime", []
    runtime.mkdir()
    monkeypatch.setattr(command, "runtime_folder", lambda: runtime)
    with command._redirection("http://localhost:1/?token=secret") as file:
        assert file.parent == runtime
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        monkeypatch.setattr(command, "READING", 0.0)
        monkeypatch.setattr(webbrowser, "open", lambda address: opened.append((address, file.read_text())))
        command._open_browser(file)
        assert [(address, "token=secret" in text) for address, text in opened] == [(file.as_uri(), True)]
        assert not file.exists()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with served(project, folder=tmp_path) as server:
        places = [tmp_path, layout.runtime_folder()]
        found = [one for place in places for one in place.glob("*.html") if server.token in one.read_text()]
        assert found == []


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
    kernel_id = kernel_of(server.get("/", Cookie=cookie).text)

    async def speak() -> None:
        present = f"ws://localhost:{server.port}/harness/present/{kernel_id}"
        page = await websocket_connect(HTTPRequest(present, headers={"Cookie": cookie}))  # or the kernel ends soon
        address = f"ws://localhost:{server.port}/api/kernels/{kernel_id}/channels?session_id=test"
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
        page.close()

    asyncio.run(speak())
    assert not made.exists()
