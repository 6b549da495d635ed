"""What goes wrong in a run: it is retried, or told, or stopped, and it never takes other plans along."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Harness, Policy
from harness_nb.errors import HarnessClosedError
from harness_nb.orchestrator.judging import Judge
from harness_nb.orchestrator.progress import Publisher
from harness_nb.store.atomic import read_json
from tests.orchestrator.written_plans import FINE, configure, plan, states, until, write_plan

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 60
WAITS = "while ! test -e go; do sleep 0.02; done"
ACTION = '<task type="checkpoint:human-action">\n<name>Plug it in</name>\n<action>Plug it in</action>\n</task>\n'


def until_waiting(harness: Harness) -> None:
    """Wait until somebody asks something."""
    harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)


@pytest.mark.row(9)
def test_a_recoverable_failure_is_tried_again_and_told_what_was_wrong(harness: Harness, root: Path) -> None:
    """Exit status 75 asks for another try; the third one ends well, and each was a session of its own."""
    configure(root)
    code = "echo try >> tries; test $(wc -l < tries) -ge 3 || exit 75"
    report = harness.run(plans=[plan("01-01", code)]).wait(timeout=LIMIT)
    assert report.passed, str(report)
    assert report.plan("01-01").attempts == 3
    sessions = [one.record for one in harness.list_sessions()]
    assert [one.attempt for one in sessions] == [1, 2, 3]
    assert [one.verdict for one in sessions] == ["failed", "failed", "passed"]
    assert "The attempt before failed" in harness.list_sessions()[1].output().text
    assert "exit status 75" in harness.list_sessions()[1].output().text
    delays = [one.data["after"] for one in harness._twin.store.events.select(kind="retry")]
    assert delays == [0.01, 0.02], "each delay is twice the one before"


@pytest.mark.row(9)
def test_retries_have_a_limit(harness: Harness, root: Path) -> None:
    """After ``maxRetries`` further tries the plan has failed, and what depends on it is held."""
    configure(root, maxRetries=1)
    report = harness.run(plans=[plan("01-01", "exit 75"), plan("01-02", depends_on=["01-01"])]).wait(timeout=LIMIT)
    assert states(report) == {"01-01": "failed", "01-02": "held"}
    assert report.plan("01-01").attempts == 2


@pytest.mark.row(9, 11)
def test_a_session_whose_processes_were_killed_goes_on_with_others(harness: Harness, root: Path) -> None:
    """Whoever kills shim and worker leaves no exit status; the same session is resumed."""
    configure(root)
    run = harness.run(plans=[plan("01-01", f"echo try >> tries; test $(wc -l < tries) -ge 2 || {WAITS}")])
    harness.wait_for_state(states=["running"], timeout=LIMIT)
    [session] = harness.list_sessions()
    folder = harness._twin.store.layout.session(session.id)
    until((root / "tries").exists)
    info = read_json(folder.shim)
    for pid in (info["pid"], info["workerPid"]):
        os.kill(pid, signal.SIGKILL)
    report = run.wait(timeout=LIMIT)
    (root / "go").touch()
    assert report.passed, str(report)
    assert report.plan("01-01").attempts == 1
    assert (session.record.lives, session.record.reason) == (2, None)


@pytest.mark.row(9, 10)
def test_an_abort_ends_the_plan_or_has_it_tried_again(harness: Harness, root: Path) -> None:
    """Without ``should_retry`` the plan is aborted; with it another attempt asks anew."""
    configure(root)
    write_plan(root, "01-01", body=ACTION)
    run = harness.run()
    until_waiting(harness)
    harness.get_pending()[0].abort("wrong cable", should_retry=True)
    until(lambda: [one.state for one in harness.list_sessions()] == ["failed", "checkpoint"])
    harness.get_pending()[0].abort("enough")
    outcome = run.wait(timeout=LIMIT).plan("01-01")
    assert (outcome.state, outcome.attempts) == ("aborted", 2)
    assert outcome.reason == "aborted: enough"


# --- stop -------------------------------------------------------------------------------------


@pytest.mark.row(3)
def test_stop_ends_the_sessions_and_starts_nothing_more(harness: Harness) -> None:
    """What ran is aborted, what waited still waits, and the project is free for the next run."""
    run = harness.run(plans=[plan("01-01", WAITS), plan("01-02", WAITS), plan("01-03", depends_on=["01-01"])])
    until(lambda: [one.state for one in harness.list_sessions()] == ["running"] * 2)
    report = run.stop()
    assert (report.state, report.passed) == ("stopped", False)
    assert states(report) == {"01-01": "aborted", "01-02": "aborted", "01-03": "held"}
    assert {str(one.record.reason) for one in harness.list_sessions()} == {"ended by stop"}
    (harness.root / "go").touch()
    assert harness.run(plans=[plan("01-01", WAITS)]).wait(timeout=LIMIT).passed


def test_stop_right_after_the_start_leaves_nothing_running(harness: Harness) -> None:
    """However early it comes, no session is left behind."""
    for _ in range(3):
        report = harness.run(plans=[plan(f"01-0{n}", WAITS) for n in (1, 2, 3)]).stop()
        assert report.state == "stopped"
        assert not [one for one in harness.list_sessions() if one.record.live]


@pytest.mark.row(5)
def test_stop_ends_the_checks_of_a_phase_and_the_next_run_does_them(harness: Harness, root: Path) -> None:
    """The check passes for the plan and goes on for ever for its phase, until it is let go."""
    slow = "test -e judged || { touch judged; exit 0; }; touch checking; while ! test -e go; do sleep 0.02; done"
    write_plan(root, "01-01", must_pass=[{"id": "slow", "type": "command_succeeds", "command": slow}])
    run = harness.run()
    until((root / "checking").exists)
    assert run.stop().state == "stopped"
    (root / "go").touch()
    report = harness.run().wait(timeout=LIMIT)
    assert report.passed
    assert report.phases["1"].passed


def test_stop_does_not_wait_for_a_person_and_the_next_run_judges_what_was_done(harness: Harness, root: Path) -> None:
    """The question expires with the run; the work is judged, and not done again, by the run after it."""
    write_plan(root, "01-01", "echo x >> done", must_pass=[])
    run = harness.run()
    until_waiting(harness)
    report = run.stop()
    assert states(report) == {"01-01": "aborted"}
    assert harness.get_pending() == []
    assert harness.run(policies=[Policy(do="approve")]).wait(timeout=LIMIT).passed
    assert (root / "done").read_text() == "x\n"


def test_ending_the_question_of_a_verification_fails_that_plan(harness: Harness) -> None:
    """A session that asks a person can be ended as any other, and the run does not wait for ever."""
    run = harness.run(plans=[plan("01-01", must_pass=[]), plan("01-02")])
    until_waiting(harness)
    harness.end_session(harness.get_pending()[0].session_id)
    report = run.wait(timeout=LIMIT)
    assert states(report) == {"01-01": "failed", "01-02": "complete"}
    assert "expired" in str(report.plan("01-01").reason)


def test_closing_the_harness_tells_whoever_waits_and_the_run_can_go_on(harness: Harness, root: Path) -> None:
    """The session lives on, and the same run comes to its end when it is called again."""
    write_plan(root, "01-01", WAITS)
    run = harness.run()
    harness.wait_for_state(states=["running"], timeout=LIMIT)
    harness.close()
    with pytest.raises(HarnessClosedError):
        run.wait(timeout=LIMIT)
    (root / "go").touch()
    with Harness(root) as again:
        later = again.run()
        assert later.id == run.id
        report = later.wait(timeout=LIMIT)
    assert report.passed
    assert report.plan("01-01").attempts == 1


# --- what nobody foresaw ----------------------------------------------------------------------


def test_an_error_that_nobody_foresaw_fails_its_plan_alone(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan says what it was; the others come to their end, and so does the run."""
    judge = Judge.plan

    async def broken(self: Judge, one: Any) -> Any:
        if one.id == "01-01":
            raise KeyError("nobody thought of this")
        return await judge(self, one)

    monkeypatch.setattr(Judge, "plan", broken)
    report = harness.run(plans=[plan("01-01"), plan("01-02")]).wait(timeout=LIMIT)
    assert states(report) == {"01-01": "failed", "01-02": "complete"}
    assert report.plan("01-01").reason == "KeyError: 'nobody thought of this'"
    verdicts = {one.record.plan_id: one.record.verdict for one in harness.list_sessions()}
    assert verdicts == {"01-01": "failed", "01-02": "passed"}


