"""Questions in words: what a typed word means, and the commands that answer from any shell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness_nb.cli.questions import understand
from harness_nb.orchestrator import answers
from harness_nb.protocol.records import MessageRecord
from harness_nb.views.questions import Reply, respond_lines

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KINDS = ("verification", "action", "credentials")
WORDS = sorted(
    {"y", "yes", "ok", "true", "pass", "passed", "done", "approve", "approved", "allow", "p", "a", "d"}
    | {"n", "no", "false", "fail", "failed", "reject", "rejected", "deny", "f"}
)


def question(kind: str, **more: Any) -> MessageRecord:
    return MessageRecord(
        id="q1", session_id="s 1", direction="in", type=f"{kind}_needed", status="pending", timestamp=NOON, **more
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", WORDS)
def test_a_word_never_means_one_thing_when_typed_and_another_in_python(kind: str, word: str) -> None:
    """What the terminal does not understand it asks again; what it understands it sends as Python would."""
    asked = question(kind)
    typed = understand(asked, f"{word} because")
    if isinstance(typed, Reply):
        sent = answers.answer(asked, word, actor="ann", notes="because")
        means = {"approve": answers.approval, "reject": answers.rejection}[typed.verb]
        named = {"actor": "ann", "notes": "because"} if typed.verb == "approve" else {"reason": "because"}
        assert sent == means(asked, **named)  # type: ignore[operator]
    else:
        assert answers.yes_or_no(asked, word) is not True


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_for_yes_is_understood_at_the_terminal(kind: str) -> None:
    assert all(understand(question(kind), word.upper()) == Reply("approve") for word in answers.YES)


def test_a_no_to_something_to_do_is_asked_again_since_it_may_mean_not_yet() -> None:
    assert understand(question("action"), "no") == "Type done when it is done; notes may follow."


def test_the_command_names_the_session_only_where_another_may_use_the_id() -> None:
    root = Path.cwd()
    assert respond_lines(question("action"), root)[0] == "harness-nb respond q1 --approve"
    by_file = respond_lines(question("action", asked_by="file"), root)
    assert by_file[0] == "harness-nb respond q1 --approve --session 's 1'"
