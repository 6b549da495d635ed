"""One truth: how soon a question is at every door that is open, and how soon its form closes on the page.

A page in headless Chromium, an agent's wait through MCP and a notebook's handler look at the same project. All of them
are on one machine, so that their clocks are one; the question says when it was asked, and each door when it came.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from playwright.sync_api import sync_playwright

from harness_nb import Harness
from tests.benchmarks.browser import PAGE
from tests.benchmarks.figures import Figure, median, milliseconds, quantile
from tests.benchmarks.mcp import OURS, client
from tests.browser.chromium import bring_chromium
from tests.browser.conftest import FLAGS
from tests.dashboard.serving import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from playwright.sync_api import Page

ASKS = """\
import random, sys, time
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    for number in range(int(sys.argv[1])):
        time.sleep(random.uniform(0.2, 0.4))
        asked = side.report("action_needed", {"action": f"Number {number} @{time.time_ns()}@"})
        side.wait(asked.id)
"""
MARK = re.compile(r"@(\d{19})@")
CLOSED = """mark => new Promise((done) => {
    const open = () => [...document.querySelectorAll(".hnb-card")].some((card) => card.textContent.includes(mark));
    const look = () => (open() ? requestAnimationFrame(look) : done(benchmark.now()));
    look();
})"""
LOOK_AGAIN = 0.5
GOAL = 0.1

Notes = dict[str, float]
"""When a question was at a door, in seconds since the epoch, by when it was asked."""


def at_every_door(*, quick: bool) -> list[Figure]:
    """Let a worker ask, and answer it in Python; blocking, and never on a thread where an event loop runs."""
    count = 5 if quick else 30
    notebook: Notes = {}
    agent: Notes = {}
    with tempfile.TemporaryDirectory(prefix="harness-nb-benchmark-") as folder:
        project = Path(folder).resolve() / "project"
        project.mkdir()
        with Harness(project) as harness, _open_page(project) as page, _watching(harness, notebook, agent):
            session = harness.start_session(command=[sys.executable, "-c", ASKS, str(count)])
            closed = [_answer(harness, page, number) for number in range(count)]
            session.wait(timeout=30)
            shown = page.evaluate("() => benchmark.notes.lines")
    marks = sorted(notebook)
    painted = [shown[mark] / 1e3 - int(mark) / 1e9 for mark in marks]
    others = [[notes[mark] - int(mark) / 1e9 for mark in marks if mark in notes] for notes in (notebook, agent)]
    return [
        _figure(f"a question on the page ({count} times)", painted, others),
        _figure(f"an answer from elsewhere closes its form on the page ({count} times)", closed, others),
    ]


def _figure(what: str, ours: Sequence[float], others: Sequence[Sequence[float]]) -> Figure:
    notebook, agent = (milliseconds(median(one)) for one in others)
    return Figure(
        what,
        f"p50 {milliseconds(median(ours))}, p95 {milliseconds(quantile(ours, 0.95))}",
        f"the question at a notebook's handler p50 {notebook}, at an agent's wait through MCP {agent}",
        "p95 ≤ 100 ms",
        quantile(ours, 0.95) <= GOAL,
    )


@contextmanager
def _open_page(project: Path) -> Iterator[Page]:
    with served(project, folder=project.parent) as server, sync_playwright() as playwright:
        path = bring_chromium(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(PAGE)
        page.goto(server.opening)
        page.locator(".page-state[data-is=live]").wait_for(timeout=60_000)
        page.wait_for_timeout(3000)  # until what it has loaded has come to rest
        page.evaluate("() => benchmark.watch(document.getElementById('board'))")
        yield page
        browser.close()


@contextmanager
def _watching(harness: Harness, notebook: Notes, agent: Notes) -> Iterator[None]:
    """Have a notebook's handler and an agent note when each question is there."""
    over = threading.Event()
    ready = threading.Event()
    threads = [
        threading.Thread(target=_handle, args=(harness, notebook, over)),
        threading.Thread(target=anyio.run, args=(_wait, harness.root, agent, ready, over)),
    ]
    for one in threads:
        one.start()
    ready.wait()
    try:
        yield
    finally:
        over.set()
        for one in threads:
            one.join()


def _handle(harness: Harness, notes: Notes, over: threading.Event) -> None:
    cursor = None
    while not over.is_set():
        cursor = harness.next_change(cursor=cursor, timeout=LOOK_AGAIN).cursor
        arrived = time.time()
        _note(notes, arrived, [one.payload["action"] for one in harness.get_pending()])


async def _wait(root: Path, notes: Notes, ready: threading.Event, over: threading.Event) -> None:
    async with client(*OURS, "--project", os.fspath(root)) as tools:

        async def call(tool: str, **arguments: Any) -> Any:
            return (await tools.call_tool(f"harness_{tool}", arguments)).structured_content

        cursor = (await call("wait_for_state", timeoutMs=0))["cursor"]
        ready.set()
        while not over.is_set():
            change = await call("wait_for_state", cursor=cursor, timeoutMs=int(LOOK_AGAIN * 1000))
            arrived, cursor = time.time(), change["cursor"]
            if change["sessions"]:
                pending = (await call("get_pending"))["questions"]
                _note(notes, arrived, [one["payload"]["action"] for one in pending])


def _note(notes: Notes, arrived: float, texts: Sequence[str]) -> None:
    for text in texts:
        if found := MARK.search(text):
            notes.setdefault(found[1], arrived)


def _answer(harness: Harness, page: Page, number: int) -> float:
    """Answer a question once it is on the page, and return the seconds until its form was gone there."""
    ours = f"() => Object.values(benchmark.notes.lines).filter(Boolean).length > {number}"
    page.wait_for_function(ours, timeout=60_000)
    [question] = harness.get_pending()
    began: list[float] = []

    def answer() -> None:
        began.append(time.time())
        question.approve()

    return _timed(page, question.payload["action"].split()[-1], answer) - began[0]


def _timed(page: Page, mark: str, act: Callable[[], None]) -> float:
    timer = threading.Timer(0.05, act)
    timer.start()
    closed: float = page.evaluate(CLOSED, mark)
    timer.join()
    return closed / 1e3
