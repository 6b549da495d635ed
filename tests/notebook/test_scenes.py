"""What is shown and what is saved: readable without a kernel, and the same from run to run once it has ended."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import ACCEPT_ALL, Harness, Plan, RunBlock, Task
from harness_nb.notebook import html_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def wait_for_question(h: Harness) -> Any:
    h.wait_for_state(states=["checkpoint"], timeout=60)
    return h.get_pending()[0]


def test_a_run_that_asks_says_so_to_readers_without_a_kernel(harness: Harness, asking: Callable[..., Plan]) -> None:
    run = harness.run(plans=[asking()])
    question = wait_for_question(harness)
    for handle in (run, harness, harness.board, question, harness.session(question.session_id)):
        page, text = html.unescape(html_of(handle)), text_of(handle)
        assert "Which cache?" in page
        assert f"harness-nb respond {question.id} --option sqlite" in page
        assert "This is how it stood at " in page
        assert "<form" not in page
        assert "Which cache?" in text
        assert f"harness-nb respond {question.id}" in text
    question.answer("redis")
    run.wait(timeout=60)


def test_what_is_saved_of_an_end_is_the_same_each_time(
    opened: Callable[..., Harness], tmp_path: Path, asking: Callable[..., Plan]
) -> None:
    def once(number: int) -> list[tuple[str, str]]:
        folder = tmp_path / str(number) / "shop"
        folder.mkdir(parents=True)
        h = opened(folder)
        run = h.run(plans=[asking(1), asking(2)], policies=[ACCEPT_ALL])
        run.wait(timeout=60)
        session = h.start_session(command=["sh", "-c", "echo hello; exit 3"])
        session.wait(timeout=60)
        return [(html_of(one), text_of(one)) for one in (run, session)]

    assert once(1) == once(2)


def test_an_ended_run_shows_its_report_and_nothing_to_press(harness: Harness, asking: Callable[..., Plan]) -> None:
    run = harness.run(plans=[asking()], policies=[ACCEPT_ALL])
    report = run.wait(timeout=60)
    page = html_of(run)
    assert report._repr_html_() in page
    assert "✓ passed" in page
    assert "Plan 1" in page
    assert "<button" not in page
    assert text_of(run) == str(report)


def test_a_failure_is_told_first_and_with_its_reason(harness: Harness) -> None:
    bad = Plan(id="01-01", title="Bad", tasks=[Task(name="Fail", runs=[RunBlock(lang="sh", code="exit 3")])])
    run = harness.run(plans=[bad])
    run.wait(timeout=60)
    assert "✕ failed" in html_of(run)
    assert "exit status 3" in html_of(run)
    assert "exit status 3" in text_of(run)


def test_an_answered_question_shows_by_whom_and_what(harness: Harness, asking: Callable[..., Plan]) -> None:
    run = harness.run(plans=[asking()])
    question = wait_for_question(harness)
    question.answer("redis")
    assert "<b>Redis</b>" in html_of(question)
    assert "answered by" in text_of(question)
    run.wait(timeout=60)


def test_a_question_that_nobody_waits_for_any_more_says_so(harness: Harness, asking: Callable[..., Plan]) -> None:
    run = harness.run(plans=[asking()])
    question = wait_for_question(harness)
    run.stop()
    assert "nobody waits for an answer any more" in html_of(question)


def test_a_sessions_output_is_saved_with_its_colours_and_only_its_end(harness: Harness) -> None:
    script = "seq 1 5000; printf '\\033[31mred\\033[0m <b>no markup</b>\\n'"
    session = harness.start_session(command=["sh", "-c", script])
    session.wait(timeout=60)
    page = html_of(session)
    assert '<span class="hnb-fg-red">red</span>' in page
    assert "&lt;b&gt;no markup" in page
    assert "<div>5000</div>" in page
    assert "<div>4000</div>" not in page
    assert "red" in text_of(session)


def test_a_project_that_nobody_runs_shows_its_plans(harness: Harness, root: Path) -> None:
    folder = root / "planning/plans/01-first"
    folder.mkdir(parents=True)
    (folder / "01-01-PLAN.md").write_text('---\nphase: "01"\nplan: "01"\n---\n<task><name>Do</name></task>\n')
    assert "○ not running" in html_of(harness.board)
    assert "01-01" in html_of(harness.board)
    assert "0 of 1 plans" in repr(harness.board)


def test_an_empty_project_shows_that_there_is_nothing(harness: Harness) -> None:
    assert "not running" in html_of(harness)
    assert text_of(harness)


@pytest.mark.parametrize("plans", [300])
def test_the_saved_board_of_many_plans_stays_small(opened: Callable[..., Harness], tmp_path: Path, plans: int) -> None:
    from tests.benchmarks.projects import write_plans

    write_plans(tmp_path, plans)
    page = html_of(opened(tmp_path))
    assert len(page) < 500_000
    assert page.count('class="hnb-node') == plans
