"""Typed answers: what can be typed at a question, and what a typed line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.orchestrator import answers
from harness_nb.views.questions import Reply, kind_of

if TYPE_CHECKING:
    from harness_nb.protocol.records import MessageRecord

WAYS = {
    "decision": "Type a number or an id; a reason may follow.",
    "verification": "Type pass, or fail and what is wrong.",
    "action": "Type done when it is done; notes may follow.",
    "credentials": "Type allow, or deny and why. Values are not shown.",
}
LEAVE = "abort and a reason ends the task; Ctrl-D leaves it open."


def understand(question: MessageRecord, line: str) -> Reply | str:
    """Return what a typed line means for a question, or a sentence that says what could be typed."""
    kind, text = kind_of(question), line.strip()
    reason = answers.reason_to_abort(question, text)
    if reason is not None:
        return Reply("abort", reason)
    if kind == "decision":
        return _understand_decision(question, text)
    said, rest = answers.said_in(question, text)
    if said is True:
        return Reply("approve", notes=rest or None)
    if said is False and kind != "action":  # not done yet is no answer
        return Reply("reject", rest) if rest else "And why? Type it behind the word, on the same line."
    return WAYS.get(kind, WAYS["action"])


def _understand_decision(question: MessageRecord, text: str) -> Reply | str:
    options = question.payload.get("options", [])
    if not text:
        chosen = next((str(one["id"]) for one in options if one.get("recommended")), None)
        return Reply("option", chosen) if chosen else WAYS["decision"]
    found = answers.option_in(question, text)
    if found is not None:
        return Reply("option", found[0], found[1] or None)
    return f"There is no option {text.split()[0]!r}. {WAYS['decision']}"
