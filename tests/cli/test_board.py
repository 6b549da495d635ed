"""The board as a pure picture: what is folded where plans are more than lines, and what never moves."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness_nb.cli.board import board
from harness_nb.protocol.outcome import SIGNS, RunReport
from harness_nb.protocol.shown import clock
from harness_nb.views.snapshot import PlanLine, Snapshot


def draw(lines: list[PlanLine], *, width: int = 80, height: int = 24, seconds: float = 7) -> list[str]:
    shot = Snapshot(RunReport(run_id="r", state="running", passed=False), tuple(lines))
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(board(shot, name="weather", seconds=seconds, width=width, height=height))
    return capture.get().splitlines()


def plan(number: int, state: str, detail: str = "") -> PlanLine:
    return PlanLine(f"01-{number:02}", f"Plan {number}", state, SIGNS[state], state, detail)  # type: ignore[arg-type]


def test_every_plan_has_a_sign_and_a_word_for_its_state() -> None:
    drawn = draw([plan(1, "complete", "3 checks"), plan(2, "running"), plan(3, "failed", "no"), plan(4, "waiting")])
    assert [line.split()[0] for line in drawn[4:]] == ["✓", "●", "✕", "○"]
    assert [line.split()[4] for line in drawn[4:]] == ["complete", "running", "failed", "waiting"]


def test_the_headline_keeps_its_places_as_numbers_grow() -> None:
    few = draw([plan(n, "complete" if n < 3 else "waiting") for n in range(12)], seconds=9)
    many = draw([plan(n, "complete" if n < 11 else "waiting") for n in range(12)], seconds=59)
    assert few[0].index("of 12") == many[0].index("of 12")
    assert few[2].index("complete") == many[2].index("complete")


@pytest.mark.parametrize("height", [10, 16, 24])
def test_where_plans_are_more_than_lines_none_that_matters_is_hidden(height: int) -> None:
    states = ["complete"] * 30 + ["running", "failed"] + ["waiting"] * 30
    drawn = draw([plan(n, state) for n, state in enumerate(states)], height=height)
    assert len(drawn) <= height
    text = "\n".join(drawn)
    assert "01-30" in text
    assert "01-31" in text
    assert "more" in text


def test_all_outcomes_of_the_bar_add_up_to_its_width() -> None:
    for done in range(8):
        bar = draw([plan(n, "complete" if n < done else "waiting") for n in range(7)], width=61)[1]
        assert len(bar) == 60


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "0:00"), (67, "1:07"), (3723, "1:02:03")])
def test_time_is_written_as_people_do(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
