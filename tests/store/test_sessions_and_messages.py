"""Sessions and messages in the journal: views, one answer to each question, and no value of a credential on disk."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import (
    AlreadyAnsweredError,
    InvalidMessageError,
    MessageNotFoundError,
    QuestionExpiredError,
    SessionEndedError,
    SessionNotFoundError,
    UnknownOptionError,
    WrongAnswerTypeError,
)
from harness_nb.protocol.records import RunOptions
from harness_nb.store import Store, atomic, sessions
from tests.leaks import files_that_hold
from tests.store.conftest import ACTION, DECISION, get, names, new_session, only, put, reply, says, take

if TYPE_CHECKING:
    from harness_nb.store import SessionFolder
    from tests.store.conftest import Stores

SPAWN = multiprocessing.get_context("spawn")
PLAN = {"phase": "1", "plan": "01-01"}
ASK = {**PLAN, "action": "Log in"}
STEP = {**PLAN, "taskNumber": 2, "totalTasks": 3}


class TestSessions:
    @pytest.mark.row(6)
    def test_the_status_file_follows_each_change(self, store: Store) -> None:
        folder = new_session(store, plan_id="01-01", phase="1")
        assert get(folder.status)["state"] == "initializing"
        seen = []
        for message in (
            says("session_ready", {"workingDir": "."}),
            says("task_started", {**STEP, "taskName": "Load"}),
            says("progress_update", {**STEP, "message": "halfway"}),
            says("action_needed", ASK, message_id="q"),
        ):
            store.questions.ask(message)
            seen.append(get(folder.status))
        store.questions.answer(reply("q"), actor="ada", door="test")
        seen.append(get(folder.status))
        store.questions.ask(says("task_completed", {**STEP, "summary": "loaded"}))
        store.sessions.end("s1", state="completed")
        seen.append(get(folder.status))
        picked = [(one["state"], one["currentTask"], one["totalTasks"], one.get("taskName"), one.get("message"),
                   one.get("reason")) for one in seen]  # fmt: skip
        assert picked == [
            ("running", 0, 0, None, None, None),
            ("running", 2, 3, "Load", None, None),
            ("running", 2, 3, "Load", "halfway", None),
            ("checkpoint", 2, 3, "Load", "halfway", "action"),
            ("running", 2, 3, "Load", "halfway", None),
            ("completed", 2, 3, "Load", "loaded", None),
        ]
        assert {one["plan"] for one in seen} == {"01-01"}

    def test_its_revision_grows_with_every_change_and_is_the_cursor_of_who_waits(self, store: Store) -> None:
        new_session(store, "s1")
        new_session(store, "s2")
        cursor = store.events.last
        revisions = [store.sessions.get("s1").revision]
        revisions += [store.sessions.update("s1", "progress_update", message=str(n)).revision for n in range(5)]
        assert revisions == sorted(set(revisions))
        assert [one.id for one in store.sessions.select(since=cursor)] == ["s1"]
        assert store.sessions.select(since=store.events.last) == []

    def test_it_ends_once_and_the_first_word_holds(self, store: Store, folder: SessionFolder) -> None:
        ended = store.sessions.end("s1", state="failed", reason="lost", exit_code=1)
        assert ended is not None
        assert ended.ended_at is not None
        assert store.sessions.end("s1", state="completed") is None
        assert get(folder.status)["reason"] == "lost"
        assert len(store.events.select(kind="session_ended")) == 1
        assert [one.id for one in store.sessions.select(live=False)] == ["s1"]
        assert store.sessions.select(live=True) == []

    def test_its_open_questions_expire_with_it(self, store: Store, folder: SessionFolder) -> None:
        store.questions.ask(says("action_needed", ASK, message_id="q"))
        store.sessions.end("s1", state="failed")
        store.questions.settle("s1")
        assert store.messages.get("q").status == "expired"
        assert store.messages.pending() == []
        assert not folder.checkpoint.exists()
        with pytest.raises(QuestionExpiredError, match="its session has ended"):
            store.questions.answer(reply("q"), actor="ada", door="test")

    def test_what_is_asked_after_the_end_is_expired_at_once(self, store: Store, folder: SessionFolder) -> None:
        store.sessions.end("s1", state="completed")
        assert store.questions.ask(says("action_needed", ASK)).status == "expired"
        assert get(folder.status)["state"] == "completed"

    def test_they_are_found_by_run_and_plan_in_the_order_they_were_made(self, store: Store) -> None:
        for number in range(3):
            new_session(store, f"s{number}", run_id="r1" if number else None, plan_id=f"p{number % 2}")
        assert [one.id for one in store.sessions.select()] == ["s0", "s1", "s2"]
        assert [one.id for one in store.sessions.select(run_id="r1")] == ["s1", "s2"]
        assert [one.id for one in store.sessions.select(plan_id="p0")] == ["s0", "s2"]

    def test_an_unknown_one_is_a_sentence(self, store: Store) -> None:
        for use in (
            lambda: store.sessions.get("nope"),
            lambda: store.sessions.update("nope", "x"),
            lambda: store.questions.settle("nope"),
            lambda: store.questions.ask(says("action_needed", ASK, session="nope")),
        ):
            with pytest.raises(SessionNotFoundError, match="There is no session 'nope'"):
                use()
        assert names(store.layout.sessions) == []

    @pytest.mark.row(11)
    def test_a_status_that_a_crash_left_wrong_is_mended(self, store: Store, folder: SessionFolder) -> None:
        truth = get(folder.status)
        for wrong in ({**truth, "state": "completed"}, None):
            folder.status.unlink()
            if wrong:
                put(folder.status, wrong)
            store.questions.settle("s1")
            assert get(folder.status)["state"] == "initializing"

    def test_of_two_that_write_the_status_at_once_the_later_change_stays(
        self, stores: Stores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = stores.open(), stores.open()
        folder = new_session(one)
        write = atomic.write_model

        def be_overtaken(*given: Any, **how: Any) -> None:
            monkeypatch.setattr(sessions, "write_model", write)
            other.sessions.update("s1", "progress_update", message="later")
            write(*given, **how)

        monkeypatch.setattr(sessions, "write_model", be_overtaken)
        one.sessions.update("s1", "progress_update", message="earlier")
        assert get(folder.status)["message"] == "later"

    def test_a_status_that_cannot_be_written_takes_no_report_along(self, store: Store, folder: SessionFolder) -> None:
        folder.status.unlink()
        folder.status.mkdir()
        store.questions.ask(says("progress_update", {**STEP, "message": "halfway"}))
        assert store.sessions.get("s1").message == "halfway"
        folder.status.rmdir()
        store.questions.settle("s1")
        assert get(folder.status)["message"] == "halfway"

    def test_a_status_that_is_right_is_not_written_again(self, store: Store, folder: SessionFolder) -> None:
        before = folder.status.stat().st_ino
        store.questions.settle("s1")
        assert folder.status.stat().st_ino == before


class TestRuns:
    def test_the_newest_that_nobody_ended_is_unfinished(self, store: Store) -> None:
        assert store.runs.unfinished() is None
        for name in ("r1", "r2"):
            store.runs.create(name, RunOptions(plans=("01-01",)))
        assert getattr(store.runs.unfinished(), "id", None) == "r2"
        store.runs.end("r2", "passed", {"x": 1})
        assert getattr(store.runs.unfinished(), "id", None) == "r1"
        assert [(one.id, one.state) for one in store.runs.select()] == [("r1", "running"), ("r2", "passed")]


@pytest.mark.usefixtures("folder")
class TestMessages:
    def test_the_same_message_posted_twice_is_stored_once(self, store: Store) -> None:
        message = says("task_started", {**STEP, "taskName": "Load"})
        first = store.questions.ask(message)
        before = store.events.last
        assert store.questions.ask(message).seq == first.seq
        assert len(store.messages.select("s1")) == 1
        assert store.events.last == before

    def test_two_sessions_may_use_the_same_id(self, store: Store) -> None:
        new_session(store, "s2")
        for session in ("s1", "s2"):
            store.questions.ask(says("action_needed", ASK, message_id="q1", session=session))
        assert len(store.messages.pending()) == 2
        store.questions.answer(reply("q1", payload={"notes": "one"}), actor="ada", door="test")
        assert only(store.messages.pending()).session_id == "s2"
        assert store.messages.get("q1").session_id == "s2"
        assert store.messages.answer_to("q1") is None
        store.questions.answer(reply("q1", payload={"notes": "two"}, session="s2"), actor="ada", door="test")
        answers = [store.messages.answer_to("q1", session) for session in ("s1", "s2")]
        assert [one and one.payload["notes"] for one in answers] == ["one", "two"]

    def test_what_waits_is_listed_oldest_first_and_by_session_and_type(self, store: Store) -> None:
        new_session(store, "s2")
        store.questions.ask(says("action_needed", ASK, message_id="a"))
        store.questions.ask(says("decision_needed", {"decision": "?"}, message_id="b", session="s2"))
        store.questions.ask(says("session_ready", {"workingDir": "."}, message_id="c"))
        assert [one.id for one in store.messages.pending()] == ["a", "b"]
        assert [one.id for one in store.messages.pending("s2")] == ["b"]
        assert [one.id for one in store.messages.pending(types=["session_ready"])] == ["c"]

    @pytest.mark.row(10)
    @pytest.mark.parametrize(
        ("kind", "payload", "answer", "given"),
        [
            ("verification_needed", {"whatBuilt": "x"}, "verification_result", {"verified": True}),
            ("decision_needed", {"decision": "?"}, "decision_made", {"selectedOptionId": "a"}),
            ("action_needed", {"action": "x"}, "action_completed", {}),
            ("credentials_needed", {"service": "x"}, "credentials_provided", {"found": True}),
            ("session_ready", {"workingDir": "."}, "assign_task", {}),
            ("action_needed", {"action": "x"}, "abort_task", {"reason": "no"}),
            ("session_ready", {"workingDir": "."}, "abort_task", {"reason": "no"}),
        ],
    )
    def test_each_question_takes_its_own_answer_or_an_abort(
        self, store: Store, kind: str, payload: dict[str, Any], answer: str, given: dict[str, Any]
    ) -> None:
        store.questions.ask(says(kind, payload, message_id="q"))
        stored = store.questions.answer(reply("q", answer, given), actor="ada", door="test")
        assert store.messages.get("q").status == "responded"
        assert (stored.type, stored.in_response_to, stored.actor, stored.door) == (answer, "q", "ada", "test")

    @pytest.mark.row(10)
    @pytest.mark.parametrize("kind", ["task_started", "action_needed", "decision_needed"])
    def test_another_type_of_answer_is_refused(self, store: Store, kind: str) -> None:
        payload = {"action": "x", "decision": "x", **STEP, "taskName": "x"}
        store.questions.ask(says(kind, payload, message_id="q"))
        with pytest.raises(WrongAnswerTypeError, match=f"'{kind}' message cannot be answered with 'verif"):
            store.questions.answer(reply("q", "verification_result", {"verified": True}), actor="a", door="d")

    def test_an_answer_through_another_session_finds_no_question(self, store: Store) -> None:
        new_session(store, "s2")
        store.questions.ask(says("action_needed", ASK, message_id="q"))
        for answer in (reply("q", session="s2"), reply("nope")):
            with pytest.raises(MessageNotFoundError, match="There is no message"):
                store.questions.answer(answer, actor="a", door="d")

    def test_an_answer_is_no_question(self, store: Store) -> None:
        sent = store.messages.send(reply("", "abort_task", {"reason": "x"}), actor="a", door="d")
        with pytest.raises(MessageNotFoundError):
            store.questions.answer(reply(sent.id), actor="a", door="d")

    @pytest.mark.row(10)
    def test_an_option_that_was_not_offered_is_refused_with_those_that_were(self, store: Store) -> None:
        payload = {key: value for key, value in DECISION.items() if key != "type"}
        store.questions.ask(says("decision_needed", payload, message_id="q"))
        with pytest.raises(UnknownOptionError, match=r"no option 'c' in this decision\. Choose one of: a, b"):
            store.questions.answer(reply("q", "decision_made", {"selectedOptionId": "c"}), actor="a", door="d")
        assert store.messages.get("q").status == "pending"

    @pytest.mark.row(10)
    def test_the_second_answer_is_told_who_was_first_when_and_with_what(self, store: Store) -> None:
        store.questions.ask(says("verification_needed", {"whatBuilt": "x"}, message_id="q"))
        first = store.questions.answer(
            reply("q", "verification_result", {"verified": False, "feedback": "too dark"}), actor="ada", door="notebook"
        )
        with pytest.raises(AlreadyAnsweredError) as caught:
            store.questions.answer(reply("q", "verification_result", {"verified": True}), actor="bob", door="cli")
        when = first.to_wire()["timestamp"]
        assert str(caught.value) == (
            f"Message q was already answered by ada through the notebook at {when}: not passed: too dark. "
            "That answer holds."
        )
        assert (caught.value.actor, caught.value.door) == ("ada", "notebook")
        assert len(store.events.select(kind="answered")) == 1

    @pytest.mark.row(13)
    def test_a_worker_takes_the_answer_it_waits_for_as_often_as_it_asks(self, store: Store) -> None:
        store.questions.ask(says("action_needed", ASK, message_id="q"))
        assert store.messages.take("s1", "q") is None
        store.questions.answer(reply("q", payload={"notes": "done"}), actor="ada", door="test")
        for _ in range(2):
            taken = store.messages.take("s1", "q")
            assert taken is not None
            assert (taken.payload["notes"], taken.status) == ("done", "responded")
        assert store.messages.take("s2", "q") is None
        assert store.messages.take("s1") is None

    @pytest.mark.row(13)
    def test_without_a_question_a_worker_takes_each_message_once_in_order(self, store: Store) -> None:
        store.questions.ask(says("action_needed", ASK, message_id="q"))
        store.messages.send(reply("", "assign_task"), actor="a", door="d")
        store.messages.send(reply("", "verification_result", {"verified": False}), actor="a", door="d")
        store.questions.answer(reply("q"), actor="a", door="d")
        taken = [store.messages.take("s1") for _ in range(4)]
        assert [one and one.type for one in taken] == ["assign_task", "verification_result", "action_completed", None]

    def test_only_tasks_aborts_and_verdicts_come_unasked(self, store: Store) -> None:
        for kind, payload in (
            ("decision_made", {"selectedOptionId": "a"}),
            ("action_completed", {}),
            ("credentials_provided", {"found": True}),
        ):
            with pytest.raises(WrongAnswerTypeError):
                store.messages.send(reply("", kind, payload), actor="a", door="d")

    def test_a_session_that_has_ended_is_sent_nothing(self, store: Store) -> None:
        store.sessions.end("s1", state="completed")
        for kind, payload in (("assign_task", {"context": "x"}), ("abort_task", {"reason": "x"})):
            with pytest.raises(SessionEndedError, match="Session 's1' has ended"):
                store.messages.send(reply("", kind, payload), actor="a", door="d")
        assert store.messages.select("s1") == []
        assert store.events.select(kind="abort_task") == []

    def test_a_worker_that_says_it_is_ready_after_its_task_came_does_not_wait_for_one(self, store: Store) -> None:
        store.messages.send(reply("", "assign_task"), actor="a", door="d")
        assert store.questions.ask(says("session_ready", {"workingDir": "."})).status == "responded"
        assert store.messages.pending(types=["session_ready"]) == []

    def test_messages_are_listed_by_direction_and_from_a_place_on(self, store: Store) -> None:
        first = store.questions.ask(says("action_needed", ASK, message_id="q"))
        store.questions.answer(reply("q"), actor="a", door="d")
        assert [one.type for one in store.messages.select("s1", direction="out")] == ["action_completed"]
        assert [one.type for one in store.messages.select(since=first.seq)] == ["action_completed"]

    def test_text_of_any_kind_survives(self, store: Store) -> None:
        note = 'é 😀 "quotes" \\ \x00 \u2028 ' + "x" * 100_000
        store.questions.ask(says("action_needed", {"action": note}, message_id="q"))
        assert store.messages.get("q").payload["action"] == note


def race(root: str, number: int, rounds: int, barrier: Any, results: Any) -> None:
    store = Store(Path(root))
    won = []
    for turn in range(rounds):
        barrier.wait()
        try:
            store.questions.answer(
                reply(f"q{turn}", payload={"notes": f"from {number}"}), actor=f"actor {number}", door="race"
            )
        except AlreadyAnsweredError as error:
            won.append((turn, False, error.actor))
        else:
            won.append((turn, True, f"actor {number}"))
    store.close()
    results.put(won)


@pytest.mark.row(10)
def test_of_twenty_processes_that_answer_at_once_one_wins_and_the_others_know_who(stores: Stores) -> None:
    rounds, racers = 6, 20
    store = stores.open()
    folder = new_session(store)
    for turn in range(rounds):
        if turn % 2:
            put(folder.checkpoint, {**ACTION, "id": f"q{turn}"})
            store.questions.settle("s1")
        else:
            store.questions.ask(says("action_needed", ASK, message_id=f"q{turn}"))
    fork = multiprocessing.get_context("forkserver")  # quick to start, and no thread of ours in the children
    fork.set_forkserver_preload(["harness_nb.store", "tests.store.conftest"])
    barrier, results = fork.Barrier(racers), fork.Queue()
    processes = [
        fork.Process(target=race, args=(os.fspath(stores.root), number, rounds, barrier, results))
        for number in range(racers)
    ]
    for process in processes:
        process.start()
    found = [one for _ in processes for one in results.get()]
    for process in processes:
        process.join()
    for turn in range(rounds):
        outcomes = [(won, actor) for which, won, actor in found if which == turn]
        winner = [actor for won, actor in outcomes if won]
        assert len(winner) == 1
        assert {actor for _, actor in outcomes} == set(winner)
        answer = store.messages.answer_to(f"q{turn}")
        assert answer is not None
        assert answer.actor == winner[0]
    assert len(store.messages.select("s1", direction="out")) == rounds
    taken = []
    for _ in range(rounds // 2):
        taken.append(take(folder)["completedBy"])
        store.questions.settle("s1")
    assert sorted(taken) == sorted(
        str(one.actor) for one in store.messages.select(direction="out") if one.in_response_to in ("q1", "q3", "q5")
    )
    assert not folder.response.exists()


@pytest.mark.row(2)
@pytest.mark.parametrize("by_file", [False, True])
def test_no_value_of_a_credential_reaches_any_file_of_the_project(stores: Stores, by_file: bool) -> None:
    value = "hunter2-very-secret-value"
    store = stores.open()
    folder = new_session(store)
    if by_file:
        put(folder.checkpoint, {"id": "q", "type": "credentials", "service": "postgres", "envVars": ["PGPASSWORD"]})
    else:
        store.questions.ask(says("credentials_needed", {"service": "postgres"}, message_id="q"))
    payload = {"service": "postgres", "found": True, "credentials": {"PGPASSWORD": value}, "envVars": ["PGPASSWORD"]}
    stored = store.questions.answer(reply("q", "credentials_provided", payload), actor="ada", door="test")
    assert stored.payload["credentials"] == {}
    store.messages.send(
        reply("", "abort_task", {"reason": "x", "credentials": {"PGPASSWORD": value}}), actor="a", door="d"
    )
    store.questions.ask(says("action_needed", {**ASK, "credentials": {"PGPASSWORD": value}}))
    store.sessions.end("s1", state="completed")
    store.questions.settle("s1")
    kept = [stored, *store.events.select(), *store.messages.select()]
    assert value not in repr([one.to_wire() for one in kept])
    assert (stores.root / ".orchestration" / "harness.db-wal").is_file()
    assert files_that_hold(stores.root, value.encode()) == []


@pytest.mark.row(2)
def test_an_answer_with_a_key_that_nobody_knows_is_not_stored(store: Store, folder: SessionFolder) -> None:
    store.questions.ask(says("credentials_needed", {"service": "postgres"}, message_id="q"))
    payload = {"found": True, "credential": {"PGPASSWORD": "hunter2-very-secret-value"}}
    with pytest.raises(InvalidMessageError, match="credential") as caught:
        store.questions.answer(reply("q", "credentials_provided", payload), actor="ada", door="test")
    assert "hunter2" not in str(caught.value)
    known = {"found": True, "source": "env", "notes": "n", "completedBy": "ada"}
    stored = store.questions.answer(reply("q", "credentials_provided", known), actor="ada", door="test")
    assert stored.payload["source"] == "env"
