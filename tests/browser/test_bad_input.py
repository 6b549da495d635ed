"""What can go wrong while something is shown: it is said in one clear sentence, and nothing is lost."""

from __future__ import annotations

import re
import shutil
import signal
from typing import TYPE_CHECKING

import psutil
from playwright.sync_api import expect

from tests.browser.asking import ONE_QUESTION, card, choose, live, opened, settled

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.lab import Lab

RUN = "run = h.run(plans=[plan])\nrun"
OLD = "from harness_nb.notebook import displays\ndisplays.clicks_reach_a_busy_kernel = lambda: False"


def test_a_kernel_that_takes_no_clicks_while_it_works_says_so_and_gives_the_line(lab: Lab, project: Path) -> None:
    lab.open_cells(ONE_QUESTION, opened(project), OLD, RUN)
    lab.run_all()
    form = card(live(lab, 3), "Which cache")
    expect(form.locator(".hnb-shell")).to_be_visible()
    expect(form.locator(".hnb-shell")).to_contain_text("--option redis")
    expect(form).to_contain_text("This kernel takes no clicks while a cell runs")
    choose(live(lab, 3), "Which cache", "Redis")
    expect(settled(live(lab, 3), "Which cache")).to_contain_text("Redis, by")
    lab.expect_no_faults()


def test_a_click_that_is_not_taken_says_so_and_arrives_later(lab: Lab, project: Path) -> None:
    """The kernel's process is stopped for a while, as by a machine that has no time for it."""
    lab.open_cells(ONE_QUESTION, opened(project), RUN, "import os\nprint(os.getpid())")
    lab.run_all()
    form = card(live(lab, 2), "Which cache")
    expect(form).to_be_visible()
    lab.wait_for_text(3, re.compile(r"\d+"))
    kernel = psutil.Process(int(lab.output(3).inner_text()))
    kernel.send_signal(signal.SIGSTOP)
    try:
        choose(live(lab, 2), "Which cache", "Redis")
        expect(form).to_contain_text("The kernel is busy")
        expect(form.locator(".hnb-shell")).to_contain_text("harness-nb respond")
    finally:
        kernel.send_signal(signal.SIGCONT)
    expect(settled(live(lab, 2), "Which cache")).to_contain_text("Redis, by")
    expect(live(lab, 2).locator(".hnb-report")).to_contain_text("passed")
    lab.expect_no_faults()


def test_a_closed_harness_and_a_deleted_project_are_said_in_one_sentence(lab: Lab, project: Path) -> None:
    gone = project.parent / f"{project.name}-2"
    gone.mkdir()
    lab.open_cells(
        ONE_QUESTION,
        opened(project),
        RUN,
        "h.close()",
        "run",
        opened(gone),
        "s = h.start_session(command=['sh', '-c', 'echo here; cat'])\ns",
        "h.board",
        "s",
        "print(s.stop(grace=0.1))",
    )
    for cell in range(3):
        lab.run(cell)
    expect(card(live(lab, 2), "Which cache")).to_be_visible()
    lab.run(3)
    expect(live(lab, 2)).to_contain_text("This harness is not open")
    expect(card(live(lab, 2), "Which cache")).to_have_count(0)
    lab.run(4)
    expect(lab.output(4)).to_contain_text("This harness is not open")
    expect(lab.output(4)).not_to_contain_text("Traceback")

    for cell in (5, 6, 7):
        lab.run(cell)
    expect(live(lab, 6).locator(".hnb-log")).to_contain_text("here")
    shutil.rmtree(gone.rename(gone.with_name("deleted")))  # at one stroke, for somebody looks on
    field = live(lab, 6).get_by_label("Type a line")
    field.fill("anybody?")
    field.press("Enter")
    for cell in (6, 7):
        expect(live(lab, cell)).to_contain_text("There is no folder")
    lab.run(8)
    expect(lab.output(8)).to_contain_text("There is no folder")
    lab.run(9)
    expect(lab.output(9)).to_contain_text("its project was deleted; its processes are gone")
    for cell in (6, 7, 8):
        expect(lab.output(cell)).not_to_contain_text("Traceback")
    lab.expect_no_faults()


def test_a_view_whose_kernel_was_restarted_stands_still_and_says_so(lab: Lab, project: Path) -> None:
    lab.open_cells(ONE_QUESTION, opened(project), RUN)
    lab.run_all()
    form = card(live(lab, 2), "Which cache")
    expect(form).to_be_visible()
    lab.restart()
    expect(live(lab, 2)).to_contain_text("The kernel of this view has gone")
    expect(form.get_by_role("button", name="Answer")).to_be_disabled()
    lab.run_all()
    choose(live(lab, 2), "Which cache", "Redis")
    expect(settled(live(lab, 2), "Which cache")).to_contain_text("Redis, by")
    lab.expect_no_faults()
