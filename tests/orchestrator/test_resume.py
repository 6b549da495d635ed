"""Runs whose process went away: what the next one finds in the journal, and goes on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness_nb import Harness
from harness_nb.protocol.records import RunOptions, SessionRecord
from harness_nb.sessions import proof
from harness_nb.sessions.starting import NEVER_STARTED
from tests.orchestrator.written_plans import configure, states, until, write_plan

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 60
WAITS = "while ! test -e go; do sleep 0.02; done"
Opened = Callable[..., Harness]


@pytest.mark.row(5, 11)
def test_a_phase_that_passed_is_not_checked_again(opened: Opened, root: Path) -> None:
    """Its report is still there when the run goes on; its checks may not be true any more, and need not be."""
    counted = {"id": "counted", "type": "command_succeeds", "command": "echo x >> count"}
    write_plan(root, "01-01", must_pass=[counted])
    write_plan(root, "02-01", WAITS)
    harness = opened()
    first = harness.run()
    harness.wait_for_state(states=["completed"], timeout=LIMIT)
    until(lambda: [one.record.plan_id for one in harness.list_sessions("running")] == ["02-01"])
    harness.close()
    (root / "go").touch()
    run = opened().run()
    report = run.wait(timeout=LIMIT)
    assert run.id == first.id
    assert report.passed, str(report)
    assert [one.spec_id for one in report.phases["1"].results] == ["counted"]
    assert (root / "count").read_text() == "x\nx\n", "once for the plan, once for the phase"
    assert [one.attempts for one in report.plans] == [1, 1]


@pytest.mark.row(11)
def test_a_session_that_ended_meanwhile_is_judged_and_not_done_again(opened: Opened, root: Path) -> None:
    """It came to its end while nobody looked."""
    write_plan(root, "01-01", f"{WAITS}; echo x >> done")
    harness = opened()
    harness.run()
    harness.wait_for_state(states=["running"], timeout=LIMIT)
    harness.close()
    (root / "go").touch()
    until((root / "done").exists)
    report = opened().run().wait(timeout=LIMIT)
    assert report.passed
    assert (report.plan("01-01").attempts, (root / "done").read_text()) == (1, "x\n")


@pytest.mark.row(9, 11)
def test_retries_are_counted_across_processes(opened: Opened, root: Path) -> None:
    """A failure in the life before counts, and the next attempt is told of it; what is left of the delay is kept."""
    configure(root, retryDelay=4)
    write_plan(root, "01-01", "echo try >> tries; test $(wc -l < tries) -ge 2 || exit 75")
    harness = opened()
    harness.run()
    until(lambda: harness._twin.store.events.select(kind="retry"))
    harness.close()
    harness = opened()
    report = harness.run().wait(timeout=LIMIT)
    assert report.passed
    assert report.plan("01-01").attempts == 2
    assert "The attempt before failed" in harness.list_sessions()[1].output().text


@pytest.mark.row(11)
def test_a_session_whose_starter_died_before_it_could_counts_for_nothing(
    opened: Opened, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the journal and nowhere else: it is given up, and the plan's first attempt is made."""
    monkeypatch.setattr(proof, "LAUNCH_PATIENCE", 0.05)
    configure(root, maxRetries=0)
    write_plan(root, "01-01", "echo x >> done")
    harness = opened()
    store = harness._twin.store
    store.runs.create("run-dead", RunOptions())
    store.sessions.create(
        SessionRecord(
            id="01-01-dead", worker="runbook", run_id="run-dead", plan_id="01-01", phase="1", working_dir=".",
            created_at=store.clock(),
        )
    )  # fmt: skip
    run = harness.run()
    assert run.id == "run-dead"
    report = run.wait(timeout=LIMIT)
    assert states(report) == {"01-01": "complete"}
    assert report.plan("01-01").attempts == 1
    assert harness.session("01-01-dead").record.reason == NEVER_STARTED


def test_a_call_that_means_something_else_ends_the_unfinished_run(opened: Opened, root: Path) -> None:
    """Other plans are another run; what lives of the earlier one is adopted and not started twice."""
    write_plan(root, "01-01", f"{WAITS}; echo x >> done")
    write_plan(root, "01-02")
    harness = opened()
    first = harness.run(plans=["1-1"])
    harness.wait_for_state(states=["running"], timeout=LIMIT)
    harness.close()
    harness = opened()
    second = harness.run(plans=["01-01", "01-02"])
    (root / "go").touch()
    assert second.id != first.id
    assert second.wait(timeout=LIMIT).passed
    assert [one.state for one in harness._twin.store.runs.select()] == ["stopped", "passed"]
    assert (root / "done").read_text() == "x\n"
