"""Raising a checkpoint from Python: a session that is this very process, one question, and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread

from harness_nb.errors import QuestionExpiredError, UnknownMessageKindError
from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.protocol.messages import parse_worker_message
from harness_nb.protocol.records import SessionRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness_nb.protocol.records import MessageRecord
    from harness_nb.sessions.host import SessionHost

KINDS = {short: message for message, short in CHECKPOINT_TYPES.items()}


async def ask(
    host: SessionHost,
    kind: str,
    payload: Mapping[str, Any],
    *,
    plan_id: str | None = None,
    phase: str = "",
    run_id: str | None = None,
    session_id: str | None = None,
    refuse: Callable[[MessageRecord], None] | None = None,
    actor: str | None = None,
    door: str | None = None,
) -> MessageRecord:
    """Ask a person (or a policy) and return the answer; ``kind`` is a checkpoint's or a message's type.

    ``actor`` and ``door`` are who asks, where somebody does and not the harness by itself.
    The question is open while this process lives and waits; it expires with it. ``refuse`` is called in a worker thread
    each time that there is no answer yet, and ends the waiting by an error of its own.

    Raises: UnknownMessageKindError, InvalidMessageError, QuestionExpiredError when somebody ended the session.
    """
    message_type = KINDS.get(kind, kind)
    if message_type not in CHECKPOINT_TYPES:
        raise UnknownMessageKindError(kind, KINDS)
    store = host.store
    session = SessionRecord(
        id=session_id or f"{plan_id or 'ask'}-{store.new_id()[:8]}",
        worker="python",
        run_id=run_id,
        plan_id=plan_id,
        phase=phase,
        working_dir=".",
        task_type="verify" if plan_id else "ask",
        created_at=store.clock(),
    )
    message = parse_worker_message(
        {
            "id": store.new_id(),
            "sessionId": session.id,
            "type": message_type,
            "timestamp": store.clock(),
            "payload": {"phase": phase, "plan": plan_id or "", **payload},
        }
    )

    def begin() -> None:
        host.open_python(session, actor=actor, door=door)
        store.questions.ask(message)

    await anyio.to_thread.run_sync(begin)
    try:
        await host.announce()
        answer = await _answer_to(host, message.id, session.id, refuse)
    except BaseException:
        with anyio.CancelScope(shield=True):
            host.close_python(session.id, state="failed", reason="nobody waits for the answer any more")
            await host.announce()
        raise
    await anyio.to_thread.run_sync(lambda: host.close_python(session.id, state="completed"))
    await host.announce()
    return answer


async def _answer_to(
    host: SessionHost, message_id: str, session_id: str, refuse: Callable[[MessageRecord], None] | None
) -> MessageRecord:
    store = host.store

    def look() -> MessageRecord | None:
        question = store.messages.get(message_id, session_id)
        if question.status == "expired":
            raise QuestionExpiredError(message_id)
        answer = store.messages.take(session_id, message_id)
        if answer is None and question.status == "pending" and refuse is not None:
            refuse(question)
        return answer

    while True:
        changed = host.changes.next
        found = await anyio.to_thread.run_sync(look)
        if found is not None:
            return found
        await changed.wait()
