"""Waiting: woken by what happens, led on by a cursor, told that it goes on, and ended without a loss."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from mcp.client import Client

from harness_nb.mcp_server import caller
from harness_nb.mcp_server.server import ProjectServer
from harness_nb.protocol.messages import parse_worker_message
from harness_nb.store import Store
from tests.mcp_server.conftest import Agent, connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(12)]

LONG = 600_000


async def test_a_wait_is_woken_and_its_cursor_leads_on(root: Path, way: str) -> None:
    async with connect(root, way) as agent:
        first = await agent.call("harness_wait_for_state", timeoutMs=0)
        assert (first["sessions"], first["timedOut"]) == ([], True)
        found: list[dict[str, Any]] = []

        async def wait() -> None:
            wanted = {"states": ["completed"], "cursor": first["cursor"], "timeoutMs": LONG}
            found.append(await agent.call("harness_wait_for_state", **wanted))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            session_id = await agent.start("true")
        assert [one["sessionId"] for one in found[0]["sessions"]] == [session_id]
        again = await agent.call("harness_wait_for_state", cursor=found[0]["cursor"], timeoutMs=0)
        assert again["timedOut"]
        missed = await agent.call("harness_wait_for_state", cursor=first["cursor"], timeoutMs=LONG)
        assert [one["state"] for one in missed["sessions"]] == ["completed"]


async def test_without_a_cursor_a_state_that_is_there_already_is_told_at_once(root: Path) -> None:
    async with connect(root, "stdio auto") as agent:
        living = await agent.start("sleep", "600")
        wanted = {"sessionIds": [living], "states": ["running"], "timeoutMs": LONG}
        change = await agent.call("harness_wait_for_state", **wanted)
        assert [one["sessionId"] for one in change["sessions"]] == [living]


async def test_many_clients_wait_at_once_and_all_are_woken(root: Path) -> None:
    async with connect(root, "http auto") as agent:
        living = await agent.start("sleep", "600")
        waiting = {"sessionIds": [living], "states": ["failed"], "timeoutMs": LONG}
        found: list[dict[str, Any]] = []

        async def wait() -> None:
            found.append(await agent.call("harness_wait_for_state", **waiting))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(wait)
            await agent.call("harness_end_session", sessionId=living)
    assert len(found) == 50
    assert {one["cursor"] for one in found} == {found[0]["cursor"]}


async def test_a_cancelled_wait_ends_and_the_server_goes_on(root: Path, way: str) -> None:
    async with connect(root, way) as agent:
        living = await agent.start("sleep", "600")
        first = await agent.call("harness_wait_for_state", timeoutMs=0)
        wanted = {"sessionIds": [living], "states": ["failed"], "cursor": first["cursor"], "timeoutMs": LONG}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: agent.client.call_tool("harness_wait_for_state", wanted))
            await agent.call("harness_list_sessions")
            tasks.cancel_scope.cancel()
        await agent.call("harness_end_session", sessionId=living)
        found = await agent.call("harness_wait_for_state", **wanted)
        assert [one["state"] for one in found["sessions"]] == ["failed"]


async def test_a_long_wait_tells_that_it_goes_on_and_what_it_waits_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., Any]
) -> None:
    monkeypatch.setattr(caller, "TELL_EVERY", 0.02)
    signs: list[tuple[float, float | None, str | None]] = []
    asked = anyio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        signs.append((progress, total, message))
        if message and "1 waiting for an answer" in message:
            asked.set()

    for mode in ("auto", "legacy"):
        signs.clear()
        asked = anyio.Event()
        async with Client(ProjectServer(root), mode=mode) as client:
            agent = Agent(client, tmp_path / "no.log")
            running, asking = await agent.start("sleep", "600"), await agent.start("sleep", "600")

            async def wait(client: Client = client, running: str = running) -> None:
                wanted = {"sessionIds": [running], "states": ["failed"], "timeoutMs": LONG}
                await client.call_tool("harness_wait_for_state", wanted, progress_callback=note)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                say(asking, "action_needed", action="look")
                await asked.wait()
                await agent.call("harness_end_session", sessionId=asking)
                await agent.call("harness_end_session", sessionId=running)
        assert "still waiting: 1 waiting for an answer, 1 running" in [message for _, _, message in signs]
        assert {total for _, total, _ in signs} == {LONG / 1000}
        assert [progress for progress, _, _ in signs] == sorted(progress for progress, _, _ in signs)


async def test_nobody_is_told_of_progress_who_did_not_ask(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "TELL_EVERY", 0.001)
    told: list[Any] = []

    async def hear(message: Any) -> None:
        told.append(message)

    async with Client(ProjectServer(root), mode="legacy", message_handler=hear) as client:
        await client.call_tool("harness_wait_for_state", {"timeoutMs": 100})
    assert told == []


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_ten_thousand_reports_in_a_burst_are_one_state_and_few_notifications(root: Path) -> None:
    told: list[str] = []

    async def hear(message: Any) -> None:
        told.append(str(getattr(getattr(message, "params", None), "uri", "")))

    async with connect(root, "stdio legacy", message_handler=hear) as agent:
        session_id = await agent.start("sleep", "600")
        uri = f"harness://sessions/{session_id}"
        await agent.client.subscribe_resource(uri)
        cursor = (await agent.call("harness_wait_for_state", timeoutMs=0))["cursor"]

        def burst() -> None:
            with closing(Store(root)) as store, store.journal.write():
                for number in range(10_000):
                    raw = {
                        "id": f"m{number}", "sessionId": session_id, "type": "progress_update",
                        "timestamp": store.clock(),
                        "payload": {"taskNumber": 1, "totalTasks": 1, "message": f"step {number}"},
                    }  # fmt: skip
                    store.messages.post(parse_worker_message(raw))
            for _ in range(1000):
                store.ring()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, burst)
            session: dict[str, Any] = {"message": None}
            while session["message"] != "step 9999":
                change = await agent.call("harness_wait_for_state", cursor=cursor, timeoutMs=LONG)
                cursor, session = change["cursor"], change["sessions"][0]
        await agent.call("harness_end_session", sessionId=session_id)
        while "failed" not in await agent.read(uri):
            pass
    assert told.count(uri) >= 1
    assert len(told) < 200
