"""Questions as files: who asked what, and what is shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.store import store as store_module
from harness_nb.store.bell import Bell
from tests.store.conftest import (
    ACTION,
    DECISION,
    answer,
    ask_by_file,
    get,
    names,
    new_session,
    only,
    only_text,
    put,
    reasons,
    reply,
    says,
    shown,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.store import SessionFolder, Store
    from tests.store.conftest import Stores

pytestmark = pytest.mark.row(10)


class TestAsking:
    def test_a_question_by_file_is_kept_journaled_and_shown(self, store: Store, folder: SessionFolder) -> None:
        put(folder.checkpoint, {**DECISION, "id": "q1", "theirs": {"a_b": 1}})
        store.questions.settle("s1")
        question = only(store.messages.pending("s1"))
        assert (question.id, question.type, question.asked_by) == ("q1", "decision_needed", "file")
        assert question.payload["theirs"] == {"a_b": 1}
        assert folder.checkpoint.samefile(folder.asked / "q1.json")
        assert store.sessions.get("s1").state == "checkpoint"

    def test_without_an_id_the_same_words_asked_twice_are_two_questions(
        self, store: Store, folder: SessionFolder
    ) -> None:
        first = ask_by_file(store, folder)
        second = ask_by_file(store, folder)
        assert first != second
        assert names(folder.asked) == sorted([f"{first}.json", f"{second}.json"])
        answer(store, first)
        third = ask_by_file(store, folder)
        assert len({first, second, third}) == 3

    def test_looking_again_changes_nothing(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder)
        before = (store.events.last, names(folder.asked), names(folder.path))
        for _ in range(3):
            store.questions.settle("s1")
        assert (store.events.last, names(folder.asked), names(folder.path)) == before

    def test_the_oldest_open_question_is_shown_whoever_asked(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1", action="one")
        store.questions.ask(says("action_needed", {"action": "two"}, message_id="q2"))
        ask_by_file(store, folder, "q3", action="three")
        seen = [shown(folder)]
        for question in ("q1", "q2", "q3"):
            answer(store, question)
            seen.append(shown(folder))
            if folder.response.exists():
                take(folder)
        assert seen == ["one", "two", "three", None]

    def test_a_second_question_put_over_the_first_loses_neither(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1", action="one")
        put(folder.checkpoint, {**ACTION, "id": "q2", "action": "two"})
        answer(store, "q2")
        assert [one.id for one in store.messages.pending()] == ["q1"]
        assert shown(folder) == "one"

    def test_the_same_question_put_there_twice_is_asked_once(self, store: Store, folder: SessionFolder) -> None:
        ask_by_file(store, folder, "q1")
        put(folder.checkpoint, {**ACTION, "id": "q1"})
        store.questions.settle("s1")
        assert only(store.messages.pending()).id == "q1"
        assert names(folder.asked) == ["q1.json"]
        assert shown(folder) == "Log in"

    def test_a_worker_that_asks_again_after_a_crash_is_given_the_same_answer_again(
        self, store: Store, folder: SessionFolder
    ) -> None:
        ask_by_file(store, folder, "q1")
        answer(store, "q1", "yes")
        for _ in range(2):
            assert take(folder)["notes"] == "yes"
            assert not folder.response.exists()
            put(folder.checkpoint, {**ACTION, "id": "q1"})
            store.questions.settle("s1")
        assert len(store.messages.select("s1", direction="out")) == 1
        assert not folder.checkpoint.exists()

    def test_an_id_that_another_question_has_is_refused_with_its_reason(
        self, store: Store, folder: SessionFolder
    ) -> None:
        ask_by_file(store, folder, "q1")
        answer(store, "q1", "yes")
        take(folder)
        put(folder.checkpoint, {**ACTION, "id": "q1", "action": "Something else"})
        store.questions.settle("s1")
        assert not folder.response.exists()
        assert reasons(folder) == [
            "Its id 'q1' is that of another message of this session. Give each question its own.\n"
        ]

    def test_two_sessions_may_ask_under_the_same_id(self, store: Store, folder: SessionFolder) -> None:
        other = new_session(store, "s2")
        for each, session in ((folder, "s1"), (other, "s2")):
            put(each.checkpoint, {**ACTION, "id": "q1"})
            store.questions.settle(session)
        for session in ("s1", "s2"):
            store.questions.answer(reply("q1", payload={"notes": session}, session=session), actor="ada", door="test")
        assert [take(each)["notes"] for each in (folder, other)] == ["s1", "s2"]

    @pytest.mark.parametrize("unfit", ["../../evil", "a/b", "", 5.5, ["x"], "语" * 60])
    def test_an_id_that_is_no_file_name_stays_inside_the_folder(
        self, store: Store, folder: SessionFolder, unfit: Any
    ) -> None:
        put(folder.checkpoint, {**ACTION, "id": unfit})
        store.questions.settle("s1")
        if isinstance(unfit, str):
            store.questions.ask(says("action_needed", {"action": "two"}, message_id=unfit or "x/../y"))
        for question in store.messages.pending():
            answer(store, question.id)
        assert {path.parent for path in store.layout.root.rglob("*.json")} <= {
            folder.path, folder.asked, folder.sent, folder.answered,
        }  # fmt: skip

    def test_what_was_asked_before_anyone_looked_comes_in_the_order_of_asking(
        self, store: Store, folder: SessionFolder
    ) -> None:
        for number, name in enumerate(["zz", "mm", "aa"]):
            path = folder.asked / f"{name}.json"
            put(path, {**ACTION, "id": name})
            os.utime(path, ns=(0, 1_000_000 * number))
        store.questions.settle("s1")
        assert [one.id for one in store.messages.pending()] == ["zz", "mm", "aa"]

    def test_a_folder_that_somebody_cleared_away_is_made_again(self, store: Store, folder: SessionFolder) -> None:
        import shutil

        store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
        shutil.rmtree(folder.path)
        store.questions.settle("s1")
        assert shown(folder) == "one"
        shutil.rmtree(folder.path)
        answer(store, "q1")
        store.questions.settle("s1")
        assert (get(folder.status)["state"], shown(folder)) == ("running", None)


def test_whoever_listens_hears_of_a_question_and_of_its_answer(store: Store, folder: SessionFolder) -> None:
    """Whichever door asks or answers: waking the others is no matter of its own."""
    bell = Bell(store.layout)
    store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
    assert bell.socket.recv(64)
    answer(store, "q1")
    assert bell.socket.recv(64)
    bell.close()


def test_whoever_listens_is_woken_before_the_files_are_written(
    store: Store, folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename may take longer than all the rest, and who is woken reads the journal."""
    heard: list[tuple[str, str, str | None]] = []

    def note(_: object) -> None:
        heard.append((store.sessions.get("s1").state, get(folder.status)["state"], shown(folder)))

    monkeypatch.setattr(store_module, "ring", note)
    store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
    answer(store, "q1")
    assert heard == [("checkpoint", "initializing", None), ("running", "checkpoint", "one")]
    assert (get(folder.status)["state"], shown(folder)) == ("running", None)


