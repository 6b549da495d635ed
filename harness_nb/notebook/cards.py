"""A question as a card with a form that fits its kind, and as a line once it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness_nb import templates
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.wording import through
from harness_nb.store.messages import summary_of
from harness_nb.views.questions import Reply, details_of, kind_of, named_asker_of, question_text, respond_lines
from harness_nb.views.questions import by_itself as words_by_itself

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from harness_nb.harness import AsyncHarness
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.records import MessageRecord, SessionRecord

DOOR: Final = "notebook"
"""How the journal names this door."""


def door_of(harness: AsyncHarness) -> str:
    """Return through which door a click comes: a form in a notebook is not a line of Python."""
    return harness.door if harness.door != "python" else DOOR


@dataclass(frozen=True)
class Button:
    """One way to answer; ``wants`` is what is said when the notes that it needs are missing."""

    text: str
    verb: str
    style: str = ""
    wants: str = ""


ABORT: Final = Button("Abort the task", "abort", "hnb-quiet")
NO_ANSWER: Final = "Say why not, so that the worker knows."
BUTTONS: Final = {
    "decision": (Button("Answer", "option", "hnb-main"), ABORT),
    "verification": (
        Button("Pass", "approve", "hnb-main"),
        Button("Fail", "reject", wants="Say what is wrong, so that it can be mended."),
        ABORT,
    ),
    "action": (Button("Done", "approve", "hnb-main"), ABORT),
    "credentials": (Button("Allow", "approve", "hnb-main"), Button("Deny", "reject", wants=NO_ANSWER), ABORT),
}
IN_MESSAGE: Final = (
    "With deliver: message the values are in the answer that the worker gets, and an agent's own transcript keeps what "
    "it is told."
)
FOR_AN_HOUR: Final = "project 1h"
NOTES: Final = {
    "decision": "Add a reason…",
    "verification": "Notes",
    "action": "Add notes…",
    "credentials": "Add a reason…",
}


@dataclass(frozen=True)
class Asked:
    """A question with what belongs to it: its session, the title of its plan, and what happens by itself.

    ``in_message`` says that the values of credentials would be in the answer that the worker gets.
    """

    question: MessageRecord
    session: SessionRecord
    title: str = ""
    policy: Policy | None = None
    due: datetime | None = None
    in_message: bool = False

    @property
    def asker(self) -> str:
        """Who asks, as people say it."""
        return named_asker_of(self.question, self.session)


def card(asked: Asked, root: Path, *, live: bool, reachable: bool = True) -> str:
    """Return a question as HTML: with a form, or for readers without a kernel with the commands that answer it."""
    question, session = asked.question, asked.session
    kind, payload = kind_of(question), question.payload
    asker = " ".join(part for part in (asked.asker, asked.title) if part)
    return templates.render(
        "card.html",
        seq=question.seq,
        kind="permission" if payload.get("permission") else kind,
        sign="!" if payload.get("permission") else "?",
        asker=asker,
        label=f"{asker} asks: {question_text(question)}",
        worker=session.worker,
        since=format_timestamp(question.timestamp),
        due=format_timestamp(asked.due) if asked.due else None,
        by_itself=by_itself(asked),
        text=f"Credentials of {_service(payload)}" if kind == "credentials" else question_text(question),
        details=[_item(one) for one in details_of(question)],
        options=[_option(one) for one in payload.get("options") or ()],
        variables=payload.get("envVars") or (),
        terms=_terms(session) if kind == "credentials" else (),
        warning=IN_MESSAGE if kind == "credentials" and asked.in_message else "",
        buttons=BUTTONS.get(kind, BUTTONS["action"]),
        notes_label=NOTES.get(kind, NOTES["action"]),
        shell=respond_lines(question, root),
        live=live,
        reachable=reachable,
    )


def by_itself(asked: Asked) -> str:
    """Return what happens if nobody answers, as people say it."""
    if asked.policy is None or asked.due is None:
        return "waits until somebody answers"
    return words_by_itself(asked.question, asked.policy)


def answered(asked: Asked, answer: MessageRecord | None) -> str:
    """Return a question that is settled as one line: what was answered, and by whom."""
    who = ""
    if answer is not None:
        who = f"{answer.actor or 'somebody'}{through(answer.actor, answer.door)}"
    return templates.render(
        "answered.html",
        asker=asked.asker,
        text=question_text(asked.question),
        answer=summary_of(answer) if answer is not None else None,
        who=who,
    )


def reply_of(verb: str, option: str | None, notes: str) -> Reply:
    """Return what a form means that was sent."""
    match verb:
        case "option":
            return Reply("option", option or "", notes or None)
        case "approve":
            scope, _, until = (option or "").partition(" ")
            return Reply("approve", notes=notes or None, scope=scope or None, until=until or None)
        case "reject":
            return Reply("reject", notes or "no reason given")
    return Reply("abort", notes or "no reason given")


def _terms(session: SessionRecord) -> list[tuple[str, str]]:
    """Return for whom a yes to credentials can hold, each as the form says it and as people read it."""
    found = [("session", "this session")]
    if session.plan_id:
        found.append(("plan", f"plan {session.plan_id}"))
    if session.run_id:
        found.append(("run", "this run"))
    return [*found, (FOR_AN_HOUR, "any session here, for one hour")]


def _item(text: str) -> str:
    return text.removeprefix("• ")


def _option(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(one["id"]),
        "name": one.get("name") or "",
        "recommended": bool(one.get("recommended")),
        "description": one.get("description") or "",
        "pros": _joined(one.get("pros")),
        "cons": _joined(one.get("cons")),
    }


def _service(payload: dict[str, Any]) -> str:
    context = f" ({payload['context']})" if payload.get("context") else ""
    return f"{payload.get('service')}{context}"


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value or ())
