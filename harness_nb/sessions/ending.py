"""How a session ended, from what its shim and its worker left behind.

``completed``: exit status 0 and no result that says ``success: false``. ``failed``: anything else, and so whatever a
signal ended, whether the worker itself or, as a shell tells it by an exit status above 128, a program that it waited
for: the latter has ended by itself, and is neither resumed nor tried anew for it. Every process that notices may say
so; the journal takes the first.
"""

from __future__ import annotations

import contextlib
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from harness_nb.errors import OutOfDescriptorsError, UnreadableFileError, UnwritableFolderError
from harness_nb.protocol.files import SessionResult
from harness_nb.sessions.findings import DIED, say_doubt, say_found
from harness_nb.sessions.masking import mask_file
from harness_nb.sessions.orphans import end_orphan
from harness_nb.sessions.proof import is_to_come, proof_of, rule_out
from harness_nb.sessions.starting import can_be_resumed, give_up
from harness_nb.shim.tree import WISHES
from harness_nb.store.atomic import read_json, read_model, write_model
from harness_nb.store.troubles import NO_DESCRIPTORS, sentence_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import SessionFolder, Store

Found = Literal["died", "finished meanwhile"]
LOST = "lost"


def conclude(store: Store, session_id: str, *, unwatched: bool = False) -> SessionRecord | None:
    """Journal how a session ended; None where it goes on or will be, or where that was known already.

    One of which nothing can be proved is left alone. ``unwatched`` says that nobody followed it until now.
    """
    session = store.sessions.get(session_id)
    folder = store.layout.session(session_id)
    if not session.live or session.died_at is not None:
        return None
    ended = _exit(folder)  # the last that a shim writes: it may hold its lock for a moment more
    if ended is None:
        if not _is_gone(store, session):
            return None
        ended = _exit(folder)  # it may have come late, or have gone between the two looks
    if ended is None:
        if session.lives == 1 and is_to_come(store, session):
            return give_up(store, session)
        end_orphan(folder, unless=lambda: _may_live(store, session))
        if _may_live(store, session):  # somebody has started it again meanwhile
            return None
    store.questions.settle(session_id, mask_file)
    result = _last_result(store, session_id, folder)
    if _may_be_resumed(store, session, ended, result):
        return _wait_to_be_resumed(store, session, ended)
    found: Found | None = "died" if _died(ended) else "finished meanwhile" if unwatched else None
    return _end(store, session, ended, result, found)


def _is_gone(store: Store, session: SessionRecord) -> bool:
    """Say whether a session's shim is not there and cannot come any more; why that is not known is written down."""
    proof = proof_of(store, session)
    if proof.doubt:
        say_doubt(store, session, proof.doubt)
    return not proof.goes_on and proof.doubt is None and rule_out(store, session)


def settle(store: Store, session_id: str) -> bool:
    """Let a session's files take part in its questions, and return whether all did that need no other look.

    Where nothing can be proved of a session they may be out of reach.

    Raises: SessionNotFoundError, OutOfDescriptorsError, OSError.
    """
    try:
        return store.questions.settle(session_id, mask_file)
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:  # that says nothing of the files, and nobody can prove anything meanwhile
            raise OutOfDescriptorsError from None
        if proof_of(store, store.sessions.get(session_id)).doubt is None:
            raise
        return True


def catch_up(store: Store, session_id: str, *, unwatched: bool) -> str | None:
    """Take in what a session's files say, and its end; return what hindered that: it is no other session's trouble.

    Raises: JournalTroubleError.
    """
    about = f"the files of {session_id}"
    try:
        settle(store, session_id)
        conclude(store, session_id, unwatched=unwatched)
    except (OSError, UnwritableFolderError, OutOfDescriptorsError) as error:
        store.troubles.met(about, error)
        return sentence_of(error)
    store.troubles.over(about)
    return None


def _may_live(store: Store, session: SessionRecord) -> bool:
    proof = proof_of(store, session)
    return proof.goes_on or proof.doubt is not None


def _end(
    store: Store,
    session: SessionRecord,
    ended: dict[str, Any] | None,
    result: SessionResult | None,
    found: Found | None,
) -> SessionRecord | None:
    left = result is not None
    if result is None and ended is not None and ended["exitCode"] > 0 and "stoppedBy" not in ended:
        result = _failure_said(store, session)
    state, reason = _verdict(ended, result)
    if not store.layout.folder.is_dir():
        state, reason = "failed", _without_project(store, session)
    changes: dict[str, Any] = {}
    if ended:
        changes = {"exit_code": ended["exitCode"], "ended_at": datetime.fromtimestamp(ended["endedAt"], UTC)}
    if result is not None and (result.summary or result.error):
        changes["message"] = result.summary or result.error
    with store.journal.write():
        if store.sessions.get(session.id).lives != session.lives:  # it was started again while this looked
            return None
        record = store.sessions.end(session.id, state=state, reason=reason, **changes)
        if record is not None:
            _say_what_is_missing(store, session.id, ended or {})
            if not left:  # before others know of the end: they look into it
                _leave_result(store, record, result, recoverable=_died(ended))
        if record is not None and found is not None:
            say_found(store, record, found)
    if record is not None:
        store.questions.settle(session.id, mask_file)
        store.ring()
    return record


