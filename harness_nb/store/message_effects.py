"""What a message changes in its session, and how an event tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness_nb.protocol.messages import QUESTIONS

if TYPE_CHECKING:
    from harness_nb.protocol.messages import OrchestratorMessage
    from harness_nb.protocol.records import MessageRecord, SessionRecord

PROGRESS = {
    "task_started": {"taskNumber": "current_task", "totalTasks": "total_tasks", "taskName": "task_name"},
    "progress_update": {"taskNumber": "current_task", "totalTasks": "total_tasks", "message": "message"},
    "task_completed": {"taskNumber": "current_task", "totalTasks": "total_tasks", "summary": "message"},
    "task_failed": {"taskNumber": "current_task", "error": "message"},
}
"""Which fields of a payload show up in the session's status, and as what."""


def said_unasked(message: OrchestratorMessage) -> dict[str, str]:
    """Return what an unasked message says, as an event tells it: what it is about, and why."""
    payload = message.payload.to_wire()
    return {key: str(payload[key]) for key in ("plan", "reason", "feedback") if payload.get(key)}


def handed_over(answer: MessageRecord) -> dict[str, Any]:
    """Return what an answer hands over by reference, as an event tells it: which variables of what, never values."""
    if answer.type != "credentials_provided":
        return {}
    found = {key: answer.payload.get(key) for key in ("service", "context", "found", "envVars", "source")}
    return {key: value for key, value in found.items() if value not in (None, [], "")}


def effects_of(kind: str, payload: dict[str, Any], session: SessionRecord) -> dict[str, Any]:
    """Return what a worker's message changes in its session."""
    if kind in QUESTIONS:
        return {"state": "checkpoint", "reason": kind.removesuffix("_needed")}
    changes: dict[str, Any] = {}
    if session.state == "initializing":
        changes["state"] = "running"
    for field, name in PROGRESS.get(kind, {}).items():
        if field in payload:
            changes[name] = payload[field]
    return changes
