"""Questions and answers as files, and how files take part in who answers first.

Everything here runs inside the journal's write lock, so of all harness processes one at a time touches a session's
files; only the worker and a person with an editor act meanwhile. Hence three habits: files of others are taken by
rename, ours are placed by link (which never overwrites), and a file is known as ours by being a link to the copy we
keep in ``asked/`` or ``sent/``. What a crash left half done, the next ``settle`` finishes from the files.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness_nb.errors import HarnessError, UnreadableFileError
from harness_nb.protocol.base import format_timestamp, problems_of
from harness_nb.protocol.files import CHECKPOINT_TYPES, CheckpointResponse
from harness_nb.protocol.messages import (
    ANSWERS,
    OrchestratorMessage,
    WorkerMessage,
    parse_orchestrator_message,
    parse_worker_message,
)
from harness_nb.store.atomic import link_if_absent, read_json, read_model, same_file, write_text
from harness_nb.store.messages import already_answered

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store.events import Events
    from harness_nb.store.journal import Journal
    from harness_nb.store.layout import Layout, SessionFolder
    from harness_nb.store.messages import Messages

QUESTION_OF = {checkpoint: message for message, checkpoint in CHECKPOINT_TYPES.items()}
INCOMING = ".incoming-"


class Questions:
    """The doorway through which all answers go, and the files that mirror the open questions."""

    def __init__(
        self,
        journal: Journal,
        layout: Layout,
        messages: Messages,
        events: Events,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._journal = journal
        self._layout = layout
        self._messages = messages
        self._events = events
        self._clock = clock
        self._new_id = new_id

    def ask(self, message: WorkerMessage, *, due_at: datetime | None = None) -> MessageRecord:
        """Store a message of a worker, and show it as ``checkpoint.json`` if it is the oldest open question."""
        with self._journal.write():
            record = self._messages.post(message, due_at=due_at)
            if record.type in CHECKPOINT_TYPES:
                self._show(message.session_id)
            return record

    def answer(self, message: OrchestratorMessage, *, actor: str, door: str) -> MessageRecord:
        """Answer a question; of all answers by any door the first one wins.

        Raises: AlreadyAnsweredError and what ``Messages.question_for`` raises.
        """
        with self._journal.write():
            self.settle(message.session_id)
        with self._journal.write():
            question = self._messages.question_for(message)
            stored = self._messages.answer(message, actor=actor, door=door)
            earlier = None
            if question.asked_by == "file":
                self._keep(question, stored)
                earlier = self._deliver(question, stored)
            self._show(message.session_id)
        if earlier is not None:
            raise already_answered(question.id, earlier)
        return stored

    def settle(self, session_id: str) -> None:
        """Take in what the worker and people wrote, hand over what is owed, and show the oldest question."""
        folder = self._layout.session(session_id)
        with self._journal.write():
            self._take_questions(session_id, folder)
            self._take_responses(session_id, folder)
            self._hand_over(session_id, folder)
            self._show(session_id)

    # --- questions -----------------------------------------------------------------------------

    def _take_questions(self, session_id: str, folder: SessionFolder) -> None:
        if folder.checkpoint.exists() and not self._shown(folder):
            self._set_incoming(folder)
        for path in sorted(folder.asked.glob("*.json")):
            if self._messages.find(path.stem) is None:  # taken in by a process that died before it could say so
                self._take(session_id, folder, path)
        for path in sorted(folder.asked.glob(f"{INCOMING}*")):
            self._take(session_id, folder, path)

    def _set_incoming(self, folder: SessionFolder) -> None:
        target = folder.asked / f"{INCOMING}{self._new_id()}"
        try:
            folder.checkpoint.rename(target)
        except FileNotFoundError:
            return
        if self._kept_copy(folder, target) is not None:  # it was ours after all
            target.unlink()

    def _take(self, session_id: str, folder: SessionFolder, path: Path) -> None:
        try:
            message = self._question(session_id, path)
        except HarnessError as error:
            self._reject(session_id, folder, path, error)
            return
        target = folder.asked / f"{message.id}.json"
        if target != path and not target.exists():
            path.rename(target)
        elif target != path:
            path.unlink()  # the same question under the same id, put there twice
        self._messages.post(message, asked_by="file")

    def _question(self, session_id: str, path: Path) -> WorkerMessage:
        raw = read_json(path)
        found = path.stat()
        kind = QUESTION_OF.get(raw.get("type", ""))
        if kind is None:
            raise UnreadableFileError(path, f"its type must be one of {', '.join(QUESTION_OF)}")
        digest = hashlib.sha256(path.read_bytes() + f"{found.st_mtime_ns}:{found.st_ino}".encode()).hexdigest()
        envelope = ("id", "sessionId", "timestamp", "type")
        return parse_worker_message(
            {
                "id": _file_name(raw.get("id")) or digest[:16],
                "sessionId": session_id,
                "type": kind,
                "timestamp": self._clock(),
                "payload": {key: value for key, value in raw.items() if key not in envelope},
            }
        )

    def _shown(self, folder: SessionFolder) -> bool:
        return self._kept_copy(folder, folder.checkpoint) is not None

    def _kept_copy(self, folder: SessionFolder, path: Path) -> Path | None:
        return next((copy for copy in folder.asked.glob("*.json") if same_file(path, copy)), None)

    def _show(self, session_id: str) -> None:
        """Let ``checkpoint.json`` be the oldest open question, and nothing when there is none."""
        folder = self._layout.session(session_id)
        pending = self._messages.pending(session_id)
        wanted = self._copy(folder, pending[0]) if pending else None
        if folder.checkpoint.exists() and not (wanted and same_file(folder.checkpoint, wanted)):
            if not self._shown(folder):
                return  # the worker has just put another question there; the next settle takes it in
            self._set_incoming(folder)
        if wanted is not None:
            link_if_absent(wanted, folder.checkpoint)

    def _copy(self, folder: SessionFolder, question: MessageRecord) -> Path:
        path = folder.asked / f"{question.id}.json"
        if not path.exists():
            content = {
                **question.payload,
                "id": question.id,
                "sessionId": question.session_id,
                "timestamp": format_timestamp(question.timestamp),
                "type": CHECKPOINT_TYPES[question.type],
            }
            write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return path

    # --- answers -------------------------------------------------------------------------------

    def _take_responses(self, session_id: str, folder: SessionFolder) -> None:
        pending = {record.id: record for record in self._messages.pending(session_id)}
        for path in sorted(folder.answered.glob("*.json")):
            if path.stem in pending:  # the worker took a file before the harness saw it
                self._take_response(session_id, folder, path, pending.pop(path.stem))
        if folder.response.exists():
            self._take_slot(session_id, folder, pending)

    def _take_slot(self, session_id: str, folder: SessionFolder, pending: dict[str, MessageRecord]) -> None:
        try:
            response = read_model(folder.response, CheckpointResponse)
            if self._answered_by(session_id, folder.response) is not None:
                return  # journaled before, and waiting for the worker to take it
        except FileNotFoundError:
            return  # the worker was faster
        except UnreadableFileError as error:
            self._reject(session_id, folder, folder.response, error)
            return
        ours = self._ours(folder)
        wanted = response.in_response_to or (ours.stem if ours else next(iter(pending), None))
        if wanted in pending:
            self._take_response(session_id, folder, folder.response, pending[wanted])
        elif ours is None:
            _move(folder.response, folder.late / f"{self._new_id()}.json")
            self._events.add("late_answer", session_id=session_id, door="file", data={"inResponseTo": wanted})

    def _answered_by(self, session_id: str, path: Path) -> str | None:
        """Return the id of the question that a file has answered already."""
        identity = _identity(path)
        given = self._messages.select(session_id, direction="out")
        return next((one.in_response_to for one in given if one.payload.get("fileIdentity") == identity), None)

    def _take_response(self, session_id: str, folder: SessionFolder, path: Path, question: MessageRecord) -> None:
        try:
            content = read_json(path)
            message = self._message_from(question, content, path)
            actor = str(content.get("completedBy") or "a file")
            self._messages.answer(message, actor=actor, door=str(content.get("door") or "file"))
        except (HarnessError, ValidationError) as error:
            reason = problems_of(error) if isinstance(error, ValidationError) else error
            self._reject(session_id, folder, path, reason)
            return
        if question.asked_by == "message" and path == folder.response:
            _move(path, folder.answered / f"{question.id}.json")

    def _message_from(self, question: MessageRecord, content: dict[str, Any], path: Path) -> OrchestratorMessage:
        response = CheckpointResponse.model_validate(content)
        payload: dict[str, Any] = {
            **{key: question.payload[key] for key in ("phase", "plan", "decision", "action", "service", "envVars")
               if key in question.payload},
            **{key: value for key, value in response.to_wire().items() if key not in ENVELOPE},
            "fileIdentity": _identity(path),
        }  # fmt: skip
        kind = ANSWERS[question.type]
        if response.aborted:
            kind, payload["reason"] = "abort_task", response.reason or response.notes or "no reason given"
        return parse_orchestrator_message(
            {
                "id": _file_name(content.get("messageId")) or self._new_id(),
                "sessionId": question.session_id,
                "type": kind,
                "timestamp": self._clock(),
                "inResponseTo": question.id,
                "payload": payload,
            }
        )

    def _keep(self, question: MessageRecord, answer: MessageRecord) -> None:
        """Write the answer as the file that ``checkpoint_response.json`` will be a link to."""
        content: dict[str, Any] = {
            **{key: value for key, value in answer.payload.items() if key != "credentials"},
            "sessionId": question.session_id,
            "timestamp": format_timestamp(answer.timestamp),
            "checkpointType": CHECKPOINT_TYPES[question.type],
            "inResponseTo": question.id,
            "messageId": answer.id,
            "completedBy": answer.payload.get("completedBy") or answer.actor,
            "door": answer.door,
        }
        if answer.type == "action_completed":
            content["actionCompleted"] = True
        if answer.type == "abort_task":
            content["aborted"] = True
        path = self._layout.session(question.session_id).sent / f"{question.id}.json"
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def _deliver(self, question: MessageRecord, answer: MessageRecord) -> MessageRecord | None:
        """Hand an answer to the worker; return the answer by file that was faster, if there was one."""
        folder = self._layout.session(question.session_id)
        kept = folder.sent / f"{question.id}.json"
        placed = link_if_absent(kept, folder.response)
        taken = folder.answered / f"{question.id}.json"
        if taken.exists() and not same_file(taken, kept):
            if placed:
                _take_back(folder, kept)
        elif placed:
            _mark_given(kept)
            return None
        elif self._ours(folder) is not None or not self._slot_answers(folder, question):
            self._hand_over(question.session_id, folder)
            return None
        kept.unlink()
        self._messages.withdraw(answer)
        self._take_responses(question.session_id, folder)
        return self._messages.answer_to(question.id)

    def _slot_answers(self, folder: SessionFolder, question: MessageRecord) -> bool:
        try:
            response = read_model(folder.response, CheckpointResponse)
            if self._answered_by(question.session_id, folder.response) is not None:
                return False
        except (FileNotFoundError, UnreadableFileError):
            return False
        pending = self._messages.pending(question.session_id)
        oldest = not pending or question.seq < pending[0].seq
        return response.in_response_to == question.id or (response.in_response_to is None and oldest)

    def _hand_over(self, session_id: str, folder: SessionFolder) -> None:
        """Place the oldest answer that the worker has not been given yet, once the place is free."""
        owed = []
        for kept in folder.sent.glob("*.json"):
            if _was_given(kept):
                continue
            if kept.stat().st_nlink > 1:
                _mark_given(kept)
            elif (question := self._messages.find(kept.stem)) is not None and question.status == "responded":
                owed.append((question, kept))
        if owed:
            question, kept = min(owed, key=lambda pair: pair[0].seq)
            self._clear_what_was_read(session_id, folder, question)
            if link_if_absent(kept, folder.response):
                _mark_given(kept)

    def _clear_what_was_read(self, session_id: str, folder: SessionFolder, newer: MessageRecord) -> None:
        """Move away an answer that the worker has read without taking it: it went on and asked again."""
        ours = self._ours(folder)
        try:
            answered = ours.stem if ours else self._answered_by(session_id, folder.response)
        except FileNotFoundError:
            return
        answer = self._messages.answer_to(answered) if answered else None
        if answer is not None and newer.timestamp > answer.timestamp:
            _move(folder.response, folder.answered / f"{answered}.json")

    def _ours(self, folder: SessionFolder) -> Path | None:
        return next((kept for kept in folder.sent.glob("*.json") if same_file(folder.response, kept)), None)

    def _reject(self, session_id: str, folder: SessionFolder, path: Path, reason: object) -> None:
        """Set a file aside with its reason beside it; a broken file is never fatal."""
        target = folder.rejected / f"{self._new_id()}-{path.name.lstrip('.')}"
        _move(path, target)
        text = str(reason)
        target.with_name(target.name + ".reason.txt").write_text(text + "\n", encoding="utf-8")
        self._events.add(
            "file_rejected", session_id=session_id, door="file", data={"file": str(target), "reason": text}
        )


ENVELOPE = ("sessionId", "timestamp", "checkpointType", "inResponseTo", "messageId", "door", "actionCompleted")


def _identity(path: Path) -> str:
    """Return what stays the same while a file is renamed, and differs for the next file in its place."""
    found = path.stat()
    return f"{found.st_ino}:{found.st_mtime_ns}"


def _was_given(kept: Path) -> bool:
    return kept.with_suffix(".given").exists()


def _mark_given(kept: Path) -> None:
    kept.with_suffix(".given").touch()


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        path.rename(target)
    except FileNotFoundError:
        return


def _take_back(folder: SessionFolder, kept: Path) -> None:
    """Remove our answer from the place where the worker looks, unless the worker has it already."""
    aside = folder.path / f".{kept.name}.{os.getpid()}"
    try:
        folder.response.rename(aside)
    except FileNotFoundError:
        return
    if not same_file(aside, kept):
        link_if_absent(aside, folder.response)
    aside.unlink()


def _file_name(identifier: object) -> str | None:
    """Return an id from a file of somebody else, if it is fit to be a file's name."""
    text = str(identifier or "")
    fit = 0 < len(text) <= 100 and all(sign.isalnum() or sign in "-_." for sign in text) and not text.startswith(".")
    return text if fit else None
