"""What hinders a policy for a moment, or at one question, loses no answer and holds up no other question."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb import Policy
from harness_nb.errors import JournalBusyError
from harness_nb.orchestrator.answering import LOOK_AGAIN, PolicyAnswers
from harness_nb.orchestrator.desk import Desk
from harness_nb.orchestrator.functions import FunctionPolicies
from harness_nb.orchestrator.policies import Rules
from harness_nb.sessions.host import SessionHost
from harness_nb.store import Store
from tests.store.conftest import ask_by_file, new_session, says

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord

pytestmark = pytest.mark.row(10, 11)

YES = Policy(do="approve", after=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path)) as store:
        yield store


def ask(store: Store, session: str) -> None:
    new_session(store, session)
    store.questions.ask(says("action_needed", {"action": "Delete it"}, message_id="q1", session=session))


def test_what_a_function_said_is_given_once_the_journal_is_free_and_no_other_policy_answers_instead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness_nb.store.journal.BUSY_TIMEOUT", 0.05)
    with closing(Store(store.layout.root)) as impatient:
        ask(impatient, "s1")
        asked: list[str] = []

        def refuse(question: MessageRecord) -> str:
            asked.append(question.id)
            return "no"

        functions = FunctionPolicies([refuse])
        policies = PolicyAnswers(
            SessionHost(impatient), Desk(impatient), lambda: Rules((YES,)), functions=lambda: functions
        )
        with closing(sqlite3.connect(impatient.journal.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalBusyError):
                policies.apply()
            other.execute("ROLLBACK")
        policies.apply()
        answer = impatient.messages.answer_to("q1", "s1")
        assert answer is not None
        assert (answer.type, asked) == ("abort_task", ["q1"])
        assert impatient.events.select(kind="policy_failed") == []


@pytest.mark.parametrize("by", ["data", "function"])
def test_a_question_that_cannot_be_answered_in_its_folder_holds_up_no_other(store: Store, by: str) -> None:
    ask_by_file(store, new_session(store, "s1"), "q1")
    answered = store.layout.session("s1").path / "answered"
    for left in answered.glob("*"):
        left.unlink()
    if answered.exists():
        answered.rmdir()
    answered.write_text("in the way")
    ask(store, "s2")
    functions = FunctionPolicies([lambda _: "yes"] if by == "function" else [])
    policies = PolicyAnswers(SessionHost(store), Desk(store), lambda: Rules((YES,)), functions=lambda: functions)
    assert policies.apply() == LOOK_AGAIN
    assert store.messages.answer_to("q1", "s2") is not None
    assert store.messages.answer_to("q1", "s1") is None
    answered.unlink()
    assert policies.apply() is None
    assert store.messages.answer_to("q1", "s1") is not None
