"""A notebook's harness, an MCP client and a shell, open at once: the same for all, and one answer to each question."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb.errors import AlreadyAnsweredError
from harness_nb.store import Store
from harness_nb.store.messages import already_answered
from tests.mcp_server.orchestrating import OURS, ToolError, Tools, end_everything, tools_of
from tests.sessions.living import opened, questions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb import AsyncHarness

pytestmark = [pytest.mark.anyio, pytest.mark.row(10, 12), pytest.mark.timeout(120)]

ASKS = """
import sys
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    for number in range(int(sys.argv[1])):
        asked = side.report("decision_needed", {
            "decision": f"Which door, round {number}?",
            "options": [{"id": door, "name": door.title()} for door in ("mcp", "python", "shell")],
        })
        print(side.wait(asked.id).payload["selectedOptionId"], flush=True)
"""
ROUNDS = 4


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """An empty project, in which nothing lives when the test is done."""
    folder = tmp_path / "project"
    folder.mkdir()
    yield folder
    end_everything(folder)


async def shell(project: Path, *words: str) -> tuple[int, str]:
    """Run our command as somebody at a terminal would; return its exit status and all that it printed."""
    done = await anyio.run_process([*OURS, *words], cwd=project, check=False)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def asking(rounds: int) -> list[str]:
    return [sys.executable, "-c", ASKS, str(rounds)]


async def same_for_all(h: AsyncHarness, tools: Tools, state: str, asked: list[str]) -> None:
    """See that every door tells the same of the one session and of what is asked."""
    [session] = await h.list_sessions()
    [by_mcp] = (await tools("harness_list_sessions"))["sessions"]
    assert (by_mcp["sessionId"], by_mcp["state"], session.state) == (session.id, state, state)
    assert [one.id for one in await h.get_pending()] == [one["id"] for one in await tools.pending()] == asked
    _, status = await shell(h.root, "status", "--json")
    assert (session.id in status) == session.record.live, "it tells of the living"
    _, listed = await shell(h.root, "respond")
    assert [one for one in asked if one in listed] == asked
    assert asked or "No question is open" in listed


async def test_what_one_door_does_all_the_others_show(project: Path) -> None:
    """Started by the agent, asked of all three, answered in the notebook, in the shell and by the agent in turn."""
    async with tools_of(project) as tools, opened(project) as h:
        session_id = await tools.start_session(command=asking(3))
        cursor = (await tools.wait_for_state(timeoutMs=0))["cursor"]

        [question] = await questions(h)
        await same_for_all(h, tools, "checkpoint", [question.id])
        await question.answer("python")
        cursor = await answered(tools, cursor, session_id)

        question = await another(h, question.id)
        await same_for_all(h, tools, "checkpoint", [question.id])
        status, said = await shell(project, "respond", question.id, "--option", "shell")
        assert status == 0, said
        cursor = await answered(tools, cursor, session_id)

        question = await another(h, question.id)
        [asked] = await tools.pending()
        assert asked["id"] == question.id
        await tools.answer(asked, selectedOptionId="mcp")
        session = await h.session(session_id)
        await session.wait(timeout=30)
        await same_for_all(h, tools, "completed", [])
        assert session.output().text.split() == ["python", "shell", "mcp"]
        given = [one for one in h.store.messages.select(session_id, direction="out") if one.in_response_to]
        assert [one.door for one in given] == ["python", "cli", "mcp"]


async def answered(tools: Tools, cursor: int, session_id: str) -> int:
    """Wait as an agent does until the session goes on, and return the cursor from there."""
    while True:
        change = await tools.wait_for_state(cursor=cursor)
        cursor = change["cursor"]
        if any(one["sessionId"] == session_id for one in change["sessions"]):
            return cursor


async def another(h: AsyncHarness, last: str) -> Any:
    """Wait for a question after that one."""
    while True:
        changed = h.host.changes.next
        found = [one for one in await h.get_pending() if one.id != last]
        if found:
            return found[0]
        await changed.wait()


async def test_of_answers_given_at_the_same_moment_one_wins_and_the_others_are_told(project: Path) -> None:
    """Who, when and what; and the worker goes on with the winner's.

    The journal is held shut until all three stand before it, so that they really come at once; who is let in first is
    not ours to say.
    """
    async with tools_of(project) as tools, opened(project) as h:
        session_id = await tools.start_session(command=asking(ROUNDS))
        [question] = await questions(h)
        winners = []
        for number in range(ROUNDS):
            if number:
                question = await another(h, question.id)
            said = await all_at_once(h, tools, question)
            with closing(Store(project)) as store:
                winner = store.messages.answer_to(question.id, session_id)
            assert winner is not None
            told = str(already_answered(question.id, winner))
            chosen = str(winner.payload["selectedOptionId"])
            assert said.pop(chosen) == "won"
            assert len(said) == 2
            assert all(told in text for text in said.values()), said
            winners.append(chosen)
        session = await h.session(session_id)
        assert (await session.wait(timeout=30)).state == "completed"
        assert session.output().text.split() == winners


async def all_at_once(h: AsyncHarness, tools: Tools, question: Any) -> dict[str, str]:
    """Answer a question by three doors at once; return what each was told, ``won`` where it was the first."""
    said: dict[str, str] = {}
    [asked] = await tools.pending()

    async def by_mcp() -> None:
        try:
            await tools.answer(asked, selectedOptionId="mcp")
            said["mcp"] = "won"
        except ToolError as error:
            said["mcp"] = str(error)

    async def by_python() -> None:
        try:
            await question.answer("python")
            said["python"] = "won"
        except AlreadyAnsweredError as error:
            said["python"] = str(error)

    async def by_shell() -> None:
        status, text = await shell(h.root, "respond", question.id, "--option", "shell")
        said["shell"] = "won" if status == 0 else text

    with closing(sqlite3.connect(h.store.journal.path, isolation_level=None)) as gate:
        gate.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            for answer in (by_mcp, by_python, by_shell):
                tasks.start_soon(answer)
            await anyio.sleep(1.5)  # no event tells that somebody stands before a lock; a late one only loses
            assert said == {}
            gate.execute("COMMIT")
    return said
