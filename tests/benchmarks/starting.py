"""From asking for a session to its first output, and from asking Python for the harness to having it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from harness_nb import AsyncHarness
from tests.benchmarks.figures import Figure, median, milliseconds, project

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = ("sh", "-c", "echo ready; read line")


async def start_of_a_session(times: int) -> Figure:
    """Time ``start_session`` until the harness itself knows of the first output."""
    ours, bare = [], []
    with project() as root:
        async with AsyncHarness(root) as h:
            for _ in range(times):
                bare.append(_bare_start())
                began = time.perf_counter()
                session = await h.start_session(command=COMMAND)
                while True:
                    news = h.host.output.next
                    if h.host.output_sizes.get(session.id):
                        break
                    await news.wait()
                ours.append(time.perf_counter() - began)
                await session.send("\n")
                await session.wait()
    more = median(ours) - median(bare)
    return Figure(
        f"start of a session to its first output (median of {times})",
        milliseconds(median(ours)),
        f"{milliseconds(median(bare))} bare subprocess",
        f"< 60 ms more: {milliseconds(more)}",
        more < 0.060,
    )


def _bare_start() -> float:
    began = time.perf_counter()
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - began


def import_of_the_harness(times: int) -> Figure:
    """Time a fresh interpreter that imports the harness, with bytecode in place."""
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        _python("from harness_nb import Harness", environment)  # puts the bytecode in place
        for _ in range(times):
            ours.append(_python("from harness_nb import Harness", environment))
            bare.append(_python("pass", environment))
    more = median(ours) - median(bare)
    return Figure(
        f"from harness_nb import Harness (median of {times})",
        milliseconds(median(ours)),
        f"{milliseconds(median(bare))} python -c pass",
        f"≤ 300 ms more: {milliseconds(more)}",
        more <= 0.300,
    )


def _python(code: str, environment: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run((sys.executable, "-c", code), env=environment, check=True)
    return time.perf_counter() - began
