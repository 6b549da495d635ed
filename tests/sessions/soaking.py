"""A process that follows many sessions for long, answers them by rounds, and prints what it and their shims hold.

Run as ``python -m tests.sessions.soaking PROJECT SESSIONS ROUNDS SECONDS``: at least so many rounds, and so long. After
each round every worker waits for an answer, so that what is held then is held for good.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from harness_nb.store.atomic import read_json
from tests.sessions.living import opened, questions

if TYPE_CHECKING:
    from harness_nb.harness import AsyncHarness, AsyncSession

LINES = 20
PAGE = os.sysconf("SC_PAGE_SIZE")
ASKS_BY_MESSAGE = f"""
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    number = 0
    while True:
        number += 1
        for line in range({LINES}):
            print("line", line, "of round", number, flush=True)
        side.report("progress_update", {{"taskNumber": 1, "totalTasks": 2, "message": f"round {{number}}"}})
        side.wait(side.report("action_needed", {{"action": f"Go on after round {{number}}"}}).id)
"""
ASKS_BY_FILE = f"""
import json, os, time
os.chdir(os.environ["HARNESS_SESSION_DIR"])
number = 0
while True:
    number += 1
    for line in range({LINES}):
        print("line", line, "of round", number, flush=True)
    with open("mine.json", "w") as file:
        json.dump({{"id": f"q{{number}}", "type": "action", "action": f"Go on after round {{number}}"}}, file)
    os.rename("mine.json", "checkpoint.json")
    while not os.path.exists("checkpoint_response.json"):
        time.sleep(0.05)
    os.rename("checkpoint_response.json", f"answered/q{{number}}.json")
"""


async def soak(project: Path, sessions: int, rounds: int, seconds: float) -> list[str]:
    """Return what was held after each round, each as JSON: one more object, and no more than that."""
    until = time.monotonic() + seconds
    held: list[str] = []
    async with opened(project) as h:
        with anyio.CancelScope() as scope:
            scope.shield = True  # ``opened`` limits a test's patience, and this takes as long as it is told to
            started = [await _start(h, number) for number in range(sessions)]
            while len(held) < rounds or time.monotonic() < until:
                asked = await questions(h, sessions)
                held.append(json.dumps({"answers": len(held) * sessions, **_holds(h, started)}))
                for question in asked:
                    await question.approve()
    return held


async def _start(h: AsyncHarness, number: int) -> AsyncSession:
    options = ["-c", ASKS_BY_MESSAGE] if number % 2 else ["-I", "-S", "-c", ASKS_BY_FILE]
    return await h.start_session(command=[sys.executable, *options], terminal=number % 4 < 2)


def _holds(h: AsyncHarness, sessions: list[AsyncSession]) -> dict[str, Any]:
    gc.collect()
    shims = [read_json(h.store.layout.session(one.id).shim)["pid"] for one in sessions]
    return {
        "blocks": sys.getallocatedblocks(),
        "memory": _memory(os.getpid()),
        "files": _files(os.getpid()),
        "shims": [{"memory": _memory(pid), "files": _files(pid)} for pid in shims],
    }


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


if __name__ == "__main__":
    for line in anyio.run(soak, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])):
        print(line)
