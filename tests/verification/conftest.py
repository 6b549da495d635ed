"""A project folder, an engine on it, and a real HTTP server on loopback."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness_nb.protocol.report import CheckResult
from harness_nb.verification import VerificationEngine

Verify = Callable[..., Awaitable[CheckResult]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def verify(project: Path) -> Verify:
    """Return a function that runs one check in the project and gives its result."""

    async def run(check_type: str, /, *, engine: dict[str, Any] | None = None, **fields: Any) -> CheckResult:
        report = await VerificationEngine(project, **(engine or {})).verify(
            [{"id": "it", "type": check_type, **fields}]
        )
        assert report.passed == report.results[0].passed
        return report.results[0]

    return run


class _Api(BaseHTTPRequestHandler):
    """A small API: tasks that are kept in the server, a page, a redirect, and an answer that never comes."""

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/tasks":
            self._answer(200, {"tasks": self.server.tasks, "count": len(self.server.tasks)})  # type: ignore[attr-defined]
        elif self.path == "/text":
            self._answer(200, b"hello\nworld 42\n", "text/plain; charset=utf-8")
        elif self.path == "/moved":
            self.send_response(301)
            self.send_header("Location", "/text")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/slow":
            self.server.released.wait(60)  # type: ignore[attr-defined]
            self._answer(200, b"late", "text/plain")
        elif self.path == "/headers":
            self._answer(200, dict(self.headers.items()))
        else:
            self._answer(404, {"error": "not found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/echo":
            self._answer(200, {"type": self.headers.get("Content-Type"), "body": body.decode()})
            return
        self.server.tasks.append(json.loads(body)["title"])  # type: ignore[attr-defined]
        self._answer(201, {"id": len(self.server.tasks)})  # type: ignore[attr-defined]

    def _answer(self, status: int, body: object, kind: str = "application/json; charset=utf-8") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def api() -> Iterator[str]:
    """Serve the API and return its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    server.tasks = []  # type: ignore[attr-defined]
    server.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait for something that announces itself in no other way."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