def test_a_session_that_cannot_start_fails_its_plan_alone(harness: Harness, root: Path) -> None:
    """Here the folder of its session is taken by a file."""
    new_id = harness._twin.store.new_id
    ids = iter(["the-run-", "blocked-"])
    harness._twin.store.new_id = lambda: next(ids, None) or new_id()
    (root / ".orchestration" / "sessions" / "01-01-blocked-").write_text("in the way")
    run_plans = [plan("01-01"), plan("01-02", depends_on=["01-01"]), plan("01-03")]
    report = harness.run(plans=run_plans).wait(timeout=LIMIT)
    assert states(report) == {"01-01": "failed", "01-02": "held", "01-03": "complete"}
    assert "01-01-blocked-" in str(report.plan("01-01").reason)


def test_a_phase_whose_checks_cannot_be_run_did_not_pass(
    harness: Harness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends, and says of the phase why."""

    async def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(Judge, "phase", broken)
    write_plan(root, "01-01")
    write_plan(root, "02-01")
    report = harness.run().wait(timeout=LIMIT)
    assert states(report) == {"01-01": "complete", "02-01": "held"}
    assert any("RuntimeError: out of order" in line for line in report.shortfalls)


@pytest.mark.row(6)
def test_a_view_that_cannot_be_written_stops_no_work(
    harness: Harness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written down once as an event, and the plans go on."""

    def broken(*_: object) -> None:
        raise PermissionError("the disk is read-only")

    monkeypatch.setattr(Publisher, "publish", broken)
    assert harness.run(plans=[plan("01-01")]).wait(timeout=LIMIT).passed
    [event] = harness._twin.store.events.select(kind="publishing_failed")
    assert event.data["reason"] == "the disk is read-only"


def test_a_summary_that_cannot_be_written_is_said_and_takes_nothing_away(harness: Harness, root: Path) -> None:
    """The plan passed; its summary's place vanished while it ran."""
    write_plan(root, "01-01", "rm -r planning/plans; touch planning/plans", must_pass=list(FINE))
    outcome = harness.run().wait(timeout=LIMIT).plan("01-01")
    assert (outcome.state, outcome.verified) == ("complete", True)
    assert str(outcome.reason).startswith("no summary was written")
