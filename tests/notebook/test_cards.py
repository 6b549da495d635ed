"""A question as a form that fits its kind: what it says, what can be pressed, and that nothing breaks out of it."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness_nb import Policy
from harness_nb.notebook.cards import Asked, answered, by_itself, card, reply_of
from harness_nb.orchestrator import answers
from harness_nb.protocol.records import MessageRecord, SessionRecord
from harness_nb.views.questions import Reply

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROOT = Path("/projects/shop")
PAYLOADS: dict[str, dict[str, Any]] = {
    "decision": {
        "decision": "Which cache?",
        "context": "One process.",
        "options": [
            {"id": "a", "name": "A", "pros": ["fast", "small"], "cons": "new"},
            {"id": "b", "recommended": True},
        ],
    },
    "verification": {"whatBuilt": "A page", "howToVerify": ["1. Open it", "Look"], "artifacts": ["site/index.html"]},
    "action": {"action": "Turn the key", "instructions": "To the left.", "reason": "It is locked."},
    "credentials": {"service": "db", "envVars": ["DB_URL", "DB_KEY"], "reason": "to load", "context": "test"},
}


def asked(kind: str, payload: dict[str, Any] | None = None, **more: Any) -> Asked:
    question = MessageRecord(
        seq=7, id="q1", session_id="s1", direction="in", type=f"{kind}_needed", status="pending", timestamp=NOON,
        payload={"plan": "02-03", **(PAYLOADS[kind] if payload is None else payload)},
    )  # fmt: skip
    session = SessionRecord(id="s1", worker="runbook", working_dir=".", created_at=NOON)
    return Asked(question, session, **more)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "decision",
            ["Which cache?", "One process.", "fast, small", "new", "recommended", ">Answer<", 'value="option"'],
        ),
        ("verification", ["A page", "1. Open it", "Look", "site/index.html", ">Pass<", ">Fail<", 'value="reject"']),
        ("action", ["Turn the key", "To the left.", "It is locked.", ">Done<"]),
        (
            "credentials",
            [
                "Credentials of db (test)",
                "DB_URL",
                "DB_KEY",
                "to load",
                ">Allow<",
                ">Deny<",
                "any session here, for one hour",
            ],
        ),
    ],
)
def test_a_form_fits_its_kind(kind: str, said: list[str]) -> None:
    found = card(asked(kind, title="Cache layer"), ROOT, live=True)
    for text in [*said, "02-03 Cache layer", ">Abort the task<", 'data-seq="7"', "<form"]:
        assert text in found


@pytest.mark.parametrize("kind", PAYLOADS)
def test_without_a_kernel_the_commands_stand_where_the_form_was(kind: str) -> None:
    found = html.unescape(card(asked(kind), ROOT, live=False))
    assert "<form" not in found
    assert "<button" not in found
    assert "harness-nb respond q1" in found
    assert "--project /projects/shop" in found


def test_the_recommended_option_is_chosen_already_and_no_other() -> None:
    found = card(asked("decision"), ROOT, live=True)
    assert found.count(" checked") == 1
    assert 'value="b" data-focus="option-2" checked' in found


def test_a_decision_without_options_takes_words() -> None:
    found = card(asked("decision", {"decision": "Which name?"}), ROOT, live=True)
    assert 'type="text" name="option"' in found


def test_a_form_that_no_click_reaches_shows_the_command_at_once() -> None:
    assert "takes no clicks while a cell runs" in card(asked("action"), ROOT, live=True, reachable=False)
    assert "takes no clicks" not in card(asked("action"), ROOT, live=True, reachable=True)


@pytest.mark.parametrize("kind", PAYLOADS)
def test_nothing_that_a_worker_says_becomes_markup(kind: str) -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"

    def spoiled(value: Any) -> Any:
        if isinstance(value, str):
            return bad
        if isinstance(value, list):
            return [spoiled(one) for one in value]
        return {key: spoiled(one) for key, one in value.items()} if isinstance(value, dict) else value

    one = asked(kind, spoiled(PAYLOADS[kind]), title=bad)
    for found in (card(one, ROOT, live=True), card(one, ROOT, live=False), answered(one, None)):
        assert "<script" not in found
        assert "<img" not in found


@pytest.mark.parametrize(
    ("kind", "policy", "words"),
    [
        ("decision", None, "waits until somebody answers"),
        ("decision", Policy(do="wait"), "waits until somebody answers"),
        ("decision", Policy(do="approve", after=60), "answers “b” by itself"),
        ("decision", Policy(do="answer", answer="a", after=60), "answers “a” by itself"),
        ("verification", Policy(do="approve", after=60), "passes by itself"),
        ("action", Policy(do="approve", after=60), "counts as done by itself"),
        ("credentials", Policy(do="approve", after=60), "is allowed by itself"),
        ("action", Policy(do="abort", after=60), "aborts the task by itself"),
    ],
)
def test_it_says_what_happens_if_nobody_answers(kind: str, policy: Policy | None, words: str) -> None:
    due = NOON + timedelta(seconds=60) if policy and policy.after else None
    one = asked(kind, policy=policy, due=due)
    assert by_itself(one) == words
    assert words in card(one, ROOT, live=True)
    assert ("data-until" in card(one, ROOT, live=True)) is (due is not None)


def test_once_answered_it_says_by_whom_and_what() -> None:
    answer = MessageRecord(
        id="a", session_id="s1", direction="out", type="decision_made", status="responded", timestamp=NOON,
        payload={"selectedOptionId": "a", "selectedOptionName": "A"}, actor="ann", door="cli",
    )  # fmt: skip
    found = answered(asked("decision"), answer)
    assert "✓ answered" in found
    assert "<b>A</b>, by ann through the command line" in found
    assert "nobody waits for an answer any more" in answered(asked("decision"), None)


@pytest.mark.parametrize(
    ("verb", "option", "notes", "means"),
    [
        ("option", "a", "quick", "decision_made"),
        ("approve", None, "", "verification_result"),
        ("reject", None, "too slow", "verification_result"),
        ("abort", None, "", "abort_task"),
    ],
)
def test_what_a_form_sends_is_the_answer_that_its_button_names(
    verb: str, option: str | None, notes: str, means: str
) -> None:
    kind = "decision" if verb == "option" else "verification"
    sent: list[answers.Answer] = []

    class Desk:
        def settle(self, _question: object, answer: answers.Answer, **_: str) -> None:
            sent.append(answer)

        def approve(self, question: MessageRecord, *, actor: str, notes: str | None, **_: str) -> None:
            sent.append(answers.approval(question, actor=actor, notes=notes))

    reply_of(verb, option, notes).send(Desk(), asked(kind).question, actor="ann", door="notebook")  # type: ignore[arg-type]
    assert sent[0][0] == means
    assert notes in str(sent[0][1])


def test_a_yes_to_credentials_says_for_whom() -> None:
    assert reply_of("approve", "run", "") == Reply("approve", scope="run")
    assert reply_of("approve", "project 1h", "why") == Reply("approve", notes="why", scope="project", until="1h")
    assert reply_of("approve", None, "") == Reply("approve")
