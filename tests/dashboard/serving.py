"""Real page servers in processes of their own, and raw requests to them."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from harness_nb.store.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STARTING = 60
ENDING = 20
GRACE = "10"
"""Seconds that a page of these tests may be away."""
COMMAND = [sys.executable, "-m", "harness_nb.cli", "dashboard"]
SAID = re.compile(r"http://localhost:(\d+)/")


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Server:
    """A page server: its process, project, port, token and what it printed."""

    process: subprocess.Popen[bytes]
    project: Path
    port: int
    token: str
    log: Path

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"http://localhost:{self.port}/"

    @property
    def opening(self) -> str:
        """The address that opens it."""
        return f"{self.url}?token={self.token}"

    @property
    def kernels(self) -> list[psutil.Process]:
        """The kernels that it has started and that live."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in family if _is_kernel(one)]

    def get(self, path: str = "/", *, method: str = "GET", host: str | None = None, **headers: str) -> Response:
        """Send a request with these headers, where underscores are dashes; the Host header is our own unless given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STARTING)
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": host or f"localhost:{self.port}", **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        found = Response(answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace"))
        connection.close()
        return found

    def log_in(self) -> str:
        """Open the page with the token and return the cookie that it gives for it."""
        return self.get(f"/?token={self.token}").headers["Set-Cookie"].partition(";")[0]


@contextmanager
def served(project: Path, *options: str, port: int = 0, folder: Path) -> Iterator[Server]:
    """Serve a project's page; ``folder`` is where its output goes."""
    server = start(project, *options, port=port, folder=folder)
    try:
        yield server
    finally:
        stop(server)


def start(project: Path, *options: str, port: int = 0, folder: Path) -> Server:
    """Start a server, and return once it has said where it listens.

    Raises:
        AssertionError: it ended, or said nothing in time.
    """
    log = folder / f"dashboard-{time.monotonic_ns()}.log"
    environment = {name: value for name, value in os.environ.items() if name != "HARNESS_UNATTENDED"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "--project", str(project), "--port", str(port), "--no-browser", "--grace", GRACE, *options],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + STARTING
    while not (said := SAID.search(log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the server did not begin: {log.read_text()}")
        time.sleep(0.02)
    token = Layout(project).door_token("dashboard")
    return Server(process, project, int(said[1]), token.read_text().strip() if token.exists() else "", log)


def stop(server: Server, number: int = signal.SIGTERM) -> int:
    """End a server and return its exit status.

    Raises:
        AssertionError: something of it had to be killed.
    """
    if server.process.poll() is not None:
        return server.process.returncode
    kernels = server.kernels
    server.process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(ENDING)
    _, alive = psutil.wait_procs(kernels, timeout=ENDING)
    stubborn = [*alive, *([psutil.Process(server.process.pid)] if server.process.poll() is None else [])]
    for one in stubborn:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    status = server.process.wait(ENDING)
    assert not stubborn, f"these had to be killed: {stubborn}\n{server.log.read_text()}"
    return status


def _is_kernel(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return "ipykernel_launcher" in " ".join(process.cmdline())
    return False