def tell_losses(store: Store, session_id: str, news: Mapping[str, Any]) -> None:
    """Write down that output is not kept, when a shim says so for the first time; of several who hear it one does."""
    with store.journal.write():
        if news.get("trouble") and not store.events.select(session_id=session_id, kind="output_lost"):
            store.events.add("output_lost", session_id=session_id, data={"error": news["trouble"]})
        if news.get("dropped") and not store.events.select(session_id=session_id, kind="output_dropped"):
            store.events.add("output_dropped", session_id=session_id, data={"bytes": news["dropped"]})


def _say_what_is_missing(store: Store, session_id: str, ended: dict[str, Any]) -> None:
    if "logError" in ended:
        store.events.add("output_lost", session_id=session_id, data={"error": ended["logError"]})
    if "dropped" in ended:
        store.events.add("output_dropped", session_id=session_id, data={"bytes": ended["dropped"]})
    if "escaped" in ended:
        error = f"still running, and not to be ended: {', '.join(map(str, ended['escaped']))}"
        store.events.add("processes_escaped", session_id=session_id, data={"error": error})


def result_of(store: Store, session_id: str) -> SessionResult | None:
    """Return what the worker said of its own end, if it did."""
    return _result(store.layout.session(session_id))


def _without_project(store: Store, session: SessionRecord) -> str:
    """Return how a session ended that can leave no word: a shim that ends by itself takes its socket along."""
    if store.layout.socket(session.id).exists():
        return f"{LOST}: its project was deleted and its shim is gone; end what it may have left by hand"
    return f"{LOST}: its project was deleted; its processes are gone"


def _may_be_resumed(
    store: Store, session: SessionRecord, ended: dict[str, Any] | None, result: SessionResult | None
) -> bool:
    """Say whether a session can go on where it died; one whose worker said that it failed has ended before."""
    if not _died(ended) or (result is not None and not result.success) or not store.layout.folder.is_dir():
        return False
    return can_be_resumed(store, session)


def _died(ended: dict[str, Any] | None) -> bool:
    """Say whether nobody asked for a session's end, and its worker did not come to one by itself."""
    if ended is None:
        return True
    wished = "stoppedBy" in ended or "signalled" in ended or ended["exitCode"] in WISHES
    return ended["exitCode"] < 0 and not wished


def _wait_to_be_resumed(store: Store, session: SessionRecord, ended: dict[str, Any] | None) -> SessionRecord | None:
    reason = f"{_verdict(ended, None)[1]}; it will be resumed"
    with store.journal.write():
        now = store.sessions.get(session.id)
        if now.live and now.died_at is None and now.lives == session.lives:
            store.sessions.update(session.id, DIED, died_at=store.clock(), launcher=None, reason=reason)
    store.ring()
    return None


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
    return ("completed", None) if code == 0 else ("failed", f"exit status {code}{_as_shells_say(code)}")


def _as_shells_say(code: int) -> str:
    """Return which signal a shell means by its own exit status; any program may mean something else by it."""
    try:
        return f" (a shell says so of what {signal.Signals(code - 128).name} ended)" if code > 128 else ""
    except ValueError:
        return ""


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
    try:
        known = isinstance(ended.get("exitCode"), int) and bool(datetime.fromtimestamp(ended["endedAt"], UTC))
    except (KeyError, TypeError, ValueError, OverflowError, OSError):  # no shim wrote that
        return None
    return ended if known else None


def _result(folder: SessionFolder) -> SessionResult | None:
    try:
        return read_model(folder.result, SessionResult)
    except (FileNotFoundError, UnreadableFileError):
        return None


def _last_result(store: Store, session_id: str, folder: SessionFolder) -> SessionResult | None:
    """Return what the worker said of its end; half a file, which nobody will complete any more, is set aside."""
    try:
        return read_model(folder.result, SessionResult)
    except FileNotFoundError:
        return None
    except UnreadableFileError as error:
        if folder.path.is_dir():
            store.questions.reject(session_id, folder.result, error)
        return None


def _failure_said(store: Store, session: SessionRecord) -> SessionResult | None:
    """Return what a worker said by message of the failure that it ended with, if it did."""
    about_tasks = ("task_started", "task_completed", "task_failed")
    said = [one for one in store.messages.select(session.id, direction="in") if one.type in about_tasks]
    if not said or said[-1].type != "task_failed":
        return None
    known = {key: said[-1].payload.get(key) for key in ("error", "recoverable", "suggestion")}
    return SessionResult.model_validate({"success": False, **known})


def _leave_result(store: Store, record: SessionRecord, said: SessionResult | None, *, recoverable: bool) -> None:
    folder = store.layout.session(record.id)
    if folder.path.is_dir() and not folder.result.exists():
        success = record.state == "completed"
        own = SessionResult(
            session_id=record.id,
            timestamp=store.clock(),
            success=success,
            phase=record.phase,
            plan=record.plan_id or "",
            error=None if success else record.reason,
            recoverable=None if success else bool(said.recoverable) if said else recoverable,
            suggestion=said.suggestion if said else None,
        )
        with contextlib.suppress(OSError):  # it tells others what the journal says, and the disk may be full
            write_model(folder.result, own)
