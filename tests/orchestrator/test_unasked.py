"""What reaches a worker that did not ask for it: a task, an abort, a verdict."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import (
    InvalidMessageError,
    MessageNotFoundError,
    SessionEndedError,
    UnknownPlanError,
    UntrustedProjectError,
)
from tests.orchestrator.written_plans import write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb import Harness, Session

LIMIT = 20
READY = """
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    ready = side.report("session_ready", {"workingDir": ".", "capabilities": ["execute"]})
    told = side.wait(ready.id)
    print("told", told.type, told.in_response_to == ready.id)
"""
ASKS = """
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    question = side.report("action_needed", {"action": "Turn the key"})
    told = side.wait(question.id)
    print("told", told.type, told.payload.get("reason"))
"""
ASKS_BY_FILE = """
import json, os, pathlib, time
folder = pathlib.Path(os.environ["HARNESS_SESSION_DIR"])
(folder / "new").write_text(json.dumps({"id": "q", "type": "action", "action": "Turn the key"}))
(folder / "new").rename(folder / "checkpoint.json")
while not (folder / "checkpoint_response.json").exists():
    time.sleep(0.01)
print("told", json.loads((folder / "checkpoint_response.json").read_text()))
"""
TASK = {"phase": "1", "plan": "01-01", "planPath": "", "specDir": "", "taskType": "execute"}


def started(harness: Harness, code: str) -> Session:
    """Start a worker and wait for its first message."""
    session = harness.start_session(command=[sys.executable, "-c", code])
    state = "running" if code == READY else "checkpoint"
    harness.wait_for_state(session_ids=[session.id], states=[state], timeout=LIMIT)
    return session


def said(session: Session) -> str:
    """Return what a worker printed by its end."""
    assert session.wait(timeout=LIMIT).state == "completed"
    return session.output().text


@pytest.mark.row(3)
def test_a_task_answers_the_worker_that_said_it_is_ready(harness: Harness) -> None:
    """Whoever assigns need not know the id of that message."""
    write_plan(harness.root, "01-01")
    session = harness.start_session(command=[sys.executable, "-c", READY])
    store = harness._twin.store
    cursor = harness.wait_for_state(session_ids=[session.id], states=["running"], timeout=LIMIT).cursor
    while not store.messages.pending(session.id, ["session_ready"]):
        cursor = harness.wait_for_state(session_ids=[session.id], cursor=cursor, timeout=LIMIT).cursor
    stored = harness.respond("assign_task", session.id, TASK)
    assert stored.in_response_to is not None
    assert "told assign_task True" in said(session)
    assert store.messages.pending(session.id, ["session_ready"]) == []


@pytest.mark.row(3)
def test_a_task_that_came_before_the_worker_was_ready_waits_for_it(harness: Harness) -> None:
    """The worker awaits an answer to its first message and gets the task that was there already."""
    write_plan(harness.root, "01-01")
    session = harness.start_session(command=["sh", "-c", f"read go; exec {sys.executable} -c '{READY}'"])
    harness.respond("assign_task", session.id, TASK)
    session.send("go\n")
    assert "told assign_task False" in said(session)


@pytest.mark.row(3)
def test_an_abort_reaches_a_worker_that_awaits_something_else(harness: Harness) -> None:
    session = started(harness, ASKS)
    harness.respond("abort_task", session.id, {"reason": "plans have changed"})
    assert "told abort_task plans have changed" in said(session)


@pytest.mark.row(3, 10)
def test_an_abort_answers_the_question_of_a_worker_that_waits_for_a_file(harness: Harness) -> None:
    session = started(harness, ASKS_BY_FILE)
    stored = harness.respond("abort_task", session.id, {"reason": "plans have changed"})
    assert stored.in_response_to == "q"
    assert "plans have changed" in said(session)


def test_an_answer_to_another_question_is_not_taken_for_an_abort(harness: Harness) -> None:
    """Only what came unasked is for whoever waits."""
    asks_twice = ASKS.replace(
        "    told =", "    second = side.report('action_needed', {'action': 'Or this'})\n    told ="
    )
    session = started(harness, asks_twice.replace("side.wait(question.id)", "side.wait(second.id)"))
    cursor = 0
    while len(harness.get_pending(session.id)) < 2:
        cursor = harness.wait_for_state(session_ids=[session.id], cursor=cursor, timeout=LIMIT).cursor
    first, second = harness.get_pending(session.id)
    first.abort("not this one")
    second.approve()
    assert "told action_completed" in said(session)


def test_an_answer_needs_the_question_that_it_answers(harness: Harness) -> None:
    session = started(harness, ASKS)
    with pytest.raises(MessageNotFoundError, match="inResponseTo"):
        harness.respond("action_completed", session.id, {"action": "Turn the key", "completedBy": "ann"})
    harness.end_session(session.id)


@pytest.mark.row(3)
@pytest.mark.parametrize(
    ("task", "error", "sentence"),
    [
        ({}, InvalidMessageError, "payload: it names no plan and has no context"),
        ({"context": " "}, InvalidMessageError, "payload: it names no plan and has no context"),
        ({"plan": "99-99", "context": "x"}, UnknownPlanError, r"There is no plan '99-99'\. The project has: 01-01"),
    ],
)
def test_a_task_that_says_nothing_to_do_is_refused(
    harness: Harness, task: dict[str, str], error: type[Exception], sentence: str
) -> None:
    write_plan(harness.root, "01-01")
    session = harness.start_session(command=["sleep", "600"])
    with pytest.raises(error, match=sentence):
        harness.respond("assign_task", session.id, task)
    assert harness._twin.store.messages.select(session.id) == []


@pytest.mark.row(3)
def test_a_plan_of_a_project_that_nobody_trusts_is_not_assigned(root: Path, opened: Callable[..., Harness]) -> None:
    write_plan(root, "01-01")
    harness = opened(trust=False)
    session = harness.start_session(command=["sleep", "600"])
    with pytest.raises(UntrustedProjectError):
        harness.respond("assign_task", session.id, TASK)
    harness.respond("assign_task", session.id, {"context": "paint the door"})


@pytest.mark.row(3)
def test_a_session_that_has_ended_is_told_nothing_and_its_sender_is(harness: Harness) -> None:
    session = harness.start_session(command=["true"])
    session.wait(timeout=LIMIT)
    for kind, payload in (("abort_task", {"reason": "too late"}), ("assign_task", {"context": "one more"})):
        with pytest.raises(SessionEndedError, match="has ended"):
            harness.respond(kind, session.id, payload)
    assert harness._twin.store.messages.select(session.id) == []
