"""Waiting with ``harness_worker_await``: woken, never polling, told to call again; a cancelled call loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp_types import CancelledNotification, CancelledNotificationParams

from harness_nb.mcp_server import worker
from harness_nb.mcp_server.worker import WorkerServer
from tests.mcp_server.working import PATIENCE, agent, idle_session, in_this_process, worker_client
from tests.sessions.living import opened

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(13)]

REPORT, AWAIT = "harness_worker_report", "harness_worker_await"
DECISION = {"decision": "Which?", "options": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


async def test_a_wait_without_an_answer_says_to_call_again(project: Path) -> None:
    async with agent(project) as (h, tools, _):
        asked = await tools.report("decision_needed", DECISION)
        none_yet = await tools.wait(asked, timeoutMs=1)
        assert none_yet["waiting"] is True
        assert none_yet.get("type") is None
        assert none_yet["advice"].startswith("Still waiting")
        assert [one.id for one in h.store.messages.pending()] == [asked]


async def test_an_agent_that_outlives_its_session_is_told_to_stop(project: Path) -> None:
    async with agent(project) as (h, tools, folder):
        asked = await tools.report("decision_needed", DECISION)
        await h.end_session(folder.path.name)
        assert "has expired" in await tools.refusal(AWAIT, {"messageId": asked})
        assert (await tools.wait(timeoutMs=0))["advice"] == "This session has ended, so nobody will answer. Stop."
        late = await tools.refusal(REPORT, {"messageType": "decision_needed", "payload": DECISION})
        assert f"Session '{folder.path.name}' has ended" in late


async def test_what_nobody_foresaw_is_a_sentence_too_and_the_server_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_this_process(project) as (_, tools, side):

        def fail(*_: Any) -> Any:
            raise RuntimeError("hush-4711")

        with monkeypatch.context() as broken:
            broken.setattr(side, "report", fail)
            said = await tools.refusal(REPORT, {"messageType": "session_ready"})
        assert said.startswith("harness_worker_report failed (RuntimeError)")
        assert "hush" not in said
        assert await tools.report("session_ready")


async def test_a_waiting_agent_is_woken_and_does_not_poll(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the second look put off for ever, only being woken ends the wait."""
    monkeypatch.setattr(worker, "LOOK_AGAIN", 1e6)
    async with in_this_process(project) as (h, tools, side):
        looks = 0
        take = side.take

        def counting(message_id: str | None = None) -> Any:
            nonlocal looks
            looks += 1
            return take(message_id)

        monkeypatch.setattr(side, "take", counting)
        waiting = anyio.Event()

        async def progress(*_: Any) -> None:
            waiting.set()

        async def answer() -> None:
            await waiting.wait()
            await h.respond("abort_task", side.session_id, {"reason": "enough"})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            with anyio.fail_after(PATIENCE):
                told = await tools.call(AWAIT, {}, progress_callback=progress)
        assert dict(told.structured_content or {})["payload"]["reason"] == "enough"
        assert looks <= 10  # once at first, and once for each ring


async def test_a_long_wait_tells_its_client_that_it_goes_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOOK_AGAIN", 0.01)
    async with in_this_process(project) as (h, tools, side):
        seen: list[float] = []
        enough = anyio.Event()

        async def progress(passed: float, total: float | None, message: str | None) -> None:
            assert (total, message) == (50.0, "waiting for a message to this session")
            seen.append(passed)
            if len(seen) == 3:
                enough.set()

        async def answer() -> None:
            await enough.wait()
            await h.respond("abort_task", side.session_id, {"reason": "enough"})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            with anyio.fail_after(PATIENCE):
                await tools.call(AWAIT, {}, progress_callback=progress)
        assert seen == sorted(set(seen))


