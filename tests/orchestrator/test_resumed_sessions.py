"""Attempts whose processes died: the same session goes on where it was, another try begins, or the plan has failed."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from harness_nb import ACCEPT_ALL, Harness, Plan, Policy, RunBlock, Task
from tests.orchestrator.written_plans import FINE, configure, plan, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb import Session

pytestmark = pytest.mark.row(9, 11)

LIMIT = 60
WAITS = "echo begun >> two; while ! test -e go; do sleep 0.02; done"


def steps(*tasks: Task) -> Plan:
    return Plan.model_validate({"id": "01-01", "tasks": list(tasks), "must_pass": list(FINE)})


def step(name: str, code: str) -> Task:
    return Task.model_validate({"name": name, "runs": [RunBlock.model_validate({"lang": "sh", "code": code})]})


THREE = steps(step("One", "echo one >> one"), step("Two", WAITS), step("Three", "echo three >> three"))
DECIDES = steps(
    Task.model_validate(
        {
            "type": "checkpoint:decision",
            "name": "Choose",
            "decision": "Which?",
            "options": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}],
        }
    ),
    step("Note it", "echo $HARNESS_DECISION_1 >> chosen; " + WAITS),
)


def kill(session: Session, who: str) -> None:
    """End the worker or its shim as ``kill -9`` does."""
    folder = session._twin.harness.store.layout.session(session.id)
    os.kill(json.loads(folder.shim.read_text())[{"worker": "workerPid", "shim": "pid"}[who]], signal.SIGKILL)


def lines(root: Path, name: str) -> int:
    file = root / name
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.parametrize("who", ["worker", "shim"])
def test_a_runbook_goes_on_at_the_task_that_it_was_at(harness: Harness, root: Path, who: str) -> None:
    run = harness.run(plans=[THREE])
    until(lambda: lines(root, "two"))
    [session] = harness.list_sessions()
    kill(session, who)
    until(lambda: lines(root, "two") == 2)
    (root / "go").touch()
    report = run.wait(timeout=LIMIT)
    assert report.passed
    assert report.plans[0].attempts == 1
    assert (lines(root, "one"), lines(root, "two"), lines(root, "three")) == (1, 2, 1)
    [same] = harness.list_sessions()
    assert (same.id, same.record.lives, same.record.reason) == (session.id, 2, None)
    said = [one.type for one in harness._twin.store.messages.select(session.id, direction="in")]
    assert said == ["session_ready", *["task_started", "task_completed"] * 3]
    assert "done before" in session.output().text


@pytest.mark.parametrize("who", ["worker", "shim"])
def test_an_open_question_stays_open_and_its_answer_reaches_the_next_life(
    harness: Harness, root: Path, who: str
) -> None:
    run = harness.run(plans=[DECIDES])
    harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
    [session] = harness.list_sessions()
    [question] = harness.get_pending()
    kill(session, who)
    until(lambda: session.record.died_at or session.record.lives == 2)
    question.answer("b")
    until(lambda: lines(root, "chosen"))
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert (root / "chosen").read_text() == "b\n"
    assert len(harness._twin.store.messages.select(session.id, direction="in")) == 6


def test_an_answer_that_the_worker_had_taken_is_not_asked_for_again(harness: Harness, root: Path) -> None:
    run = harness.run(plans=[DECIDES], policies=[Policy(kind="decision", do="answer", answer="b")])
    until(lambda: lines(root, "two"))
    kill(harness.list_sessions()[0], "worker")
    until(lambda: lines(root, "two") == 2)
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert (root / "chosen").read_text() == "b\nb\n"


def test_who_dies_again_and_again_fails_in_the_end(opened: Callable[..., Harness], root: Path) -> None:
    configure(root, maxRetries=1)
    harness = opened()
    run = harness.run(plans=[plan("01-01", "echo life >> lives; kill -9 $PPID")])
    report = run.wait(timeout=LIMIT)
    assert not report.passed
    assert "SIGKILL" in str(report.plans[0].reason)
    assert lines(root, "lives") == 4, "two lives of the first attempt, and two of the try after it"


def test_a_plan_that_was_started_by_itself_is_resumed_too(opened: Callable[..., Harness], root: Path) -> None:
    from tests.orchestrator.written_plans import write_plan

    write_plan(root, "01-01", WAITS)
    harness = opened()
    session = harness.start_session(plan="01-01")
    until(lambda: lines(root, "two"))
    kill(session, "shim")
    until(lambda: lines(root, "two") == 2)
    (root / "go").touch()
    assert session.wait(timeout=LIMIT).state == "completed"
    assert session.record.lives == 2


def test_nobody_resumes_what_was_ended_on_purpose(harness: Harness, root: Path) -> None:
    run = harness.run(plans=[THREE], policies=[ACCEPT_ALL])
    until(lambda: lines(root, "two"))
    [session] = harness.list_sessions()
    ended = harness.end_session(session.id, grace=0)
    assert (ended.state, ended.reason, ended.lives) == ("failed", "ended by end_session", 1)
    assert not run.wait(timeout=LIMIT).passed
    assert lines(root, "two") == 1


def test_a_command_is_not_resumed_but_has_failed(harness: Harness) -> None:
    """Nobody knows what it has done already."""
    session = harness.start_session(command=["sleep", "600"])
    kill(session, "shim")
    ended = session.wait(timeout=LIMIT)
    assert ended.state == "failed"
    assert str(ended.reason).startswith("lost")
    assert ended.died_at is None
