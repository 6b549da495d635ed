"""What can be wrong with messages: questions, their answers, and credentials on their way."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from harness_nb.errors.base import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class UnknownMessageTypeError(HarnessError):
    """A message names a type that the protocol does not have."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        super().__init__(f"Unknown message type {name!r}. Use one of: {', '.join(known)}.")


class InvalidMessageError(HarnessError):
    """A message has the right type and the wrong fields."""

    def __init__(self, name: str, problems: str) -> None:
        super().__init__(f"This {name} message cannot be used: {problems}. Correct these fields and send it again.")


class UnknownMessageKindError(HarnessError):
    """A checkpoint was asked for by a name that there is not."""

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no checkpoint of the kind {kind!r}. Use one of: {', '.join(known)}.")


class MessageNotFoundError(HarnessError):
    """No message has this id, or it belongs to another session."""

    def __init__(self, message_id: str, session_id: str | None = None) -> None:
        where = f" in session {session_id!r}" if session_id else ""
        super().__init__(f"There is no message {message_id!r}{where}. get_pending() shows what waits for an answer.")


class ForeignMessageError(MessageNotFoundError):
    """A message was named together with a session that it is not of; ``owner`` is the one that it is of."""

    refusal = "not_its_message"

    def __init__(self, message_id: str, session_id: str, owner: str) -> None:
        super().__init__(message_id, session_id)
        self.tried = {"message": message_id, "session": session_id, "owner": owner}


class QuestionNotFoundError(MessageNotFoundError):
    """A question was to be answered from a shell that the project does not have."""

    def __init__(self, message_id: str, project: Path, session_id: str | None = None) -> None:
        super().__init__(message_id)
        whose = f" of session {session_id!r}" if session_id else ""
        self.args = (
            f"There is no question {message_id!r}{whose} in {project}. "
            f"See what is open with: harness-nb respond --project {quote(str(project))}",
        )


class AmbiguousQuestionError(HarnessError):
    """A question was named by an id that several sessions gave their open questions."""

    def __init__(self, message_id: str, session_ids: Iterable[str]) -> None:
        ways = " or ".join(f"--session {quote(one)}" for one in session_ids)
        super().__init__(f"The question {message_id!r} is open in several sessions. Say which one is meant: {ways}.")


class AlreadyAnsweredError(HarnessError):
    """A question was answered before; the first answer holds."""

    def __init__(self, message_id: str, *, actor: str | None, door: str | None, by: str, at: str, what: str) -> None:
        self.actor, self.door = actor, door
        super().__init__(f"Message {message_id} was already answered by {by} at {at}: {what}. That answer holds.")


class QuestionExpiredError(HarnessError):
    """A question's session has ended, so nobody waits for the answer."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"Message {message_id} has expired: its session has ended. Run the plan again to be asked anew."
        )


class WrongAnswerTypeError(HarnessError):
    """An answer of this type does not answer that question."""

    def __init__(self, question: str, answer: str, expected: str | None) -> None:
        lawful = f"{expected!r} or 'abort_task'" if expected else "nothing; it expects no answer"
        super().__init__(f"A {question!r} message cannot be answered with {answer!r}. What answers it: {lawful}.")


class UnknownOptionError(HarnessError):
    """A decision names an option that was not offered."""

    def __init__(self, option: str, offered: Iterable[str]) -> None:
        super().__init__(f"There is no option {option!r} in this decision. Choose one of: {', '.join(offered)}.")


class NothingChosenError(HarnessError):
    """A question was to be answered without saying how."""

    def __init__(self, how: str) -> None:
        super().__init__(f"Nothing was chosen, so nothing was sent. Say it in one of these ways: {how}")


class NoAnswerExpectedError(HarnessError):
    """A worker waits for the answer to a message that asks nothing."""

    def __init__(self, message_id: str, kind: str) -> None:
        super().__init__(
            f"Message {message_id} is a {kind}: nobody answers that. Go on, or wait for the next message without an id."
        )


class AnswerNotPrintedError(HarnessError):
    """A worker's command took a message and could not print it; it has given it back."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The message could not be printed: {reason}. It waits for the next `harness-nb worker await`: "
            "run that with a standard output that can be written."
        )


