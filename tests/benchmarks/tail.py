"""The end of a long log: how soon it is there, and how much memory that takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from harness_nb import Harness
from harness_nb.sessions.output import LIMIT
from tests.benchmarks.figures import Figure, median, milliseconds, project, quantile

if TYPE_CHECKING:
    from pathlib import Path

LINE = b"0123456789 the quick brown fox jumps over the lazy dog, and then it all begins anew.\n"
LONG = b"x" * 99_999 + b"\n"
BLOCK = 10_000_000
READER = """
import json, re, sys, time
from pathlib import Path
from harness_nb import Harness
def memory(name):
    return 1024 * int(re.search(rf"{name}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
with Harness(sys.argv[1]) as h:
    h.get_output(sys.argv[2])
    Path("/proc/self/clear_refs").write_text("5")  # its peak is what it has now
    before = memory("VmRSS")
    took = []
    for _ in range(int(sys.argv[4])):
        began = time.perf_counter()
        h.get_output(sys.argv[3], lines=100)
        took.append(time.perf_counter() - began)
    print(json.dumps([took, memory("VmHWM") - before]))
"""
"""A process of its own, whose peak of memory is nobody else's."""


def end_of_a_long_log(megabytes: int, times: int) -> list[Figure]:
    """Read the last hundred lines of three logs: of short lines, of long ones, and of one line without an end."""
    figures = []
    for kind, line in (("85 bytes", LINE), ("100 kB", LONG), ("no end at all", LONG[:1])):
        with project() as root:
            with Harness(root) as h:
                small, large = _session(h, LINE, 0), _session(h, line, megabytes)
                log = h._twin.store.layout.session(large).output
            took, more = _read(root, small, large, times)
            bare = _bare(log, times)
        figures.append(
            Figure(
                f"get_output(lines=100) of a log of {megabytes:,} MB, lines of {kind} ({times} times)",
                f"p50 {milliseconds(median(took))}, p99 {milliseconds(quantile(took, 0.99))}, {more / 1e6:.1f} MB more",
                f"{milliseconds(median(bare))} bare read of the same last bytes and decoding them",
                "≤ 5 ms, ≤ 5 MB",
                median(took) <= 0.005 and more <= 5e6,
            )
        )
    return figures


def _read(root: Path, small: str, large: str, times: int) -> tuple[list[float], int]:
    command = (sys.executable, "-c", READER, os.fspath(root), small, large, str(times))
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    took, more = json.loads(printed)
    return took, more


def _bare(log: Path, times: int) -> list[float]:
    with log.open("rb") as file:
        size = 100 * len(LINE) if file.read(1) == LINE[:1] else LIMIT
    took = []
    for _ in range(times):
        began = time.perf_counter()
        with log.open("rb") as file:
            file.seek(-size, os.SEEK_END)
            file.read().decode()
        took.append(time.perf_counter() - began)
    return took


def _session(h: Harness, line: bytes, megabytes: int) -> str:
    """Let a session end, and give it a log that long."""
    session = h.start_session(command=["true"])
    session.wait()
    path = h._twin.store.layout.session(session.id).output
    block = (line * (BLOCK // len(line) + 1))[:BLOCK]
    with path.open("wb") as file:
        for _ in range(megabytes * 1_000_000 // BLOCK):
            file.write(block)
    return session.id


if __name__ == "__main__":
    for figure in end_of_a_long_log(1000, 200):
        print(figure)
