"""A notebook's harness, the page, an agent and a shell, open at once: one question, one answer, and all know whose."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal
from mcp import Client, StdioServerParameters
from mcp_types import Implementation
from playwright.sync_api import expect

from harness_nb import Harness
from harness_nb.errors import AlreadyAnsweredError
from harness_nb.store import Store
from harness_nb.store.messages import already_answered
from tests.browser.asking import card, choose, settled
from tests.browser.watching import Watcher, end_sessions, start_asking
from tests.dashboard.serving import Server, served
from tests.mcp_server.orchestrating import OURS, Tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.row(10, 12, 14)
CACHE, QUEUE = "Which cache should the API use?", "Which queue should the API use?"
HEAR = """(form) => {
  window.told = [];
  const line = form.querySelector(".hnb-told");
  new MutationObserver(() => window.told.push(line.textContent)).observe(line, { childList: true, subtree: true });
}"""
"""Writes down all that a form says, also once it is no more in the page."""


@pytest.fixture
def server(project: Path, tmp_path: Path) -> Iterator[Server]:
    """The page of this test's project."""
    with served(project, folder=tmp_path) as server:
        yield server
    end_sessions(project)


@pytest.fixture
def watcher(context: BrowserContext, server: Server) -> Iterator[Watcher]:
    """A person who has the page open."""
    watcher = Watcher.of(context, server)
    yield watcher
    watcher.page.close()


@pytest.fixture
def agent(project: Path) -> Iterator[Callable[..., Any]]:
    """Calls a tool of the project's MCP server as an agent named planner."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(tools_of(project)) as tools:
        # Playwright has this thread's loop, so the client has another's
        yield lambda tool, **arguments: portal.call(lambda: tools(tool, **arguments))


@asynccontextmanager
async def tools_of(project: Path) -> AsyncIterator[Tools]:
    command = StdioServerParameters(
        command=OURS[0], args=[*OURS[1:], "mcp", "--project", str(project)], env=dict(os.environ)
    )
    async with Client(command, client_info=Implementation(name="planner", version="1")) as client:
        yield Tools(client)


def shell(project: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [*OURS, "respond", "--project", str(project), *words], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def told_of(project: Path, question: str) -> str:
    """Return what whoever answers this question too late is to be told."""
    with closing(Store(project)) as store:
        [session] = store.sessions.select()
        winner = store.messages.answer_to(question, session.id)
        assert winner is not None
        return str(already_answered(question, winner))


def test_a_question_is_at_all_four_and_whoever_is_late_is_told_who_when_and_what(
    watcher: Watcher, server: Server, agent: Callable[..., Any], project: Path
) -> None:
    with Harness(project) as harness:
        start_asking(project, CACHE, QUEUE)
        expect(card(watcher.board, CACHE)).to_be_visible()
        [asked] = agent("harness_get_pending")["questions"]
        [pending] = harness.get_pending()
        assert asked["payload"]["decision"] == pending.record.payload["decision"] == CACHE
        assert asked["id"] == pending.id
        assert pending.id in shell(project)[1]

        how = asked["respondWith"]
        agent("harness_respond", **{**how, "payload": {**how["payload"], "selectedOptionId": "redis"}})
        expect(settled(watcher.board, CACHE)).to_contain_text("redis, by planner through an MCP client")
        expect(card(watcher.board, CACHE)).to_have_count(0)
        assert pending.id not in [one.id for one in harness.get_pending()]
        expect(watcher.log).to_contain_text("heard: redis")

        told = told_of(project, pending.id)
        assert "already answered by planner through an MCP client at " in told
        with pytest.raises(AlreadyAnsweredError) as late:
            pending.answer("sqlite")
        assert str(late.value) == told
        status, said = shell(project, pending.id, "--option", "sqlite")
        assert status != 0
        assert told in said

        expect(card(watcher.board, QUEUE)).to_be_visible()
        told = answer_behind_the_page(watcher, server, agent, project)
        watcher.page.wait_for_function("told => window.told.includes(told)", arg=told)
        expect(settled(watcher.board, QUEUE)).to_contain_text("sqlite, by planner through an MCP client")
        expect(watcher.log).to_contain_text("heard: sqlite")
        assert watcher.faults == []


def answer_behind_the_page(watcher: Watcher, server: Server, agent: Callable[..., Any], project: Path) -> str:
    """Answer as the agent while the page stands still and a person there answers, too; return what that one is told."""
    [asked] = agent("harness_get_pending")["questions"]
    card(watcher.board, QUEUE).evaluate(HEAR)
    [kernel] = server.kernels
    kernel.send_signal(signal.SIGSTOP)
    try:
        how = asked["respondWith"]
        agent("harness_respond", **{**how, "payload": {**how["payload"], "selectedOptionId": "sqlite"}})
        choose(watcher.board, QUEUE, "Redis")
    finally:
        kernel.send_signal(signal.SIGCONT)
    return told_of(project, str(asked["id"]))
