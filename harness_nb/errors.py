"""Every error a user can meet, each named after its condition and building its own sentence.

A message says what is wrong, where (file and line when there is one) and what to do about it.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class HarnessError(Exception):
    """The base of every error that this package raises on purpose."""


class UnknownMessageTypeError(HarnessError):
    """A message names a type that the protocol does not have."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        super().__init__(f"Unknown message type {name!r}. Use one of: {', '.join(known)}.")


class InvalidMessageError(HarnessError):
    """A message has the right type and the wrong fields."""

    def __init__(self, name: str, problems: str) -> None:
        super().__init__(f"This {name} message cannot be used: {problems}. Correct these fields and send it again.")


class CredentialPicklingError(HarnessError, TypeError):
    """Something asked for a credential lookup's result as bytes, which would write its values down."""

    def __init__(self) -> None:
        super().__init__("A credential result cannot be pickled. Look the credentials up where they are needed.")


class UnknownCheckTypeError(HarnessError):
    """A check names a type that the verification engine does not have."""

    def __init__(self, check_id: object, name: object, known: Iterable[str], source: str | None = None) -> None:
        at = f" ({source})" if source else ""
        what = f"has no known type ({name!r})" if name else "names no type"
        super().__init__(f"The check {check_id!r}{at} {what}. Use one of: {', '.join(known)}.")


class InvalidCheckError(HarnessError):
    """A check has a known type and fields that cannot be used."""

    def __init__(self, check_id: object, name: str | None, problems: str, source: str | None = None) -> None:
        at = f" ({source})" if source else ""
        which = f"The {name} check {check_id!r}" if name else "A check"
        super().__init__(f"{which}{at} cannot be used: {problems}. Correct this and verify again.")


class CheckCouldNotRunError(HarnessError):
    """A check could not look at what it should judge; the message is the sentence its result shows."""


class VerificationFailedError(HarnessError):
    """A report did not pass; its text names each required check that failed, and why."""

    def __init__(self, target: str, failures: Iterable[tuple[str, str]], reason: str | None = None) -> None:
        lines = [f"  {name}: {why}" for name, why in failures]
        if reason:
            lines.insert(0, f"  {reason}")
        super().__init__("\n".join([f"The verification of {target} did not pass:", *lines]))


class UnwritableFolderError(HarnessError):
    """A folder that the harness must write into cannot be written."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"Cannot write in {folder}: {reason}. Give yourself write permission there, or open a copy of the project."
        )


class UnreadableFileError(HarnessError):
    """A file exists and cannot be used as what it should be."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line else f"{path}"
        self.reason, self.line = reason, line
        super().__init__(f"{where} cannot be read: {reason}. Correct the file, or remove it to start from the default.")


class JournalBusyError(HarnessError):
    """Another program keeps the journal locked."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The journal {path} has been locked by another program for too long. Close what has it open and try again."
        )


class JournalDamagedError(HarnessError):
    """The journal is not a database that can be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The journal {path} cannot be used: {reason}. Move it aside; plans, summaries and logs stay.")


class SessionNotFoundError(HarnessError):
    """No session has this id."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"There is no session {session_id!r}. list_sessions() or `harness-nb status` shows the ids there are."
        )


class MessageNotFoundError(HarnessError):
    """No message has this id, or it belongs to another session."""

    def __init__(self, message_id: str, session_id: str | None = None) -> None:
        where = f" in session {session_id!r}" if session_id else ""
        super().__init__(f"There is no message {message_id!r}{where}. get_pending() shows what waits for an answer.")


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


class UnsupportedPlatformError(HarnessError):
    """The operating system lacks what sessions are built on."""

    def __init__(self, platform: str) -> None:
        super().__init__(
            f"harness_nb needs terminals and sockets that {platform} lacks. Use Linux, macOS, or WSL on Windows."
        )


class CommandNotFoundError(HarnessError):
    """A session's command cannot be started."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"Cannot start {command!r}: {reason}. Check the spelling, install it, or give its full path.")


class WorkingFolderNotFoundError(HarnessError):
    """A session's working folder is not there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"The working folder {folder} does not exist. Create it or give another working_dir.")


class ShimFailedError(HarnessError):
    """The process that should hold a session's terminal did not start or does not answer."""

    def __init__(self, session_id: str, reason: str) -> None:
        super().__init__(f"Session {session_id} cannot be reached: {reason}. wait_for_state() tells how it ended.")


class UnknownWorkerError(HarnessError):
    """No worker has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no worker {name!r}. Choose one of: {', '.join(known)}.")


class NotAWorkerError(HarnessError):
    """The worker's side was used outside of a session."""

    def __init__(self) -> None:
        super().__init__(
            "This is not inside a session: HARNESS_SESSION_DIR is not set. Start it with start_session() or a run."
        )


