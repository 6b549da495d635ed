"""From what a person or a policy means to the message that says it: the payloads of the five answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness_nb.errors import UnknownOptionError, WrongAnswerTypeError

if TYPE_CHECKING:
    from harness_nb.protocol.records import MessageRecord

Answer = tuple[str, dict[str, Any]]
"""A message type and its payload."""

YES = frozenset({"yes", "y", "pass", "passed", "ok", "true", "done", "approve", "approved", "allow"})
NO = frozenset({"no", "n", "fail", "failed", "false", "reject", "rejected", "deny"})
LETTERS = {
    "verification_needed": {"p": True, "f": False},
    "action_needed": {"d": True},
    "credentials_needed": {"a": True, "d": False},
}
"""The first letters of each kind's own words: pass and fail, done, allow and deny."""


def said_in(question: MessageRecord, text: str) -> tuple[bool | None, str]:
    """Return what words say to a question, at every door: yes, no or None for a person's own, and what follows that."""
    word, _, rest = text.strip().partition(" ")
    said = yes_or_no(question, word)
    return said, rest.strip() if said is not None else text.strip()


def option_in(question: MessageRecord, text: str) -> tuple[str, str] | None:
    """Return the id of the option that words begin with, by id, name or number, and the reason behind it."""
    options, text = question.payload.get("options") or [], text.strip()
    for one in options:  # a whole id or name comes before a number that happens to be the same
        if text.lower() in (str(one["id"]).lower(), str(one.get("name") or one["id"]).lower()):
            return str(one["id"]), ""
    for number, one in enumerate(options, 1):
        for name in (str(number), str(one["id"]), str(one.get("name") or one["id"])):
            found = re.fullmatch(rf"{re.escape(name)}(?:[\s,:]+(.*))?", text, re.IGNORECASE | re.DOTALL)
            if found:
                return str(one["id"]), (found[1] or "").strip()
    return None


def reason_to_abort(question: MessageRecord, text: str) -> str | None:
    """Return why the task is to end, where words say that it is; an option of that name is none such."""
    word, _, rest = text.strip().partition(" ")
    names = {str(one["id"]).lower() for one in question.payload.get("options") or []}
    free = question.type == "decision_needed" and not names  # there every word is somebody's own
    if word.lower().rstrip(",:") != "abort" or "abort" in names or free:
        return None
    return rest.strip() or "no reason given"


def yes_or_no(question: MessageRecord, word: str) -> bool | None:
    """Return what a word says to a question: yes, no, or None for a person's own words."""
    word = word.strip().lower().rstrip(",:")
    if word in YES or word in NO:
        return word in YES
    return LETTERS.get(question.type, {}).get(word)


def approval(question: MessageRecord, *, actor: str, notes: str | None = None) -> Answer:
    """Say yes: verified, the recommended option (else the first), done, or allowed.

    For credentials the payload still lacks what a lookup adds.
    """
    payload = _common(question)
    match question.type:
        case "verification_needed":
            return "verification_result", {**payload, "verified": True, "feedback": notes}
        case "decision_needed" if question.payload.get("options"):
            return decision(question, recommended_option(question), rationale=notes)
        case "decision_needed":
            return abort(question, "it offers no option to choose, so it needs an answer in somebody's own words")
        case "action_needed":
            return "action_completed", {**payload, **_action(question), "completedBy": actor, "notes": notes}
        case "credentials_needed":
            return "credentials_provided", {**payload, **_credentials(question), "found": True, "notes": notes}
    raise WrongAnswerTypeError(question.type, "approve()", None)


def rejection(question: MessageRecord, reason: str) -> Answer:
    """Say no: not verified or not given, and where a question has no such answer, abort its task."""
    payload = _common(question)
    match question.type:
        case "verification_needed":
            return "verification_result", {**payload, "verified": False, "feedback": reason}
        case "credentials_needed":
            return "credentials_provided", {**payload, **_credentials(question), "found": False, "error": reason}
    return abort(question, reason)


def abort(question: MessageRecord, reason: str, *, should_retry: bool = False) -> Answer:
    """Tell the worker to stop its task."""
    return "abort_task", {**_common(question), "reason": reason, "shouldRetry": should_retry}


def decision(question: MessageRecord, option: str, *, rationale: str | None = None) -> Answer:
    """Choose an option by its id or its name; where none is offered, any words will do.

    Raises: UnknownOptionError.
    """
    options = question.payload.get("options") or [{"id": option.strip()}]  # none offered: one's own words
    wanted = option.strip().lower()
    for one in options:
        if wanted in (str(one["id"]).lower(), str(one.get("name") or one["id"]).lower()):
            return "decision_made", {
                **_common(question),
                "decision": question.payload.get("decision", ""),
                "selectedOptionId": one["id"],
                "selectedOptionName": one.get("name") or one["id"],
                "rationale": rationale,
            }
    raise UnknownOptionError(option, [one["id"] for one in options])


def recommended_option(question: MessageRecord) -> str:
    """Return the id of the recommended option, else of the first; there must be one."""
    options = question.payload["options"]
    return str(next((one for one in options if one.get("recommended")), options[0])["id"])


def answer(question: MessageRecord, value: Any, *, actor: str, notes: str | None = None) -> Answer:
    """Answer with a plain value: an option for a decision, yes or no (or words) for the others.

    What follows the option, the yes or the no are notes: ``"pass well done"``, ``"fail too slow"``, ``"pg for its
    types"``; ``"abort"`` and a reason ends the task. Words that begin with none of these are a person's own: what is
    wrong for a verification, what was done for an action.

    Raises: UnknownOptionError.
    """
    text = str(value)
    reason = reason_to_abort(question, text)
    if reason is not None:
        return abort(question, _joined(reason, notes))
    if question.type == "decision_needed":
        option, behind = option_in(question, text) or (text, "")
        return decision(question, option, rationale=_joined(behind, notes) or None)
    said, rest = said_in(question, text)
    if said is True:
        return approval(question, actor=actor, notes=_joined(rest, notes) or None)
    if said is False:
        return rejection(question, _joined(rest, notes) or "no reason given")
    if question.type == "action_needed":
        return approval(question, actor=actor, notes=_joined(text, notes))
    return rejection(question, _joined(text, notes))


def _joined(*parts: str | None) -> str:
    return ". ".join(part for part in parts if part)


def _common(question: MessageRecord) -> dict[str, Any]:
    return {key: question.payload.get(key, "") for key in ("phase", "plan")}


def _action(question: MessageRecord) -> dict[str, Any]:
    return {"action": question.payload.get("action", "")}


def _credentials(question: MessageRecord) -> dict[str, Any]:
    return {"service": question.payload.get("service", ""), "envVars": question.payload.get("envVars", [])}
