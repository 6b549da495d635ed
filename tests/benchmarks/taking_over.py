"""Runs that a process of their own does: until the handle is there, and until another process goes on with one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio

from harness_nb import AsyncHarness, Plan, RunBlock, Task
from harness_nb.store.locks import note_of
from tests.benchmarks.figures import Figure, median, milliseconds, project

if TYPE_CHECKING:
    from harness_nb.harness import AsyncRun

LIMIT = 60.0


async def runs_of_their_own(times: int) -> list[Figure]:
    """Time ``run()``, and the time from the death of a run's process until another one does the run."""
    handles, takeovers, bare = [], [], []
    plan = Plan(id="01-01", tasks=(Task(name="wait", runs=(RunBlock(lang="sh", code="sleep 600"),)),))
    with project() as root:
        async with AsyncHarness(root, trust=True) as h:
            for _ in range(times):
                began = time.perf_counter()
                run = await h.run(plans=[plan], detach=True)
                handles.append(time.perf_counter() - began)
                await _done_by(run, 1)
                began = time.perf_counter()
                os.kill(note_of(h.store.layout.lease)["pid"], signal.SIGKILL)
                await _done_by(run, 2)
                takeovers.append(time.perf_counter() - began)
                await run.stop()
                bare.append(await anyio.to_thread.run_sync(_import))
    return [
        Figure(
            f"run() until its handle is there (median of {times})",
            milliseconds(median(handles)),
            f"{milliseconds(median(bare))} a Python that imports the harness",
            "at once: < 500 ms",
            median(handles) < 0.5,
        ),
        Figure(
            f"from the kill of a run's process to another one at it (slowest of {times})",
            milliseconds(max(takeovers)),
            f"{milliseconds(median(bare))} a Python that imports the harness",
            "≤ 2 s",
            max(takeovers) <= 2.0,
        ),
    ]


async def _done_by(run: AsyncRun, generation: int) -> None:
    with anyio.fail_after(LIMIT):
        while True:
            changed = run.changes.next
            if run.record.generation >= generation:
                return
            await changed.wait()


def _import() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import harness_nb.harness"], check=True)
    return time.perf_counter() - began
