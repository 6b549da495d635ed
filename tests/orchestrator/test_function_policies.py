"""Policies that are Python functions: asked first and once, in the process that they live in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Harness, Policy
from harness_nb.errors import UnansweredQuestionError, UnusableArgumentError
from tests.orchestrator.written_plans import states, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord

pytestmark = pytest.mark.row(10)

LIMIT = 60
CHOOSE = """<task type="checkpoint:decision"><name>Choose</name><decision>Which?</decision>
<options><option id="a"><name>A</name></option><option id="b"><name>B</name></option></options></task>
<task type="auto">
<name>Keep</name>
<action>Keep it</action>
<run lang="sh">
echo $HARNESS_DECISION > chosen
</run>
</task>
"""


@pytest.fixture(autouse=True)
def detaching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs get processes of their own, unless something ties them to this one."""
    monkeypatch.delenv("HARNESS_DETACH")


def test_a_function_answers_and_keeps_the_run_in_its_process(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", body=CHOOSE)
    asked: list[str] = []

    def choose(question: MessageRecord) -> Any:
        asked.append(question.type)
        return question.payload["options"][-1]["id"]

    run = harness.run(policies=[choose, Policy(do="abort")])
    assert not run.detached
    assert run.wait(timeout=LIMIT).passed
    assert (asked, (root / "chosen").read_text()) == (["decision_needed"], "b\n")
    [answer] = [one for one in harness._twin.store.messages.select(direction="out") if one.type == "decision_made"]
    assert (answer.actor, answer.door) == ("policy", "policy")
    with pytest.raises(UnusableArgumentError, match="a policy is a function of this process"):
        harness.run(policies=[choose], detach=True)


def test_what_a_function_leaves_goes_to_the_policies_that_are_data(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", body=CHOOSE)
    run = harness.run(policies=[lambda question: None, Policy(do="answer", answer="a", after=0)])
    assert run.wait(timeout=LIMIT).passed
    assert (root / "chosen").read_text() == "a\n"


@pytest.mark.parametrize("broken", [lambda question: question.payload["colour"], lambda _: sys.exit("no")])
def test_a_function_that_raises_leaves_the_question_to_people_and_says_so(
    harness: Harness, root: Path, broken: Callable[[MessageRecord], Any]
) -> None:
    write_plan(root, "01-01", body=CHOOSE)
    run = harness.run(policies=[broken])
    until(lambda: harness._twin.store.events.select(kind="policy_failed"))
    [failure] = harness._twin.store.events.select(kind="policy_failed")
    assert failure.data["reason"] in ("KeyError: 'colour'", "SystemExit: no")
    [question] = harness.get_pending()
    question.answer("a")
    assert states(run.wait(timeout=LIMIT)) == {"01-01": "complete"}


def test_where_nobody_is_there_a_function_is_waited_for_and_no_longer(
    opened: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    options = [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]
    harness = opened(policies=[lambda question: "b" if question.payload["decision"] == "Which?" else None])
    answer = harness.ask("decision", decision="Which?", context="", options=options)
    assert answer.payload["selectedOptionId"] == "b"
    with pytest.raises(UnansweredQuestionError):
        harness.ask("decision", decision="And now?", context="", options=options)
