"""Sessions, output, state, open questions and reports as resources, and how clients learn that they changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated

from harness_nb import Harness
from harness_nb.harness import AsyncHarness
from tests.mcp_server.conftest import both_transports, connect, write_history, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.row(12),
    # the client warns of what only servers of the earlier protocol take, which is what these tests are about
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

FIXED = {"harness://state", "harness://sessions", "harness://pending", "harness://reports/run"}
TEMPLATES = {
    "harness://sessions/{session_id}", "harness://sessions/{session_id}/output", "harness://reports/plans/{plan_id}",
}  # fmt: skip


async def test_everything_that_can_be_read_is_listed(root: Path, way: str, say: Callable[..., Any]) -> None:
    async with connect(root, way) as agent:
        session_id = await agent.start("sh", "-c", "echo hello; sleep 600")
        question = say(session_id, "action_needed", action="look")
        listed = {one.uri for one in (await agent.client.list_resources(cache_mode="bypass")).resources}
        of_session = {f"harness://sessions/{session_id}", f"harness://sessions/{session_id}/output"}
        assert listed == FIXED | of_session
        templates = (await agent.client.list_resource_templates()).resource_templates
        assert {one.uri_template for one in templates} == TEMPLATES
        assert [one["id"] for one in json.loads(await agent.read("harness://pending"))["questions"]] == [question.id]
        assert json.loads(await agent.read("harness://sessions"))["sessions"][0]["sessionId"] == session_id
        assert json.loads(await agent.read(f"harness://sessions/{session_id}"))["state"] == "checkpoint"
        state = json.loads(await agent.read("harness://state"))
        assert state["questions"][0]["respondWith"]["type"] == "action_completed"
        await agent.call("harness_end_session", sessionId=session_id)
        assert await agent.read(f"harness://sessions/{session_id}/output") == "hello\n"


async def test_a_list_of_resources_stays_short_and_the_others_can_still_be_read(root: Path) -> None:
    started = write_history(root, 23)
    async with connect(root, "stdio auto") as agent:
        listed = {one.uri for one in (await agent.client.list_resources(cache_mode="bypass")).resources}
        assert len(listed) == len(FIXED) + 2 * 20
        assert f"harness://sessions/{started[0]}" not in listed
        assert json.loads(await agent.read(f"harness://sessions/{started[0]}"))["state"] == "completed"


@both_transports
async def test_the_reports_of_a_run_and_of_its_plans(root: Path, way: str) -> None:
    write_plan(root, "01-01")
    async with connect(root, way) as agent:
        for uri in ("harness://reports/run", "harness://reports/plans/01-01"):
            with pytest.raises(MCPError, match="There is no such report"):
                await agent.read(uri)
        async with AsyncHarness(root, trust=True) as harness:
            report = await (await harness.run()).wait()
        assert report.passed
        shown = json.loads(await agent.read("harness://reports/run"))
        assert [one["planId"] for one in shown["plans"]] == ["01-01"]
        judged = json.loads(await agent.read("harness://reports/plans/01-01"))
        assert judged["verdict"] == "passed"
        assert judged["report"]["results"][0]["specId"] == "ok"


class Ear:
    """Hears what a client of the earlier protocol is told."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self._news = anyio.Event()

    async def __call__(self, message: Any) -> None:
        kind = type(message).__name__
        if kind in ("ResourceUpdatedNotification", "ResourceListChangedNotification"):
            self.heard.add(str(message.params.uri) if "Updated" in kind else "the list")
            self._news.set()

    async def hear(self, *wanted: str) -> None:
        """Wait until all that is wanted was heard."""
        with anyio.fail_after(30):
            while not self.heard.issuperset(wanted):
                await self._news.wait()
                self._news = anyio.Event()


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_client_of_the_earlier_protocol_is_told_of_what_it_subscribed_to(
    root: Path, say: Callable[..., Any], transport: str
) -> None:
    ear = Ear()
    async with connect(root, f"{transport} legacy", message_handler=ear) as agent:
        capabilities = agent.client.server_capabilities.resources
        assert capabilities is not None
        assert capabilities.subscribe
        assert capabilities.list_changed
        session_id = await agent.start("sh", "-c", "read line; echo $line")
        await ear.hear("the list")
        uris = [f"harness://sessions/{session_id}", f"harness://sessions/{session_id}/output", "harness://pending"]
        for uri in uris:
            await agent.client.subscribe_resource(uri)
        with pytest.raises(MCPError, match="There is no resource 'harness://gossip'"):
            await agent.client.subscribe_resource("harness://gossip")
        question = say(session_id, "action_needed", action="look")
        await ear.hear(uris[0], "harness://pending")
        ear.heard.clear()
        await agent.call(
            "harness_respond", type="action_completed", sessionId=session_id, inResponseTo=question.id,
            payload={"completedBy": "Ada"},
        )  # fmt: skip
        await ear.hear(uris[0], "harness://pending")
        async with AsyncHarness(root) as harness:
            await (await harness.session(session_id)).send("typed\n")
        await ear.hear(*uris)
        assert "harness://state" not in ear.heard
        await agent.client.unsubscribe_resource("harness://pending")
        ear.heard.clear()
        other = await agent.start("sleep", "600")
        say(other, "action_needed", action="look")
        await agent.client.subscribe_resource("harness://state")
        await agent.call("harness_end_session", sessionId=other)
        await ear.hear("harness://state", "the list")
    assert "harness://pending" not in ear.heard


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_client_that_listens_is_told_of_what_it_asked_for(
    root: Path, say: Callable[..., Any], transport: str
) -> None:
    async with connect(root, f"{transport} auto") as agent:
        session_id = await agent.start("sleep", "600")
        uris = [f"harness://sessions/{session_id}", "harness://pending"]
        heard: set[Any] = set()
        async with agent.client.listen(resources_list_changed=True, resource_subscriptions=uris) as news:
            say(session_id, "action_needed", action="look")
            await agent.start("true")
            wanted = {*(ResourceUpdated(uri) for uri in uris), ResourcesListChanged()}
            with anyio.fail_after(30):
                while not wanted <= heard:
                    heard.add(await anext(news))
        assert heard == wanted


async def test_an_answer_at_another_door_is_news_here(root: Path, say: Callable[..., Any]) -> None:
    async with connect(root, "stdio auto") as agent:
        session_id = await agent.start("sleep", "600")
        say(session_id, "action_needed", action="look")
        assert len((await agent.call("harness_get_pending"))["questions"]) == 1
        async with agent.client.listen(resource_subscriptions=["harness://pending"]) as news:

            def answer() -> None:
                with Harness(root) as harness:
                    harness.get_pending()[0].approve()

            await anyio.to_thread.run_sync(answer)
            with anyio.fail_after(30):
                while (await agent.call("harness_get_pending"))["questions"]:
                    await anext(news)