class NotYourSessionError(HarnessError):
    """A worker spoke for a session that is not its own."""

    def __init__(self, session_id: str, problem: str) -> None:
        super().__init__(
            f"You cannot speak for session {session_id!r}: {problem}. A worker speaks for its own session only: "
            "leave HARNESS_SESSION_DIR and HARNESS_TOKEN_FILE as the session set them."
        )


class NoAnswerExpectedError(HarnessError):
    """A worker waits for the answer to a message that asks nothing."""

    def __init__(self, message_id: str, kind: str) -> None:
        super().__init__(
            f"Message {message_id} is a {kind}: nobody answers that. Go on, or wait for the next message without an id."
        )


class CredentialsNotDeliveredError(HarnessError):
    """A yes to credentials is known, but their values are not to be had."""

    def __init__(self, service: str) -> None:
        super().__init__(
            f"The credentials for {service!r} were allowed but did not arrive. End this session and run the plan again."
        )


class MissingCommandError(HarnessError):
    """A command session was started without a command."""

    def __init__(self) -> None:
        super().__init__("The command worker needs a command: start_session(command=['pytest', '-q']).")


class UntrustedProjectError(HarnessError):
    """Commands from a project's plans were to run before the user trusted the project."""

    def __init__(self, project: Path) -> None:
        super().__init__(
            f"{project} is not trusted yet, and its plans contain commands. Read them, then run "
            f"`harness-nb trust {quote(str(project))}` once (or pass --trust, or Harness(…, trust=True))."
        )


class SecondRunError(HarnessError):
    """Another process, or this one, is already running the project's plans."""

    def __init__(self, project: Path, note: dict[str, object]) -> None:
        who = f"process {note['pid']} ({note.get('door', 'unknown')}, since {note.get('since')})" if note else "someone"
        super().__init__(
            f"A run of {project} is going on already: {who}. Watch it with `harness-nb status`, or stop it there first."
        )


class NoPlansError(HarnessError):
    """A run was asked for in a project that has no plans."""

    def __init__(self, project: Path) -> None:
        super().__init__(
            f"There are no plans in {project}. Write one as planning/plans/01-name/01-01-PLAN.md "
            "(`harness-nb init` makes a starter), or pass plans=[Plan(…)]."
        )


class UnknownPlanError(HarnessError):
    """A plan was named that the project does not have."""

    def __init__(self, plan_id: str, known: Iterable[str]) -> None:
        names = list(known)
        shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "") or "none"
        super().__init__(f"There is no plan {plan_id!r}. The project has: {shown}.")


class RunFailedError(HarnessError):
    """A run ended without all of its plans complete."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__("The run did not reach its end:\n" + "\n".join(f"  {line}" for line in lines))


class CredentialsNotFoundError(HarnessError):
    """Somebody allowed credentials that the provider does not have."""

    def __init__(self, service: str, error: str | None, instructions: str | None) -> None:
        super().__init__(
            f"No credentials for {service!r}: {error or 'not found'}. {instructions or ''} The question stays open."
        )


class UnknownMessageKindError(HarnessError):
    """A checkpoint was asked for by a name that there is not."""

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no checkpoint of the kind {kind!r}. Use one of: {', '.join(known)}.")


class HarnessClosedError(HarnessError):
    """A harness was used after it was closed, or before it was opened."""

    def __init__(self) -> None:
        super().__init__("This harness is not open. Use `async with AsyncHarness(…)`, or make a new Harness(…).")


class ProjectNotFoundError(HarnessError):
    """A harness was opened on a folder that is not there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"There is no folder {folder}. Create it, or give the path of your project.")


class JournalGoneError(ProjectNotFoundError):
    """What the harness keeps in a project was deleted while that was open."""

    def __init__(self, folder: Path) -> None:
        HarnessError.__init__(
            self,
            f"The .orchestration folder of {folder} was deleted while it was open. Open the project again: "
            f"Harness({str(folder)!r}).",
        )


class NotResumableError(HarnessError):
    """A session was to be resumed whose worker cannot take up where it left."""

    def __init__(self, session_id: str, worker: str) -> None:
        super().__init__(
            f"Session {session_id} has ended, and a {worker} worker cannot take up where it left. "
            "Start it anew: run(), or start_session() with the same command."
        )


class MissingPlanError(HarnessError):
    """A worker that does plans was started without one."""

    def __init__(self, worker: str) -> None:
        super().__init__(
            f"The {worker} worker does plans: start_session(plan='03-02'). For a command give command=[…]."
        )


class UnsuitableWorkerError(HarnessError):
    """A worker was to do a plan that it cannot do."""

    def __init__(self, refusal: str) -> None:
        super().__init__(refusal)


class FileInTheWayError(HarnessError):
    """Something was to be written where there is something already."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is there already, and {what} overwrites nothing. Choose another folder.")


class SampleMissingError(HarnessError):
    """The sample project cannot be had from this installation."""

    def __init__(self, missing: str, remedy: str) -> None:
        super().__init__(f"The sample project cannot be run here: {missing}. {remedy}")


class LabMissingError(HarnessError):
    """JupyterLab was to be opened where it, or what its views need, is not installed."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(f"There is no {', no '.join(missing)} here. Install it with: pip install 'harness-nb[lab]'")


