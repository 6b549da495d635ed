"""Runs with real sessions: what runs beside what, what is judged how, and what was done before."""

from __future__ import annotations

import itertools
import select
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness_nb import ACCEPT_ALL, Harness, Plan, Policy
from harness_nb.errors import (
    NoPlansError,
    RunFailedError,
    SecondRunError,
    UnknownPlanError,
    UnknownWorkerError,
    UnreadableFileError,
    UntrustedProjectError,
)
from harness_nb.store import Bell
from harness_nb.store.locks import is_held
from tests.orchestrator.written_plans import FINE, configure, plan, states, write_plan

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.protocol.outcome import RunReport

LIMIT = 60
MEET = """
touch {me}.here
for _ in $(seq 1000); do test -e {other}.here && exit 0; sleep 0.05; done
echo "{other} never came"; exit 1
"""
"""A run block that ends well only if another one runs at the same time."""

HOLD = """
test ! -e busy || {{ echo "somebody else is at it"; exit 1; }}
touch busy; sleep 0.15; echo {me} >> shared.txt; rm busy
"""
"""A run block that ends well only if no other one runs at the same time."""

Opened = Callable[..., Harness]


def done(harness: Harness, *plans: Plan, **more: object) -> RunReport:
    """Run plans (those of the project where there are none) to their end."""
    return harness.run(plans=list(plans) or None, **more).wait(timeout=LIMIT)  # type: ignore[arg-type]


@pytest.mark.row(4)
def test_plans_that_share_nothing_run_at_the_same_time(harness: Harness) -> None:
    """Each of two plans waits until the other one is there, and the journal shows that they overlap."""
    report = done(
        harness,
        plan("01-01", MEET.format(me="a", other="b")),
        plan("01-02", MEET.format(me="b", other="a")),
    )
    assert report.passed, str(report)
    first, second = report.plans
    assert first.ended_at
    assert second.started_at
    assert second.started_at < first.ended_at


@pytest.mark.row(4)
def test_plans_that_write_the_same_file_take_turns(harness: Harness) -> None:
    """Four plans on one file never overlap, whatever the limit; the journal shows it too."""
    plans = [plan(f"01-0{n}", HOLD.format(me=n), files_modified=["shared.txt"]) for n in (1, 2, 3)]
    plans.append(plan("01-04", "test ! -e busy", files_read=["*.txt"]))
    report = done(harness, *plans, max_parallel=4)
    assert report.passed, str(report)
    spans = sorted((one.started_at, one.ended_at) for one in report.plans if one.started_at and one.ended_at)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


@pytest.mark.row(4)
def test_max_parallel_is_kept(harness: Harness) -> None:
    """With one place, plans that share nothing still run one after the other."""
    report = done(harness, *(plan(f"01-0{n}", HOLD.format(me=n)) for n in (1, 2, 3)), max_parallel=1)
    assert report.passed, str(report)
    with pytest.raises(ValueError, match="at least one plan"):
        harness.run(plans=[plan("01-04")], max_parallel=0)


@pytest.mark.row(4, 9)
def test_a_failure_holds_what_depends_on_it_and_the_rest_goes_on(harness: Harness) -> None:
    """The report says of each plan why; raise_for_failure names the failed ones."""
    report = done(
        harness,
        plan("01-01", "exit 3"),
        plan("01-02", depends_on=["01-01"]),
        plan("01-03", depends_on=["01-02"]),
        plan("01-04"),
    )
    assert states(report) == {"01-01": "failed", "01-02": "held", "01-03": "held", "01-04": "complete"}
    assert (report.state, report.passed) == ("failed", False)
    assert "task 1 (Do it) ended with exit status 3" in str(report.plan("01-01").reason)
    assert report.plan("01-02").reason == "waits for 01-01, which failed"
    with pytest.raises(RunFailedError, match=r"01-01: failed: .*exit status 3"):
        report.raise_for_failure()


