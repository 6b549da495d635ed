"""The worker's side of the protocol as commands, for shell scripts and agents inside a session."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from harness_nb.errors import CommandNotFoundError, HarnessError, InvalidMessageError
from harness_nb.sessions.worker_side import WorkerSide
from harness_nb.templates import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMED_OUT = 3


def report(message_type: str, payload: str | None, fields: Mapping[str, str]) -> None:
    """Send a message and print its id; what the session knows is filled in where it is not said.

    Raises: NotAWorkerError, NotYourSessionError, UnknownMessageTypeError, InvalidMessageError.
    """
    with WorkerSide() as side:
        given = _object(message_type, payload) | {name: _value(text) for name, text in fields.items()}
        record = side.report(message_type, given)
    print(record.id)  # noqa: T201


def wait_for_message(message_id: str | None, timeout: float | None) -> int:
    """Wait for an answer or any message and print it as JSON.

    Raises: NotAWorkerError, NotYourSessionError, MessageNotFoundError, UnreadableFileError.
    """
    with WorkerSide() as side:
        try:
            message = side.wait(message_id, timeout)
        except TimeoutError as error:
            print(f"harness-nb: {error}", file=sys.stderr)  # noqa: T201
            return TIMED_OUT
        try:
            answer = side.answer_of(message)
        except HarnessError:
            side.give_back(message)
            raise
    print(json.dumps(answer, ensure_ascii=False))  # noqa: T201
    return 0


def print_guide() -> None:
    """Print the instructions for workers."""
    print(text_of("worker_guide.md"), end="")  # noqa: T201


def execute(command: list[str]) -> None:
    """Become a command that has this session's credentials in its environment; does not return.

    Raises: NotAWorkerError, ShimFailedError, CommandNotFoundError.
    """
    with WorkerSide() as side:
        environment = {**os.environ, **side.all_credentials()}
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        raise CommandNotFoundError(command[0], error.strerror or str(error)) from None


def _object(message_type: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        content = json.loads(sys.stdin.read() if text == "-" else text)
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
        except ValueError:
            return text
    return text
