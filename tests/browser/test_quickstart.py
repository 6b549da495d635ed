"""The quickstart as a reader goes through it: the sample's questions answered by clicking, and a restart in between."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.asking import answers, card, choose, live, opened, settled

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser.lab import Lab

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
SLOW = 60_000
"""Milliseconds that the sample may need from one question to the next."""

UNITS, TOKEN, PAGE, END = (
    "Which units",
    "Credentials of weather",
    "A page with a chart",
    "Tell those who use the service",
)
ASK = """\
answer = h.ask("decision", decision="Which cache?", options=[{"id": "sqlite", "name": "SQLite"}, \
{"id": "redis", "name": "Redis"}])
print("go on with", answer.payload["selectedOptionId"])
"""


def cell_with(text: str) -> int:
    """Return the index of the quickstart's cell whose code contains a text."""
    cells = nbformat.read(QUICKSTART, as_version=4).cells
    return next(number for number, one in enumerate(cells) if one.cell_type == "code" and text in one.source)


def click(board: Locator, text: str, button: str) -> None:
    """Answer a question on the board with one click, as soon as it is asked."""
    form = card(board, text)
    expect(form).to_be_visible(timeout=SLOW)
    form.get_by_role("button", name=button, exact=True).click()
    expect(form).to_have_count(0)


@pytest.mark.timeout(240)
def test_the_quickstart_is_answered_by_clicking_and_goes_on_after_a_restart(lab: Lab, project: Path) -> None:
    """All four questions wait for the person who sits there, whatever the policies say of an empty chair."""
    shutil.copy(QUICKSTART, project)
    opening, running, waiting = cell_with("sample_for_notebook"), cell_with("h.run("), cell_with("run.wait()")
    lab.open(f"{project.name}/{QUICKSTART.name}")
    lab.run_all(wait=False)
    lab.wait_until_busy(waiting)
    board = live(lab, running)
    expect(card(board, UNITS)).to_be_visible(timeout=SLOW)
    choose(board, UNITS, "Imperial")
    expect(settled(board, UNITS)).to_contain_text("Imperial, by")

    lab.restart()
    lab.run(opening)
    lab.run(running)
    lab.run(waiting, wait=False)
    lab.wait_until_busy(waiting)
    click(board, TOKEN, "Allow")
    click(board, PAGE, "Pass")
    click(board, END, "Done")
    expect(lab.output(waiting)).to_contain_text("run passed: 9 of 9 plans complete", timeout=SLOW)
    expect(board.locator(".hnb-report")).to_contain_text("9 of 9", timeout=SLOW)
    given = answers(project / "harness-nb-sample")
    assert sorted(given) == ["02-01", "02-02", "03-01", "03-03"]
    assert {door for door, _ in given.values()} == {"notebook"}
    assert given["02-01"][1]["selectedOptionId"] == "imperial"
    lab.expect_no_faults()


@pytest.mark.timeout(240)
def test_a_question_asked_by_a_cell_shows_its_form_and_a_click_lets_the_cell_go_on(lab: Lab, project: Path) -> None:
    lab.open_cells(opened(project), ASK)
    lab.run_all(wait=False)
    asked = live(lab, 1)
    expect(card(asked, "Which cache?")).to_be_visible(timeout=SLOW)
    lab.wait_until_busy(1)
    choose(asked, "Which cache?", "Redis")
    lab.wait_for_text(1, "go on with redis")
    lab.wait_until_ran(1)
    lab.expect_no_faults()
