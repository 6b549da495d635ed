"""The board of a project that other processes run: their plans, their reports, and what to do where nothing ran yet."""

from __future__ import annotations

import html
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb import AsyncHarness
from harness_nb.notebook import project_report
from harness_nb.notebook.board import ControlRoom
from tests.orchestrator.written_plans import configure, plan, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness_nb import Harness


@pytest.fixture
def elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlRoom]:
    """The project's board in a process that runs nothing, which reads the documents at each look."""
    monkeypatch.setattr(project_report, "READ_AGAIN", 0.0)
    harness = AsyncHarness(root, judges=False)
    with closing(harness.store):
        yield ControlRoom(harness)


@pytest.fixture
def slow(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlRoom]:
    """The same in a process that reads the documents only once."""
    monkeypatch.setattr(project_report, "READ_AGAIN", 3600.0)
    harness = AsyncHarness(root, judges=False)
    with closing(harness.store):
        yield ControlRoom(harness)


def seen(board: ControlRoom, name: str) -> str:
    """Return one list of the board as text."""
    return html.unescape(" ".join(fragment for _, fragment in board.look(live=True).lists[name]))


def test_plans_that_a_run_was_given_are_shown_while_it_runs_and_after(
    opened: Callable[..., Harness], root: Path, elsewhere: ControlRoom
) -> None:
    wait = "while [ ! -e go ]; do sleep 0.05; done"
    run = opened().run(plans=[plan("01-01", wait, title="Given"), plan("01-02", depends_on=["01-01"], title="Later")])
    until(lambda: "Given" in seen(elsewhere, "sessions"))
    assert "Later" in seen(elsewhere, "nodes")
    assert "0 of 2 plans" in seen(elsewhere, "head")
    assert seen(elsewhere, "report") == ""
    (root / "go").touch()
    run.wait(timeout=60)
    until(lambda: "passed" in seen(elsewhere, "report"))
    assert "2 of 2 plans" in seen(elsewhere, "head")


def test_plans_that_were_started_one_by_one_are_work_too(
    opened: Callable[..., Harness], root: Path, elsewhere: ControlRoom
) -> None:
    write_plan(root, "01-01", "while [ ! -e go ]; do sleep 0.05; done")
    assert "not running" in seen(elsewhere, "head")
    session = opened().start_session(plan="01-01")
    assert "● running" in seen(elsewhere, "head")
    (root / "go").touch()
    session.wait(timeout=60)
    until(lambda: "not running" in seen(elsewhere, "head"))
    assert "1 of 1 plans" in seen(elsewhere, "head")


def test_the_report_of_the_newest_run_stands_until_another_begins(
    opened: Callable[..., Harness], root: Path, elsewhere: ControlRoom
) -> None:
    configure(root, maxRetries=0)
    write_plan(root, "01-01", "exit 3")
    opened().run().wait(timeout=60)
    until(lambda: "01-01" in seen(elsewhere, "report"))
    assert "failed" in seen(elsewhere, "report")
    write_plan(root, "01-01", "while [ ! -e go ]; do sleep 0.05; done")
    run = opened().run()
    until(lambda: seen(elsewhere, "report") == "")
    run.stop()


def test_documents_may_be_edited_while_the_board_is_open(root: Path, elsewhere: ControlRoom) -> None:
    assert "harness-nb init" in seen(elsewhere, "head")
    write_plan(root, "01-01")
    assert "01-01" in seen(elsewhere, "nodes")
    assert "harness-nb run" in seen(elsewhere, "head")
    assert "harness-nb init" not in seen(elsewhere, "head")
    write_plan(root, "01-02", depends_on=["01-01"])
    assert "01-02" in seen(elsewhere, "nodes")
    assert "0 of 2 plans" in seen(elsewhere, "head")


def test_what_to_do_is_said_only_where_nothing_happened_and_not_in_what_is_saved(
    opened: Callable[..., Harness], elsewhere: ControlRoom
) -> None:
    saved = [key for key, _ in elsewhere.look(live=False).lists["head"]]
    assert saved == ["head"]
    opened().start_session(command=["true"]).wait(timeout=60)
    assert "harness-nb init" not in seen(elsewhere, "head")


def test_what_the_journal_says_is_true_at_each_look_however_seldom_documents_are_read(
    opened: Callable[..., Harness], root: Path, slow: ControlRoom
) -> None:
    plans = [plan("01-01"), plan("01-02", "while [ ! -e go ]; do sleep 0.05; done", depends_on=["01-01"])]
    assert "not running" in seen(slow, "head")
    run = opened().run(plans=plans)
    until(lambda: "1 of 2 plans" in seen(slow, "head"))
    assert "● running" in seen(slow, "head")
    (root / "go").touch()
    run.wait(timeout=60)
    until(lambda: "passed" in seen(slow, "report"))
    assert "not running" in seen(slow, "head")
    assert "2 of 2 plans" in seen(slow, "head")


def test_a_look_at_documents_that_were_read_before_says_when_to_look_again(root: Path, slow: ControlRoom) -> None:
    slow.look(live=True)
    again = slow.look(live=True).again
    assert again is not None
    assert 0 < again <= 3600
    write_plan(root, "01-01")
    assert "harness-nb init" in seen(slow, "head")


def test_documents_that_were_just_read_need_no_other_look(elsewhere: ControlRoom) -> None:
    assert elsewhere.look(live=True).again is None
    assert elsewhere.look(live=True).again is None
