"""What a second of waiting costs, in processor time of the process that waits."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import anyio

from harness_nb import AsyncHarness, Plan, RunBlock, Task
from harness_nb.store.atomic import read_json
from tests.benchmarks.figures import Figure, cpu_of, milliseconds, project

if TYPE_CHECKING:
    from collections.abc import Awaitable

GOAL = 0.005

ASKING_WORKER = """
import os, sys, time
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    asked = side.report("action_needed", {"phase": "1", "plan": "p", "action": "a", "instructions": "", "reason": ""})
    before = time.process_time()
    side.wait(asked.id)
    print(time.process_time() - before)
"""


async def waits(seconds: float) -> list[Figure]:
    """Wait in every way there is, with a session running, and one more at the end with an open question."""
    bare = _sleep(seconds)
    figures = []

    def add(what: str, spent: float, waited: float = seconds) -> None:
        share = spent / waited
        yardstick = f"{milliseconds(bare)} time.sleep"
        figures.append(Figure(what, f"{milliseconds(share)} CPU per s", yardstick, "≤ 5 ms", share <= GOAL))

    with project() as root:
        async with AsyncHarness(root) as h:
            session = await h.start_session(command=["sleep", "600"])
            shim = read_json(h.store.layout.session(session.id).shim)["pid"]
            spent = cpu_of(shim)
            add("waiting: wait_for_state(), one session running", await _cost(h.wait_for_state(timeout=seconds)))
            add("waiting: session.wait()", await _cost(session.wait(timeout=seconds)))
            add("waiting: the shim of an idle session", cpu_of(shim) - spent, 2 * seconds)
            await session.stop()
    with project() as root:
        async with AsyncHarness(root) as h:
            asks = await h.start_session(command=[sys.executable, "-c", ASKING_WORKER])
            await h.wait_for_state(states=["checkpoint"])
            began = time.perf_counter()
            add("waiting: a question is open", await _cost(h.wait_for_state(timeout=seconds)))
            [question] = await h.get_pending()
            waited = time.perf_counter() - began
            await question.approve()
            await asks.wait()
            add("waiting: the worker that asked it", float(asks.output().text), waited)
    with project() as root:
        async with AsyncHarness(root, trust=True) as h:
            task = Task(name="sleep", runs=[RunBlock(lang="sh", code="echo asleep; sleep 600")])
            run = await h.run(plans=[Plan(id="01-01", tasks=[task])])
            await h.wait_for_state(states=["running"])
            while not any("asleep" in one.output() for one in await h.list_sessions()):
                await h.host.output.next.wait()
            add("waiting: run.wait()", await _cost(run.wait(timeout=seconds)))
            await run.stop()
    return figures


async def _cost(waiting: Awaitable[object]) -> float:
    await anyio.sleep(0.5)  # what led here has come to rest
    before = time.process_time()
    try:
        await waiting
    except TimeoutError:
        return time.process_time() - before
    raise RuntimeError("something happened although nothing should have")


def _sleep(seconds: float) -> float:
    before = time.process_time()
    time.sleep(seconds)
    return (time.process_time() - before) / seconds
