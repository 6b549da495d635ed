"""The worker's side of the protocol, for whoever runs inside a session: report, await, and take credentials.

``harness-nb worker``, the worker's MCP server and the runbook use it; plain files do the same for everything else.

A worker speaks for its own session only. ``HARNESS_SESSION_DIR`` names the session, and the file that
``HARNESS_TOKEN_FILE`` names holds its token, made at the session's start; only where the two belong together anything
is read or written. A session without a token is refused too: nothing would tell its worker from another's that was
pointed at its folder, and sessions that are a notebook's own process need none of this. So a worker that was started
before there were tokens asks by file, or is started anew.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb.errors import (
    CredentialsNotDeliveredError,
    GrantEndedError,
    HarnessError,
    NoAnswerExpectedError,
    NotAWorkerError,
    NotYourSessionError,
    QuestionExpiredError,
    SessionEndedError,
    ShimFailedError,
    UnfitNameError,
    UnsafeTokenFileError,
)
from harness_nb.protocol.messages import ANSWERS, PAYLOADS, parse_worker_message
from harness_nb.protocol.shown import short_line
from harness_nb.sessions.channel import ask_shim
from harness_nb.sessions.masking import mask_texts, with_texts
from harness_nb.store import Bell, Store
from harness_nb.store.layout import FOLDER, Layout, SessionFolder, require_name
from harness_nb.store.patience import patiently
from harness_nb.store.refusals import Refusals
from harness_nb.store.tokens import read_token, same_token

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from harness_nb.protocol.records import MessageRecord, SessionRecord

DOOR = "worker"
"""How the journal names this door."""
LOOK_AGAIN = 5.0
"""Seconds after which a waiting worker looks even if nobody rang: a ring can be lost with its sender."""

BY_REFERENCE = (
    "The values are not in this message. Run what needs them as `harness-nb worker exec -- COMMAND …`: "
    "it has them in its environment."
)
JOURNAL_PATIENCE = 300.0
"""Seconds that a worker waits for a journal that is locked or full, before that is its own failure."""
FILLED_IN = ("working_dir", "phase", "plan", "task_number", "total_tasks")
"""Fields of a report that the session knows, so that a worker need not say them."""


class WorkerSide:
    """A session as its own worker sees it.

    Raises: NotAWorkerError outside of a session; NotYourSessionError, UnsafeTokenFileError.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = _own_folder(environment)
        self.session_id = path.name
        self.store = Store(path.parents[2])
        self.store.refusals.door = DOOR
        self.folder = self.store.layout.session(self.session_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    def report(self, message_type: str, payload: Mapping[str, Any], *, message_id: str | None = None) -> MessageRecord:
        """Send a message to the harness, without the values of credentials that this session was given.

        Raises: UnknownMessageTypeError, InvalidMessageError, SessionEndedError, ShimFailedError, SessionNotFoundError.
        """
        session = self.store.sessions.get(self.session_id)
        message = parse_worker_message(
            {
                "id": message_id or self.store.new_id(),
                "sessionId": self.session_id,
                "type": message_type,
                "timestamp": self.store.clock(),
                "payload": self._filled_in(message_type, payload, session),
            }
        )
        if not session.live:
            raise SessionEndedError(self.session_id)
        masked = type(message.payload).model_validate(self.mask(message.payload.to_wire()))
        said = message.model_copy(update={"payload": masked})
        return patiently(lambda: self.store.questions.ask(said), JOURNAL_PATIENCE)

    def _filled_in(self, message_type: str, payload: Mapping[str, Any], session: SessionRecord) -> dict[str, Any]:
        """Add what the session knows and the worker did not say: where it is, its plan, and the task's number."""
        model = PAYLOADS.get(message_type)
        if model is None:
            return dict(payload)
        where = os.fspath(self.store.layout.root / session.working_dir)
        values = (where, session.phase, session.plan_id or "", session.current_task or 1, session.total_tasks or 1)
        known = dict(zip(FILLED_IN, values, strict=True))
        missing = {
            str(field.alias): known[name]
            for name, field in model.model_fields.items()
            if name in known and name not in payload and field.alias not in payload
        }
        return {**missing, **payload}

    def mask(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return JSON content with every value that this session was given replaced by its name.

        The shim does it, so the values stay there; a session without one has none.

        Raises: SessionEndedError, ShimFailedError.
        """
        try:
            return with_texts(content, lambda texts: mask_texts(self.folder, texts))
        except ShimFailedError:
            if self.folder.exit.exists():
                raise SessionEndedError(self.session_id) from None
            raise

    def wait(self, message_id: str | None = None, timeout: float | None = None) -> MessageRecord:
        """Block until a question is answered, or without an id until there is any message; ``timeout`` in seconds.

        Raises: TimeoutError, and what ``require_answerable`` raises.
        """
        if message_id is not None:
            self.require_answerable(message_id)
        until = None if timeout is None else time.monotonic() + timeout
        bell = Bell(self.store.layout)  # listening before looking, so that nothing falls in between
        try:
            while (found := self._look(message_id)) is None:
                left = LOOK_AGAIN if until is None else min(LOOK_AGAIN, until - time.monotonic())
                if left <= 0:
                    raise TimeoutError(f"no answer within {timeout:g} s; the question stays open, so wait again")
                select.select([bell.socket], [], [], left)
                bell.drain()
        finally:
            bell.close()
        return found

    def _look(self, message_id: str | None) -> MessageRecord | None:
        return patiently(lambda: self.store.messages.take(self.session_id, message_id), JOURNAL_PATIENCE)

    def has_said(self, message_id: str) -> bool:
        """Say whether a message of this session's own is stored already."""
        return self.store.messages.find(message_id, self.session_id) is not None

    def assigned(self) -> MessageRecord | None:
        """Return the task that this session was given and has taken, for a worker that is resumed."""
        sent = self.store.messages.select(self.session_id, direction="out")
        return next((one for one in sent if one.type == "assign_task" and one.status == "responded"), None)

    def kind_of(self, message_id: str) -> str:
        """Return the type of a message of this session's own.

        Raises: MessageNotFoundError.
        """
        return self.store.messages.get(message_id, self.session_id).type

    def require_answerable(self, message_id: str) -> None:
        """Make sure that waiting for an answer to a message makes sense.

        Raises: MessageNotFoundError, NoAnswerExpectedError, QuestionExpiredError.
        """
        asked = self.store.messages.get(message_id, self.session_id)
        if asked.type not in ANSWERS:
            raise NoAnswerExpectedError(message_id, asked.type)
        if asked.status == "expired":
            raise QuestionExpiredError(message_id)

    def take(self, message_id: str | None = None) -> tuple[MessageRecord, dict[str, Any]] | None:
        """Take what ``wait`` would wait for, if it is there, and return it also as its worker gets it.

        Raises: UnreadableFileError; the message is still to be had then.
        """
        found = self.store.messages.take(self.session_id, message_id)
        if found is None:
            return None
        try:
            return found, self.answer_of(found)
        except BaseException:
            self.give_back(found)
            raise

    def give_back(self, message: MessageRecord) -> None:
        """Undo having taken a message that did not reach the worker."""
        self.store.messages.give_back(message)
        self.store.ring()

    def answer_of(self, message: MessageRecord) -> dict[str, Any]:
        """Return a message as its worker gets it, as plain JSON.

        Values of credentials are in it only where the settings say ``deliver: message``: then they come from the shim's
        memory now, and are stored nowhere. Otherwise, and where they did not arrive, ``instructions`` says what to do.

        Raises: UnreadableFileError.
        """
        answer = message.to_wire()
        if message.type == "credentials_provided" and message.payload.get("found"):
            answer["payload"] = {**message.payload, **self._values_or_the_way_to_them(message)}
        return answer

    def _values_or_the_way_to_them(self, answer: MessageRecord) -> dict[str, Any]:
        said = answer.payload.get("instructions")
        if self.store.config().deliver == "reference":
            return {"credentials": {}, "instructions": "\n".join(filter(None, (said, BY_REFERENCE)))}
        try:
            return {"credentials": self.take_credentials(answer)}
        except (CredentialsNotDeliveredError, ShimFailedError) as error:
            return {"credentials": {}, "instructions": "\n".join(filter(None, (said, str(error))))}

    def take_credentials(self, answer: MessageRecord) -> dict[str, str]:
        """Return the values that came with a yes, from the shim's memory.

        Raises: CredentialsNotDeliveredError, and the GrantEndedError among those where the yes was only for a while.
        """
        found = ask_shim(self.folder, do="take", id=answer.id)
        if found.get("ended"):
            raise GrantEndedError(answer.payload.get("service", ""))
        if not found.get("values"):
            raise CredentialsNotDeliveredError(answer.payload.get("service", ""))
        return dict(found["values"])

    def require_own(self, session_id: str | None) -> None:
        """Make sure that a session that was named is this worker's own.

        Raises: NotYourSessionError.
        """
        if session_id not in (None, self.session_id):
            problem = f"you are the worker of {self.session_id!r}"
            error = NotYourSessionError(self._named(session_id), problem, own=self.session_id)
            raise self.store.refusals.refuse(error)

    def _named(self, session_id: str) -> str:
        """Return what a worker gave for a session's id as it may be written down: it may be a value that it has."""
        try:
            return short_line(str(self.mask({"named": str(session_id)})["named"]))
        except HarnessError:
            return f"({len(session_id)} characters)"

    def all_credentials(self) -> tuple[dict[str, str], list[GrantEndedError]]:
        """Return every value that this session was given so far and still may have, and what it may no longer.

        Raises: CredentialsNotDeliveredError.
        """
        values: dict[str, str] = dict(ask_shim(self.folder, do="take", id="start").get("values") or {})
        ended = []
        for answer in self.store.messages.select(self.session_id, direction="out"):
            if answer.type == "credentials_provided" and answer.payload.get("found"):
                try:
                    values |= self.take_credentials(answer)
                except GrantEndedError as error:
                    ended.append(error)
        return values, ended


def _own_folder(environment: Mapping[str, str]) -> Path:
    """Return the session's folder once the token shows that it is this worker's own; who is refused is written down.

    Raises: NotAWorkerError, NotYourSessionError, UnsafeTokenFileError.
    """
    named = environment.get("HARNESS_SESSION_DIR")
    if not named:
        raise NotAWorkerError
    # symbolic links in it stay as the session's environment has them
    path, own = Path(os.path.abspath(named)), environment.get("HARNESS_TOKEN_FILE") or ""  # noqa: PTH100
    try:
        _require_folder(path, named)
        _require_token(path, own)
    except (NotYourSessionError, UnsafeTokenFileError, UnfitNameError) as error:
        _write_down(error, path, Path(own))
        raise
    return path


def _require_folder(path: Path, named: str) -> None:
    if path.parent.name != "sessions" or path.parents[min(1, len(path.parents) - 1)].name != FOLDER:
        raise NotYourSessionError(path.name, f"{short_line(named)} is no session's folder")
    require_name(path.name)


def _require_token(path: Path, own: str) -> None:
    if not own:
        raise NotYourSessionError(path.name, "HARNESS_TOKEN_FILE is not set")
    try:
        given = read_token(Path(own))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise NotYourSessionError(path.name, f"there is no token in {short_line(own)} ({why})") from None
    try:
        wanted = read_token(SessionFolder(path).token)
    except OSError:
        raise NotYourSessionError(path.name, "it has no token, so nobody can", own=_session_of(Path(own))) from None
    if not same_token(given, wanted):
        problem = f"the token in {short_line(own)} is another session's"
        raise NotYourSessionError(path.name, problem, own=_session_of(Path(own)))


def _session_of(token_file: Path) -> str | None:
    """Return the session that a token was made for, by the place where it lies."""
    folder = token_file.parent
    return folder.name if folder.parent.name == "sessions" else None


def _write_down(error: HarnessError, path: Path, own: Path) -> None:
    """Note who was refused in the journal of the project whose door it was; there may be none."""
    for folder in (path, own.parent):
        if len(folder.parents) > 2 and folder.parents[1].name == FOLDER:
            refusals = Refusals(Layout(folder.parents[2]))
            refusals.refuse(error, DOOR)
            refusals.settle()
            return
