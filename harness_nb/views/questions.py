"""Questions in words: who asks what, how a reply reaches the worker, and the commands that answer from any shell."""

from __future__ import annotations

import os
import re
import textwrap
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal

from harness_nb.errors import UnusableArgumentError, WrongAnswerTypeError
from harness_nb.orchestrator import answers
from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.protocol.grants import SCOPES, moment_until
from harness_nb.protocol.messages import ANSWERS
from harness_nb.protocol.shown import one_line
from harness_nb.protocol.wording import message_text

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from harness_nb.orchestrator import Desk
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.records import MessageRecord, SessionRecord

Verb = Literal["approve", "option", "reject", "abort"]

ASKS = {
    "verification": "asks you to look at something",
    "decision": "asks for a decision",
    "action": "asks you to do something",
    "credentials": "asks for credentials",
}

NAME = 60
"""Characters of a session's name at most."""

LIST_ITEM = re.compile(r"([-*•]|\d+[.)])\s")


def terms_of(
    question: MessageRecord, scope: str | None, until: datetime | timedelta | str | None, now: datetime
) -> dict[str, Any]:
    """Return for whom a yes to credentials holds and until when, as its message says it.

    Raises: UnusableArgumentError.
    """
    if (scope is not None or until is not None) and question.type != "credentials_needed":
        raise UnusableArgumentError("scope", "only a yes to credentials has one", "Leave it out, and until with it")
    if scope is not None and scope not in SCOPES:
        raise UnusableArgumentError("scope", f"{scope!r} is none", f"Use one of: {', '.join(SCOPES)}")
    try:
        moment = None if until is None else moment_until(until, now)
    except ValueError as error:
        raise UnusableArgumentError("until", str(error), "Give a moment to come") from None
    return {key: value for key, value in (("scope", scope), ("until", moment)) if value is not None}


@dataclass(frozen=True)
class Reply:
    """What a person answers: the verb, the option or the reason, and notes for the worker.

    A yes to credentials holds for a ``scope``, by default the session, and ``until`` a moment.
    """

    verb: Verb
    text: str = ""
    notes: str | None = None
    scope: str | None = None
    until: str | None = None

    def send(self, desk: Desk, question: MessageRecord, *, actor: str, door: str) -> MessageRecord:
        """Send it through the desk.

        Raises: WrongAnswerTypeError, UnknownOptionError, AlreadyAnsweredError, QuestionExpiredError,
        CredentialsNotFoundError, CredentialsDeniedError, ShimFailedError, UnusableArgumentError.
        """
        reason = ". ".join(part for part in (self.text, self.notes) if part)
        match self.verb:
            case "approve":
                return desk.approve(question, actor=actor, door=door, notes=self.notes, **self._terms(desk, question))
            case "option":
                if question.type != "decision_needed":
                    raise WrongAnswerTypeError(question.type, "decision_made", ANSWERS.get(question.type))
                answer = answers.decision(question, self.text, rationale=self.notes)
            case "reject":
                answer = answers.rejection(question, reason)
            case "abort":
                answer = answers.abort(question, reason)
        return desk.settle(question, answer, actor=actor, door=door)

    def _terms(self, desk: Desk, question: MessageRecord) -> dict[str, Any]:
        if self.scope is None and self.until is None:
            return {}
        return {"terms": terms_of(question, self.scope, self.until, desk.store.clock())}


def kind_of(question: MessageRecord) -> str:
    """Return a question's kind as people read it: verification, decision, action or credentials."""
    return CHECKPOINT_TYPES.get(question.type, question.type)


def asker_of(question: MessageRecord) -> str:
    """Return who asks: the plan, or the session where there is none."""
    return str(question.payload.get("plan") or question.session_id)


def named_asker_of(question: MessageRecord, session: SessionRecord) -> str:
    """Return who asks without a random id: the plan, else what people call the session."""
    return str(question.payload.get("plan") or session.plan_id or name_of(session))


def name_of(session: SessionRecord) -> str:
    """Return what people call a session: its plan, else its command, never its random id."""
    if session.plan_id:
        return session.plan_id + (f", try {session.attempt}" if session.attempt > 1 else "")
    if session.worker == "python":
        return "this notebook"
    if not session.command:
        return session.worker
    program, *arguments = session.command
    name = one_line(" ".join([program.rsplit("/", 1)[-1], *arguments]))
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def question_text(question: MessageRecord) -> str:
    """Return what a question asks, as one line."""
    return message_text(question.type, question.payload)


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


def by_itself(question: MessageRecord, policy: Policy) -> str:
    """Return what a policy does about a question if nobody answers in time, as people say it."""
    if policy.do in ("wait", "remind"):
        return "waits until somebody answers"
    if policy.do == "abort":
        return "aborts the task by itself"
    if policy.do == "answer" and policy.answer is not None:
        return f"answers “{policy.answer}” by itself"
    options = question.payload.get("options") or ()
    if options:
        chosen = next((one for one in options if one.get("recommended")), options[0])
        return f"answers “{chosen.get('name') or chosen['id']}” by itself"
    words = {"verification": "passes", "credentials": "is allowed"}
    return f"{words.get(kind_of(question), 'counts as done')} by itself"


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
