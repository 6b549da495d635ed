"""Many sessions for long: neither who follows them nor their shims hold more for all that was said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
BLOCKS = 3
"""Objects of Python that an answer may leave behind on average; a record kept alive would be dozens."""
FEW = 1000
"""Objects that come and go whatever is done: caches, and what was not collected yet."""
BYTES = 500
"""What an answer may leave in memory on average, once the first third is over."""
ROOM = 4 << 20
"""Bytes that an allocator may take or give back at any moment."""
FILES = 3
"""Descriptors that may be open for a moment: somebody just asks a shim something."""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
@pytest.mark.parametrize(
    ("sessions", "rounds", "seconds"),
    [
        pytest.param(6, 30, 0, id="slice"),
        pytest.param(50, 60, 600, id="ten minutes", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_memory_and_file_descriptors_stay_flat_however_much_is_said(
    project: Path, sessions: int, rounds: int, seconds: int
) -> None:
    command = (sys.executable, "-m", "tests.sessions.soaking", str(project), str(sessions), str(rounds), str(seconds))
    printed = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, check=True).stdout
    held = [json.loads(line) for line in printed.splitlines()]
    warm, end = held[len(held) // 3], held[-1]
    answers = end["answers"] - warm["answers"]
    assert answers >= sessions * rounds // 2
    assert end["blocks"] - warm["blocks"] <= BLOCKS * answers + FEW
    assert end["memory"] - warm["memory"] <= BYTES * answers + ROOM
    assert abs(end["files"] - warm["files"]) <= FILES
    for before, after in zip(warm["shims"], end["shims"], strict=True):
        assert after["memory"] - before["memory"] <= ROOM // 4
        assert abs(after["files"] - before["files"]) <= FILES
