"""The worker's side of the protocol as commands, for shell scripts and agents inside a session."""

from __future__ import annotations

import codecs
import json
import os
import sys
from shlex import quote
from typing import TYPE_CHECKING, Any

from harness_nb.cli.masked_command import goes_elsewhere, run_masked
from harness_nb.errors import (
    AnswerNotPrintedError,
    CommandNotFoundError,
    InvalidMessageError,
    NoCredentialsAskedError,
    TerminalOutputError,
)
from harness_nb.sessions.worker_side import WorkerSide
from harness_nb.templates import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness_nb.protocol.records import MessageRecord

TIMED_OUT = 3


def report(message_type: str, payload: str | None, fields: Mapping[str, str]) -> None:
    """Send a message and print its id; what the session knows is filled in where it is not said.

    Raises: NotAWorkerError, NotYourSessionError, UnknownMessageTypeError, InvalidMessageError, SessionEndedError.
    """
    with WorkerSide() as side:
        given = _object(message_type, payload) | {name: _value(text) for name, text in fields.items()}
        record = side.report(message_type, given)
    print(record.id)  # noqa: T201


def wait_for_message(message_id: str | None, timeout: float | None) -> int:
    """Wait for an answer or any message and print it as JSON.

    Raises: NotAWorkerError, NotYourSessionError, MessageNotFoundError, UnreadableFileError, AnswerNotPrintedError.
    """
    with WorkerSide() as side:
        return _wait(side, message_id, timeout, lambda message: _print_whole(_as_json(side.answer_of(message))))


def wait_for_credentials(message_id: str, timeout: float | None) -> int:
    """Wait for the answer about credentials and print them as lines that a shell takes in.

    They are printed to no terminal, since what is shown there is kept, if masked. A no is told as a sentence, and exit
    status 1.

    Raises: TerminalOutputError, NoCredentialsAskedError, CredentialsNotDeliveredError, and what ``wait_for_message``
    raises.
    """
    if sys.stdout is not None and sys.stdout.isatty():
        raise TerminalOutputError(message_id)
    with WorkerSide() as side:
        side.require_answerable(message_id)
        if side.kind_of(message_id) != "credentials_needed":
            raise NoCredentialsAskedError(message_id)
        refused: list[str] = []

        def print_lines(answer: MessageRecord) -> None:
            if answer.payload.get("found"):
                values = side.take_credentials(answer)
                _print_whole("\n".join(f"export {name}={quote(value)}" for name, value in values.items()))
            else:
                refused.append(str(answer.payload.get("error") or answer.payload.get("reason") or "refused"))

        status = _wait(side, message_id, timeout, print_lines)
    for reason in refused:
        print(f"harness-nb: no credentials: {reason}", file=sys.stderr)  # noqa: T201
    return 1 if refused else status


def _wait(
    side: WorkerSide, message_id: str | None, timeout: float | None, hand_out: Callable[[MessageRecord], None]
) -> int:
    try:
        message = side.wait(message_id, timeout)
    except TimeoutError as error:
        print(f"harness-nb: {error}", file=sys.stderr)  # noqa: T201
        return TIMED_OUT
    try:
        hand_out(message)
    except BaseException:
        side.give_back(message)
        raise
    return 0


def _as_json(answer: dict[str, Any]) -> str:
    is_unicode = sys.stdout is not None and codecs.lookup(sys.stdout.encoding).name.startswith("utf")
    return json.dumps(answer, ensure_ascii=not is_unicode)


def _print_whole(text: str) -> None:
    """Print a text to its last byte.

    Raises: AnswerNotPrintedError.
    """
    if sys.stdout is None:  # Python's own sign for one that is closed; print() would say nothing
        raise AnswerNotPrintedError("standard output is closed")
    try:
        print(text, flush=True)  # noqa: T201
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's end would try once more
        raise AnswerNotPrintedError(error.strerror or str(error)) from None


def print_guide() -> None:
    """Print the instructions for workers."""
    print(text_of("worker_guide.md"), end="")  # noqa: T201


def execute(command: list[str], *, raw: bool = False) -> int:
    """Run a command that has this session's credentials in its environment, and return its exit status.

    What it prints comes masked: on the terminal by the session's shim, elsewhere by this process, which becomes the
    command where there is nothing to do for it, or where ``raw`` says to leave it alone.

    Raises: NotAWorkerError, ShimFailedError, CommandNotFoundError.
    """
    with WorkerSide() as side:
        values, ended = side.all_credentials()
    for error in ended:
        print(f"harness-nb: {error}", file=sys.stderr)  # noqa: T201
    environment = {**os.environ, **values}
    try:
        if values and not raw and goes_elsewhere():
            return run_masked(command, environment, values)
        os.execvpe(command[0], command, environment)
    except OSError as error:
        raise CommandNotFoundError(command[0], error.strerror or str(error)) from None


def _object(message_type: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        content = json.loads(sys.stdin.read() if text == "-" else text)
    except RecursionError:
        raise InvalidMessageError(message_type, "payload: it is nested too deeply") from None
    except ValueError as error:
        raise InvalidMessageError(message_type, f"payload: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise InvalidMessageError(message_type, "payload: not a JSON object")
    return content


def _value(text: str) -> Any:
    """Read lists and objects as JSON; all else is text, which the message's own types turn into what they need."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text
