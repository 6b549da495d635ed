"""The page: what runs and what is asked, live, for whoever has it open, beside a notebook or alone."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from harness_nb.store import Store
from harness_nb.store.locks import is_held
from tests.browser.asking import answers, card, choose, live, opened, settled
from tests.browser.watching import Watcher, end_sessions, start_asking, start_elsewhere
from tests.dashboard.serving import Server, served, start, stop
from tests.orchestrator.written_plans import configure, write_plan
from tests.sessions.workers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext

    from tests.browser.lab import Lab

pytestmark = pytest.mark.row(14)
CACHE, QUEUE = "Which cache should the API use?", "Which queue should the API use?"
COUNTING = "import sys\nfor line in sys.stdin: print('counted', line.strip(), flush=True)"


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


def test_a_session_is_shown_live_and_a_workers_question_answered_in_the_page(watcher: Watcher, project: Path) -> None:
    expect(watcher.board).to_contain_text("There are no plans here yet")
    start_asking(project, CACHE)
    form = card(watcher.board, CACHE)
    expect(form).to_be_visible()
    expect(watcher.board).not_to_contain_text("There are no plans here yet")
    expect(watcher.page).to_have_title(f"1 waits for you · {project.name}")
    expect(watcher.log).to_contain_text(f"asking: {CACHE}")
    choose(watcher.board, CACHE, "Redis")
    expect(watcher.log).to_contain_text("heard: redis")
    expect(settled(watcher.board, CACHE)).to_contain_text("through the page")
    expect(form).to_have_count(0)
    assert [door for door, _ in answers(project).values()] == ["page"]
    assert urlsplit(watcher.page.url).query == ""
    assert watcher.faults == []


def test_nothing_is_loaded_from_another_machine(watcher: Watcher, server: Server) -> None:
    addresses = [urlsplit(one) for one in watcher.requests]
    assert len(addresses) > 10
    assert {one.netloc for one in addresses if one.scheme not in ("data", "blob")} == {f"localhost:{server.port}"}


def test_with_only_a_page_open_nothing_is_answered_by_itself_and_the_lease_is_free(
    context: BrowserContext, server: Server, project: Path
) -> None:
    configure(project, policies=[{"kind": "decision", "do": "approve"}])
    watcher = Watcher.of(context, server)
    start_asking(project, CACHE)
    expect(card(watcher.board, CACHE)).to_contain_text("waits until somebody answers")
    start_elsewhere(project, "echo", "something else has happened since")
    expect(watcher.board.locator("tbody")).to_contain_text("something else has happened since")
    assert answers(project) == {}
    with closing(Store(project)) as store:
        assert [one.payload["decision"] for one in store.messages.pending()] == [CACHE]
        assert not is_held(store.layout.lease)
    choose(watcher.board, CACHE, "SQLite")
    expect(settled(watcher.board, CACHE)).to_be_visible()
    watcher.page.close()


def test_beside_a_notebook_a_question_is_in_both_and_closes_in_both_whoever_answers(
    lab: Lab, watcher: Watcher, project: Path
) -> None:
    lab.open_cells(opened(project), "h.board")
    lab.run_all()
    board = live(lab, 1)
    start_asking(project, CACHE, QUEUE)
    expect(card(board, CACHE)).to_be_visible()
    expect(card(watcher.board, CACHE)).to_be_visible()
    choose(watcher.board, CACHE, "Redis")
    expect(settled(board, CACHE)).to_contain_text("Redis, by")
    expect(settled(board, CACHE)).to_contain_text("through the page")
    expect(card(board, CACHE)).to_have_count(0)

    expect(card(watcher.board, QUEUE)).to_be_visible()
    choose(board, QUEUE, "SQLite")
    expect(settled(watcher.board, QUEUE)).to_contain_text("SQLite, by")
    expect(settled(watcher.board, QUEUE)).to_contain_text("through the notebook")
    expect(card(watcher.board, QUEUE)).to_have_count(0)
    expect(watcher.log).to_contain_text("heard: sqlite")
    lab.expect_no_faults()
    assert watcher.faults == []


def test_two_people_see_the_same_and_the_slower_is_told_who_answered(
    context: BrowserContext, watcher: Watcher, server: Server, project: Path
) -> None:
    second = Watcher.of(context, server)
    start_asking(project, CACHE)
    for one in (watcher, second):
        expect(card(one.board, CACHE)).to_be_visible()
    choose(second.board, CACHE, "SQLite")
    for one in (watcher, second):
        expect(settled(one.board, CACHE)).to_contain_text("through the page")
        expect(one.log).to_contain_text("heard: sqlite")
    second.page.close()


def test_a_run_of_another_process_is_followed_and_its_report_shown_at_its_end(
    lab: Lab, watcher: Watcher, project: Path
) -> None:
    write_plan(project, "01-01", "echo made; while [ ! -e go ]; do sleep 0.1; done")
    write_plan(project, "01-02", "exit 3", depends_on=["01-01"])
    configure(project, maxRetries=0)
    lab.open_cells(opened(project), "run = h.run()")
    lab.run_all()
    expect(watcher.board.locator(".hnb-head")).to_contain_text("running")
    expect(watcher.board.locator(".hnb-node")).to_have_count(2)
    watcher.board.locator(".hnb-node[data-key='01-01']").click()
    expect(watcher.log).to_contain_text("made")
    (project / "go").touch()
    expect(watcher.board.locator(".hnb-report")).to_contain_text("failed")
    expect(watcher.board.locator(".hnb-head").first).to_contain_text("1 of 2 plans")
    expect(watcher.board.get_by_role("button", name="Stop")).to_have_count(0)


def test_the_page_can_be_used_by_everybody_light_and_dark_wide_and_narrow(
    context: BrowserContext, watcher: Watcher, project: Path, pictures: Path
) -> None:
    write_plan(project, "01-01", "true")
    start_asking(project, CACHE)
    expect(card(watcher.board, CACHE)).to_be_visible()
    pictures.mkdir(parents=True, exist_ok=True)
    back = "getComputedStyle(document.body).backgroundColor"
    colours = set()
    for theme in ("light", "dark"):
        watcher.page.emulate_media(color_scheme=theme)
        for width in (1400, 700, 360):
            watcher.page.set_viewport_size({"width": width, "height": 900})
            watcher.page.screenshot(path=pictures / f"page-{theme}-{width}.png", full_page=True)
            assert watcher.page.evaluate("document.documentElement.scrollWidth") <= width
            assert watcher.accessibility_faults() == []
        colours.add(watcher.page.evaluate(back))
    assert len(colours) == 2
    watcher.page.get_by_role("button", name="Theme: system").click()  # while the system is dark
    expect(watcher.page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert watcher.page.evaluate(back) in colours
    watcher.page.reload()
    watcher.wait_until_live()
    expect(watcher.page.locator("body")).to_have_attribute("data-jp-theme-light", "true")
    watcher.page.evaluate("localStorage.clear()")


def test_visits_that_are_over_leave_no_kernel(context: BrowserContext, server: Server) -> None:
    watcher = Watcher.of(context, server)
    for _ in range(2):
        watcher.page.reload()
        watcher.wait_until_live()
    eventually(lambda: len(server.kernels) == 1, "the kernels of what was reloaded end")
    watcher.page.close()
    eventually(lambda: not server.kernels, "the kernel of a page that was closed ends")
    second = Watcher.of(context, server)
    (kernel,) = server.kernels
    with second.page.expect_event("load"):  # it comes anew, with another kernel
        kernel.kill()
    second.wait_until_live()
    eventually(lambda: len(server.kernels) == 1, "what was started in its place ends")
    second.page.close()


def test_a_page_says_that_its_server_has_gone_and_comes_back_with_it(
    context: BrowserContext, project: Path, tmp_path: Path
) -> None:
    server = start(project, folder=tmp_path)
    watcher = Watcher.of(context, server)
    session = start_elsewhere(project, sys.executable, "-c", COUNTING)
    expect(watcher.board.locator("tbody")).to_contain_text("runs")
    stop(server)
    expect(watcher.notice).to_contain_text("The dashboard has stopped")
    expect(watcher.page.locator(".page-state")).to_have_text("Not connected")
    assert watcher.accessibility_faults() == []
    with served(project, port=server.port, folder=tmp_path):
        watcher.wait_until_live()
        expect(watcher.notice).to_be_hidden()
        field = watcher.board.get_by_label("Type a line")
        field.fill("one")
        field.press("Enter")
        expect(watcher.log).to_contain_text("counted one")
        watcher.page.close()
    with closing(Store(project)) as store:
        assert store.sessions.get(session).live
    end_sessions(project)
