"""Questions and answers: the one doorway for all doors, and how files take part in who answers first.

Files of questions and answers change inside the journal's write lock alone, so of all harness processes one at a time
touches them; only the worker and a person with an editor act meanwhile. Hence three habits: files of others are taken
by rename, ours are placed by link (which never overwrites), and a file is known as ours by being a link to the copy we
keep in ``asked/`` or ``sent/``. What a crash left half done, the next ``settle`` finishes from the files. Which
question is shown is a view, so it changes once the message is kept, after those who wait were woken.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from harness_nb.errors import HarnessError
from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.store.answer_files import AnswerFiles
from harness_nb.store.asked_files import AskedFiles
from harness_nb.store.rejected_files import RejectedFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from harness_nb.protocol.messages import OrchestratorMessage, WorkerMessage
    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store.asked_files import MaskFile
    from harness_nb.store.events import Events
    from harness_nb.store.journal import Journal
    from harness_nb.store.layout import Layout
    from harness_nb.store.messages import Messages
    from harness_nb.store.sessions import Sessions


class _FileWasFasterError(Exception):
    """Undoes an answer in the journal, since a file had answered the question before."""


class Questions:
    """The doorway through which all answers go, and the files that mirror the open questions."""

    def __init__(
        self,
        journal: Journal,
        layout: Layout,
        messages: Messages,
        sessions: Sessions,
        events: Events,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        ring: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._layout = layout
        self._messages = messages
        self._sessions = sessions
        self._ring = ring
        self._rejected = rejected = RejectedFiles(layout, events, new_id)
        self._answers = AnswerFiles(layout, messages, events, rejected, clock=clock, new_id=new_id)
        self._asked = AskedFiles(layout, messages, sessions, self._answers, rejected, clock=clock, new_id=new_id)

    def ask(self, message: WorkerMessage) -> MessageRecord:
        """Store a message of a worker, wake everyone, and show the oldest open question as ``checkpoint.json``.

        Raises: SessionNotFoundError.
        """
        with self._journal.write():
            self._journal.afterwards(self._ring)  # before anything is written for those who look at files
            record = self._messages.post(message)
        if record.type in CHECKPOINT_TYPES:  # only now: a copy without its row would pass for a question of its own
            self._show(message.session_id)
        return record

    def answer(
        self, message: OrchestratorMessage, *, actor: str, door: str, mask: MaskFile | None = None
    ) -> MessageRecord:
        """Answer a question and wake everyone; of all answers by any door the first one wins.

        ``mask`` is what ``settle`` takes.

        Raises: AlreadyAnsweredError and what ``Messages.question_for`` raises.
        """
        while True:
            self._take_what_was_faster(message, mask)
            with contextlib.suppress(_FileWasFasterError):
                return self._answer(message, actor=actor, door=door)

    def settle(self, session_id: str, mask: MaskFile | None = None) -> bool:
        """Take in what the worker and people wrote, hand over what is owed, and show the oldest question.

        ``mask`` takes the values of credentials out of what the worker wrote, given its folder and a file's text; what
        it fails for is left for another look, and then this returns False.

        Raises: SessionNotFoundError, OutOfDescriptorsError.
        """
        if not self._layout.folder.is_dir():  # the project was deleted, and must not come back by itself
            return True
        ahead, whole = self._asked.look_ahead(session_id, mask) if mask is not None else (None, True)
        with self._journal.write():
            self._sessions.mend_view(session_id)
            self._rejected.take_up(session_id)
            self._asked.take(session_id, ahead)
            self._answers.take(session_id)
            self._answers.hand_over(session_id)
            self._asked.show(session_id)
        return whole

    def reject(self, session_id: str, path: Path, reason: object) -> None:
        """Set a file of a session aside that cannot be used, with its reason."""
        with self._journal.write():
            self._rejected.set_aside(session_id, path, reason)

    def _take_what_was_faster(self, message: OrchestratorMessage, mask: MaskFile | None) -> None:
        """Take in, or set aside, what files say already: little to look at where no question came as a file."""
        question = self._messages.find(message.in_response_to or "", message.session_id)
        if question is None or question.asked_by == "file" or self._has_news(question):
            self.settle(message.session_id, mask)

    def _has_news(self, question: MessageRecord) -> bool:
        return self._asked.has_news(question.session_id) or self._answers.has_news(question)

    def _answer(self, message: OrchestratorMessage, *, actor: str, door: str) -> MessageRecord:
        with self._journal.write():
            self._journal.afterwards(self._ring)
            question = self._messages.question_for(message)
            stored = self._messages.answer(message, actor=actor, door=door)
            if question.asked_by == "file" and not self._answers.deliver(question, stored):
                raise _FileWasFasterError
            if question.type in CHECKPOINT_TYPES:
                self._journal.afterwards(partial(self._show, message.session_id))
            return stored

    def _show(self, session_id: str) -> None:
        """Show what is open; where that cannot be, what was stored counts all the same, and a later look shows it."""
        with contextlib.suppress(OSError, HarnessError), self._journal.write():
            self._asked.show(session_id)
