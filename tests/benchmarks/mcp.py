"""What the MCP servers add: a worker's report on its way to a notebook, an answer on its way back, and waiting."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from mcp import Client, StdioServerParameters

from harness_nb import AsyncHarness
from tests.benchmarks.figures import Figure, cpu_of, median, milliseconds, project, quantile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

OURS = ("-m", "harness_nb.cli", "mcp")
ECHO = """
from mcp.server import MCPServer
server = MCPServer("echo")
@server.tool()
def echo(text: str) -> str:
    return text
server.run("stdio")
"""
QUESTION = """{
    "phase": "1", "plan": "01-01", "decision": "Which?", "context": str(time.monotonic_ns()),
    "options": [{"id": "a", "name": "A"}],
}"""
AGENT = f"""
import anyio, json, os, sys, time
from mcp import Client, StdioServerParameters
server = StdioServerParameters(command=sys.executable, args={[*OURS, "--worker"]!r}, env=dict(os.environ))
async def main():
    took = []
    async with Client(server) as client:
        for _ in range(int(sys.argv[1])):
            await anyio.sleep(0.005)
            arguments = {{"messageType": "decision_needed", "payload": {QUESTION}}}
            asked = await client.call_tool("harness_worker_report", arguments)
            wait = {{"messageId": asked.structured_content["id"]}}
            answer = await client.call_tool("harness_worker_await", wait)
            took.append(time.monotonic_ns() - int(answer.structured_content["payload"]["rationale"]))
    print(json.dumps(took))
anyio.run(main)
"""
SCRIPT = f"""
import contextlib, io, json, sys, time
from harness_nb.cli.worker import report
from harness_nb.sessions.worker_side import WorkerSide
took = []
for _ in range(int(sys.argv[1])):
    time.sleep(0.005)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        report("decision_needed", None, {QUESTION.replace("[{", "'[{").replace("}]", "}]'")})
    with WorkerSide() as side:
        answer = side.wait(printed.getvalue().strip())
    took.append(time.monotonic_ns() - int(answer.payload["rationale"]))
print(json.dumps(took))
"""
"""What ``harness-nb worker report`` does once its interpreter is up."""


async def through_mcp(times: int, seconds: float) -> list[Figure]:
    """Let an agent and a script ask and be answered, in the notebook's process and by ``harness_respond``."""
    with project() as root:
        async with AsyncHarness(root) as h:
            scripts, _ = await _talk(h, SCRIPT, times)
            reports, _ = await _talk(h, AGENT, times)
            async with client(*OURS, "--project", os.fspath(root)) as orchestrator:
                _, answers = await _talk(h, AGENT, times, orchestrator)
    async with client("-c", ECHO) as echo:
        bare = await _echoes(echo, times)
    return [
        _figure("a worker's report to a Python handler, through MCP", reports, bare, 15),
        _figure("a report to a Python handler, by `harness-nb worker report`", scripts, bare, 5),
        _figure("harness_respond to a waiting harness_worker_await", answers, bare, 10),
        await _hundred_waits(seconds),
    ]


async def _talk(
    h: AsyncHarness, worker: str, times: int, orchestrator: Client | None = None
) -> tuple[list[float], list[float]]:
    """Answer a worker's questions; return how long each took to arrive here, and each answer there."""
    reports: list[float] = []
    session = await h.start_session(command=[sys.executable, "-c", worker, str(times)])
    while len(reports) < times:
        changed = h.host.changes.next
        pending = await h.get_pending(session.id)
        arrived = time.monotonic_ns()
        for question in pending:
            reports.append((arrived - int(question.payload["context"])) / 1e9)
            if orchestrator is None:
                await question.answer("a", rationale=str(time.monotonic_ns()))
            else:
                await anyio.sleep(0.01)  # until the worker waits for it
                await _respond(orchestrator, session.id, question.id)
        if not pending:
            if session.record.state == "failed":
                raise RuntimeError(session.output().text)
            await changed.wait()
    await session.wait()
    return reports, [nanoseconds / 1e9 for nanoseconds in json.loads(session.output(None).text)]


async def _respond(orchestrator: Client, session_id: str, question_id: str) -> None:
    result = await orchestrator.call_tool(
        "harness_respond",
        {
            "type": "decision_made", "sessionId": session_id, "inResponseTo": question_id,
            "payload": {"selectedOptionId": "a", "rationale": str(time.monotonic_ns())},
        },
    )  # fmt: skip
    if result.is_error:
        raise RuntimeError(str(result.content))


async def _echoes(client: Client, times: int) -> list[float]:
    took = []
    for _ in range(times):
        await anyio.sleep(0.005)
        began = time.perf_counter()
        await client.call_tool("echo", {"text": "hello"})
        took.append(time.perf_counter() - began)
    return took


async def _hundred_waits(seconds: float) -> Figure:
    """Let a hundred calls wait in one server while a session runs, and look at that server's processor time."""
    with project() as root:
        async with AsyncHarness(root) as h, client(*OURS, "--project", os.fspath(root)) as tools:
            session = await h.start_session(command=["sleep", "600"])
            [server] = [child for child in _children(os.getpid()) if "harness_nb.cli" in _command(child)]
            await anyio.sleep(1)
            idle = await _cpu_over(server, seconds)
            waits = [asyncio.create_task(_wait(tools)) for _ in range(100)]
            await anyio.sleep(2)  # until all of them have come and are at rest
            spent = await _cpu_over(server, seconds)
            if any(one.done() for one in waits):
                raise RuntimeError("waits ended although nothing had happened")
            await session.stop()  # which ends all of them
            await asyncio.gather(*waits)
    return Figure(
        "a server with a hundred harness_wait_for_state pending",
        f"{spent:.2%} of a core",
        f"{idle:.2%} with none",
        "≤ 1 %",
        spent <= 0.01,
    )


async def _wait(tools: Client) -> None:
    """Wait as agents do, who ask to be told that the call goes on."""

    async def goes_on(progress: float, total: float | None, message: str | None) -> None:
        pass

    await tools.call_tool("harness_wait_for_state", {"timeoutMs": 600_000}, progress_callback=goes_on)


async def _cpu_over(pid: int, seconds: float) -> float:
    before = cpu_of(pid)
    await anyio.sleep(seconds)
    return (cpu_of(pid) - before) / seconds


def _children(pid: int) -> list[int]:
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


@asynccontextmanager
async def client(*arguments: str) -> AsyncIterator[Client]:
    """Start a server with this Python and these arguments, and talk to it."""
    server = StdioServerParameters(command=sys.executable, args=list(arguments), env=dict(os.environ))
    async with Client(server) as client:
        yield client


def _figure(what: str, ours: Sequence[float], bare: Sequence[float], goal: int) -> Figure:
    return Figure(
        f"{what} ({len(ours)} times)",
        f"p50 {milliseconds(median(ours))}, p99 {milliseconds(quantile(ours, 0.99))}",
        f"p50 {milliseconds(median(bare))} bare MCP echo call",
        f"p50 ≤ {goal} ms",
        median(ours) <= goal / 1000,
    )


def _print(figures: Sequence[Any]) -> None:
    for one in figures:
        print(one)


if __name__ == "__main__":
    _print(anyio.run(through_mcp, 100, 5.0))
