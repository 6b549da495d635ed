"""From what somebody means to the message that says it, and which policy means what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness_nb import ACCEPT_ALL, Policy
from harness_nb.errors import UnknownOptionError, WrongAnswerTypeError
from harness_nb.orchestrator import answers
from harness_nb.orchestrator.policies import Prospect, Rules, acts_alone, due_at, policy_for, prospect
from harness_nb.protocol.messages import parse_orchestrator_message
from harness_nb.protocol.records import MessageRecord

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPTIONS = [{"id": "pg", "name": "Postgres"}, {"id": "lite", "name": "SQLite", "recommended": True}]
PAYLOADS: dict[str, dict[str, Any]] = {
    "verification": {"whatBuilt": "a page"},
    "decision": {"decision": "Which database?", "options": OPTIONS},
    "action": {"action": "Plug it in"},
    "credentials": {"service": "postgres", "envVars": ["PGUSER"]},
}


def question(kind: str, **payload: Any) -> MessageRecord:
    whole = {"phase": "3", "plan": "03-02", **PAYLOADS.get(kind, {}), **payload}
    kind = kind if "_" in kind else f"{kind}_needed"
    return MessageRecord(
        id="q", session_id="s", direction="in", type=kind, status="pending", timestamp=NOON, payload=whole
    )


def sent(answer: answers.Answer) -> dict[str, Any]:
    """Return the payload as the protocol reads it, with what is not said left out."""
    kind, payload = answer
    raw = {"id": "a", "sessionId": "s", "timestamp": NOON, "type": kind, "inResponseTo": "q", "payload": payload}
    wire = parse_orchestrator_message(raw).to_wire()
    assert wire["payload"].pop("phase") == "3"
    assert wire["payload"].pop("plan") == "03-02"
    return {"type": kind, **{key: value for key, value in wire["payload"].items() if value not in (None, {}, [])}}


VERIFIED = {"type": "verification_result", "verified": True}
NOT_VERIFIED = {"type": "verification_result", "verified": False}
CHOSEN = {"type": "decision_made", "decision": "Which database?"}
LITE = CHOSEN | {"selectedOptionId": "lite", "selectedOptionName": "SQLite"}
POSTGRES = CHOSEN | {"selectedOptionId": "pg", "selectedOptionName": "Postgres"}
DONE = {"type": "action_completed", "action": "Plug it in", "completedBy": "ann"}
GIVEN = {"type": "credentials_provided", "service": "postgres", "envVars": ["PGUSER"], "found": True}
ABORTED = {"type": "abort_task", "shouldRetry": False}


@pytest.mark.row(10)
@pytest.mark.parametrize(
    ("kind", "approved", "rejected"),
    [
        ("verification", VERIFIED | {"feedback": "fine"}, NOT_VERIFIED | {"feedback": "no"}),
        ("decision", LITE | {"rationale": "fine"}, ABORTED | {"reason": "no"}),
        ("action", DONE | {"notes": "fine"}, ABORTED | {"reason": "no"}),
        ("credentials", GIVEN | {"notes": "fine"}, GIVEN | {"found": False, "error": "no"}),
    ],
)
def test_yes_no_and_stop(kind: str, approved: dict[str, Any], rejected: dict[str, Any]) -> None:
    """Each kind of question has its yes, its no (or else an end of its task), and can always be aborted."""
    asked = question(kind)
    assert sent(answers.approval(asked, actor="ann", notes="fine")) == approved
    assert sent(answers.rejection(asked, "no")) == rejected
    assert sent(answers.abort(asked, "enough")) == ABORTED | {"reason": "enough"}
    assert sent(answers.abort(asked, "later", should_retry=True))["shouldRetry"]


@pytest.mark.row(10)
@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("verification", True, VERIFIED),
        ("verification", " Yes ", VERIFIED),
        ("verification", "passed", VERIFIED),
        ("verification", "p", VERIFIED),
        ("verification", "pass well done", VERIFIED | {"feedback": "well done"}),
        ("verification", "fail: too slow", NOT_VERIFIED | {"feedback": "too slow"}),
        ("verification", "abort no time", ABORTED | {"reason": "no time"}),
        ("verification", False, NOT_VERIFIED | {"feedback": "no reason given"}),
        ("verification", "the title is wrong", NOT_VERIFIED | {"feedback": "the title is wrong"}),
        ("decision", "pg", POSTGRES),
        ("decision", "sqlite", LITE),
        ("decision", "1", POSTGRES),
        ("decision", "lite it is small", LITE | {"rationale": "it is small"}),
        ("decision", "abort wrong question", ABORTED | {"reason": "wrong question"}),
        ("action", "done", DONE),
        ("action", "done this morning", DONE | {"notes": "this morning"}),
        ("action", "used the blue cable", DONE | {"notes": "used the blue cable"}),
        ("action", "no", ABORTED | {"reason": "no reason given"}),
        ("credentials", "allow", GIVEN),
        ("credentials", "d", GIVEN | {"found": False, "error": "no reason given"}),
        ("credentials", "deny not here", GIVEN | {"found": False, "error": "not here"}),
        ("credentials", "deny", GIVEN | {"found": False, "error": "no reason given"}),
    ],
)
def test_a_plain_value_is_an_answer(kind: str, value: Any, expected: dict[str, Any]) -> None:
    """An option by id or name, yes or no in many words, and a person's own words."""
    assert sent(answers.answer(question(kind), value, actor="ann")) == expected


