"""Answers as files: which of many wins, how it reaches the worker, and what becomes of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import AlreadyAnsweredError, UnknownOptionError
from tests.leaks import files_that_hold
from tests.store.conftest import (
    ACTION,
    DECISION,
    VERIFICATION,
    answer,
    ask_by_file,
    get,
    late,
    names,
    only,
    only_text,
    put,
    reasons,
    reply,
    says,
    take,
)

if TYPE_CHECKING:
    from harness_nb.store import SessionFolder, Store

pytestmark = pytest.mark.row(10)


class TestAnsweringByDoor:
    @pytest.mark.row(13)
    @pytest.mark.parametrize(
        ("asked", "kind", "payload", "wire"),
        [
            (ACTION, "action_completed", {"notes": "n"}, {"checkpointType": "action", "actionCompleted": True,
                                                          "completedBy": "ada", "notes": "n"}),
            (DECISION, "decision_made", {"selectedOptionId": "b", "selectedOptionName": "B", "rationale": "r"},
             {"checkpointType": "decision", "selectedOptionId": "b", "selectedOptionName": "B", "rationale": "r"}),
            (VERIFICATION, "verification_result", {"verified": False, "feedback": "f", "issues": ["i"]},
             {"checkpointType": "verification", "verified": False, "feedback": "f", "issues": ["i"]}),
            ({"type": "credentials", "service": "x", "envVars": ["A"]}, "credentials_provided",
             {"found": True, "envVars": ["A"]}, {"checkpointType": "credentials", "found": True, "envVars": ["A"]}),
            (ACTION, "abort_task", {"reason": "no"}, {"aborted": True, "reason": "no"}),
        ],
    )  # fmt: skip
    def test_it_reaches_the_worker_as_a_file_made_by_link(
        self, store: Store, folder: SessionFolder, asked: dict[str, Any], kind: str, payload: dict[str, Any],
        wire: dict[str, Any],
    ) -> None:  # fmt: skip
        put(folder.checkpoint, {**asked, "id": "q1"})
        store.questions.settle("s1")
        store.questions.answer(reply("q1", kind, payload), actor="ada", door="notebook")
        assert folder.response.samefile(folder.sent / "q1.json")
        content = take(folder)
        assert content["inResponseTo"] == "q1"
        assert content["sessionId"] == "s1"
        assert {key: content[key] for key in wire} == wire
        store.questions.settle("s1")
        assert names(folder.answered) == ["q1.json"]
        assert len(store.messages.select("s1", direction="out")) == 1
        assert store.sessions.get("s1").state == "running"

    def test_a_question_by_message_is_answered_without_files(self, store: Store, folder: SessionFolder) -> None:
        store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
        answer(store, "q1")
        assert not folder.response.exists()
        assert names(folder.sent) == []

    def test_an_answer_that_is_refused_leaves_nothing_behind(self, store: Store, folder: SessionFolder) -> None:
        put(folder.checkpoint, {**DECISION, "id": "q1"})
        store.questions.settle("s1")
        with pytest.raises(UnknownOptionError):
            store.questions.answer(reply("q1", "decision_made", {"selectedOptionId": "z"}), actor="a", door="d")
        assert (names(folder.sent), folder.response.exists()) == ([], False)

    @pytest.mark.parametrize("way", ["rename", "delete", "read"])
    def test_two_answers_are_handed_over_one_after_the_other(
        self, store: Store, folder: SessionFolder, way: str
    ) -> None:
        ask_by_file(store, folder, "q1")
        ask_by_file(store, folder, "q2")
        answer(store, "q2", "two")
        answer(store, "q1", "one")
        seen = [get(folder.response)["notes"]]
        if way == "rename":
            take(folder)
        elif way == "delete":
            folder.response.unlink()
        store.questions.settle("s1")
        if way == "read":  # as long as the worker does not go on, nothing says that it has read the first
            assert get(folder.response)["notes"] == "two"
            return
        seen.append(get(folder.response)["notes"])
        assert seen == ["two", "one"]

    @pytest.mark.parametrize("way", ["rename", "delete", "read"])
    def test_workers_take_answers_in_their_own_way(self, store: Store, folder: SessionFolder, way: str) -> None:
        for number in range(4):
            question = ask_by_file(store, folder, f"q{number}")
            answer(store, question, f"answer {number}")
            assert get(folder.response)["notes"] == f"answer {number}"
            if way == "rename":
                take(folder)
            elif way == "delete":
                folder.response.unlink()
        store.questions.settle("s1")
        assert len(store.messages.select("s1", direction="out")) == 4
        assert store.messages.pending() == []

    def test_an_empty_file_in_its_place_does_not_hold_it_up(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1")
        folder.response.touch()
        store.questions.settle("s1")
        assert folder.response.exists()
        answer(store, "q1", "one")
        assert get(folder.response)["notes"] == "one"


class TestAnsweringByHand:
    def test_with_the_questions_id_it_answers_that_question(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1")
        ask_by_file(store, folder, "q2")
        put(folder.response, {"inResponseTo": "q2", "actionCompleted": True, "completedBy": "bob"})
        store.questions.settle("s1")
        stored = store.messages.answer_to("q2")
        assert stored is not None
        assert (stored.actor, stored.door) == ("bob", "file")
        assert [one.id for one in store.messages.pending()] == ["q1"]
        assert folder.response.exists()  # for the worker to take
        with pytest.raises(AlreadyAnsweredError, match=r"by bob through a file at .*: done by bob"):
            answer(store, "q2")

    def test_without_an_id_it_answers_the_oldest_question_once(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1")
        ask_by_file(store, folder, "q2")
        put(folder.response, {"actionCompleted": True})
        for _ in range(3):
            store.questions.settle("s1")
        assert [one.id for one in store.messages.pending()] == ["q2"]

    def test_the_worker_may_take_it_before_anyone_saw_it(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1")
        put(folder.response, {"inResponseTo": "q1", "actionCompleted": True, "notes": "by hand"})
        take(folder)
        with pytest.raises(AlreadyAnsweredError, match="answered by a file at"):
            answer(store, "q1")
        assert not folder.response.exists()
        stored = store.messages.answer_to("q1")
        assert stored is not None
        assert stored.payload["notes"] == "by hand"

    def test_for_a_question_by_message_it_is_taken_in_and_put_away(self, store: Store, folder: SessionFolder) -> None:
        store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
        put(folder.response, {"actionCompleted": True, "completedBy": "bob"})
        store.questions.settle("s1")
        assert names(folder.answered) == ["q1.json"]
        assert not folder.response.exists()
        taken = store.messages.take("s1", "q1")
        assert taken is not None
        assert taken.payload["completedBy"] == "bob"

    @pytest.mark.parametrize("dying", [False, True], ids=["that lies there", "that a process put away as it died"])
    def test_for_a_question_by_message_one_is_before_a_door(
        self, store: Store, folder: SessionFolder, dying: bool
    ) -> None:
        store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
        put(folder.answered_copy("q1") if dying else folder.response, {"actionCompleted": True, "completedBy": "bob"})
        with pytest.raises(AlreadyAnsweredError, match="answered by bob through a file"):
            answer(store, "q1")

    @pytest.mark.parametrize("by_file", [True, False])
    def test_one_that_comes_after_the_answer_is_put_away_as_late(
        self, store: Store, folder: SessionFolder, by_file: bool
    ) -> None:
        if by_file:
            ask_by_file(store, folder, "q1")
        else:
            store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
        answer(store, "q1", "first")
        if by_file:
            take(folder)
        put(folder.response, {"inResponseTo": "q1", "actionCompleted": True, "notes": "second"})
        store.questions.settle("s1")
        assert [one["notes"] for one in late(folder)] == ["second"]
        assert not folder.response.exists()
        stored = store.messages.answer_to("q1")
        assert stored is not None
        assert stored.payload["notes"] == "first"
        assert len(store.events.select(kind="late_answer")) == 1

    def test_one_with_another_questions_id_never_answers_this_one(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1")
        for wrong in ("q9", "../q1", "Q1"):
            put(folder.response, {"inResponseTo": wrong, "actionCompleted": True})
            store.questions.settle("s1")
        assert only(store.messages.pending()).id == "q1"
        assert [one["inResponseTo"] for one in late(folder)] != []
        assert len(late(folder)) == 3

    def test_with_no_question_open_it_is_late(self, store: Store, folder: SessionFolder) -> None:
        put(folder.response, {"actionCompleted": True})
        store.questions.settle("s1")
        assert len(late(folder)) == 1

    def test_a_copy_of_an_earlier_answer_of_ours_is_an_answer_by_file(
        self, store: Store, folder: SessionFolder
    ) -> None:
        ask_by_file(store, folder, "q1")
        answer(store, "q1")
        earlier = take(folder)
        ask_by_file(store, folder, "q2")
        put(folder.response, {**earlier, "inResponseTo": "q2"})
        store.questions.settle("s1")
        stored = store.messages.answer_to("q2")
        assert stored is not None
        assert (stored.door, stored.id != earlier["messageId"]) == ("file", True)

    def test_an_action_that_was_not_done_is_no_completed_one(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1")
        put(folder.response, {"actionCompleted": False, "notes": "the site is down"})
        store.questions.settle("s1")
        stored = store.messages.answer_to("q1")
        assert stored is not None
        assert (stored.type, stored.payload["reason"]) == ("abort_task", "the site is down")

    @pytest.mark.parametrize(
        ("asked", "written", "reason"),
        [
            (ACTION, "{", "cannot be read"),
            (ACTION, "[]", "it holds a list"),
            (ACTION, '{"inResponseTo": 5}', "inResponseTo: input should be a valid string"),
            (ACTION, '{"rationale": "x"}', "does not say actionCompleted: true"),
            (ACTION, '{"checkpointType": "decision", "actionCompleted": true}', "checkpointType is not 'action'"),
            (VERIFICATION, '{"verified": "perhaps"}', "verified: input should be a valid boolean"),
            (VERIFICATION, '{"feedback": "nice"}', "verified: field required"),
            (DECISION, '{"selectedOptionId": "z"}', "no option 'z' in this decision"),
            (DECISION, '{"selectedOptionId": "a", "x": "\\ud800"}', "half a character"),
        ],
    )
    def test_one_that_cannot_be_used_is_set_aside_with_its_reason(
        self, store: Store, folder: SessionFolder, asked: dict[str, Any], written: str, reason: str
    ) -> None:
        put(folder.checkpoint, {**asked, "id": "q1"})
        store.questions.settle("s1")
        put(folder.response, written)
        store.questions.settle("s1")
        assert reason in only_text(reasons(folder))
        assert not folder.response.exists()
        assert only(store.messages.pending()).id == "q1"
        assert only_text([str(event.data["reason"]) for event in store.events.select(kind="file_rejected")])


def test_a_file_that_comes_between_looking_and_answering_wins(
    store: Store, folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for way in ("slot", "taken"):
        question = ask_by_file(store, folder, f"q-{way}")
        lawful = store.messages.question_for

        def meanwhile(message: Any, way: str = way, lawful: Any = lawful) -> Any:
            found = lawful(message)
            put(folder.response, {"inResponseTo": f"q-{way}", "actionCompleted": True, "notes": "by hand"})
            if way == "taken":
                take(folder)
            monkeypatch.undo()
            return found

        monkeypatch.setattr(store.messages, "question_for", meanwhile)
        with pytest.raises(AlreadyAnsweredError, match="answered by a file at"):
            answer(store, question)
        stored = store.messages.answer_to(question)
        assert stored is not None
        assert stored.payload["notes"] == "by hand"
        if way == "slot":
            assert take(folder)["notes"] == "by hand"
        assert not folder.response.exists()
        assert names(folder.sent) == []
    assert len(store.events.select(kind="answered")) == 2


def test_a_useless_file_that_comes_between_does_not_lose_the_doors_answer(
    store: Store, folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = ask_by_file(store, folder, "q1")
    lawful = store.messages.question_for

    def meanwhile(message: Any) -> Any:
        put(folder.response, {"inResponseTo": "q1", "rationale": "says nothing of the action"})
        monkeypatch.undo()
        return lawful(message)

    monkeypatch.setattr(store.messages, "question_for", meanwhile)
    answer(store, question, "by a door")
    assert take(folder)["notes"] == "by a door"
    assert len(reasons(folder)) == 1
    assert only(store.messages.select("s1", direction="out")).door == "test"


CREDENTIALS = {"id": "q1", "type": "credentials", "service": "postgres", "envVars": ["PGPASSWORD"]}
VALUE = "hunter2-very-secret-value"


@pytest.mark.row(2)
class TestCredentialsByFile:
    @pytest.mark.parametrize(
        "content",
        [
            {"found": True},
            {"found": True, "credentials": {"PGPASSWORD": VALUE}, "inResponseTo": "q1"},
            {"found": True, "credential": {"PGPASSWORD": VALUE}, "checkpointType": "credentials"},
            {"credentials": {"PGPASSWORD": VALUE}},
            {"found": "perhaps", "PGPASSWORD": VALUE},
            f'{{"found": true, "credentials": {{"PGPASSWORD": "{VALUE}",}}}}',
        ],
    )
    @pytest.mark.parametrize("taken", [False, True])
    def test_a_yes_is_set_aside_without_its_values_and_says_what_to_do(
        self, store: Store, folder: SessionFolder, content: object, taken: bool
    ) -> None:
        put(folder.checkpoint, CREDENTIALS)
        store.questions.settle("s1")
        put(folder.answered_copy("q1") if taken else folder.response, content)
        store.questions.settle("s1")
        assert [one.id for one in store.messages.pending("s1")] == ["q1"]
        assert not folder.response.exists()
        assert store.messages.answer_to("q1", "s1") is None
        if isinstance(content, dict) and content.get("found") is True:
            assert "harness-nb respond q1 --approve" in only_text(reasons(folder))
        assert files_that_hold(folder.path.parents[2], VALUE.encode()) == []
        assert VALUE not in repr([one.to_wire() for one in store.events.select()])

    def test_a_no_is_an_answer(self, store: Store, folder: SessionFolder) -> None:
        put(folder.checkpoint, CREDENTIALS)
        store.questions.settle("s1")
        put(folder.response, {"found": False, "notes": "not here", "mood": VALUE})
        store.questions.settle("s1")
        stored = store.messages.answer_to("q1", "s1")
        assert stored is not None
        assert (stored.payload["found"], stored.payload["notes"]) == (False, "not here")
        assert VALUE not in repr(stored.to_wire())

    @pytest.mark.parametrize(
        "content",
        [
            {"found": True, "inResponseTo": "q1", "credential": VALUE},
            {"inResponseTo": "q1", "PGPASSWORD": VALUE},
            {"credentials": {"PGPASSWORD": VALUE}},
            {"checkpointType": "credentials", "PGPASSWORD": VALUE},
        ],
    )
    def test_a_late_answer_is_kept_without_its_values(
        self, store: Store, folder: SessionFolder, content: dict[str, Any]
    ) -> None:
        put(folder.checkpoint, CREDENTIALS)
        store.questions.settle("s1")
        store.questions.answer(reply("q1", "credentials_provided", {"found": False}), actor="a", door="d")
        folder.response.unlink()
        put(folder.response, content)
        store.questions.settle("s1")
        assert [one.get("inResponseTo") for one in late(folder)] == [content.get("inResponseTo")]
        assert files_that_hold(folder.path.parents[2], VALUE.encode()) == []

    def test_a_yes_that_lies_there_does_not_stop_a_door(self, store: Store, folder: SessionFolder) -> None:
        put(folder.checkpoint, CREDENTIALS)
        store.questions.settle("s1")
        put(folder.response, {"found": True})
        store.questions.answer(reply("q1", "credentials_provided", {"found": True}), actor="a", door="d")
        assert get(folder.response)["door"] == "d"


def test_an_answer_stays_for_its_worker_though_the_question_after_it_was_taken_in_only_as_it_was_given(
    store: Store, folder: SessionFolder
) -> None:
    """A door's answer is made before it looks around, and so before what it takes in then."""
    ask_by_file(store, folder, "q1")
    made = reply("q1", payload={"notes": "to one"})
    put(folder.checkpoint, {**ACTION, "id": "q2"})
    store.questions.answer(made, actor="ada", door="test")
    answer(store, "q2", "to two")
    assert take(folder)["notes"] == "to one"
    store.questions.settle("s1")
    assert take(folder)["notes"] == "to two"