class NothingChosenError(HarnessError):
    """A question was to be answered without saying how."""

    def __init__(self, how: str) -> None:
        super().__init__(f"Nothing was chosen, so nothing was sent. Say it in one of these ways: {how}")


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


class UnsafeTokenFileError(HarnessError):
    """A file that should hold a secret token holds none, or lets others read it."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"The token in {path} cannot be used: {problem}. Run: {remedy}")


class McpMissingError(HarnessError):
    """An MCP server was to be started where the package that it is built on is not installed."""

    def __init__(self) -> None:
        super().__init__("An MCP server needs the mcp package. Install it with: pip install 'harness-nb[mcp]'")


class UnknownClientError(HarnessError):
    """The configuration of a client was to be written that we do not know."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"There is no client {name!r}. Use one of: {', '.join(known)}; for any other, `harness-nb mcp install "
            "--print` shows what to put into its configuration."
        )


class UnchangeableFileError(HarnessError):
    """A client's own file cannot be changed without losing what is in it."""

    def __init__(self, path: Path, reason: str, client: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line else f"{path}"
        super().__init__(
            f"{where} cannot be changed: {reason}. Nothing was written. Correct it, or add by hand what "
            f"`harness-nb mcp install --client {client} --print` shows."
        )


class PortTakenError(HarnessError):
    """A door was to listen on a port that another program has."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(f"Cannot listen on port {port}: {reason}. Choose another with --port, or 0 for any free one.")


class DashboardMissingError(HarnessError):
    """The page was to be served where what it is built on is not installed."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(
            f"There is no {', no '.join(missing)} here. Install it with: pip install 'harness-nb[dashboard]'"
        )


class DashboardSocketError(HarnessError):
    """The page was to be served on a Unix socket that cannot be made."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"Cannot listen on the socket {path}: {reason}. Give a short path in a folder of your own.")


class UnknownToolError(HarnessError):
    """A client called a tool that the server does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no tool {name!r}. The tools are: {', '.join(known)}.")


class ToolArgumentsError(HarnessError):
    """A client called a tool with arguments that it cannot use."""

    def __init__(self, tool: str, problems: str, known: Iterable[str]) -> None:
        fields = ", ".join(known) or "none"
        super().__init__(f"{tool} cannot be called like this: {problems}. Its fields are: {fields}.")


class ResourceNotFoundError(HarnessError):
    """A client asked for a resource that the server does not have."""

    def __init__(self, uri: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no resource {uri!r}. There are: {', '.join(known)}.")


class NoReportError(HarnessError):
    """A report was asked for that nothing has written yet."""

    def __init__(self, why: str) -> None:
        super().__init__(f"There is no such report: {why}. harness_get_state tells where each plan stands.")


class UnforeseenError(HarnessError):
    """Something went wrong at a door that nobody thought of; what it was is in the log, since it may hold a secret."""

    def __init__(self, what: str, kind: str) -> None:
        super().__init__(f"{what} failed ({kind}); the server's standard error says where. Try it once more.")


class UnknownPromptError(HarnessError):
    """A client asked for a prompt that the server does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no prompt {name!r}. The prompts are: {', '.join(known)}.")


class OtherProjectError(HarnessError):
    """A server was asked about a project that is not its own."""

    def __init__(self, path: Path, root: Path) -> None:
        super().__init__(
            f"This server serves {root}, not {path}. Start one for that: harness-nb mcp --project {quote(str(path))}"
        )


class OutsideProjectError(HarnessError):
    """A session was to work in a folder that is not inside the project."""

    def __init__(self, path: Path, root: Path) -> None:
        super().__init__(f"{path} lies outside of the project {root}. Give a folder inside of it, for example '.'.")


class NoPlaceForStateError(HarnessError):
    """The quick state was to be set in a roadmap that has no frontmatter to hold it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} has no frontmatter, so there is no place for the state. Begin the file with the lines "
            "`---`, `status: planning`, `---`, then set it again."
        )


class UnknownStateError(HarnessError, ValueError):
    """A session's state was named by a word that sessions do not have."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        super().__init__(f"There is no session state {name!r}. Use one of: {', '.join(known)}.")


class UnusableArgumentError(HarnessError, TypeError, ValueError):
    """A verb was called with something that it cannot use."""

    def __init__(self, argument: str, problem: str, remedy: str) -> None:
        super().__init__(f"{argument} cannot be used: {problem}. {remedy}.")


class NotAFolderError(HarnessError):
    """A file was given where a project's folder is meant."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is a file; give the project's folder.")


class UnknownSettingWarning(UserWarning):
    """A file of settings says something that has no effect; the text names the line."""


class NoFrontmatterWarning(UserWarning):
    """The quick state was to be set in a roadmap that has no place for it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no frontmatter; pass insert=True to add one")
