"""Questions as files: what workers put there is taken in, and the oldest open question is shown.

A file of somebody else is taken by rename; ours are placed by link, which never overwrites. ``checkpoint.json`` is
known as ours by being a link to the copy in ``asked/``. What a worker put there is written anew without the values of
credentials before it is taken; that these are found out is waited for outside of the journal's lock, so a file that
comes in between is left for the next look.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness_nb.errors import HarnessError, InvalidMessageError, OutOfDescriptorsError, UnreadableFileError
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.protocol.messages import WorkerMessage, parse_worker_message
from harness_nb.store.atomic import (
    is_blank,
    link_among,
    link_if_absent,
    move,
    names_in,
    read_json,
    same_file,
    write_text,
)
from harness_nb.store.layout import file_stem, fit_file_stem
from harness_nb.store.troubles import NO_DESCRIPTORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store.answer_files import AnswerFiles
    from harness_nb.store.layout import Layout, SessionFolder
    from harness_nb.store.messages import Messages
    from harness_nb.store.rejected_files import RejectedFiles
    from harness_nb.store.sessions import Sessions

    MaskFile = Callable[[SessionFolder, str], str]

QUESTION_OF = {checkpoint: message for message, checkpoint in CHECKPOINT_TYPES.items()}
INCOMING = ".incoming-"
LARGEST = 16 << 20
"""Bytes of a file that is looked at; a larger one is no question, and nothing of it is kept."""
TOO_LARGE = json.dumps({"removed": f"it was larger than {LARGEST} bytes"})
ENVELOPE = ("id", "sessionId", "timestamp", "type")


Identity = tuple[int, int, int]
MaskedTexts = dict[Identity, "str | None"]
"""What files say without the values that they hold, by what tells a file from another wherever it is moved."""


class AskedFiles:
    """The questions of the sessions' folders; every method runs inside the journal's write lock."""

    def __init__(
        self,
        layout: Layout,
        messages: Messages,
        sessions: Sessions,
        answers: AnswerFiles,
        rejected: RejectedFiles,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._layout = layout
        self._messages = messages
        self._sessions = sessions
        self._answers = answers
        self._rejected = rejected
        self._clock = clock
        self._new_id = new_id

    def look_ahead(self, session_id: str, mask: MaskFile) -> tuple[MaskedTexts, bool]:
        """Return what the files that the worker put there say without values, or None where they hold none.

        Also says whether that is all of them: what could not be read or masked is not among them. This is outside of
        the journal's lock, since who knows the values may take its time to answer.

        Raises: OutOfDescriptorsError.
        """
        folder = self._layout.session(session_id)
        found: MaskedTexts = {}
        whole = True
        paths = [folder.asked / name for name in names_in(folder.asked) if name.startswith(INCOMING)]
        for path in [folder.checkpoint, *paths]:
            try:
                known = _identity(path)
                if path != folder.checkpoint or self.has_news(session_id):
                    found[known] = self._masked(folder, path, mask)
            except FileNotFoundError:  # taken by somebody else
                continue
            except (OSError, HarnessError) as error:
                if isinstance(error, OutOfDescriptorsError) or getattr(error, "errno", None) in NO_DESCRIPTORS:
                    raise OutOfDescriptorsError from None
                whole = False
        return found, whole

    def _masked(self, folder: SessionFolder, path: Path, mask: MaskFile) -> str | None:
        if not stat.S_ISREG(path.lstat().st_mode):  # a link, a pipe or a folder: it is set aside as it is
            return None
        text = _text_of(path)
        masked = mask(folder, text)
        return masked if masked != text or text == TOO_LARGE else None

    def take(self, session_id: str, ahead: MaskedTexts | None = None) -> None:
        """Journal the questions that the worker put there, also those that a crash left half taken in.

        Of what the worker put there only what was looked at ``ahead`` is taken, unless that is None.
        """
        folder = self._layout.session(session_id)
        self._set_incoming(folder, ahead)
        found = [folder.asked / name for name in self._new_names(session_id, folder)]
        for path in sorted(found, key=lambda path: (path.lstat().st_mtime_ns, path.name)):
            if not path.name.startswith(INCOMING) or self._was_masked(path, ahead):
                self._take_one(session_id, folder, path)

    def _was_masked(self, path: Path, ahead: MaskedTexts | None) -> bool:
        """Write a file anew without its values, where it holds any; false for one that came after the look ahead."""
        if ahead is None:
            return True
        try:
            known, times = _identity(path), path.stat()
        except FileNotFoundError:
            return False
        if known not in ahead:
            return False
        masked = ahead[known]
        if masked is not None:
            write_text(path, masked)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # when it was asked
        return True

    def has_news(self, session_id: str) -> bool:
        """Say, at a glance, whether somebody else may have put a question there: ours have a second name."""
        try:
            found = self._layout.session(session_id).checkpoint.lstat()
            return found.st_nlink == 1 or not stat.S_ISREG(found.st_mode)
        except FileNotFoundError:
            return False

    def show(self, session_id: str) -> None:
        """Let ``checkpoint.json`` be the oldest open question, and nothing when there is none."""
        folder = self._layout.session(session_id)
        oldest = self._messages.oldest_pending(session_id)
        wanted = self._copy(folder, oldest) if oldest else None
        if wanted is None or not same_file(folder.checkpoint, wanted):
            if self._is_shown(folder):
                target = self._aside(folder)
                if move(folder.checkpoint, target) and link_among(folder.asked, target):
                    target.unlink()  # else the worker was faster, and the next look takes that in
            if wanted is not None:
                link_if_absent(wanted, folder.checkpoint)

    def _new_names(self, session_id: str, folder: SessionFolder) -> list[str]:
        names = {name for name in names_in(folder.asked) if name.endswith(".json") or name.startswith(INCOMING)}
        ids = self._messages.ids(session_id)
        new = names.difference([f"{message_id}.json" for message_id in ids])
        if new:  # an id that is no file name has another one, which is work to find out
            new -= {f"{file_stem(message_id)}.json" for message_id in ids}
        return sorted(new)

    def _set_incoming(self, folder: SessionFolder, ahead: MaskedTexts | None) -> None:
        try:
            if is_blank(folder.checkpoint) or self._is_shown(folder):
                return
            if ahead is not None and _identity(folder.checkpoint) not in ahead:
                return
        except FileNotFoundError:
            return
        move(folder.checkpoint, self._aside(folder))

    def _aside(self, folder: SessionFolder) -> Path:
        return folder.asked / f"{INCOMING}{self._new_id()}"

    def _is_shown(self, folder: SessionFolder) -> bool:
        return link_among(folder.asked, folder.checkpoint) is not None

    def _take_one(self, session_id: str, folder: SessionFolder, path: Path) -> None:
        try:
            message = self._question(session_id, path)
        except FileNotFoundError:
            return
        except (UnreadableFileError, InvalidMessageError) as error:
            self._rejected.set_aside(session_id, path, error, name=folder.checkpoint.name)
            return
        known = self._messages.find(message.id, session_id)
        if known is None:
            move(path, folder.asked_copy(message.id))
            self._messages.post(message, asked_by="file")
        elif link_among(folder.asked, path, but=path.name) is not None:
            path.unlink()  # what was shown, and not put away by a process that died
        elif known.payload != message.to_wire()["payload"]:
            reason = f"Its id {message.id!r} is that of another message of this session. Give each question its own."
            self._rejected.set_aside(session_id, path, reason, name=folder.checkpoint.name)
        else:  # asked once more by a worker that did not keep the answer, as after its crash
            path.unlink()
            self._answers.give_again(known)

    def _question(self, session_id: str, path: Path) -> WorkerMessage:
        raw = read_json(path)
        found = path.stat()
        kind = raw.get("type")
        if not isinstance(kind, str) or kind not in QUESTION_OF:
            raise UnreadableFileError(path, f"its type must be one of {', '.join(QUESTION_OF)}")
        session = self._sessions.get(session_id)
        where = {"phase": session.phase, "plan": session.plan_id}
        missing = {key: value for key, value in where.items() if value and not raw.get(key)}
        # it may have lain there, but was written for an earlier session where it is older than this one
        asked = max(session.created_at, datetime.fromtimestamp(found.st_mtime, UTC))
        digest = hashlib.sha256(path.read_bytes() + f"{found.st_mtime_ns}:{found.st_ino}".encode()).hexdigest()
        return parse_worker_message(
            {
                "id": fit_file_stem(raw.get("id")) or digest[:16],
                "sessionId": session_id,
                "type": QUESTION_OF[kind],
                "timestamp": min(self._clock(), asked),
                "payload": {key: value for key, value in raw.items() if key not in ENVELOPE} | missing,
            }
        )

    def _copy(self, folder: SessionFolder, question: MessageRecord) -> Path:
        path = folder.asked_copy(question.id)
        if not path.exists():
            content = {
                **question.payload,
                "id": question.id,
                "sessionId": question.session_id,
                "timestamp": format_timestamp(question.timestamp),
                "type": CHECKPOINT_TYPES[question.type],
            }
            write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n", durable=False)
        return path


def _identity(path: Path) -> Identity:
    found = path.lstat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _text_of(path: Path) -> str:
    """Return a regular file's text, whatever its bytes are.

    Raises: OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(LARGEST + 1)
    finally:
        os.close(descriptor)  # that of a folder, which came in between, Python would leave open
    return data.decode(errors="replace") if len(data) <= LARGEST else TOO_LARGE