def test_params_reach_the_run_blocks(harness: Harness) -> None:
    """A parameter is an environment variable of every block."""
    report = done(harness, plan("01-01", 'test "$HARNESS_PARAM_CITY" = "New York"'), params={"city": "New York"})
    assert report.passed, str(report)


def test_a_report_says_running_until_the_run_has_ended(harness: Harness) -> None:
    """Also in its first moment, when nothing is known of any plan yet, nothing has passed."""
    run = harness.run(plans=[plan("01-01", "while ! test -e go; do sleep 0.02; done")])
    first = run.report
    assert (first.state, first.passed, run.ended) == ("running", False, False)
    harness.wait_for_state(states=["running"], timeout=LIMIT)
    assert not run.report.passed
    (harness.root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert (run.report.state, run.ended) == ("passed", True)
    assert harness._twin.store.runs.select()[-1].state == "passed"


# --- what judges a plan -----------------------------------------------------------------------


@pytest.mark.row(5)
def test_a_failed_check_fails_the_plan_with_the_checks_sentence(harness: Harness) -> None:
    """The work succeeded; the verdict did not: the plan failed, and its dependants are held."""
    check = {"id": "page", "type": "file_exists", "path": "page.html"}
    report = done(harness, plan("01-01", must_pass=[*FINE, check]), plan("01-02", depends_on=["01-01"]))
    outcome = report.plan("01-01")
    assert (outcome.state, outcome.verified) == ("failed", False)
    assert outcome.report
    assert outcome.reason == f"verification failed: page: {outcome.report.failures[0].error}"
    assert "page.html" in outcome.reason
    assert report.plan("01-02").state == "held"
    assert harness.list_sessions()[0].record.verdict == "failed"


@pytest.mark.row(5, 10)
def test_a_plan_that_nothing_judges_is_one_question_to_a_person(harness: Harness) -> None:
    """The question lists the plan's truths, and the answer is the verdict."""
    truths = ["The page is beautiful", "Nobody is confused"]
    run = harness.run(plans=[plan("01-01", must_pass=[], must_haves={"truths": truths})])
    harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
    [question] = harness.get_pending()
    assert (question.type, question.payload["plan"]) == ("verification_needed", "01-01")
    assert question.payload["howToVerify"] == truths
    question.answer("people are confused")
    outcome = run.wait(timeout=LIMIT).plan("01-01")
    assert outcome.state == "failed"
    assert outcome.reason == "verification failed: verified-by-a-person: not verified: people are confused"
    assert harness.get_pending() == []


@pytest.mark.row(5)
def test_without_verification_nothing_is_asked_and_the_report_says_so(harness: Harness) -> None:
    """``verificationRequired: false``: complete, not verified, and no check was run."""
    configure(harness.root, verificationRequired=False)
    failing = {"id": "no", "type": "command_succeeds", "command": "false"}
    report = done(harness, plan("01-01", must_pass=[]), plan("02-01", must_pass=[failing]))
    assert report.passed
    assert [one.word for one in report.plans] == ["✓ complete (not verified)"] * 2
    assert [one.verified for one in report.plans] == [None, None]
    assert report.phases == {}


@pytest.mark.row(5)
def test_a_check_by_a_person_is_a_question_once(harness: Harness) -> None:
    """It is asked for its plan, beside the automatic checks, and not again for the phase."""
    look = {"id": "look", "type": "content_review", "location": "README", "criteria": ["short", "true"]}
    run = harness.run(plans=[plan("01-01", must_pass=[*FINE, look])])
    harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
    [question] = harness.get_pending()
    assert (question.payload["whatBuilt"], question.payload["howToVerify"]) == ("README", ["short", "true"])
    question.approve("well written")
    report = run.wait(timeout=LIMIT)
    assert report.passed, str(report)
    assert report.plans[0].report
    results = {one.spec_id: one.verified_by for one in report.plans[0].report.results}
    assert results == {"fine": "auto", "look": "human"}
    assert [one.spec_id for one in report.phases["1"].results] == ["fine"]
    assert len(harness._twin.store.messages.select(direction="out")) == 2  # the task, and the one answer


@pytest.mark.row(5)
def test_a_phases_checks_run_after_it_and_hold_the_next(harness: Harness, root: Path) -> None:
    """What the second plan broke of the first is found by the phase; a later run checks again, then goes on."""
    write_plan(root, "01-01", "touch a", must_pass=[{"id": "a", "type": "file_exists", "path": "a"}])
    write_plan(root, "01-02", "rm a", depends_on=["01-01"])
    write_plan(root, "02-01")
    report = done(harness)
    assert states(report) == {"01-01": "complete", "01-02": "complete", "02-01": "held"}
    assert report.plan("02-01").reason == "waits for phase 1, whose checks failed"
    assert not report.phases["1"].passed
    assert any("phase 1: a:" in line for line in report.shortfalls)
    assert states(done(harness))["02-01"] == "held", "a phase that did not pass stays a wall in the next run"
    (root / "a").touch()
    report = done(harness)
    assert report.passed, str(report)
    assert report.phases["1"].passed
    assert [one.earlier for one in report.plans] == [True, True, False]


# --- what was done before ---------------------------------------------------------------------


@pytest.mark.row(11)
def test_what_is_complete_is_not_done_again_unless_asked(harness: Harness, root: Path) -> None:
    """By the journal, or by a summary that was there before us; ``again`` does it all the same."""
    write_plan(root, "01-01", "echo x >> one")
    file = write_plan(root, "01-02", "echo x >> two")
    file.with_name("01-02-SUMMARY.md").write_text("# Done by somebody else\n")
    assert states(done(harness)) == {"01-01": "complete", "01-02": "complete"}
    report = done(harness)
    assert [one.earlier for one in report.plans] == [True, True]
    assert [one.verified for one in report.plans] == [True, None]
    assert not (root / "two").exists()
    report = harness.run(again=True, plans=["01-02"]).wait(timeout=LIMIT)
    assert states(report) == {"01-02": "complete"}
    report = harness.run(again=True).wait(timeout=LIMIT)
    assert [one.earlier for one in report.plans] == [False, False]
    assert [(root / name).read_text().count("x") for name in ("one", "two")] == [2, 2]


def test_some_plans_by_id(harness: Harness, root: Path) -> None:
    """Only these run, however their id is written; what they wait for outside of them holds them."""
    for name in ("01-01", "01-02", "02-01"):
        write_plan(root, name)
    report = harness.run(plans=["1-2", "02-01"]).wait(timeout=LIMIT)
    assert states(report) == {"01-02": "complete", "02-01": "held"}
    assert report.plan("02-01").reason == "waits for 01-01, which is not part of this run"
    assert harness.get_state().plan("01-01").state == "waiting"


@pytest.mark.row(4)
def test_a_document_that_must_be_mended_holds_its_plans_alone(harness: Harness, root: Path) -> None:
    """A cycle, a missing dependency and broken YAML are told with file and line; the rest goes on."""
    write_plan(root, "01-01", depends_on=["01-02"])
    write_plan(root, "01-02", depends_on=["01-01"])
    write_plan(root, "01-03", depends_on=["01-09"])
    write_plan(root, "01-04").write_text("---\nphase: [01\nplan: 04\ndepends_on: {\n---\n")
    write_plan(root, "01-05")
    report = done(harness)
    assert states(report) == {f"01-0{n}": "held" for n in (1, 2, 3, 4)} | {"01-05": "complete"}
    assert "01-01-PLAN.md:" in str(report.plan("01-01").reason)
    assert "'01-09', and there is no such plan" in str(report.plan("01-03").reason)
    assert "01-04-PLAN.md:" in str(report.plan("01-04").reason)


# --- what is refused --------------------------------------------------------------------------


def test_an_untrusted_project_is_refused_at_once(opened: Opened, root: Path) -> None:
    """Nothing of it runs before its user trusted it; plans written in Python are the user's own."""
    write_plan(root, "01-01", "touch harm")
    harness = opened(trust=False)
    with pytest.raises(UntrustedProjectError, match=f"harness-nb trust {root}"):
        harness.run()
    assert not (root / "harm").exists()
    assert harness.run(plans=[plan("01-09")]).wait(timeout=LIMIT).passed
    harness.trust()
    assert harness.run().wait(timeout=LIMIT).passed


def test_two_runs_at_once_are_refused_with_who_runs(harness: Harness, root: Path) -> None:
    """The second one is told the process, the door and since when; nothing of it is left behind."""
    write_plan(root, "01-01", "while ! test -e go; do sleep 0.02; done")
    run = harness.run()
    with pytest.raises(SecondRunError, match=r"process \d+ \(python, since 20"):
        harness.run()
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert harness.run().wait(timeout=LIMIT).passed


def test_what_there_is_not(harness: Harness, root: Path) -> None:
    """No plans, no such plan, no such worker, here or in the settings, settings that cannot be read."""
    with pytest.raises(NoPlansError, match="harness-nb init"):
        harness.run()
    write_plan(root, "01-01")
    with pytest.raises(UnknownPlanError, match=r"no plan '09-09'. The project has: 01-01"):
        harness.run(plans=["09-09"])
    with pytest.raises(UnknownWorkerError, match=r"no worker 'nobody'.*runbook"):
        harness.run(worker="nobody")
    with pytest.raises(TypeError, match="either all ids"):
        harness.run(plans=["01-01", plan("01-02")])
    configure(root, worker="nobody")
    with pytest.raises(UnknownWorkerError):
        harness.run()
    (root / ".orchestration" / "config.yaml").write_text("version: [1\n")
    with pytest.raises(UnreadableFileError, match=r"config.yaml:2"):
        harness.run()
    configure(root)
    assert harness.run().wait(timeout=LIMIT).passed, "no refusal keeps the project's lease"


def test_a_plan_that_this_worker_cannot_do_says_what_to_do(harness: Harness, root: Path) -> None:
    """Without a run block the runbook holds the plan with file and line; others go on."""
    write_plan(root, "01-01", None)
    write_plan(root, "01-02")
    report = done(harness)
    assert states(report) == {"01-01": "held", "01-02": "complete"}
    reason = str(report.plan("01-01").reason)
    assert "planning/plans/01-phase/01-01-PLAN.md:" in reason
    assert "has no <run> block" in reason
    assert "hand the plan to a program of yours" in reason


@pytest.mark.row(10)
def test_a_runs_questions_are_answered_by_policy_or_by_the_settings(harness: Harness, root: Path) -> None:
    """The run's own policies come before those of ``config.yaml``."""
    configure(root, policies=[{"kind": "decision", "do": "answer", "answer": "blue"}])
    options = (
        '<options><option id="red"><name>Red</name></option><option id="blue"><name>Blue</name></option></options>'
    )
    body = f"""<task type="checkpoint:decision">
<name>Colour</name>
<decision>Which?</decision>
{options}
</task>
<task type="auto">
<name>Use it</name>
<run lang="sh">
echo "$HARNESS_DECISION" >> chosen
</run>
</task>
"""
    write_plan(root, "01-01", body=body)
    report = done(harness)
    assert report.passed, str(report)
    assert done(harness, again=True, policies=[Policy(kind="decision", do="answer", answer="red")]).passed
    assert done(harness, again=True, policies=[ACCEPT_ALL]).passed
    assert (root / "chosen").read_text().split() == ["blue", "red", "red"]


@pytest.mark.row(4, 14)
def test_whoever_is_woken_last_finds_that_the_run_has_let_go(harness: Harness, root: Path) -> None:
    """Other processes call a project running while somebody holds its lease, and look only when they are woken."""
    layout = harness._twin.store.layout
    bell = Bell(layout)
    found = []
    try:
        write_plan(root, "01-01")
        run = harness.run()
        while not run.ended or select.select([bell.socket], [], [], 0.5)[0]:
            if select.select([bell.socket], [], [], 0.05)[0]:
                bell.drain()
                found.append(is_held(layout.lease))
    finally:
        bell.close()
    assert found[0]
    assert not found[-1]
