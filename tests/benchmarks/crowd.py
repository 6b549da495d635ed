"""Many sessions at once: what each shim weighs, what following them costs, and how messages fare among them."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb import AsyncHarness
from harness_nb.store.atomic import read_json
from tests.benchmarks.figures import Figure, cpu_of, median, milliseconds, project, quantile
from tests.benchmarks.talking import pings, talk

if TYPE_CHECKING:
    from harness_nb.harness import AsyncSession

IDLE_GOAL = 0.02
SHIM_GOAL = 16e6
PRINTER = """
import sys, time
moment = time.monotonic()
while True:
    print("a line of what such programs print now and then", flush=True)
    moment += 1 / float(sys.argv[1])
    time.sleep(max(0, moment - time.monotonic()))
"""
BARE_SHIM = "import json, socket, select, signal, time; select.select([], [], [], 600)"


async def idle_sessions(count: int, seconds: float) -> list[Figure]:
    """Let that many sessions do nothing, and weigh their shims and this process's work for them."""
    with project() as root:
        async with AsyncHarness(root) as h:
            sessions = [await h.start_session(command=["sleep", "6000"]) for _ in range(count)]
            await anyio.sleep(2)
            pids = [read_json(h.store.layout.session(one.id).shim)["pid"] for one in sessions]
            before, shims = time.process_time(), sum(map(cpu_of, pids))
            await anyio.sleep(seconds)
            ours = (time.process_time() - before) / seconds
            theirs = (sum(map(cpu_of, pids)) - shims) / seconds
            weights = [_memory(pid) for pid in pids]
            bare = await _bare_weight()
            await _end(sessions)
    resident, share = [max(one[index] for one in weights) for index in (0, 1)]
    return [
        Figure(
            f"a shim's memory, of {count} at once (the largest)",
            f"{resident / 1e6:.1f} MB resident, {share / 1e6:.1f} MB of its own share",
            f"{bare / 1e6:.1f} MB resident, bare Python with the same modules",
            "≤ 16 MB resident",
            resident <= SHIM_GOAL,
        ),
        Figure(
            f"following {count} idle sessions",
            f"{ours:.2%} of a core, all their shims {theirs:.2%}",
            "0 % time.sleep",
            "≤ 2 %",
            ours <= IDLE_GOAL,
        ),
    ]


def _memory(pid: int) -> tuple[int, int]:
    """Return what is resident of a process, and its share where what others also use is divided among them."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    resident, share = (1024 * int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[1]) for name in ("Rss", "Pss"))  # type: ignore[index]
    return resident, share


async def _bare_weight() -> int:
    async with await anyio.open_process([sys.executable, "-I", "-S", "-c", BARE_SHIM], stdin=None, stdout=None) as bare:
        await anyio.sleep(0.5)
        weight = _memory(bare.pid)[0]
        bare.kill()
    return weight


async def messages_among_printers(count: int, lines: int, questions: int) -> list[Figure]:
    """Let many sessions print while one more asks and is answered, and bare datagrams go the same way after it."""
    with project() as root:
        async with AsyncHarness(root) as h:
            command = [sys.executable, "-I", "-S", "-c", PRINTER, str(lines)]
            printers = [await h.start_session(command=command) for _ in range(count)]
            await anyio.sleep(1)
            reports, answers = await talk(h, questions)
            bare = await anyio.to_thread.run_sync(pings, questions)
            await _end(printers)
    there = f"among {count} sessions printing {lines} lines a second ({questions} times)"
    return [_figure(f"{what} {there}", ours, bare) for what, ours in (("a report", reports), ("an answer", answers))]


def _figure(what: str, ours: list[float], bare: list[float]) -> Figure:
    return Figure(
        what,
        f"p50 {milliseconds(median(ours))}, p99 {milliseconds(quantile(ours, 0.99))}",
        f"p50 {milliseconds(median(bare))}, p99 {milliseconds(quantile(bare, 0.99))} bare datagram, among them too",
        "p50 ≤ 5 ms, p99 ≤ 50 ms",
        median(ours) <= 0.005 and quantile(ours, 0.99) <= 0.05,
    )


async def _end(sessions: list[AsyncSession]) -> None:
    for session in sessions:
        await session.stop(grace=0)


async def _both() -> None:
    for figure in [*await idle_sessions(200, 10), *await messages_among_printers(50, 20, 200)]:
        print(figure)


if __name__ == "__main__":
    anyio.run(_both)
