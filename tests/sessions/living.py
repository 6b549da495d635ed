"""An opened harness for tests: it ends what it started, and waits for what happens instead of for time to pass."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from harness_nb import AsyncHarness
from harness_nb.orchestrator.attempts import task_message
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import Assignment
from tests.sessions.workers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from harness_nb.harness import AsyncQuestion
    from harness_nb.protocol.plans import Plan


@asynccontextmanager
async def opened(project: Path, **named: Any) -> AsyncIterator[AsyncHarness]:
    """Open a harness and end every session that still lives when the test is done."""
    async with AsyncHarness(project, trust=True, **named) as h:
        try:
            with anyio.fail_after(2 * PATIENCE):
                yield h
        finally:
            with anyio.CancelScope(shield=True):
                for session in await h.list_sessions():
                    if session.record.live:
                        await session.stop(grace=0)


async def happens(h: AsyncHarness, look: Callable[[], Any]) -> Any:
    """Return the first value of ``look`` that is true, looking again at each change."""
    while True:
        changed = h.host.changes.next
        if value := await anyio.to_thread.run_sync(look):
            return value
        await changed.wait()


async def questions(h: AsyncHarness, count: int = 1) -> list[AsyncQuestion]:
    """Wait until that many questions are open."""
    await happens(h, lambda: len(h.store.messages.pending()) >= count)
    return await h.get_pending()


async def question(h: AsyncHarness) -> AsyncQuestion:
    """Wait for an open question."""
    return (await questions(h))[0]


async def printed(h: AsyncHarness, session_id: str, text: str) -> None:
    """Wait until a worker has printed something."""
    while True:
        news = h.host.output.next
        if text in (await h.get_output(session_id)).text:
            return
        await news.wait()


async def do_plan(h: AsyncHarness, plan: Plan, **params: Any) -> str:
    """Start the runbook worker on a plan written in Python, and return the session's id."""
    session = SessionRecord(
        id=f"{plan.id}-{h.store.new_id()[:8]}",
        worker="runbook",
        plan_id=plan.id,
        phase=plan.phase,
        working_dir=".",
        created_at=h.store.clock(),
    )
    task = task_message(h.store.new_id(), session, plan, "", None, h.store.clock())
    await h.host.start(
        session,
        Assignment(plan=plan, params=params),
        before_launch=lambda: h.store.messages.send(task, actor="test", door="test"),
    )
    return session.id
