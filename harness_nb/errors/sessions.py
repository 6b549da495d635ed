"""What can be wrong with sessions, their workers and what those are to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.errors.base import HarnessError
from harness_nb.errors.projects import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class SessionNotFoundError(HarnessError):
    """No session has this id."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"There is no session {session_id!r}. list_sessions() or `harness-nb status` shows the ids there are."
        )


class UnfitNameError(SessionNotFoundError):
    """What was given as a session's id can be none, because it would lead to another place than a session's own."""

    refusal = "unfit_id"

    def __init__(self, session_id: str, shown: str, why: str) -> None:
        HarnessError.__init__(
            self,
            f"{shown} cannot be a session's id: {why}. list_sessions() or `harness-nb status` shows the ids there are.",
        )
        self.tried = {"id": session_id}


class ForeignSocketError(UnreadableFileError):
    """A session's folder names a socket that no shim of this user's can have made for it."""

    refusal = "foreign_socket"

    def __init__(self, file: Path, session_id: str, socket: str) -> None:
        super().__init__(
            file, "the socket that it names is none that this session's shim made, so nothing is sent there"
        )
        self.tried = {"session": session_id, "socket": socket}


class UnknownStateError(HarnessError, ValueError):
    """A session's state was named by a word that sessions do not have."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        super().__init__(f"There is no session state {name!r}. Use one of: {', '.join(known)}.")


class CommandNotFoundError(HarnessError):
    """A session's command cannot be started."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"Cannot start {command!r}: {reason}. Check the spelling, install it, or give its full path.")


class MissingCommandError(HarnessError):
    """A command session was started without a command."""

    def __init__(self) -> None:
        super().__init__("The command worker needs a command: start_session(command=['pytest', '-q']).")


class WorkingFolderNotFoundError(HarnessError):
    """A session's working folder is not there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"The working folder {folder} does not exist. Create it or give another working_dir.")


class ShimFailedError(HarnessError):
    """The process that should hold a session's terminal did not start or does not answer."""

    def __init__(self, session_id: str, reason: str) -> None:
        super().__init__(f"Session {session_id} cannot be reached: {reason}. wait_for_state() tells how it ended.")


class ShimSilentError(ShimFailedError):
    """The process that holds a session's terminal is there and does not answer."""

    def __init__(self, session_id: str, seconds: float) -> None:
        HarnessError.__init__(
            self,
            f"Session {session_id} does not answer within {seconds:g} s: the process that holds its terminal is "
            "stopped or very busy. Try it once more, or end the session.",
        )


class SessionEndedError(HarnessError):
    """A message was to reach or to leave a session that has ended."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"Session {session_id!r} has ended, so nothing reaches its worker and nothing that it says is stored. "
            "Its worker is to stop; start another session for what is still to be done."
        )


class NotResumableError(HarnessError):
    """A session was to be resumed whose worker cannot take up where it left."""

    def __init__(self, session_id: str, worker: str) -> None:
        super().__init__(
            f"Session {session_id} has ended, and a {worker} worker cannot take up where it left. "
            "Start it anew: run(), or start_session() with the same command."
        )


class UnknownWorkerError(HarnessError):
    """No worker has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no worker {name!r}. Choose one of: {', '.join(known)}.")


class UnsuitableWorkerError(HarnessError):
    """A worker was to do a plan that it cannot do."""

    def __init__(self, refusal: str) -> None:
        super().__init__(refusal)


class MissingPlanError(HarnessError):
    """A worker that does plans was started without one."""

    def __init__(self, worker: str) -> None:
        super().__init__(
            f"The {worker} worker does plans: start_session(plan='03-02'). For a command give command=[…]."
        )


class NotAWorkerError(HarnessError):
    """The worker's side was used outside of a session."""

    def __init__(self) -> None:
        super().__init__(
            "This is not inside a session: HARNESS_SESSION_DIR is not set. Start it with start_session() or a run."
        )


class NotYourSessionError(HarnessError):
    """A worker spoke for a session that is not its own; ``own`` is the one whose token it showed, if known."""

    refusal = "not_your_session"

    def __init__(self, session_id: str, problem: str, own: str | None = None) -> None:
        self.tried = {"session": session_id, **({"own": own} if own else {})}
        super().__init__(
            f"You cannot speak for session {session_id!r}: {problem}. A worker speaks for its own session only: "
            "leave HARNESS_SESSION_DIR and HARNESS_TOKEN_FILE as the session set them."
        )
