"""Starting at the MCP door: a call that is repeated after a time-out starts no second worker in the same files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from harness_nb.harness import AsyncHarness
from tests.mcp_server.conftest import both_transports, connect, write_plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mcp_server.conftest import Agent

pytestmark = [pytest.mark.anyio, pytest.mark.row(12)]


async def trusted(root: Path) -> None:
    async with AsyncHarness(root, trust=True, judges=False):
        pass


@both_transports
async def test_a_plan_that_a_session_does_already_is_not_started_again(root: Path, way: str) -> None:
    write_plan(root, "01-01", "read line")
    await trusted(root)
    async with connect(root, way) as agent:
        first = (await agent.call("harness_start_session", workingDir=".", plan="01-01"))["sessionId"]
        refusal = await agent.refused("harness_start_session", workingDir=".", plan="01-01")
        assert f"'01-01' is being done by session {first!r} already" in refusal
        assert f'harness_start_session(workingDir: ".", resume: "{first}")' in refusal
        assert "harness_end_session" in refusal
        again = await agent.call("harness_start_session", workingDir=".", resume=first)
        assert again["sessionId"] == first
        await agent.call("harness_end_session", sessionId=first)
        second = await agent.call("harness_start_session", workingDir=".", plan="01-01")
        assert second["attempt"] == 2


async def test_of_two_calls_at_the_same_time_one_starts_the_plan(root: Path) -> None:
    write_plan(root, "01-01", "read line")
    await trusted(root)
    started: list[bool] = []

    async def start(agent: Agent) -> None:
        result = await agent.client.call_tool("harness_start_session", {"workingDir": ".", "plan": "01-01"})
        started.append(not result.is_error)

    async with connect(root, "stdio auto") as agent:
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(start, agent)
        sessions = (await agent.call("harness_list_sessions"))["sessions"]
    assert sorted(started) == [False, False, False, True]
    assert len(sessions) == 1


@both_transports
async def test_a_plan_that_waits_for_others_is_not_started_and_they_are_named(root: Path, way: str) -> None:
    write_plan(root, "01-01")
    write_plan(root, "01-02", depends_on="['01-01']")
    await trusted(root)
    async with connect(root, way) as agent:
        refusal = await agent.refused("harness_start_session", workingDir=".", plan="01-02")
        assert refusal == (
            "The plan '01-02' waits for plans that are not complete: 01-01. Do those first; graph.available of "
            "harness_get_state lists what may start now."
        )
        assert (await agent.call("harness_list_sessions"))["sessions"] == []


async def test_resume_takes_nothing_beside_it(root: Path) -> None:
    async with connect(root, "stdio auto") as agent:
        for name, value in (
            ("command", ["true"]),
            ("plan", "01-01"),
            ("prompt", "go on"),
            ("worker", "command"),
            ("taskType", "verify"),
        ):
            refusal = await agent.refused("harness_start_session", workingDir=".", resume="one", **{name: value})
            assert f"resume cannot be used: {name} is given, too" in refusal
