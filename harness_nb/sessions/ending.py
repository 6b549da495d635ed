"""How a session ended, from what its shim and its worker left behind.

``completed``: exit status 0 and no result that says ``success: false``. ``failed``: anything else. Every process that
notices may say so; the journal takes the first.
"""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from harness_nb.errors import UnreadableFileError
from harness_nb.protocol.files import SessionResult
from harness_nb.sessions.channel import is_listening
from harness_nb.sessions.orphans import end_orphan
from harness_nb.store.atomic import read_json, read_model, write_model
from harness_nb.store.locks import is_held

if TYPE_CHECKING:
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import SessionFolder, Store

LOST = "lost"


def is_alive(store: Store, session_id: str) -> bool:
    """Say whether somebody holds the session's lock, which proves that its shim lives; without one, that it listens."""
    folder = store.layout.session(session_id)
    return is_held(folder.lock) or (not folder.lock.exists() and is_listening(folder))


def conclude(store: Store, session_id: str) -> SessionRecord | None:
    """Journal how a session ended, if it has; None where it goes on, or where that was known already."""
    session = store.sessions.get(session_id)
    folder = store.layout.session(session_id)
    if not session.live:
        return None
    ended = _exit(folder)  # the last that a shim writes: it may hold its lock for a moment more
    if ended is None:
        if is_alive(store, session_id) or _is_just_starting(store, session):
            return None
        ended = _exit(folder)  # its shim may have written that and gone between the two looks
    if ended is None:
        end_orphan(folder)
    store.questions.settle(session_id)
    result = _result(folder)
    state, reason = _verdict(ended, result)
    if not store.layout.folder.is_dir():
        state, reason = "failed", _without_project(store, session)
    changes: dict[str, Any] = {"exit_code": ended["exitCode"]} if ended else {}
    if ended:
        changes["ended_at"] = datetime.fromtimestamp(ended["endedAt"], UTC)
    if result is not None and (result.summary or result.error):
        changes["message"] = result.summary or result.error
    record = store.sessions.end(session_id, state=state, reason=reason, **changes)
    if record is not None:
        if ended and "logError" in ended:
            store.events.add("output_lost", session_id=session_id, data={"error": ended["logError"]})
        _complete_result(store, folder, record, result)
        store.questions.settle(session_id)
        store.ring()
    return record


def result_of(store: Store, session_id: str) -> SessionResult | None:
    """Return what the worker said of its own end, if it did."""
    return _result(store.layout.session(session_id))


def _without_project(store: Store, session: SessionRecord) -> str:
    """Return how a session ended that can leave no word: a shim that ends by itself takes its socket along."""
    if store.layout.socket(session.id).exists():
        return f"{LOST}: its project was deleted and its shim is gone; end what it may have left by hand"
    return f"{LOST}: its project was deleted; its processes are gone"


def _is_just_starting(store: Store, session: SessionRecord) -> bool:
    young = session.state == "initializing" and (store.clock() - session.created_at).total_seconds() < 60
    return young and not store.layout.session(session.id).shim.exists()


def _verdict(ended: dict[str, Any] | None, result: SessionResult | None) -> tuple[str, str | None]:
    if ended is None:
        return "failed", f"{LOST}: its processes are gone and left no exit status"
    code = ended["exitCode"]
    if "stoppedBy" in ended:
        return "failed", f"ended by {ended['stoppedBy']}"
    if code < 0:
        return "failed", f"ended by signal {_signal_name(-code)}"
    if result is not None and not result.success:
        return "failed", result.error or "its result says that it failed"
    return ("completed", None) if code == 0 else ("failed", f"exit status {code}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have a number alone
        return str(number)


def _exit(folder: SessionFolder) -> dict[str, Any] | None:
    try:
        ended = read_json(folder.exit)
    except (FileNotFoundError, UnreadableFileError):
        return None
    known = isinstance(ended.get("exitCode"), int) and isinstance(ended.get("endedAt"), int | float)
    return ended if known else None


def _result(folder: SessionFolder) -> SessionResult | None:
    try:
        return read_model(folder.result, SessionResult)
    except (FileNotFoundError, UnreadableFileError):
        return None


def _complete_result(store: Store, folder: SessionFolder, record: SessionRecord, result: SessionResult | None) -> None:
    if result is None and folder.path.is_dir() and not folder.result.exists():
        success = record.state == "completed"
        write_model(
            folder.result,
            SessionResult(
                session_id=record.id,
                timestamp=store.clock(),
                success=success,
                phase=record.phase,
                plan=record.plan_id or "",
                error=None if success else record.reason,
                recoverable=None if success else bool(record.reason and record.reason.startswith(LOST)),
            ),
        )
