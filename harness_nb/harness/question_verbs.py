"""Questions: what waits for an answer, answers to it, and questions that Python itself asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread

from harness_nb.harness.arguments import names_of
from harness_nb.harness.handles import AsyncQuestion
from harness_nb.harness.hiding import hides_values
from harness_nb.harness.opened import Opened
from harness_nb.orchestrator import ask
from harness_nb.store import require_workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from harness_nb.protocol.grants import GrantRecord
    from harness_nb.protocol.records import MessageRecord


class QuestionVerbs(Opened):
    """The harness's verbs for questions."""

    async def get_pending(
        self, session_id: str | None = None, message_types: Iterable[str] | None = None
    ) -> list[AsyncQuestion]:
        """Return the questions that wait for an answer, oldest first."""
        found = await anyio.to_thread.run_sync(self.store.messages.pending, session_id, names_of(message_types))
        return [AsyncQuestion(self._whole, one) for one in found]

    @hides_values
    async def respond(
        self,
        type: str,  # noqa: A002 — the protocol's own word
        session_id: str,
        payload: Mapping[str, Any],
        in_response_to: str | None = None,
    ) -> MessageRecord:
        """Send a worker an answer, or unasked a task, an abort or a verdict.

        Credentials inside a ``credentials_provided`` go to the session's shim and are stored nowhere.

        Raises: UnknownMessageTypeError, InvalidMessageError, MessageNotFoundError, WrongAnswerTypeError,
        UnknownOptionError, AlreadyAnsweredError, QuestionExpiredError.
        """

        def respond() -> MessageRecord:
            return self.desk.respond(
                type, session_id, payload, in_response_to=in_response_to, actor=self.actor, door=self.door
            )

        return await self.announced(respond)

    async def revoke(self, grant_id: str) -> GrantRecord:
        """Take back a yes to credentials: it answers nothing more, and its session hands the values out no longer.

        What a worker has taken already it has. ``frames.grants()`` has the ids.

        Raises: GrantNotFoundError.
        """
        return await self.announced(lambda: self.desk.broker.revoke(grant_id, actor=self.actor, door=self.door))

    async def ask(self, kind: str, **payload: Any) -> MessageRecord:
        """Raise a checkpoint from Python and wait for its answer.

        ``kind`` is ``verification`` (what_built, how_to_verify), ``decision`` (decision, context, options),
        ``action`` (action, instructions, reason) or ``credentials`` (service, env_vars, reason, context).

        Raises: UnknownMessageKindError, InvalidMessageError; UnansweredQuestionError where nobody is there and no
        policy answers, and then the question is not open any more.
        """
        return await self.raise_checkpoint(kind, payload)

    async def raise_checkpoint(
        self, kind: str, payload: Mapping[str, Any], *, asked: Callable[[AsyncQuestion], None] | None = None
    ) -> MessageRecord:
        """Do what ``ask`` does; ``asked`` is called in a worker thread once the question is open.

        Raises: what ``ask`` does.
        """
        self.answering.notice()
        await anyio.to_thread.run_sync(require_workplace, self.store)
        session_id = f"ask-{self.store.new_id()[:8]}"
        self.answer_for(session_id)
        told: set[str] = set()

        def unanswered(question: MessageRecord) -> None:
            self.answering.refuse(question)
            if asked is not None and question.id not in told:
                told.add(question.id)
                asked(AsyncQuestion(self._whole, question))

        said = self.desk.broker.redact.redact(payload)
        return await ask(
            self.host, kind, said, session_id=session_id, refuse=unanswered, actor=self.actor, door=self.door
        )
