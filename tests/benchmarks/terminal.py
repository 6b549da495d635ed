"""Output of a terminal to the disk: through a shim, and by the barest loop that can do it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from harness_nb.sessions import Launch, launch
from harness_nb.store import Layout
from tests.benchmarks.figures import Figure, median, project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LINE = b"0123456789 the quick brown fox jumps over the lazy dog, and then it all begins anew.\n"


def output_to_disk(megabytes: int, rounds: int) -> list[Figure]:
    """Let ``cat`` print a file on a terminal and into a pipe, by turns through a shim and through a bare loop."""
    with project() as root:
        source = root / "source.txt"
        with source.open("wb") as file:
            for _ in range(megabytes):
                file.write((LINE * (1_000_000 // len(LINE) + 1))[:1_000_000])
        layout = Layout(root)
        layout.create()
        return [
            _compare("terminal", "PTY", 0.8, layout, source, rounds),
            _compare("pipe", "pipe", 0.5, layout, source, rounds),
        ]


def _compare(what: str, yardstick: str, goal: float, layout: Layout, source: Path, rounds: int) -> Figure:
    ours, bare = [], []
    megabytes, terminal = source.stat().st_size // 1_000_000, what == "terminal"
    bare_log = layout.root / "bare.log"
    for number in range(rounds):
        folder = layout.session(f"{what}{number}")
        bare.append(megabytes / _bare_loop(source, bare_log, terminal=terminal))
        ours.append(megabytes / through_a_shim(layout, source, folder.path.name, terminal=terminal))
        assert bare_log.stat().st_size == folder.output.stat().st_size
        folder.output.unlink()
    share = median(ours) / median(bare)
    return Figure(
        f"{megabytes} MB of {what} output to disk (median of {rounds})",
        f"{median(ours):.0f} MB/s",
        f"{median(bare):.0f} MB/s bare {yardstick} loop",
        f"≥ {goal} of it: {share:.2f}",
        share >= goal,
    )


def _bare_loop(source: Path, log: Path, *, terminal: bool) -> float:
    began = time.perf_counter()
    reads, theirs = os.openpty() if terminal else os.pipe()
    with (
        subprocess.Popen(["cat", source], stdin=theirs, stdout=theirs, stderr=theirs),
        log.open("wb", buffering=0) as file,
    ):
        os.close(theirs)
        while True:
            try:
                data = os.read(reads, 65536)
            except OSError:  # Linux says the end of a terminal so
                break
            if not data:
                break
            file.write(data)
    os.close(reads)
    return time.perf_counter() - began


def through_a_shim(
    layout: Layout, source: Path, name: str, *, terminal: bool, credentials: Mapping[str, str] | None = None
) -> float:
    """Return the seconds until all that ``cat`` prints is in a session's log."""
    folder = layout.session(name)
    folder.create()
    began = time.perf_counter()
    order = Launch(("cat", os.fspath(source)), layout.root, credentials=credentials or {}, terminal=terminal)
    info = launch(layout, name, order)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(info["socket"])
            connection.sendall(b'{"do": "watch"}\n')
            while connection.recv(65536):
                pass
    except (ConnectionError, FileNotFoundError):  # it has ended already
        pass
    while not folder.exit.exists():
        time.sleep(0.001)
    return time.perf_counter() - began


if __name__ == "__main__":
    for figure in output_to_disk(100, 3):
        print(figure)