class UnansweredQuestionError(HarnessError):
    """Nobody is there, and no policy answers a question that is waited for; the work itself was not stopped.

    ``question`` is its text, and ``asker`` the plan or the session that asks.
    """

    def __init__(self, question: str, *, asker: str, kind: str, reason: str = "", ways: Iterable[str] = ()) -> None:
        self.question, self.asker = question, asker
        why = f"its policy could not: {reason.rstrip('.')}" if reason else "no policy does"
        policy = f"a policy that can: Policy(kind={kind!r}, do='approve'), or one in .orchestration/config.yaml"
        lines = "".join(f"\n  {way}" for way in ways)
        other = f". Or answer it from any shell, and wait again:{lines}" if lines else "."
        super().__init__(
            f"{asker} asks ({kind}): {question} Nobody is there to answer, and {why}. Give {policy}{other}"
        )


class CredentialPicklingError(HarnessError, TypeError):
    """Something asked for a credential lookup's result as bytes, which would write its values down."""

    def __init__(self) -> None:
        super().__init__("A credential result cannot be pickled. Look the credentials up where they are needed.")


class CredentialsDeniedError(HarnessError):
    """The settings deny what somebody wants to hand over."""

    def __init__(self, service: str, context: str | None) -> None:
        what = f"{service} ({context})" if context else service
        super().__init__(
            f"Credentials of {what} are denied by a rule under 'grants' in .orchestration/config.yaml. "
            "Nothing was handed over. Change that rule first, if it should be."
        )


class PersonWantedError(HarnessError):
    """The settings want a person to be asked, and somebody else said yes."""

    def __init__(self, service: str, context: str | None) -> None:
        what = f"{service} ({context})" if context else service
        super().__init__(
            f"A person is to be asked for credentials of {what}: a rule under 'grants' in .orchestration/config.yaml "
            "says so. The question stays open for them, on the board, in a notebook or a shell."
        )


class GrantNotFoundError(HarnessError):
    """There is no grant with this id."""

    def __init__(self, grant_id: str, known: Iterable[str]) -> None:
        there = ", ".join(known)
        super().__init__(f"No grant {grant_id!r}. {f'There are: {there}.' if there else 'None is in force.'}")


class CredentialsNotDeliveredError(HarnessError):
    """A yes to credentials is known, but their values are not to be had."""

    def __init__(self, service: str) -> None:
        super().__init__(
            f"The credentials for {service!r} were allowed but did not arrive. End this session and run the plan again."
        )


class GrantEndedError(CredentialsNotDeliveredError):
    """A yes to credentials was revoked, or its time has passed."""

    def __init__(self, service: str) -> None:
        HarnessError.__init__(
            self, f"The credentials for {service!r} are not granted any more: that was revoked, or only for a while. "
            "Ask for them again."
        )  # fmt: skip


class NoCredentialsAskedError(HarnessError):
    """Somebody wants the values that came with an answer to a question about something else."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"Question {message_id} asks for no credentials, so there are none to print. Leave --export out."
        )


class TerminalOutputError(HarnessError):
    """Values of credentials were about to be printed on a terminal."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            "Values are not printed on a terminal. Have the shell take them in: "
            f'eval "$(harness-nb worker await {quote(message_id)} --export)"'
        )


class CredentialsNotFoundError(HarnessError):
    """Somebody allowed credentials that the provider does not have."""

    def __init__(self, service: str, error: str | None, instructions: str | None) -> None:
        super().__init__(
            f"No credentials for {service!r}: {error or 'not found'}. {instructions or ''} The question stays open."
        )