def test_answers_that_there_are_not() -> None:
    """An option that was not offered, a message that asks nothing."""
    with pytest.raises(UnknownOptionError, match=r"no option 'oracle'.*pg, lite"):
        answers.answer(question("decision"), "oracle", actor="ann")
    with pytest.raises(WrongAnswerTypeError):
        answers.approval(question("progress_update"), actor="ann")


def test_a_decision_without_options_takes_a_persons_words_and_ends_where_a_policy_would_choose() -> None:
    """Nobody can choose what is not offered; waiting for ever would be worse than an abort with its reason."""
    kind, payload = answers.answer(question("decision", options=[]), "ask legal first", actor="ann")
    assert (kind, payload["selectedOptionId"]) == ("decision_made", "ask legal first")
    kind, payload = answers.approval(question("decision", options=[]), actor="policy")
    assert kind == "abort_task"
    assert "no option" in payload["reason"]


def test_without_a_recommendation_the_first_option_is_taken() -> None:
    """The recommended option is what yes means, else the first."""
    assert answers.recommended_option(question("decision")) == "lite"
    assert answers.recommended_option(question("decision", options=OPTIONS[:1])) == "pg"


@pytest.mark.parametrize(
    ("policy", "fits"),
    [
        ({}, {"verification", "decision", "action", "credentials"}),
        ({"kind": "decision"}, {"decision"}),
        ({"service": "postgres"}, {"credentials"}),
        ({"service": "redis"}, set()),
        ({"plan": "03-02"}, {"verification", "decision", "action", "credentials"}),
        ({"plan": "03-01"}, set()),
        ({"kind": "credentials", "service": "postgres", "plan": "03-02"}, {"credentials"}),
        ({"kind": "decision", "service": "postgres"}, set()),
        ({"tool": "Bash"}, set()),
    ],
)
def test_what_a_policy_fits(policy: dict[str, Any], fits: set[str]) -> None:
    """A policy fits where everything that it names is so; what it leaves out does not matter."""
    one = Policy(do="wait", **policy)
    assert {kind for kind in PAYLOADS if policy_for(question(kind), [one]) is one} == fits


def test_a_policy_for_a_tool_fits_that_permission() -> None:
    """An agent's wish to use a tool is told by the tool's name."""
    wish = question("decision", permission={"tool": "Bash", "input": {"command": "ls"}})
    assert policy_for(wish, [Policy(tool="Edit", do="abort"), Policy(tool="Bash", do="approve")]) == Policy(
        tool="Bash", do="approve"
    )


def test_the_first_policy_that_fits_wins() -> None:
    """Order decides, and a question that nothing fits is a person's."""
    policies = [Policy(plan="03-02", do="wait"), ACCEPT_ALL]
    assert policy_for(question("action"), policies) is policies[0]
    assert policy_for(question("action", plan="01-01"), policies) is ACCEPT_ALL
    assert policy_for(question("action"), [Policy(kind="decision", do="approve")]) is None


def test_when_a_policy_acts_and_whether_it_decides() -> None:
    """``after`` counts from the question; waiting and reminding decide nothing."""
    assert due_at(question("action"), Policy(do="approve")) == NOON
    assert due_at(question("action"), Policy(do="approve", after=90)) == NOON + timedelta(seconds=90)
    deciding = {do for do in ("wait", "remind", "answer", "approve", "abort") if acts_alone(Policy(do=do))}
    assert deciding == {"answer", "approve", "abort"}
    assert not acts_alone(None)


@pytest.mark.parametrize("attended", [True, False, None])
@pytest.mark.parametrize(
    ("policy", "with_somebody", "without"),
    [
        (Policy(do="approve"), None, 0),
        (Policy(do="answer", answer="x", after=0), 0, 0),
        (Policy(do="abort", after=60), 60, 60),
        (Policy(do="wait"), None, None),
    ],
)
def test_a_policy_that_names_no_time_acts_only_where_nobody_is_there(
    attended: bool | None, policy: Policy, with_somebody: int | None, without: int | None
) -> None:
    """What is not known to be attended is answered as where nobody is there."""
    seconds = with_somebody if attended else without
    at = None if seconds is None else NOON + timedelta(seconds=seconds)
    assert prospect(question("action"), Rules((policy,), attended)) == Prospect(policy, at)


@pytest.mark.parametrize(("do", "covered"), [("approve", True), ("wait", True), ("remind", False), (None, False)])
def test_which_questions_nobody_needs_to_wait_for_in_vain(do: str | None, covered: bool) -> None:
    """``wait`` means that somebody answers by another door; a reminder answers nothing."""
    policies = (Policy.model_validate({"do": do}),) if do else ()
    assert prospect(question("action"), Rules(policies, attended=False)).covered is covered


def test_an_option_without_a_name_goes_by_its_id_and_never_by_an_empty_answer() -> None:
    asked = question("decision_needed", options=[{"id": "a", "name": ""}, {"id": "b"}])
    assert answers.decision(asked, "B")[1]["selectedOptionName"] == "b"
    with pytest.raises(UnknownOptionError):
        answers.decision(asked, "")
