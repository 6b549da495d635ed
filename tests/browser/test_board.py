"""The board: a whole run on one screen, that changes in place, and stays usable by keyboard and with 300 plans."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.benchmarks.projects import write_plans
from tests.browser.asking import card, live, opened
from tests.orchestrator.written_plans import configure

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.lab import Lab

PLANS = r"""
from harness_nb import Plan, RunBlock, Task
FINE = [{"id": "fine", "type": "command_succeeds", "command": "true"}]
def work(id, title, code, *before, **keys):
    return Plan(id=id, title=title, tasks=[*before, Task(name=title, runs=[RunBlock(lang="sh", code=code)])],
                **{"must_pass": FINE, **keys})
cache = Task(name="Choose", type="checkpoint:decision", decision="Which cache should the API use?",
             context="One process, 40 requests a second, restarts must not lose it.", options=[
    {"id": "sqlite", "name": "SQLite", "recommended": True, "pros": "no server, survives restarts",
     "cons": "one writer"},
    {"id": "redis", "name": "Redis", "pros": "shared, expiry built in",
     "cons": "one more thing to run; asks for REDIS_URL"}])
look = Task(name="Look", type="checkpoint:human-verify", what_built="The item page shows prices and stock",
            how_to_verify=["1. Open http://localhost:8000/items", "2. Sort by price; the cheapest comes first"])
api = r'''
printf '\033[36m$ pytest -q tests/test_items.py\033[0m\n....\033[31mF\033[0m.....\n'
printf '\033[31mFAILED\033[0m tests/test_items.py::test_patch_price - assert 409 == 200\n'
printf '\033[33m1 failed\033[0m, \033[32m9 passed\033[0m in 1.42s\n'
echo "The conflict comes from the version column: PATCH must send it. Fixing api/items.py:88."
while [ ! -e go ]; do sleep 0.1; done; echo gone on
'''
broken = "echo 'no space left on device: data/images' >&2; exit 3"
plans = [
    work("01-01", "Database", "echo tables made"),
    work("01-02", "Import CSV", "echo 1204 rows", depends_on=["01-01"]),
    work("02-01", "Endpoints", api, depends_on=["01-01"]),
    work("02-02", "Cache layer", "echo $HARNESS_DECISION > cache.txt", cache, depends_on=["01-01"]),
    work("02-03", "Item page", "true", look, depends_on=["01-02"]),
    work("02-04", "Load images", broken, depends_on=["01-02"]),
    work("03-01", "Search", "true", depends_on=["02-01", "02-02"]),
    work("03-02", "Gallery", "true", depends_on=["02-04"]),
    work("04-01", "End to end", "true", depends_on=["03-01", "02-03"]),
]
"""
RUN = "run = h.run(plans=plans, max_parallel=4)\nrun"


def test_a_run_changes_in_place_can_be_looked_into_and_ends_with_its_report(lab: Lab, project: Path) -> None:
    configure(project, maxRetries=0)
    lab.open_cells(PLANS, opened(project), RUN)
    lab.run_all()
    board = live(lab, 2)
    expect(board.get_by_role("heading", name="2 wait for you")).to_be_visible()
    node = board.locator(".hnb-node[data-key='02-04']")
    expect(node).to_have_class(re.compile("hnb-failed"))
    expect(board.locator(".hnb-head")).to_contain_text("2 of 9 plans")
    expect(board.locator(".hnb-bar")).to_have_attribute("aria-label", re.compile("2 complete"))
    assert lab.accessibility_faults(".hnb-live") == []

    board.get_by_role("button", name="Show the output of 02-04").press("Enter")
    expect(board.locator(".hnb-log")).to_contain_text("no space left on device")
    board.locator(".hnb-node[data-key='01-02']").press("Enter")
    expect(board.locator(".hnb-log")).to_contain_text("1204 rows")
    expect(board.locator("tr.hnb-selected")).to_contain_text("01-02")
    board.locator("tr", has_text="Endpoints").click()
    expect(board.locator(".hnb-log")).to_contain_text("9 passed")

    where = "board => [...board.querySelectorAll('.hnb-node')].findIndex(one => one.dataset.key === '02-01')"
    before = board.evaluate(where)
    notes = card(board, "The item page").get_by_role("textbox")
    notes.click()
    notes.press_sequentially("half a ")
    (project / "go").touch()
    expect(board.locator(".hnb-node[data-key='02-01']")).to_have_class(re.compile("hnb-complete"))
    expect(board.locator(".hnb-head")).to_contain_text("3 of 9 plans")
    notes.press_sequentially("sentence")
    expect(notes).to_have_value("half a sentence")
    expect(notes).to_be_focused()
    assert board.evaluate(where) == before

    card(board, "The item page").get_by_role("button", name="Pass").click()
    card(board, "Which cache").get_by_role("button", name="Answer").click()
    rows = board.locator(".hnb-report tbody tr")
    expect(rows.first).to_contain_text("02-04")
    expect(rows.first).to_contain_text("failed")
    expect(board.locator(".hnb-head").first).to_contain_text("5 of 9 plans")
    expect(board.get_by_role("button", name="Stop")).to_have_count(0)
    lab.theme("dark")
    assert lab.accessibility_faults(".hnb-live") == []
    lab.expect_no_faults()


def test_300_plans_are_on_one_screen_and_the_file_stays_small(lab: Lab, project: Path) -> None:
    write_plans(project, 300)
    lab.open_cells(opened(project), "h.board")
    lab.run_all()
    board = live(lab, 1)
    expect(board.locator(".hnb-node")).to_have_count(300)
    expect(board.locator(".hnb-head")).to_contain_text("0 of 300 plans")
    board.locator(".hnb-node[data-key='30-10']").click()
    expect(board).to_contain_text("30-10 has not begun.")
    lab.save()
    assert (lab.root / "test.ipynb").stat().st_size < 1_000_000
    assert lab.accessibility_faults(".hnb-live") == []
    lab.expect_no_faults()
