"""Questions in words: what is asked, how it can be answered here, and what a typed answer means."""

from __future__ import annotations

import os
import re
import textwrap
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Literal

from harness_nb.cli.opening import DOOR
from harness_nb.errors import WrongAnswerTypeError
from harness_nb.orchestrator import answers
from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.protocol.messages import ANSWERS

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.orchestrator import Desk
    from harness_nb.protocol.records import MessageRecord

Verb = Literal["approve", "option", "reject", "abort"]

ASKS = {
    "verification": "asks you to look at something",
    "decision": "asks for a decision",
    "action": "asks you to do something",
    "credentials": "asks for credentials",
}
WAYS = {
    "decision": "Type a number or an id; a reason may follow.",
    "verification": "Type pass, or fail and what is wrong.",
    "action": "Type done when it is done; notes may follow.",
    "credentials": "Type allow, or deny and why. Values are not shown.",
}
LEAVE = "abort and a reason ends the task; Ctrl-D leaves it open."

LIST_ITEM = re.compile(r"([-*•]|\d+[.)])\s")


@dataclass(frozen=True)
class Reply:
    """What a person answers: the verb, the option or the reason, and notes for the worker."""

    verb: Verb
    text: str = ""
    notes: str | None = None

    def send(self, desk: Desk, question: MessageRecord, actor: str) -> MessageRecord:
        """Send it through the desk.

        Raises: WrongAnswerTypeError, UnknownOptionError, AlreadyAnsweredError, QuestionExpiredError,
        CredentialsNotFoundError, ShimFailedError.
        """
        reason = ". ".join(part for part in (self.text, self.notes) if part)
        match self.verb:
            case "approve":
                return desk.approve(question, actor=actor, door=DOOR, notes=self.notes)
            case "option":
                if question.type != "decision_needed":
                    raise WrongAnswerTypeError(question.type, "decision_made", ANSWERS.get(question.type))
                answer = answers.decision(question, self.text, rationale=self.notes)
            case "reject":
                answer = answers.rejection(question, reason)
            case "abort":
                answer = answers.abort(question, reason)
        return desk.settle(question, answer, actor=actor, door=DOOR)


def kind_of(question: MessageRecord) -> str:
    """Return a question's kind as people read it: verification, decision, action or credentials."""
    return CHECKPOINT_TYPES.get(question.type, question.type)


def asker_of(question: MessageRecord) -> str:
    """Return who asks: the plan, or the session where there is none."""
    return str(question.payload.get("plan") or question.session_id)


def details_of(question: MessageRecord) -> list[str]:
    """Return what belongs to a question besides its one line, a paragraph or a list item each."""
    payload = question.payload
    match question.type:
        case "verification_needed":
            files = ", ".join(payload.get("artifacts") or [])
            steps = [step if LIST_ITEM.match(step) else f"• {step}" for step in payload.get("howToVerify") or []]
            return [*steps, f"Files: {files}"] if files else steps
        case "decision_needed":
            return _paragraphs(payload.get("context"))
        case "action_needed":
            return [*_paragraphs(payload.get("instructions")), *_paragraphs(payload.get("reason"))]
        case "credentials_needed":
            return _paragraphs(payload.get("reason"))
    return []


def respond_lines(question: MessageRecord, root: Path) -> list[str]:
    """Return the commands that answer a question from any shell, each way once."""
    command, where = f"harness-nb respond {quote(question.id)}", project_option(root)
    if question.asked_by == "file":  # its script chose the id, and another session's may choose the same
        where = f" --session {quote(question.session_id)}{where}"
    if question.type == "decision_needed":
        return [f"{command} --option {quote(str(one['id']))}{where}" for one in question.payload.get("options", [])]
    return [f"{command} --approve{where}", f"{command} --reject REASON{where}"]


def project_option(root: Path) -> str:
    """Return what a command needs to find the project from this folder."""
    return "" if os.path.realpath(os.curdir) == os.fspath(root) else f" --project {quote(os.fspath(root))}"


def understand(question: MessageRecord, line: str) -> Reply | str:
    """Return what a typed line means for a question, or a sentence that says what could be typed."""
    kind, text = kind_of(question), line.strip()
    word, _, rest = text.partition(" ")
    word, rest = word.lower().rstrip(",:"), rest.strip()
    if word == "abort" and "abort" not in _option_ids(question):
        return Reply("abort", rest or "no reason given")
    if kind == "decision":
        return _understand_decision(question, text)
    said = answers.yes_or_no(question, word)
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
    for number, one in enumerate(options, 1):
        for name in (str(number), str(one["id"]), str(one.get("name") or one["id"])):
            found = re.fullmatch(rf"{re.escape(name)}(?:[\s,:]+(.*))?", text, re.IGNORECASE | re.DOTALL)
            if found:
                return Reply("option", str(one["id"]), (found[1] or "").strip() or None)
    return f"There is no option {text.split()[0]!r}. {WAYS['decision']}"


def _option_ids(question: MessageRecord) -> set[str]:
    return {str(one["id"]).lower() for one in question.payload.get("options") or []}


def _paragraphs(text: object) -> list[str]:
    """Return the paragraphs of a text without its line breaks; items of a list stay apart."""
    found: list[str] = []
    begin = True
    for line in textwrap.dedent(str(text or "")).strip().splitlines():
        words = " ".join(line.split())
        if begin or LIST_ITEM.match(words):
            found.append(words)
        elif words:
            found[-1] += f" {words}"
        begin = not words
    return [one for one in found if one]
