"""A worker's report to a Python handler, and the answer to the waiting worker, each one way."""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from harness_nb import AsyncHarness
from tests.benchmarks.figures import Figure, median, milliseconds, project, quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKER = """
import json, sys, time
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    took = []
    for _ in range(int(sys.argv[1])):
        time.sleep(0.005)
        asked = side.report("decision_needed", {
            "phase": "1", "plan": "01-01", "decision": "Which?", "context": str(time.monotonic_ns()),
            "options": [{"id": "a", "name": "A"}],
        })
        answer = side.wait(asked.id)
        took.append(time.monotonic_ns() - int(answer.payload["rationale"]))
    print(json.dumps(took))
"""


PER_SESSION = 100
"""Questions that one session asks: more than most ever do, and the number grows what each one costs."""


async def reports_and_answers(sessions: int) -> list[Figure]:
    """Let workers ask and be answered; both clocks are the machine's own, carried in the messages."""
    reports: list[float] = []
    answers: list[float] = []
    with project() as root:
        async with AsyncHarness(root) as h:
            for _ in range(sessions):
                there, back = await talk(h, PER_SESSION)
                reports += there
                answers += back
    ping = await anyio.to_thread.run_sync(pings, len(reports))
    return [
        _figure("a worker's report to a Python handler", reports, ping),
        _figure("an answer to the waiting worker", answers, ping),
    ]


async def a_long_talk(questions: int) -> list[Figure]:
    """Let one worker ask that often, and look at the last hundred."""
    with project() as root:
        async with AsyncHarness(root) as h:
            reports, answers = await talk(h, questions)
    ping = await anyio.to_thread.run_sync(pings, 100)
    return [
        _figure(f"a report after {questions - 100} others of its session", reports[-100:], ping),
        _figure(f"an answer after {questions - 100} others of its session", answers[-100:], ping),
    ]


async def talk(h: AsyncHarness, times: int) -> tuple[list[float], list[float]]:
    """Answer one worker's questions; return how long each took to arrive here, and each answer there."""
    reports: list[float] = []
    session = await h.start_session(command=[sys.executable, "-c", WORKER, str(times)])
    while len(reports) < times:
        changed = h.host.changes.next
        pending = await h.get_pending(session.id)
        arrived = time.monotonic_ns()
        for question in pending:
            reports.append((arrived - int(question.payload["context"])) / 1e9)
            await question.answer("a", rationale=str(time.monotonic_ns()))
        if not pending:
            await changed.wait()
    await session.wait()
    return reports, [nanoseconds / 1e9 for nanoseconds in json.loads(session.output(None).text)]


def _figure(what: str, ours: Sequence[float], ping: Sequence[float]) -> Figure:
    return Figure(
        f"{what} ({len(ours)} times)",
        f"p50 {milliseconds(median(ours))}, p99 {milliseconds(quantile(ours, 0.99))}",
        f"p50 {milliseconds(median(ping))}, p99 {milliseconds(quantile(ping, 0.99))} bare datagram",
        "p50 ≤ 5 ms",
        median(ours) <= 0.005,
    )


def pings(times: int) -> list[float]:
    """Return how long so many bare datagrams take from another process to here."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    context: Any = multiprocessing.get_context("spawn")
    process = context.Process(target=_send_pings, args=(theirs, times))
    process.start()
    took = []
    for _ in range(times):
        took.append((-int(ours.recv(64)) + time.monotonic_ns()) / 1e9)
        ours.send(b"go on")
    process.join()
    ours.close()
    theirs.close()
    return took


def _send_pings(connection: socket.socket, times: int) -> None:
    for _ in range(times):
        time.sleep(0.005)
        connection.send(str(time.monotonic_ns()).encode())
        connection.recv(64)
    connection.close()
