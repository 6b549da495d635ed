"""An orchestrator that has nothing but the ten tools: what an agent would do with them, written down as a script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp import Client, StdioServerParameters

from harness_nb.errors import ShimFailedError
from harness_nb.sessions import ask_shim
from harness_nb.store import Layout, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    Asked = Mapping[str, Any]

OURS = (sys.executable, "-m", "harness_nb.cli")
PATIENCE_MS = 60_000
"""Milliseconds after which a script gives up; it says nothing of how long anything should take."""


class ToolError(Exception):
    """What a tool said instead of a result."""


class Tools:
    """A server's tools, called by their names; what they return is their structured result."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, tool: str, /, **arguments: Any) -> Any:
        result = await self.client.call_tool(tool, arguments)
        if result.is_error:
            raise ToolError("\n".join(getattr(part, "text", "") for part in result.content))
        return result.structured_content

    async def start_session(self, **arguments: Any) -> str:
        """Start a session and return its id."""
        started = await self("harness_start_session", workingDir=".", **arguments)
        return str(started["sessionId"])

    async def wait_for_state(self, **arguments: Any) -> Any:
        return await self("harness_wait_for_state", **{"timeoutMs": PATIENCE_MS, **arguments})

    async def pending(self, *types: str, **arguments: Any) -> list[dict[str, Any]]:
        more = {"messageTypes": list(types)} if types else {}
        return list((await self("harness_get_pending", **more, **arguments))["questions"])

    async def respond(self, message: str, session_id: str, payload: Asked, **more: Any) -> Any:
        return await self("harness_respond", type=message, sessionId=session_id, payload=dict(payload), **more)

    async def answer(self, question: Asked, **payload: Any) -> Any:
        """Answer a question as it says that it is to be answered; ``payload`` is what was left to fill in."""
        how = question["respondWith"]
        return await self("harness_respond", **{**how, "payload": {**how["payload"], **payload}})

    async def state(self) -> Any:
        return await self("harness_get_state")

    async def question(self, kind: str) -> dict[str, Any]:
        """Wait until somebody asks a question of this kind, and return it."""
        cursor = (await self.wait_for_state(timeoutMs=0))["cursor"]
        while not (found := await self.pending(kind)):
            change = await self.wait_for_state(cursor=cursor)
            assert change["sessions"], f"nobody asked a {kind}"
            cursor = change["cursor"]
        return found[0]

    async def ended(self, session_id: str) -> dict[str, Any]:
        """Wait for a session's end, and return how it went."""
        change = await self.wait_for_state(sessionIds=[session_id], states=["completed", "failed"])
        assert change["sessions"], f"{session_id} does not end"
        return dict(change["sessions"][0])

    async def judged(self, session_id: str) -> dict[str, Any]:
        """Wait until a session's plan has its verdict, and return the session."""
        cursor = 0
        while True:
            change = await self.wait_for_state(sessionIds=[session_id], cursor=cursor)
            assert change["sessions"], f"{session_id} gets no verdict"
            if change["sessions"][0].get("verdict"):
                return dict(change["sessions"][0])
            cursor = change["cursor"]


@asynccontextmanager
async def tools_of(project: Path, **environment: str) -> AsyncIterator[Tools]:
    """Start the server of a project on stdio, as a client's configuration says, and talk to it."""
    command = StdioServerParameters(
        command=OURS[0], args=[*OURS[1:], "mcp", "--project", os.fspath(project)], env={**os.environ, **environment}
    )
    async with Client(command) as client:
        yield Tools(client)


@contextmanager
def served_on_port(project: Path) -> Iterator[tuple[str, str]]:
    """Start the server of a project on a port, and give its address and its token."""
    command = [*OURS, "mcp", "--project", os.fspath(project), "--http", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://\S+/mcp", said)
            assert found, said
            yield found[0], Layout(project).door_token("mcp").read_text().strip()
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_MS / 1000)
    assert process.returncode == 0


def end_everything(project: Path) -> None:
    """End every session of a project that still lives."""
    if not (project / ".orchestration").is_dir():
        return
    with closing(Store(project)) as store:
        for session in store.sessions.select(live=True):
            with suppress(ShimFailedError):
                ask_shim(store.layout.session(session.id), do="stop", by="test", grace=1.0)


def yes(question: Asked) -> dict[str, Any]:
    """Say yes to whatever is asked: the recommended option, verified, done, and credentials by reference."""
    match question["type"]:
        case "verification_needed":
            return {"verified": True, "feedback": "as it should be"}
        case "decision_needed":
            options = question["payload"]["options"]
            chosen = next((one for one in options if one.get("recommended")), options[0])
            return {"selectedOptionId": chosen["id"], "rationale": "the recommended one"}
        case "action_needed":
            return {"completedBy": "orchestrator", "notes": "told everybody"}
    return {"found": True}


@dataclass
class Orchestrator:
    """Does a project's plans: starts what may start, answers what is asked, and is woken by what changes.

    ``command`` is the worker that every plan is given to; without one the server chooses it.
    """

    tools: Tools
    command: Sequence[str] | None = None
    answer: Callable[[Asked], dict[str, Any]] = yes
    most: int = 2
    started: list[str] = field(default_factory=list)
    """The plans in the order in which they were started."""
    beside: set[frozenset[str]] = field(default_factory=set)
    """The plans that ran at the same time."""

    async def finish(self, until: str | None = None) -> dict[str, Any]:
        """Go on until every plan is complete, or one of them, and return the project's state."""
        cursor = (await self.tools.wait_for_state(timeoutMs=0))["cursor"]
        while True:
            state: dict[str, Any] = await self.tools.state()
            failed = {plan["id"]: plan["reason"] for plan in state["plans"] if plan["state"] in ("failed", "aborted")}
            assert not failed, failed
            if all(plan["state"] == "complete" for plan in state["plans"] if until in (None, plan["id"])):
                return state
            await self._start(state["graph"])
            for question in await self.tools.pending():
                await self.tools.answer(question, **self.answer(question))
            change = await self.tools.wait_for_state(cursor=cursor)
            assert change["sessions"], f"nothing happens any more: {state['graph']}"
            cursor = change["cursor"]

    async def _start(self, graph: Asked) -> None:
        running = list(graph["running"])
        for name in graph["available"]:
            if len(running) < self.most and not any(_conflict(graph, name, other) for other in running):
                more = {"command": list(self.command)} if self.command else {}
                await self.tools.start_session(plan=name, **more)
                self.started.append(name)
                running.append(name)
                self.beside |= {frozenset((name, other)) for other in running if other != name}


def _conflict(graph: Asked, one: str, other: str) -> bool:
    """Whether one plan writes what the other writes or reads."""
    plans = {plan["planId"]: plan for plan in graph["plans"]}
    first, second = plans[one], plans[other]
    touched = (*second["filesModified"], *second["filesRead"])
    return any(_same(path, touch) for path in first["filesModified"] for touch in touched) or any(
        _same(path, touch) for path in second["filesModified"] for touch in first["filesRead"]
    )


def _same(path: str, other: str) -> bool:
    short, long = sorted((path.rstrip("/"), other.rstrip("/")), key=len)
    return long == short or long.startswith(f"{short}/")
