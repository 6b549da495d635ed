"""What a message says, in a few words: a question, an answer, or how far a worker is; and by what door it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS = {
    "verification_needed": "whatBuilt",
    "decision_needed": "decision",
    "action_needed": "action",
    "task_started": "taskName",
    "progress_update": "message",
    "task_completed": "summary",
    "task_failed": "error",
}


_DOORS = {"cli": "the command line", "python": "Python", "file": "a file", "mcp": "an MCP client"}


def through(actor: str | None, door: str | None) -> str:
    """Return the door that somebody came by as a clause, nothing where it says no more than the name."""
    way = _DOORS.get(door, f"the {door}") if door else ""
    return f" through {way}" if way and actor not in (door, way) else ""


def message_text(kind: str, payload: Mapping[str, Any]) -> str:
    """Return what a message of this kind says; its kind where it says nothing more."""
    if kind in _FIELDS:
        return str(payload.get(_FIELDS[kind]) or kind)
    if kind == "credentials_needed":
        names = ", ".join(payload.get("envVars") or ["its variables"])
        context = f" ({payload['context']})" if payload.get("context") else ""
        return f"{payload.get('service')}{context}: {names}"
    return _answer_text(kind, payload)


def _answer_text(kind: str, payload: Mapping[str, Any]) -> str:
    match kind:
        case "decision_made":
            return str(payload.get("selectedOptionName") or payload.get("selectedOptionId"))
        case "verification_result":
            return (
                "passed" if payload.get("verified") else f"not passed: {payload.get('feedback') or 'no reason given'}"
            )
        case "action_completed":
            return f"done by {payload.get('completedBy') or 'somebody'}"
        case "credentials_provided":
            return "allowed" if payload.get("found") else f"not given: {payload.get('error') or 'no reason given'}"
        case "abort_task":
            return f"aborted: {payload.get('reason')}"
    return kind
