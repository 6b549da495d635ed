"""Whatever workers, doors and people do in whatever order, wherever a process dies: one answer, which never changes.

Two doors have the store open at once, each as a process of its own would; a door that dies between two of its steps is
opened anew, and what it left half done is finished by whoever looks next.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from harness_nb.errors import AlreadyAnsweredError, QuestionExpiredError
from harness_nb.protocol.files import SessionStatus
from harness_nb.store import Store
from harness_nb.store.atomic import identity_of, read_model
from tests.store.conftest import ACTION, get, names, new_session, put, reply, says, shown
from tests.store.fuse import Connection, Died, Fuse, fused
from tests.store.stories import STORIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store import SessionFolder

SESSIONS = ("s1", "s2")
sessions = st.sampled_from(SESSIONS)
doors = st.integers(0, 1)
steps = st.one_of(st.just(0), st.integers(1, 14))
"""After which of its steps a door dies; 0 is never."""


class MessageStore(RuleBasedStateMachine):
    """What was said, answered and received, beside the real thing."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="harness-message-store-"))
        self.fuse = Fuse(0)
        self.doors = [self.open(), self.open()]
        self.folders: dict[str, SessionFolder] = {name: new_session(self.doors[0], name) for name in SESSIONS}
        self.living = set(SESSIONS)
        self.number = 0
        self.reported: dict[str, list[str]] = {name: [] for name in SESSIONS}
        self.order: dict[str, list[str]] = {name: [] for name in SESSIONS}
        self.answers: dict[tuple[str, str], str] = {}
        self.promised: dict[tuple[str, str], str] = {}  # what a door was told to be the answer
        self.received: dict[tuple[str, str], list[str]] = defaultdict(list)

    def open(self) -> Store:
        store = Store(self.root)
        store.journal._connection = Connection(store.journal._connection, self.fuse)  # type: ignore[assignment]
        return store

    def do(self, door: int, die_at: int, work: Callable[[Store], object]) -> bool:
        """Let a door do something; false where it died in the middle of that."""
        self.fuse.at, self.fuse.steps, self.fuse.armed = die_at, 0, die_at > 0
        try:
            with fused(self.fuse):
                work(self.doors[door])
        except Died:
            self.doors[door].close()
            self.doors[door] = self.open()
            return False
        finally:
            self.fuse.armed = False
        return True

    def new_name(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}{self.number}"

    def said_in(self, session: str) -> list[MessageRecord]:
        return self.doors[0].messages.select(session, direction="in")

    # --- workers -------------------------------------------------------------------------------

    @rule(session=sessions, door=doors, die_at=steps)
    def report(self, session: str, door: int, die_at: int) -> None:
        """A worker says something; who does not know whether it was heard says it again with the same id."""
        name = self.new_name("p")
        message = says(
            "progress_update", {"message": name, "taskNumber": 1, "totalTasks": 1}, message_id=name, session=session
        )
        if not self.do(door, die_at, lambda store: store.questions.ask(message)):
            self.do(door, 0, lambda store: store.questions.ask(message))
        self.reported[session].append(name)

    @rule(session=sessions, door=doors, die_at=steps)
    def ask_by_message(self, session: str, door: int, die_at: int) -> None:
        if session not in self.living:
            return
        name = self.new_name("m")
        message = says("action_needed", {"action": name}, message_id=name, session=session)
        if not self.do(door, die_at, lambda store: store.questions.ask(message)):
            self.do(door, 0, lambda store: store.questions.ask(message))
        self.reported[session].append(name)

    @rule(session=sessions)
    def ask_by_file(self, session: str) -> None:
        """A worker takes the answer that lies there before it asks again, and writes over no question of its own."""
        folder = self.folders[session]
        free = not folder.checkpoint.exists() or folder.checkpoint.stat().st_nlink > 1
        if session in self.living and free and not folder.response.exists():
            name = self.new_name("f")
            put(folder.checkpoint, {**ACTION, "action": name, "id": name})

    @rule(session=sessions)
    def take_file(self, session: str) -> None:
        folder = self.folders[session]
        if session not in self.living or not folder.response.exists():
            return
        content = get(folder.response)
        # a person's answer that names no question is its worker's once the harness has said which one it answers
        journaled = self.doors[0].messages.answered_by_file(session, identity_of(folder.response))
        question = str(content.get("inResponseTo") or (journaled and journaled.in_response_to))
        if (
            question.startswith("f") and not self.received[session, question]
        ):  # who asked by message is no reader of files
            self.received[session, question].append(content["notes"])
            os.rename(folder.response, folder.answered / f"{question}.json")  # noqa: PTH104 — as a shell does

    @rule(session=sessions, door=doors, which=st.integers(0, 3))
    def take_message(self, session: str, door: int, which: int) -> None:
        asked = [one.id for one in self.said_in(session) if one.asked_by == "message" and one.type == "action_needed"]
        if not asked or session not in self.living:
            return
        question = asked[-1 - which % len(asked)]
        found = self.doors[door].messages.take(session, question)
        if found is not None and not self.received[session, question]:
            self.received[session, question].append(str(found.payload["notes"]))

    # --- doors and people ------------------------------------------------------------------------

    @rule(session=sessions, door=doors, which=st.integers(0, 3), die_at=steps)
    def answer(self, session: str, door: int, which: int, die_at: int) -> None:
        asked = [one.id for one in self.said_in(session) if one.type == "action_needed"]
        if not asked:
            return
        question, notes = asked[-1 - which % len(asked)], self.new_name("answer ")
        message = reply(question, payload={"notes": notes}, session=session)

        def work(store: Store) -> None:
            with suppress(AlreadyAnsweredError, QuestionExpiredError):
                store.questions.answer(message, actor="ada", door=f"door {door}")
                self.promised[session, question] = notes

        self.do(door, die_at, work)

    @rule(session=sessions, which=st.integers(0, 3), with_id=st.booleans())
    def answer_by_hand(self, session: str, which: int, with_id: bool) -> None:
        """A person writes no file over one that lies there, and without an id only where one question can be meant."""
        folder = self.folders[session]
        if folder.response.exists():
            return
        content: dict[str, Any] = {"actionCompleted": True, "notes": self.new_name("by hand ")}
        asked = [one.id for one in self.said_in(session) if one.type == "action_needed"]
        if with_id and asked:
            content["inResponseTo"] = asked[-1 - which % len(asked)]
        put(folder.response, content)

    @rule(session=sessions, door=doors, die_at=steps)
    def look(self, session: str, door: int, die_at: int) -> None:
        if self.do(door, die_at, lambda store: store.questions.settle(session)):
            self.files_show_what_the_journal_says(session)

    @precondition(lambda self: len(self.living) > 1)
    @rule(session=sessions, door=doors, die_at=steps)
    def expire(self, session: str, door: int, die_at: int) -> None:
        """A session ends, as ``conclude`` has it: its worker is gone, and its open questions expire."""
        self.living.discard(session)

        def work(store: Store) -> None:
            store.questions.settle(session)
            store.sessions.end(session, state="failed", reason="its worker is gone")
            store.questions.settle(session)

        if not self.do(door, die_at, work):
            self.do(door, 0, work)
        assert self.doors[door].messages.pending(session) == []

    @rule(door=doors)
    def open_anew(self, door: int) -> None:
        self.doors[door].close()
        self.doors[door] = self.open()

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def each_message_is_there_once_and_stays_in_its_place(self) -> None:
        for session in SESSIONS:
            ids = [one.id for one in self.said_in(session)]
            assert len(set(ids)) == len(ids)
            assert ids[: len(self.order[session])] == self.order[session]
            assert [name for name in ids if not name.startswith("f")] == self.reported[session]
            self.order[session] = ids

    @invariant()
    def each_question_has_one_answer_at_most_and_it_never_changes(self) -> None:
        for session in SESSIONS:
            records = self.doors[1].messages.select(session, direction="out")
            now = {(session, str(one.in_response_to)): str(one.payload["notes"]) for one in records}
            assert len(now) == len(records)
            before = {key: notes for key, notes in self.answers.items() if key[0] == session}
            assert {key: now.get(key) for key in before} == before
            self.answers |= now
            status = {one.id: one.status for one in self.said_in(session) if one.type == "action_needed"}
            assert {name for name, word in status.items() if word == "responded"} == {key[1] for key in now}
        self.a_door_that_was_told_of_no_other_has_answered()
        self.a_worker_gets_the_answer_that_the_journal_has_and_once()

    def a_door_that_was_told_of_no_other_has_answered(self) -> None:
        assert {key: self.answers.get(key) for key in self.promised} == self.promised

    def a_worker_gets_the_answer_that_the_journal_has_and_once(self) -> None:
        for key, notes in self.received.items():
            assert len(notes) <= 1
            assert not notes or self.answers.get(key, notes[0]) == notes[0]

    @invariant()
    def nothing_is_set_aside_as_broken(self) -> None:
        assert [names(folder.rejected) for folder in self.folders.values()] == [[], []]

    def files_show_what_the_journal_says(self, session: str) -> None:
        folder = self.folders[session]
        pending = self.doors[0].messages.pending(session)
        assert shown(folder) == (pending[0].payload["action"] if pending else None)
        status, record = read_model(folder.status, SessionStatus), self.doors[0].sessions.get(session)
        assert (status.state, status.reason) == (record.state, record.reason)

    def teardown(self) -> None:
        try:
            for session in SESSIONS:
                self.see_it_through(session)
            self.each_message_is_there_once_and_stays_in_its_place()
            self.each_question_has_one_answer_at_most_and_it_never_changes()
            self.what_was_received_is_what_counts()
        finally:
            for door in self.doors:
                door.close()
            shutil.rmtree(self.root)

    def see_it_through(self, session: str) -> None:
        """Let whoever looks finish what was begun, and the worker take all that it is owed."""
        self.look(session, 0, 0)
        for _ in range(self.number):
            self.take_file(session)
            self.look(session, 1, 0)

    def what_was_received_is_what_counts(self) -> None:
        for (session, question), notes in self.answers.items():
            if session in self.living and question.startswith("f"):
                assert self.received[session, question] == [notes]


TestMessageStore = pytest.mark.row(10, 11)(MessageStore.TestCase)
TestMessageStore.settings = settings(STORIES, stateful_step_count=30)


@pytest.mark.soak
@pytest.mark.row(10, 11)
@pytest.mark.timeout(900)
def test_one_answer_which_never_changes_in_a_thousand_stories() -> None:
    run_state_machine_as_test(MessageStore, settings=settings(TestMessageStore.settings, max_examples=1000))
