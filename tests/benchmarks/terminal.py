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
    from pathlib import Path

LINE = b"0123456789 the quick brown fox jumps over the lazy dog, and then it all begins anew.\n"


def output_to_disk(megabytes: int, rounds: int) -> Figure:
    """Let ``cat`` print a file on a terminal, by turns through a shim and through a bare loop."""
    ours, bare = [], []
    with project() as root:
        source = root / "source.txt"
        with source.open("wb") as file:
            for _ in range(megabytes):
                file.write((LINE * (1_000_000 // len(LINE) + 1))[:1_000_000])
        layout = Layout(root)
        layout.create()
        for number in range(rounds):
            bare.append(megabytes / _bare_loop(source, root / "bare.log"))
            ours.append(megabytes / _through_a_shim(layout, source, f"s{number}"))
            assert (root / "bare.log").stat().st_size == layout.session(f"s{number}").output.stat().st_size
            layout.session(f"s{number}").output.unlink()
    share = median(ours) / median(bare)
    return Figure(
        f"{megabytes} MB of terminal output to disk (median of {rounds})",
        f"{median(ours):.0f} MB/s",
        f"{median(bare):.0f} MB/s bare PTY loop",
        f"≥ 0.8 of it: {share:.2f}",
        share >= 0.8,
    )


def _bare_loop(source: Path, log: Path) -> float:
    began = time.perf_counter()
    master, slave = os.openpty()
    with (
        subprocess.Popen(["cat", source], stdin=slave, stdout=slave, stderr=slave),
        log.open("wb", buffering=0) as file,
    ):
        os.close(slave)
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # Linux says the end of a terminal so
                break
            if not data:
                break
            file.write(data)
    os.close(master)
    return time.perf_counter() - began


def _through_a_shim(layout: Layout, source: Path, name: str) -> float:
    folder = layout.session(name)
    folder.create()
    began = time.perf_counter()
    info = launch(layout, name, Launch(("cat", os.fspath(source)), layout.root))
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