async def test_a_cancelled_wait_takes_nothing_along(project: Path) -> None:
    async with agent(project) as (h, tools, folder):
        started = anyio.Event()

        async def progress(*_: Any) -> None:
            started.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: tools.call(AWAIT, {}, progress_callback=progress))
            await started.wait()
            tasks.cancel_scope.cancel()
        assert (await tools.wait(timeoutMs=0))["waiting"]  # the server is done with the cancelled call before this one
        await h.respond("abort_task", folder.path.name, {"reason": "enough"})
        assert (await tools.wait())["payload"]["reason"] == "enough"


async def test_a_message_whose_call_is_cancelled_while_it_is_taken_is_given_back(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_this_process(project) as (h, tools, side):
        await h.respond("abort_task", side.session_id, {"reason": "enough"})
        taken, go_on = anyio.Event(), anyio.Event()
        take = side.take

        def slowly(message_id: str | None = None) -> Any:
            found = take(message_id)
            anyio.from_thread.run_sync(taken.set)
            anyio.from_thread.run(go_on.wait)
            return found

        monkeypatch.setattr(side, "take", slowly)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: tools.call(AWAIT, {}))
            await taken.wait()
            assert h.store.messages.select(direction="out")[0].status == "responded"
            tasks.cancel_scope.cancel()
        monkeypatch.setattr(side, "take", take)
        go_on.set()
        with anyio.fail_after(PATIENCE):
            assert (await tools.wait())["payload"]["reason"] == "enough"


async def test_a_message_that_crosses_its_calls_cancellation_is_given_back(project: Path) -> None:
    """The client stopped listening when the answer was on its way already: it says so, and asks again."""
    async with in_this_process(project) as (h, tools, side):
        server_saw: list[str] = []
        server = tools.client.server
        assert isinstance(server, WorkerServer)

        async def note(ctx: Any, call_next: Any) -> Any:
            if ctx.method == "tools/call":
                server_saw.append(ctx.request_id)
            return await call_next(ctx)

        server.middleware.append(note)
        await h.respond("abort_task", side.session_id, {"reason": "enough"})
        assert (await tools.wait())["payload"]["reason"] == "enough"
        assert (await tools.wait(timeoutMs=0))["waiting"]
        # the id of the call that got the message
        cancelled = CancelledNotification(
            method="notifications/cancelled", params=CancelledNotificationParams(request_id=server_saw[0])
        )
        await tools.client.session.send_notification(cancelled)
        with anyio.fail_after(PATIENCE):
            assert (await tools.wait())["payload"]["reason"] == "enough"


async def test_of_several_calls_that_are_cancelled_each_gives_its_message_back(project: Path) -> None:
    async with in_this_process(project) as (h, tools, side):
        server = tools.client.server
        assert isinstance(server, WorkerServer)
        calls: list[str] = []

        async def note(ctx: Any, call_next: Any) -> Any:
            if ctx.method == "tools/call":
                calls.append(ctx.request_id)
            return await call_next(ctx)

        server.middleware.append(note)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(tools.wait)
            for reason in ("one", "two", "three"):
                await h.respond("abort_task", side.session_id, {"reason": reason})
        assert (await tools.wait(timeoutMs=0))["waiting"]
        for call in calls[:3]:
            cancelled = CancelledNotificationParams(request_id=call)
            await tools.client.session.send_notification(
                CancelledNotification(method="notifications/cancelled", params=cancelled)
            )
        with anyio.fail_after(PATIENCE):
            told = {(await tools.wait())["payload"]["reason"] for _ in range(3)}
        assert told == {"one", "two", "three"}  # in any order: the first new call may come between two cancellations


async def test_an_agent_that_goes_in_mid_wait_leaves_the_message_for_the_next(project: Path) -> None:
    async with opened(project) as h:
        folder = await idle_session(h)
        started = anyio.Event()

        async def progress(*_: Any) -> None:
            started.set()

        async with worker_client(folder) as tools, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: tools.call(AWAIT, {}, progress_callback=progress))
            await started.wait()
            tasks.cancel_scope.cancel()
        await h.respond("abort_task", folder.path.name, {"reason": "enough"})
        async with worker_client(folder) as tools:
            assert (await tools.wait())["payload"]["reason"] == "enough"
