"""Real workers under real shims for tests: started, watched until something is true, and ended for certain."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb.sessions import Launch, ask_shim, launch
from harness_nb.shim.tree import groups_of_session
from harness_nb.store.locks import is_held

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness_nb.store import Layout, SessionFolder

PATIENCE = 30.0
"""Seconds after which a test gives up; it says nothing of how long anything should take."""


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Look until a condition holds, and return its value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.005)
    return value


def alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_shim(folder: SessionFolder) -> dict[str, Any]:
    """End a session's shim as ``kill -9`` does, and return what it wrote of itself."""
    info: dict[str, Any] = json.loads(folder.shim.read_text())
    os.kill(info["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_held(folder.lock):  # the system lets go of it a little later
        assert time.monotonic() < deadline, "the shim lives on"
        time.sleep(0.005)
    return info


def kill_session(leader: int) -> None:
    """End whatever is left of a worker's processes."""
    for group in groups_of_session(leader):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


class Worker:
    """A worker under its shim."""

    def __init__(self, folder: SessionFolder, info: dict[str, Any]) -> None:
        self.folder = folder
        self.shim: int = info["pid"]
        self.pid: int = info["workerPid"]
        self.socket: str = info["socket"]

    def ask(self, **order: Any) -> dict[str, Any]:
        return ask_shim(self.folder, **order)

    @property
    def output(self) -> bytes:
        return self.folder.output.read_bytes()

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace").replace("\r\n", "\n")

    def prints(self, text: str) -> None:
        eventually(lambda: text in self.text, f"{text!r} in the output {self.text[-500:]!r}")

    def ends(self) -> dict[str, Any]:
        """Wait for the end that the shim writes down, and for the shim's own."""
        eventually(self.folder.exit.exists, "exit.json")
        eventually(lambda: not alive(self.shim), "the shim's end")
        ended: dict[str, Any] = json.loads(self.folder.exit.read_text())
        return ended

    def clear(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if alive(self.shim):
                os.kill(self.shim, signal.SIGKILL)
        kill_session(self.pid)


class Workers:
    """Starts workers in one project, and ends them all."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.started: list[Worker] = []
        self._numbers = itertools.count(1)

    def start(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        prepare: Callable[[SessionFolder], object] | None = None,
        limit: int | None = None,
        terminal: bool = True,
    ) -> Worker:
        name = f"s{next(self._numbers)}"
        folder = self.layout.session(name)
        folder.create()
        if prepare is not None:
            prepare(folder)
        order = Launch(argv, self.layout.root, env or {}, credentials or {}, limit=limit, terminal=terminal)
        info = launch(self.layout, name, order)
        worker = Worker(folder, info)
        self.started.append(worker)
        return worker

    def sh(self, script: str, *argv: str, **named: Any) -> Worker:
        return self.start("sh", "-c", script, *argv, **named)

    def python(self, script: str, *argv: str, **named: Any) -> Worker:
        return self.start(sys.executable, "-I", "-S", "-c", script, *argv, **named)

    def clear(self) -> None:
        for worker in self.started:
            worker.clear()
