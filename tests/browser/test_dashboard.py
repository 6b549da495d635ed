"""The page: what runs and what is asked, live, for whoever has it open, beside a notebook or alone."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import expect

from harness_nb.store import Store
from harness_nb.store.layout import Layout
from harness_nb.store.locks import is_held
from tests.browser.asking import answers, card, choose, live, opened, settled
from tests.browser.watching import (
    Watcher,
    end_sessions,
    running_elsewhere,
    start_asking,
    start_asking_all,
    start_elsewhere,
)
from tests.dashboard.serving import Server, served, start, stop
from tests.orchestrator.written_plans import configure, write_plan
from tests.sessions.workers import alive, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext

    from tests.browser.lab import Lab

pytestmark = pytest.mark.row(14)
CACHE, QUEUE = "Which cache should the API use?", "Which queue should the API use?"
COUNTING = "import sys\nfor line in sys.stdin: print('counted', line.strip(), flush=True)"


def kernel_of(watcher: Watcher) -> str:
    """Return the id of the kernel of a page."""
    return str(json.loads(str(watcher.page.locator("#jupyter-config-data").text_content()))["kernelId"])


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
    (slow,) = (one for one in server.kernels if kernel_of(watcher) in " ".join(one.cmdline()))
    slow.suspend()  # so that both have sent before either hears of the other
    choose(watcher.board, CACHE, "Redis")
    choose(second.board, CACHE, "SQLite")
    expect(settled(second.board, CACHE)).to_contain_text("through the page")
    slow.resume()
    for one in (watcher, second):
        expect(settled(one.board, CACHE)).to_contain_text("SQLite, by")
        expect(one.log).to_contain_text("heard: sqlite")
    expect(watcher.board.locator(".hnb-head-told")).to_contain_text("SQLite")
    expect(watcher.board.locator(".hnb-head-told")).to_contain_text("answered")
    second.page.close()


def test_each_kind_of_question_is_answered_in_the_page(watcher: Watcher, project: Path) -> None:
    start_asking_all(
        project,
        ("verification_needed", {"whatBuilt": "A chart", "howToVerify": ["1. Open it"]}),
        ("action_needed", {"action": "Turn the key", "instructions": "To the left."}),
        ("credentials_needed", {"service": "database", "envVars": ["DB_URL"], "reason": "to load rows"}),
    )
    chart = card(watcher.board, "A chart")
    chart.get_by_role("button", name="Fail").click()
    expect(chart).to_contain_text("Say what is wrong")
    chart.get_by_label("Notes").fill("It is upside down.")
    chart.get_by_role("button", name="Fail").click()
    expect(watcher.log).to_contain_text("heard: verification_result")
    card(watcher.board, "Turn the key").get_by_role("button", name="Done").click()
    expect(watcher.log).to_contain_text("heard: action_completed")
    secret = card(watcher.board, "database")
    secret.get_by_role("button", name="Deny").click()
    expect(secret).to_contain_text("Say why not")
    secret.get_by_label("Add a reason").fill("Not for you.")
    secret.get_by_role("button", name="Deny").click()
    expect(watcher.log).to_contain_text("heard: credentials_")
    expect(watcher.board.locator(".hnb-card")).to_have_count(0)
    assert watcher.faults == []


def test_a_project_in_a_folder_with_spaces_and_umlauts_is_shown_and_answered(
    context: BrowserContext, tmp_path: Path
) -> None:
    project = tmp_path / "Mein Projekät & <b>"
    project.mkdir()
    with served(project, folder=tmp_path) as server:
        watcher = Watcher.of(context, server)
        start_asking(project, CACHE)
        expect(watcher.board.locator(".hnb-name").first).to_have_text(project.name)
        expect(watcher.page).to_have_title(f"1 waits for you · {project.name}")
        choose(watcher.board, CACHE, "Redis")
        expect(settled(watcher.board, CACHE)).to_be_visible()
        watcher.page.close()
    end_sessions(project)


def test_who_only_watches_notices_that_the_process_around_a_worker_was_killed(watcher: Watcher, project: Path) -> None:
    """As every process that notices does: it ends what is left of the worker, and journals the session as lost."""
    session = start_elsewhere(project, sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)")
    expect(watcher.log).to_contain_text("begun")
    with closing(Store(project)) as store:
        shim = psutil.Process(json.loads(store.layout.session(session).shim.read_text())["pid"])
        (worker, *_) = shim.children(recursive=True)
        shim.kill()
        expect(watcher.board.locator("tbody")).to_contain_text("failed")
        expect(watcher.board.locator("tbody")).to_contain_text("lost")
        assert store.sessions.get(session).state == "failed"
        eventually(lambda: not alive(worker.pid), "what is left of the worker ends")


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


def test_a_run_of_another_process_is_shown_plan_by_plan_and_to_its_end(watcher: Watcher, project: Path) -> None:
    """Nothing else happens that would wake the page: what it shows last is what it shows."""
    for number in (1, 2, 3):
        before = [f"01-0{number - 1}"] if number > 1 else []
        write_plan(
            project, f"01-0{number}", f"echo begun; while [ ! -e go-{number} ]; do sleep 0.05; done", depends_on=before
        )
    with running_elsewhere(project) as run:
        head = watcher.board.locator(".hnb-head").first
        expect(head).to_contain_text("running")
        for number in (1, 2):
            (project / f"go-{number}").touch()
            expect(head).to_contain_text(f"{number} of 3 plans")
        (project / "go-3").touch()
        expect(head).to_contain_text("not running")
        expect(head).to_contain_text("3 of 3 plans")
        expect(watcher.board.locator(".hnb-report")).to_contain_text("passed")
        expect(watcher.board.locator(".hnb-log-note")).to_contain_text("ended")
        assert run.wait(60) == 0


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


def test_a_choice_outlives_a_server_that_has_gone_and_nothing_is_sent_into_the_void(
    context: BrowserContext, project: Path, tmp_path: Path
) -> None:
    server = start(project, folder=tmp_path)
    watcher = Watcher.of(context, server)
    start_asking(project, CACHE)
    form = card(watcher.board, CACHE)
    form.get_by_role("radio", name="Redis").check()
    stop(server)
    expect(watcher.notice).to_contain_text("The dashboard has stopped")
    expect(form.get_by_role("button", name="Answer")).to_be_disabled()
    expect(watcher.board.locator(".hnb-head-told")).to_contain_text("lost its connection")
    with served(project, port=server.port, folder=tmp_path):
        expect(watcher.notice).to_contain_text("The connection is back")
        expect(form.get_by_role("radio", name="Redis")).to_be_checked()
        watcher.notice.get_by_role("button", name="Reload").click()
        watcher.wait_until_live()
        choose(watcher.board, CACHE, "Redis")
        expect(settled(watcher.board, CACHE)).to_be_visible()
        watcher.page.close()
    end_sessions(project)


def test_an_answer_that_nobody_confirms_is_not_said_to_be_on_its_way(
    context: BrowserContext, project: Path, tmp_path: Path
) -> None:
    server = start(project, folder=tmp_path)
    watcher = Watcher.of(context, server)
    start_asking(project, CACHE)
    expect(card(watcher.board, CACHE)).to_be_visible()
    for kernel in server.kernels:
        kernel.suspend()
    choose(watcher.board, CACHE, "Redis")
    form = card(watcher.board, CACHE)
    expect(form).to_contain_text("Nobody has confirmed this yet")
    expect(form.locator(".hnb-shell")).to_contain_text("harness-nb respond")
    for kernel in server.kernels:
        kernel.kill()
    stop(server)
    expect(form).to_contain_text("The connection was lost")
    with served(project, port=server.port, folder=tmp_path):
        expect(watcher.notice).to_contain_text("look then whether your last answer has arrived")
        assert answers(project) == {}
        watcher.page.close()
    end_sessions(project)


def test_a_page_that_comes_back_starts_one_kernel(context: BrowserContext, project: Path, tmp_path: Path) -> None:
    server = start(project, folder=tmp_path)
    watcher = Watcher.of(context, server)
    watcher.page.evaluate("sessionStorage.loads = 0")
    watcher.page.add_init_script("sessionStorage.loads = Number(sessionStorage.loads ?? 0) + 1")
    stop(server)
    expect(watcher.notice).to_contain_text("The dashboard has stopped")
    with served(project, port=server.port, folder=tmp_path) as again:
        watcher.wait_until_live()
        assert watcher.page.evaluate("sessionStorage.loads") == "1"
        assert len(again.kernels) == 1
        watcher.page.close()


def test_a_token_that_was_changed_is_told_from_a_server_that_is_away(
    context: BrowserContext, project: Path, tmp_path: Path
) -> None:
    server = start(project, folder=tmp_path)
    watcher = Watcher.of(context, server)
    stop(server)
    Layout(project).door_token("dashboard").unlink()
    with served(project, port=server.port, folder=tmp_path) as again:
        expect(watcher.notice).to_contain_text("Open the address that harness-nb dashboard has printed now")
        assert "403" not in again.log.read_text()
        watcher.open(again.opening)
        watcher.page.close()


def test_a_project_that_was_deleted_is_told_and_comes_back(
    watcher: Watcher, server: Server, context: BrowserContext, project: Path
) -> None:
    elsewhere = project.with_name(f"{project.name}-away")
    project.rename(elsewhere)
    expect(watcher.notice).to_contain_text("The project's folder or its journal has gone")
    expect(watcher.page.locator(".page-state")).to_have_text("Not connected")
    late = context.new_page()
    late.goto(server.url)
    expect(late.locator("p.page-notice")).to_contain_text("has gone")
    expect(late.locator("#board")).to_contain_text("There is no folder")
    elsewhere.rename(project)
    watcher.wait_until_live()
    expect(late.locator(".page-state")).to_have_text("Live")
    late.close()


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
