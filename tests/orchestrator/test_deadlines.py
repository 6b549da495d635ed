"""Deadlines of questions: written down once, kept through restarts, and whatever becomes of the settings meanwhile."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Policy
from harness_nb.orchestrator.answering import PolicyAnswers, prospect_elsewhere
from harness_nb.orchestrator.desk import Desk
from harness_nb.orchestrator.policies import Prospect, Rules, policy_for
from harness_nb.protocol.records import Foreseen, MessageRecord
from harness_nb.sessions.host import SessionHost
from harness_nb.store import Store
from tests.orchestrator.written_plans import configure, plan, until
from tests.store.clock import NOON, Clock
from tests.store.conftest import new_session, put, says, stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness_nb import Harness
    from tests.store.conftest import Stores

__all__ = ["stores"]

pytestmark = pytest.mark.row(10)

DECISION = {"decision": "Which colour?", "options": [{"id": "red"}, {"id": "blue", "recommended": True}]}
LATER = Policy(kind="decision", after=600, do="answer", answer="red")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with closing(Store(tmp_path, clock=clock)) as store:
        yield store


def ask(store: Store, clock: Clock) -> MessageRecord:
    new_session(store, "s2")
    message = says("decision_needed", DECISION, message_id="q1", session="s2")
    return store.questions.ask(message.model_copy(update={"timestamp": clock()}))


def answering(store: Store, *policies: Policy, attended: bool | None = None) -> PolicyAnswers:
    """Return who answers for every question, as a process that has just begun."""
    return PolicyAnswers(SessionHost(store), Desk(store), lambda: Rules(policies, attended))


def test_a_restart_neither_loses_nor_restarts_a_deadline(store: Store, clock: Clock) -> None:
    asked = ask(store, clock)
    assert answering(store, LATER).apply() == pytest.approx(600)
    clock.goes(400)
    assert answering(store, LATER).apply() == pytest.approx(200)
    [event] = store.events.select(kind="foreseen")
    assert event.data["do"] == "answer"
    clock.goes(200)
    assert answering(store, LATER).apply() is None
    answer = store.messages.answer_to("q1", "s2")
    assert answer is not None
    assert (answer.payload["selectedOptionId"], answer.actor) == ("red", "policy")
    assert store.messages.at(asked.seq).foreseen == Foreseen(policy=LATER, at=asked.timestamp + timedelta(seconds=600))


@pytest.mark.parametrize(
    "now",
    [(), (Policy(kind="decision", after=5, do="abort"),), (Policy(kind="decision", do="wait"),)],
    ids=["gone", "another", "wait"],
)
def test_settings_that_changed_meanwhile_are_for_questions_to_come(
    store: Store, clock: Clock, now: tuple[Policy, ...]
) -> None:
    ask(store, clock)
    answering(store, LATER).apply()
    clock.goes(599)
    assert answering(store, *now, attended=True).apply() == pytest.approx(1)
    clock.goes(1)
    answering(store, *now, attended=True).apply()
    answer = store.messages.answer_to("q1", "s2")
    assert answer is not None
    assert answer.payload["selectedOptionId"] == "red"


def test_settings_that_cannot_be_read_stop_no_deadline(store: Store, clock: Clock) -> None:
    ask(store, clock)
    answering(store, LATER).apply()
    clock.goes(600)

    def unreadable() -> Rules:
        raise OSError("it is just being written")

    PolicyAnswers(SessionHost(store), Desk(store), unreadable).apply()
    assert store.messages.answer_to("q1", "s2") is not None


def test_what_was_asked_while_nobody_ran_is_due_at_once_when_its_time_has_passed(store: Store, clock: Clock) -> None:
    ask(store, clock)
    clock.goes(601)
    assert answering(store, LATER).apply() is None
    assert store.messages.answer_to("q1", "s2") is not None


def test_a_question_in_a_file_is_as_old_as_the_file(store: Store, clock: Clock) -> None:
    """Its session may have asked while nobody was there to take that in."""
    folder = new_session(store, "s2", createdAt=NOON - timedelta(hours=1))
    put(folder.checkpoint, {"id": "q1", "type": "decision", **DECISION})
    os.utime(folder.checkpoint, (NOON.timestamp(), NOON.timestamp()))
    clock.goes(3600)
    store.questions.settle("s2")
    assert store.messages.get("q1", "s2").timestamp == NOON


def test_a_question_from_a_file_that_was_kept_for_long_is_no_older_than_its_session(store: Store, clock: Clock) -> None:
    """A worker may move a file there that came with the project; its deadline has not passed for that."""
    folder = new_session(store, "s2", createdAt=clock())
    put(folder.checkpoint, {"id": "q1", "type": "decision", **DECISION})
    os.utime(folder.checkpoint, (0, 0))
    clock.goes(1)
    store.questions.settle("s2")
    assert answering(store, LATER).apply() == pytest.approx(599)


def test_a_policy_for_a_plan_fits_what_is_asked_by_a_file_that_does_not_name_it(store: Store, clock: Clock) -> None:
    folder = new_session(store, "s2", createdAt=clock(), planId="03-02", phase="03-login")
    put(folder.checkpoint, {"id": "q1", "type": "decision", **DECISION})
    store.questions.settle("s2")
    answering(store, Policy(plan="03-02", do="answer", after=0)).apply()
    answer = store.messages.answer_to("q1", "s2")
    assert answer is not None
    assert answer.payload["selectedOptionId"] == "blue"


def test_of_several_who_see_a_question_first_one_writes_its_deadline_down(stores: Stores) -> None:
    everybody = [stores.open() for _ in range(6)]
    new_session(everybody[0], "s2")
    asked = everybody[0].questions.ask(says("decision_needed", DECISION, message_id="q1", session="s2"))
    own = [Policy(kind="decision", after=100 + number, do="answer") for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda pair: answering(pair[0], pair[1]).apply(), zip(everybody, own, strict=True)))
    written = everybody[0].messages.at(asked.seq).foreseen
    assert written is not None
    assert written.policy in own
    assert written.at == asked.timestamp + timedelta(seconds=written.policy.after or 0)
    assert len(everybody[0].events.select(kind="foreseen")) == 1


def test_a_clock_that_is_set_back_does_not_put_a_deadline_off(store: Store, clock: Clock) -> None:
    """The question then comes from the future; it is as if it was asked when it is first seen."""
    ask(store, clock)
    clock.goes(-86400)
    assert answering(store, LATER).apply() == pytest.approx(600)


def test_a_clock_that_is_set_on_brings_a_deadline_nearer(store: Store, clock: Clock) -> None:
    ask(store, clock)
    answering(store, LATER).apply()
    clock.goes(86400)
    answering(store, LATER).apply()
    assert store.messages.answer_to("q1", "s2") is not None


def test_what_is_left_to_a_person_is_not_written_down(store: Store, clock: Clock) -> None:
    """Where nobody is there after a restart, the same policy acts at once."""
    asked = ask(store, clock)
    approve = Policy(do="approve")
    answering(store, approve, attended=True).apply()
    assert store.messages.at(asked.seq).foreseen is None
    answering(store, approve, attended=False).apply()
    assert store.messages.answer_to("q1", "s2") is not None


def test_a_reminder_is_given_once_however_often_its_run_is_taken_up(store: Store, clock: Clock) -> None:
    ask(store, clock)
    remind = Policy(after=60, do="remind")
    assert answering(store, remind).apply() == pytest.approx(60)
    clock.goes(60)
    for _ in range(3):
        answering(store, remind).apply()
    assert len(store.events.select(kind="reminder")) == 1
    assert [one.id for one in store.messages.pending()] == ["q1"]


def test_who_only_looks_reads_what_was_written_down_until_nobody_kept_it(store: Store, clock: Clock) -> None:
    asked = ask(store, clock)
    assert prospect_elsewhere(store, asked) == Prospect()
    answering(store, LATER).apply()
    asked = store.messages.at(asked.seq)
    assert prospect_elsewhere(store, asked) == Prospect(LATER, asked.timestamp + timedelta(seconds=600))
    clock.goes(660)
    assert prospect_elsewhere(store, asked) == Prospect()


@pytest.mark.parametrize(
    ("kind", "payload", "pattern", "fits"),
    [
        ("decision", DECISION, "colou?r", True),
        ("decision", DECISION, "^colou?r", False),
        ("decision", DECISION, "(?i)COLOUR", True),
        ("action", {"action": "Plug it in"}, r"\bPlug\b", True),
        ("verification", {"whatBuilt": "A page"}, "page$", True),
        ("credentials", {"service": "pg", "envVars": ["PGPASSWORD"]}, "PASSWORD", True),
    ],
)
def test_a_pattern_is_searched_in_the_questions_text(
    kind: str, payload: dict[str, Any], pattern: str, fits: bool
) -> None:
    question = MessageRecord(
        id="q", session_id="s", direction="in", type=f"{kind}_needed", status="pending",
        timestamp=datetime.now(UTC), payload=payload,
    )  # fmt: skip
    given = Policy(pattern=pattern, do="approve")
    assert policy_for(question, [given, Policy(do="wait")]) == (given if fits else Policy(do="wait"))


@pytest.mark.row(11)
def test_a_run_that_is_taken_up_keeps_the_deadline_that_passed_meanwhile(
    opened: Callable[..., Harness], root: Path
) -> None:
    """The policy is gone from the settings, and the harness that goes on has none."""
    asks = 'id=$(harness-nb worker report action_needed action="Plug it in"); harness-nb worker await "$id"'
    configure(root, policies=[{"kind": "action", "after": 0.5, "do": "approve"}])
    first = opened()
    first.run(plans=[plan("01-01", asks)])
    until(lambda: first._twin.store.events.select(kind="foreseen"))
    first.close()
    configure(root)
    again = opened()
    [session] = again.list_sessions()
    report = again.run(plans=[plan("01-01", asks)]).wait(timeout=60)
    assert report.passed
    [answer] = [one for one in again._twin.store.messages.select(session.id) if one.type == "action_completed"]
    assert answer.actor == "policy"


def test_policies_that_are_written_while_a_run_goes_on_answer_its_questions_to_come(
    opened: Callable[..., Harness], root: Path
) -> None:
    asks = 'id=$(harness-nb worker report action_needed action="Plug it in"); harness-nb worker await "$id"'
    configure(root)
    harness = opened()
    run = harness.run(plans=[plan("01-01", f"echo > begun; until test -e go; do sleep 0.02; done; {asks}")])
    until((root / "begun").exists)
    configure(root, policies=[{"kind": "action", "after": 0.1, "do": "approve"}])
    (root / "go").touch()
    assert run.wait(timeout=60).passed


@pytest.mark.row(11)
def test_a_deadline_of_a_session_of_no_run_is_kept_by_whoever_opens_the_project_next(
    opened: Callable[..., Harness], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the session, and the harness that goes on has no policy."""
    monkeypatch.setattr("harness_nb.harness.opened.OVERDUE", 0.1)
    asks = 'id=$(harness-nb worker report action_needed action="Plug it in"); harness-nb worker await "$id"'
    configure(root, policies=[{"kind": "action", "after": 0.5, "do": "approve"}])
    first = opened()
    first.start_session(command=["sh", "-c", asks])
    until(lambda: first._twin.store.events.select(kind="foreseen"))
    first.close()
    configure(root)
    again = opened()
    [session] = again.list_sessions()
    until(lambda: not session.record.live)
    assert session.state == "completed"
