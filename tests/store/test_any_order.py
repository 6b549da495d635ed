"""Whatever workers, doors and people do in whatever order: every question is asked once and has at most one answer."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from harness_nb.errors import AlreadyAnsweredError
from harness_nb.store import Store
from tests.store.conftest import ACTION, get, names, new_session, put, reply, says, shown
from tests.store.stories import STORIES


class OneProject(RuleBasedStateMachine):
    """A model of what was asked, answered and received, beside the real thing."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="harness-any-order-"))
        self.store = Store(self.root)
        self.folder = new_session(self.store)
        self.asked = 0
        self.waiting: str | None = None  # the worker's file that nobody has taken in yet
        self.by_hand: str | None = None  # the person's file that nobody has taken in yet
        self.written = 0
        self.known: dict[str, str] = {}  # answers that were in the journal once
        self.received: list[tuple[str, str]] = []

    # --- the worker ----------------------------------------------------------------------------

    @precondition(lambda self: self.waiting is None)
    @rule(with_id=st.booleans())
    def ask_by_file(self, with_id: bool) -> None:
        self.asked += 1
        self.waiting = f"question {self.asked}"
        put(self.folder.checkpoint, {**ACTION, "action": self.waiting, **({"id": f"f{self.asked}"} if with_id else {})})

    @rule()
    def ask_by_message(self) -> None:
        self.asked += 1
        self.store.questions.ask(
            says("action_needed", {"action": f"question {self.asked}"}, message_id=f"m{self.asked}")
        )

    @rule(delete=st.booleans())
    def take(self, delete: bool) -> None:
        if not self.folder.response.exists():
            return
        content = get(self.folder.response)
        if content.get("inResponseTo") is None or not self.was_journaled():
            return  # a person's, which only the harness can tell whom it answers
        self.received.append((content["inResponseTo"], content["notes"]))
        if delete:
            self.folder.response.unlink()
        else:
            os.rename(self.folder.response, self.folder.answered / f"{content['inResponseTo']}.json")  # noqa: PTH104

    def was_journaled(self) -> bool:
        return self.by_hand is None

    # --- doors and people ----------------------------------------------------------------------

    @rule(which=st.integers(0, 5))
    def answer_by_door(self, which: int) -> None:
        questions = self.store.messages.select("s1", direction="in")
        if not questions:
            return
        question = questions[-1 - which % len(questions)]
        self.written += 1
        try:
            self.store.questions.answer(
                reply(question.id, payload={"notes": f"answer {self.written}"}), actor="ada", door="door"
            )
        except AlreadyAnsweredError:
            assert self.store.messages.answer_to(question.id, "s1") is not None
        else:
            found = self.store.messages.answer_to(question.id, "s1")
            assert found is not None
            assert found.payload["notes"] == f"answer {self.written}"
        self.waiting = self.by_hand = None  # every answer looks around first

    @rule(which=st.integers(0, 5), with_id=st.booleans())
    def answer_by_hand(self, which: int, with_id: bool) -> None:
        if self.folder.response.exists():
            return  # a person does not write over what waits there
        self.written += 1
        self.by_hand = f"answer {self.written}"
        content: dict[str, Any] = {"actionCompleted": True, "notes": self.by_hand}
        questions = self.store.messages.select("s1", direction="in")
        if with_id and questions:
            content["inResponseTo"] = questions[which % len(questions)].id
        put(self.folder.response, content)

    @rule()
    def look(self) -> None:
        self.store.questions.settle("s1")
        self.waiting = self.by_hand = None
        pending = self.store.messages.pending("s1")
        assert shown(self.folder) == (pending[0].payload["action"] if pending else None)

    @rule()
    def open_anew(self) -> None:
        self.store.close()
        self.store = Store(self.root)

    # --- what always holds ---------------------------------------------------------------------

    @invariant()
    def every_question_is_there_once(self) -> None:
        asked = [one.payload["action"] for one in self.store.messages.select("s1", direction="in")]
        expected = {f"question {number + 1}" for number in range(self.asked)} - {self.waiting}
        assert len(asked) == len(set(asked))
        assert set(asked) == expected

    @invariant()
    def an_answer_never_changes(self) -> None:
        answers = self.store.messages.select("s1", direction="out")
        now = {str(one.in_response_to): one.payload["notes"] for one in answers}
        assert len(now) == len(answers)
        assert {question: now.get(question) for question in self.known} == self.known
        self.known = now
        pending = {one.id for one in self.store.messages.pending("s1")}
        assert not pending & set(now)

    @invariant()
    def the_worker_is_told_what_the_journal_says_and_only_once(self) -> None:
        assert len(self.received) == len(set(self.received))
        assert all(self.known.get(question, notes) == notes for question, notes in self.received)

    @invariant()
    def nothing_is_set_aside_as_broken(self) -> None:
        assert names(self.folder.rejected) == []

    def teardown(self) -> None:
        try:
            self.take_all_that_is_owed()
            self.every_question_is_there_once()
            self.an_answer_never_changes()
            self.every_answer_of_a_door_to_a_file_was_received_once()
        finally:
            self.store.close()
            shutil.rmtree(self.root)

    def take_all_that_is_owed(self) -> None:
        self.look()
        while self.folder.response.exists():
            content = get(self.folder.response)
            self.folder.response.unlink()
            if "messageId" in content:
                self.received.append((content["inResponseTo"], content["notes"]))
            self.look()

    def every_answer_of_a_door_to_a_file_was_received_once(self) -> None:
        by_file = {one.id for one in self.store.messages.select("s1", direction="in") if one.asked_by == "file"}
        answers = [one for one in self.store.messages.select("s1", direction="out") if one.door == "door"]
        owed = sorted(
            (str(one.in_response_to), one.payload["notes"]) for one in answers if one.in_response_to in by_file
        )
        by_door = {one.payload["notes"] for one in answers}
        assert sorted(one for one in self.received if one[1] in by_door) == owed


TestAnyOrder = pytest.mark.row(10)(OneProject.TestCase)
TestAnyOrder.settings = settings(STORIES, stateful_step_count=25)
