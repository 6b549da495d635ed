"""The worker's side of the protocol, for whoever runs inside a session: report, await, and take credentials.

``harness-nb worker`` and the runbook use it; plain files do the same for everything else.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb.errors import CredentialsNotDeliveredError, NotAWorkerError
from harness_nb.protocol.messages import parse_worker_message
from harness_nb.sessions.channel import ask_shim
from harness_nb.store import Bell, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from harness_nb.protocol.records import MessageRecord

LOOK_AGAIN = 5.0
"""Seconds after which a waiting worker looks even if nobody rang: a ring can be lost with its sender."""


class WorkerSide:
    """A session as its own worker sees it.

    Raises: NotAWorkerError outside of a session.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        folder = environment.get("HARNESS_SESSION_DIR")
        if not folder:
            raise NotAWorkerError
        path = Path(folder)
        self.session_id = path.name
        self.store = Store(path.parents[2])
        self.folder = self.store.layout.session(self.session_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    def report(self, message_type: str, payload: Mapping[str, Any], *, message_id: str | None = None) -> MessageRecord:
        """Send a message to the harness, without the values of credentials that this session was given.

        Raises: UnknownMessageTypeError, InvalidMessageError, ShimFailedError.
        """
        message = parse_worker_message(
            {
                "id": message_id or self.store.new_id(),
                "sessionId": self.session_id,
                "type": message_type,
                "timestamp": self.store.clock(),
                "payload": dict(payload),
            }
        )
        masked = type(message.payload).model_validate(self.mask(message.payload.to_wire()))
        record = self.store.questions.ask(message.model_copy(update={"payload": masked}))
        self.store.ring()
        return record

    def mask(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return JSON content with every value that this session was given replaced by its name.

        The shim does it, so the values stay there; a session without one has none.

        Raises: ShimFailedError.
        """
        texts = list(_texts_of(content))
        if not texts or not self.folder.shim.exists():
            return content
        masked: list[str] = ask_shim(self.folder, do="mask", texts=texts)["texts"]
        return content if masked == texts else dict(_with_texts(content, iter(masked)))

    def wait(self, message_id: str | None = None, timeout: float | None = None) -> MessageRecord:
        """Block until a question is answered, or without an id until there is any message; ``timeout`` in seconds.

        Raises: TimeoutError, MessageNotFoundError.
        """
        if message_id is not None:
            self.store.messages.get(message_id, self.session_id)
        until = None if timeout is None else time.monotonic() + timeout
        bell = Bell(self.store.layout)  # listening before looking, so that nothing falls in between
        try:
            while (found := self.store.messages.take(self.session_id, message_id)) is None:
                left = LOOK_AGAIN if until is None else min(LOOK_AGAIN, until - time.monotonic())
                if left <= 0:
                    raise TimeoutError(f"no answer within {timeout:g} s; the question stays open, so wait again")
                select.select([bell.socket], [], [], left)
                bell.drain()
        finally:
            bell.close()
        return found

    def take_credentials(self, answer: MessageRecord) -> dict[str, str]:
        """Return the values that came with a yes, from the shim's memory.

        Raises: CredentialsNotDeliveredError.
        """
        values = ask_shim(self.folder, do="take", id=answer.id).get("values")
        if not values:
            raise CredentialsNotDeliveredError(answer.payload.get("service", ""))
        return dict(values)

    def all_credentials(self) -> dict[str, str]:
        """Return every value that this session was given so far."""
        values: dict[str, str] = dict(ask_shim(self.folder, do="take", id="start").get("values") or {})
        for answer in self.store.messages.select(self.session_id, direction="out"):
            if answer.type == "credentials_provided" and answer.payload.get("found"):
                values |= self.take_credentials(answer)
        return values


def _texts_of(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _texts_of(part)


def _with_texts(content: Any, texts: Iterator[str]) -> Any:
    """Return the content with its texts, in the order of ``_texts_of``, replaced."""
    if isinstance(content, str):
        return next(texts)
    if isinstance(content, dict):
        return {key: _with_texts(part, texts) for key, part in content.items()}
    return [_with_texts(part, texts) for part in content] if isinstance(content, list) else content