def test_a_question_that_cannot_be_shown_is_asked_all_the_same(store: Store, folder: SessionFolder) -> None:
    """``checkpoint.json`` is a view: its worker must not think that nothing was stored and ask twice."""
    folder.asked.rmdir()
    folder.asked.write_text("in the way")
    store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
    assert only(store.messages.pending("s1")).id == "q1"
    folder.asked.unlink()
    store.questions.settle("s1")
    assert shown(folder) == "one"


def test_an_answer_counts_whose_question_cannot_be_put_away(store: Store, folder: SessionFolder) -> None:
    """Whoever answered must not think that they had not."""
    store.questions.ask(says("action_needed", {"action": "one"}, message_id="q1"))
    aside = folder.asked.rename(folder.path / "aside")
    folder.asked.write_text("in the way")
    answer(store, "q1")
    assert store.messages.pending("s1") == []
    assert shown(folder) == "one"
    folder.asked.unlink()
    aside.rename(folder.asked)
    store.questions.settle("s1")
    assert shown(folder) is None


def make_folder(path: Path) -> None:
    path.mkdir()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no JSON": (lambda path: put(path, "{"), "cannot be read"),
    "no type": (lambda path: put(path, {"action": "x"}), "its type must be one of verification, decision"),
    "unknown type": (lambda path: put(path, {"type": "riddle"}), "its type must be one of"),
    "a list as type": (lambda path: put(path, {"type": ["action"]}), "its type must be one of"),
    "a field missing": (lambda path: put(path, {"type": "decision"}), "payload.decision: field required"),
    "a wrong field": (lambda path: put(path, {**DECISION, "options": "a"}), "payload.options: "),
    "half a character": (lambda path: put(path, '{"type": "action", "action": "x", "y": "\\udc00"}'), "half a char"),
    "a folder": (make_folder, "not a regular file"),
    "a pipe": (os.mkfifo, "not a regular file"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_question_that_cannot_be_used_is_set_aside_with_its_reason(
    store: Store, folder: SessionFolder, kind: str
) -> None:
    make, reason = BROKEN[kind]
    store.questions.ask(says("action_needed", {"action": "open"}, message_id="m"))
    folder.checkpoint.unlink()
    make(folder.checkpoint)
    store.questions.settle("s1")
    assert reason in only_text(reasons(folder))
    assert shown(folder) == "open"
    assert only(store.messages.pending()).id == "m"


def test_an_empty_checkpoint_is_left_to_who_is_about_to_write_it(store: Store, folder: SessionFolder) -> None:
    folder.checkpoint.touch()
    store.questions.settle("s1")
    with folder.checkpoint.open("w") as file:
        file.write('{"id": "q1", "type": "action", "action": "x"}')
    store.questions.settle("s1")
    assert only(store.messages.pending()).id == "q1"
    assert reasons(folder) == []


def test_a_look_asks_the_journal_no_more_often_after_many_questions(
    stores: Stores, store: Store, folder: SessionFolder
) -> None:
    def statements() -> int:
        count = 0

        def trace(_: str) -> None:
            nonlocal count
            count += 1

        store.journal._connection.set_trace_callback(trace)
        store.questions.settle("s1")
        store.journal._connection.set_trace_callback(None)
        return count

    seen = []
    for _ in range(3):
        for _ in range(20):
            answer(store, ask_by_file(store, folder))
            take(folder)
        seen.append(statements())
    assert len(set(seen)) == 1
