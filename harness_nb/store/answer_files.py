"""Answers as files: how ``checkpoint_response.json`` takes part in who answers first.

A door's answer is written to ``sent/``, and ``checkpoint_response.json`` is a link to it, placed only where that name
is free. Beside the copy, ``.given`` says that it was placed once: a worker that reads and deletes leaves no other sign.
The worker's own hand moves it to ``answered/``; what a person wrote by hand and did not win goes to ``late/``.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness_nb.errors import InvalidMessageError, UnknownOptionError, UnreadableFileError
from harness_nb.protocol.base import format_timestamp, problems_of
from harness_nb.protocol.files import CHECKPOINT_TYPES, CheckpointResponse
from harness_nb.protocol.messages import ANSWERS, OrchestratorMessage, parse_orchestrator_message
from harness_nb.protocol.payloads import CredentialsProvidedPayload
from harness_nb.store.atomic import (
    identity_of,
    is_blank,
    link_among,
    link_if_absent,
    move,
    names_in,
    read_json,
    read_model,
    same_file,
    write_text,
)
from harness_nb.store.layout import file_stem
from harness_nb.store.private import make_private_file
from harness_nb.store.rejected_files import remove_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store.events import Events
    from harness_nb.store.layout import Layout, SessionFolder
    from harness_nb.store.messages import Messages
    from harness_nb.store.rejected_files import RejectedFiles

ENVELOPE = ("sessionId", "timestamp", "checkpointType", "inResponseTo", "messageId", "door", "actionCompleted")
TAKEN_BACK = ".taken-back-"
CREDENTIAL_KEYS = {str(field.alias) for field in CredentialsProvidedPayload.model_fields.values()} - {"credentials"}
NO_YES_BY_FILE = (
    "it says yes to credentials, and a file cannot hand them over; use harness-nb respond {} --approve, "
    "which looks them up"
)


class AnswerFiles:
    """The answers in the sessions' folders; every method runs inside the journal's write lock."""

    def __init__(
        self,
        layout: Layout,
        messages: Messages,
        events: Events,
        rejected: RejectedFiles,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._layout = layout
        self._messages = messages
        self._events = events
        self._rejected = rejected
        self._clock = clock
        self._new_id = new_id

    # --- what others wrote ---------------------------------------------------------------------

    def has_news(self, question: MessageRecord) -> bool:
        """Say, at a glance, whether ``take`` may find an answer to a question that came as a message."""
        folder = self._layout.session(question.session_id)
        return os.path.lexists(folder.response) or folder.answered_copy(question.id).exists()

    def take(self, session_id: str) -> None:
        """Journal what answers an open question: taken by the worker unseen, given by a dead door, or lying there."""
        folder = self._layout.session(session_id)
        for name in names_in(folder.path):
            if name.startswith(TAKEN_BACK):
                self._put_back(folder, folder.path / name)
        pending = {file_stem(record.id): record for record in self._messages.pending(session_id)}
        for stem, question in list(pending.items()):
            taken, kept = folder.answered_copy(question.id), folder.sent_copy(question.id)
            answered = taken.exists() and self._take_one(folder, taken, question)
            if answered or (_was_given(kept) and self._take_one(folder, kept, question)):
                del pending[stem]
        self._take_slot(session_id, folder, pending)

    def _take_slot(self, session_id: str, folder: SessionFolder, pending: dict[str, MessageRecord]) -> None:
        try:
            if is_blank(folder.response):
                return
            response = read_model(folder.response, CheckpointResponse)
            journaled = self._messages.answered_by_file(session_id, identity_of(folder.response))
        except FileNotFoundError:
            return  # the worker was faster
        except UnreadableFileError as error:
            secret = any(one.type == "credentials_needed" for one in pending.values())
            self._rejected.set_aside(session_id, folder.response, error, secret=secret)
            return
        ours = self._ours(folder)
        if ours is None and journaled is not None:
            return  # it waits for the worker to take it
        wanted = file_stem(response.in_response_to) if response.in_response_to else next(iter(pending), None)
        if wanted in pending:
            self._take_one(folder, folder.response, pending[wanted])
        elif ours is None:
            target = folder.late / f"{self._new_id()}.json"
            if move(folder.response, target):
                if self._is_about_credentials(session_id, response):
                    remove_values(target)
                self._events.add(
                    "late_answer",
                    session_id=session_id,
                    actor=response.completed_by or "a file",
                    door="file",
                    data={"inResponseTo": response.in_response_to},
                )
        elif not self._holds(session_id, ours):
            self._take_back(folder, ours)  # left by a door that died after the worker had taken another answer

    def _is_about_credentials(self, session_id: str, response: CheckpointResponse) -> bool:
        if response.found is not None or response.checkpoint_type == "credentials":
            return True
        question = self._messages.find(response.in_response_to or "", session_id)
        return "credentials" in response.unknown_keys or bool(question and question.type == "credentials_needed")

    def _take_one(self, folder: SessionFolder, path: Path, question: MessageRecord) -> bool:
        """Journal one file as the answer to a question; false where it cannot be one."""
        try:
            content = read_json(path)
            message = self._message_from(question, content, path)
            ours = self._wrote(content, folder, question)
            actor = str(content.get("completedBy") or "a file")
            self._messages.answer(message, actor=actor, door=str(content.get("door") or "file") if ours else "file")
        except FileNotFoundError:
            return False
        except (UnreadableFileError, InvalidMessageError, UnknownOptionError, ValidationError) as error:
            reason = problems_of(error) if isinstance(error, ValidationError) else error
            secret = question.type == "credentials_needed"
            self._rejected.set_aside(question.session_id, path, reason, secret=secret)
            return False
        if question.asked_by == "message" and path == folder.response:
            move(path, folder.answered_copy(question.id))
        return True

    def _wrote(self, content: dict[str, Any], folder: SessionFolder, question: MessageRecord) -> bool:
        """Say whether a file's content is the answer that a door of ours made to this question."""
        try:
            kept = read_json(folder.sent_copy(question.id))
        except (FileNotFoundError, UnreadableFileError):
            return False
        return bool(kept.get("messageId")) and kept.get("messageId") == content.get("messageId")

    def _message_from(self, question: MessageRecord, content: dict[str, Any], path: Path) -> OrchestratorMessage:
        response = CheckpointResponse.model_validate(content)
        payload: dict[str, Any] = {
            **{key: question.payload[key] for key in ("phase", "plan", "decision", "action", "service", "envVars")
               if key in question.payload},
            **{key: value for key, value in response.to_wire().items() if key not in ENVELOPE},
            "fileIdentity": identity_of(path),
        }  # fmt: skip
        kind = _kind_of(question, response, path)
        ours = self._wrote(content, self._layout.session(question.session_id), question)
        if kind == "credentials_provided":
            if response.found and not ours:
                raise UnreadableFileError(path, NO_YES_BY_FILE.format(question.id))
            payload = {key: value for key, value in payload.items() if key in CREDENTIAL_KEYS}
        if kind == "abort_task":
            payload["reason"] = response.reason or response.notes or "no reason given"
        return parse_orchestrator_message(
            {
                "id": content["messageId"] if ours else self._new_id(),
                "sessionId": question.session_id,
                "type": kind,
                "timestamp": self._clock(),
                "inResponseTo": question.id,
                "payload": payload,
            }
        )

    # --- what we give --------------------------------------------------------------------------

    def deliver(self, question: MessageRecord, answer: MessageRecord) -> bool:
        """Hand a journaled answer to the worker; false where a file that answers the question was there first.

        The caller then undoes what it journaled and takes that file in.
        """
        folder = self._layout.session(question.session_id)
        kept = self._keep(folder, question, answer)
        placed = link_if_absent(kept, folder.response)
        if placed:
            _mark_given(kept)
        taken = folder.answered_copy(question.id)
        if taken.exists() and not same_file(taken, kept) and not _is_message(taken, answer.id):
            if placed:
                self._take_back(folder, kept)
        elif placed or not self._slot_answers(folder, question):
            self.hand_over(question.session_id)
            return True
        _forget(kept)
        return False

    def hand_over(self, session_id: str) -> None:
        """Place the oldest answer that the worker has not been given yet, once the place is free."""
        folder = self._layout.session(session_id)
        names = set(names_in(folder.sent))
        owed = []
        for name in names:
            if not name.endswith(".json") or f"{name.removesuffix('.json')}.given" in names:
                continue
            kept = folder.sent / name
            question = self._question_of(session_id, kept)
            if question is None or question.status == "pending":
                continue  # a door died before its answer counted; the next one writes over it
            if not self._holds(session_id, kept):
                _forget(kept)
            elif kept.stat().st_nlink > 1:
                _mark_given(kept)
            else:
                owed.append((question, kept))
        if owed:
            question, kept = min(owed, key=lambda pair: pair[0].seq)
            self._make_room(session_id, folder, question)
            if link_if_absent(kept, folder.response):
                _mark_given(kept)

    def give_again(self, question: MessageRecord) -> None:
        """Let the worker have the answer to a question once more."""
        folder = self._layout.session(question.session_id)
        answer = self._messages.answer_to(question.id, question.session_id)
        if answer is None or question.asked_by != "file" or same_file(folder.response, folder.sent_copy(question.id)):
            return
        there = self._messages.answered_by_file(question.session_id, _identity_or_none(folder.response))
        if there is None or there.id != answer.id:
            self._keep(folder, question, answer)  # a new file: to rename one onto its own link would do nothing

    def _keep(self, folder: SessionFolder, question: MessageRecord, answer: MessageRecord) -> Path:
        """Write the answer as the file that ``checkpoint_response.json`` will be a link to."""
        content: dict[str, Any] = {
            **{key: value for key, value in answer.payload.items() if key not in ("credentials", "fileIdentity")},
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
        kept = folder.sent_copy(question.id)
        kept.with_suffix(".given").unlink(missing_ok=True)
        write_text(kept, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return kept

    def _slot_answers(self, folder: SessionFolder, question: MessageRecord) -> bool:
        """Say whether what lies in the worker's place is an answer to this question that nobody has journaled."""
        try:
            response = read_model(folder.response, CheckpointResponse)
            journaled = self._messages.answered_by_file(question.session_id, identity_of(folder.response))
        except (FileNotFoundError, UnreadableFileError):
            return False
        if journaled is not None or self._ours(folder) is not None:
            return False
        pending = self._messages.pending(question.session_id)
        oldest = not pending or question.seq < pending[0].seq
        return response.in_response_to == question.id or (response.in_response_to is None and oldest)

    def _make_room(self, session_id: str, folder: SessionFolder, newer: MessageRecord) -> None:
        """Move away an answer that the worker has read without taking it: it went on and asked again."""
        try:
            if is_blank(folder.response):
                self._rejected.set_aside(session_id, folder.response, "It is empty, and an answer was to be put there.")
                return
            ours = self._ours(folder)
            question = self._question_of(session_id, ours) if ours else None
            answer = (
                self._messages.answer_to(question.id, session_id)
                if question
                else self._messages.answered_by_file(session_id, identity_of(folder.response))
            )
            if answer is None or answer.in_response_to is None:
                return
            # by the journal's order or by the files' clock; an answer's own time is older than what its door took in
            asked = folder.asked_copy(newer.id).stat().st_mtime_ns
            if newer.seq > answer.seq or asked > folder.response.stat().st_mtime_ns:
                move(folder.response, folder.answered_copy(answer.in_response_to))
        except FileNotFoundError:
            return

    def _ours(self, folder: SessionFolder) -> Path | None:
        return link_among(folder.sent, folder.response)

    def _question_of(self, session_id: str, kept: Path) -> MessageRecord | None:
        try:
            return self._messages.find(str(read_json(kept).get("inResponseTo")), session_id)
        except (FileNotFoundError, UnreadableFileError):
            return self._messages.find(kept.stem, session_id)

    def _holds(self, session_id: str, kept: Path) -> bool:
        """Say whether a kept answer is the one that the journal has."""
        question = self._question_of(session_id, kept)
        answer = self._messages.answer_to(question.id, session_id) if question else None
        return answer is not None and _is_message(kept, answer.id)

    def _take_back(self, folder: SessionFolder, kept: Path) -> None:
        """Remove our answer from the worker's place, unless the worker has it already."""
        aside = folder.path / f"{TAKEN_BACK}{kept.stem}"
        if move(folder.response, aside):
            self._put_back(folder, aside)
        _forget(kept)

    def _put_back(self, folder: SessionFolder, aside: Path) -> None:
        """Finish taking back: what is not ours after all returns to its place."""
        ours = aside.stat().st_nlink > 1
        if ours or link_if_absent(aside, folder.response):
            aside.unlink()
        else:
            move(aside, folder.late / f"{self._new_id()}.json")


def _kind_of(question: MessageRecord, response: CheckpointResponse, path: Path) -> str:
    """Return the type of the message that a response to this question is.

    Raises: UnreadableFileError.
    """
    kind, wanted = ANSWERS[question.type], CHECKPOINT_TYPES[question.type]
    if response.checkpoint_type not in (None, wanted):
        raise UnreadableFileError(path, f"its checkpointType is not {wanted!r}, which the question's is")
    if response.aborted:
        return "abort_task"
    if kind == "action_completed":
        if response.action_completed is False:
            return "abort_task"
        if response.action_completed is None and not (response.completed_by or response.notes):
            raise UnreadableFileError(path, "it does not say actionCompleted: true")
    return kind


def _identity_or_none(path: Path) -> str:
    try:
        return identity_of(path)
    except FileNotFoundError:
        return ""


def _is_message(path: Path, message_id: str) -> bool:
    try:
        return read_json(path).get("messageId") == message_id
    except (FileNotFoundError, UnreadableFileError):
        return False


def _was_given(kept: Path) -> bool:
    return kept.with_suffix(".given").exists()


def _mark_given(kept: Path) -> None:
    make_private_file(kept.with_suffix(".given"))


def _forget(kept: Path) -> None:
    kept.unlink(missing_ok=True)
    kept.with_suffix(".given").unlink(missing_ok=True)
