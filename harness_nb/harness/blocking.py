"""The blocking twin of the harness, for notebooks and scripts: the same verbs, over one loop thread.

Every call hands its work to the loop and blocks for the result, so that answers, output and a run's progress go on
while a cell blocks. The same project opened again in one process is the same harness.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import anyio

from harness_nb.errors import HarnessClosedError, ProjectNotFoundError, UnusableArgumentError
from harness_nb.harness.arguments import functions_of, policies_of
from harness_nb.harness.asynchronous import AsyncHarness
from harness_nb.harness.display import Board, Displayed, show_to_reader, waiting
from harness_nb.harness.loop_thread import loop_thread
from harness_nb.store import require_project

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    import pandas as pd

    from harness_nb.credentials import CredentialProvider
    from harness_nb.harness.handles import AsyncQuestion, AsyncRun, AsyncSession
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.outcome import RunReport
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import MessageRecord, RunRecord, SessionRecord
    from harness_nb.protocol.recovery import Recovery
    from harness_nb.protocol.state import ProjectState, StateChange
    from harness_nb.sessions import Output
    from harness_nb.views.frames import Frames
    from harness_nb.views.picture import Plot

CLOSING: Final = 10.0
"""Seconds that a harness whose project was deleted is given to let go of it."""


def _call(function: Callable[..., Coroutine[Any, Any, Any]], *values: Any, **named: Any) -> Any:
    try:
        return loop_thread().call(lambda: function(*values, **named))
    except HarnessClosedError:
        twin = function.__self__  # type: ignore[attr-defined]
        raise getattr(twin, "harness", twin).closed_by() from None


Twin = TypeVar("Twin", "AsyncSession", "AsyncRun")


class _Awaitable(Generic[Twin]):
    """Lets a notebook's own loop await what lives on the loop thread."""

    _twin: Twin

    def __await__(self) -> Generator[Any, None, Any]:
        with waiting(self._twin.harness):
            future = loop_thread().portal.start_task_soon(self._end)
            return (yield from asyncio.wrap_future(future).__await__())

    async def _end(self) -> Any:
        raise NotImplementedError


class Session(_Awaitable["AsyncSession"], Displayed):
    """A session: a worker in a process of its own. ``await`` it, or ``wait()``, for its end."""

    def __init__(self, twin: AsyncSession) -> None:
        self._twin = twin
        self.id = twin.id

    @property
    def record(self) -> SessionRecord:
        """The session as the journal knows it now."""
        return self._twin.record

    @property
    def state(self) -> str:
        """One of ``initializing``, ``running``, ``checkpoint``, ``completed`` and ``failed``."""
        return self._twin.state

    @property
    def quiet_since(self) -> datetime | None:
        """Since when the session is silent, where it is at work and quiet (``quietAfter`` in ``config.yaml``)."""
        return self._twin.quiet_since

    def output(self, lines: int | None = 100, since: int | None = None) -> Output:
        """Return the last lines that the worker printed, or all since a place in bytes."""
        return self._twin.output(lines, since)

    def send(self, text: str, *, end: bool = False) -> None:
        """Type text at the worker's terminal; a line ends with a newline, and ``end`` says that no more will come."""
        _call(self._twin.send, text, end=end)

    def resize(self, rows: int, cols: int) -> None:
        """Set the size of the worker's terminal in characters."""
        _call(self._twin.resize, rows, cols)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        _call(self._twin.interrupt)

    def stop(self, grace: float = 5.0) -> SessionRecord:
        """End the worker's processes; what still lives after ``grace`` seconds is killed."""
        record: SessionRecord = _call(self._twin.stop, grace)
        return record

    def wait(self, timeout: float | None = None) -> SessionRecord:
        """Block until the session has ended, and return how it went.

        Raises: TimeoutError, and UnansweredQuestionError where nobody is there and no policy answers what it asks;
        the session goes on.
        """
        with waiting(self._twin.harness):
            record: SessionRecord = _call(self._twin.wait, timeout)
        return record

    async def _end(self) -> SessionRecord:
        return await self._twin.wait()

    def __repr__(self) -> str:
        return repr(self._twin)


class Question(Displayed):
    """A message of a worker that waits for an answer."""

    def __init__(self, twin: AsyncQuestion) -> None:
        self._twin = twin
        self.record = twin.record
        self.id, self.session_id = twin.id, twin.session_id
        self.type, self.payload = twin.type, twin.payload

    def answer(self, value: Any, *, rationale: str | None = None) -> MessageRecord:
        """Answer with a plain value, as it is typed at a terminal: an option, yes or no, or a person's own words.

        Notes may follow: ``"pass well done"``, ``"fail too slow"``, ``"sqlite it is small"``.

        Raises: UnknownOptionError, AlreadyAnsweredError, QuestionExpiredError.
        """
        record: MessageRecord = _call(self._twin.answer, value, rationale=rationale)
        return record

    def approve(self, notes: str | None = None) -> MessageRecord:
        """Say yes: verified, the recommended option, done, or look the credentials up and hand them over.

        Raises: CredentialsNotFoundError, AlreadyAnsweredError, QuestionExpiredError.
        """
        record: MessageRecord = _call(self._twin.approve, notes)
        return record

    def reject(self, reason: str) -> MessageRecord:
        """Say no, and why; a decision or an action that is rejected aborts its task.

        Raises: AlreadyAnsweredError, QuestionExpiredError.
        """
        record: MessageRecord = _call(self._twin.reject, reason)
        return record

    def abort(self, reason: str, *, should_retry: bool = False) -> MessageRecord:
        """Tell the worker to stop its task.

        Raises: AlreadyAnsweredError, QuestionExpiredError.
        """
        record: MessageRecord = _call(self._twin.abort, reason, should_retry=should_retry)
        return record

    def __repr__(self) -> str:
        return repr(self._twin)


class Run(_Awaitable["AsyncRun"], Displayed):
    """A run of the project's plans. ``await`` it, or ``wait()``, for its end; letting go of it stops nothing."""

    def __init__(self, twin: AsyncRun) -> None:
        self._twin = twin
        self.id = twin.id

    @property
    def report(self) -> RunReport:
        """Where each plan stands; final once the run has ended."""
        return self._twin.report

    @property
    def record(self) -> RunRecord:
        """The run as the journal knows it now."""
        return self._twin.record

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self._twin.ended

    @property
    def detached(self) -> bool:
        """Whether a process of its own does the run, and not this kernel."""
        return self._twin.detached

    def wait(self, timeout: float | None = None) -> RunReport:
        """Block until the run has ended, and return its report; an interrupt ends only the waiting.

        Raises: TimeoutError, and UnansweredQuestionError where nobody is there and no policy answers what is asked;
        the run goes on.
        """
        with waiting(self._twin.harness):
            report: RunReport = _call(self._twin.wait, timeout)
        return report

    def stop(self) -> RunReport:
        """End the run's sessions, start nothing more, and return the report."""
        report: RunReport = _call(self._twin.stop)
        return report

    def graph(self) -> Plot:
        """Return the plan graph as it stands in this run."""
        plot: Plot = _call(self._twin.graph)
        return plot

    def gantt(self) -> Plot:
        """Return when each plan was queued, ran, waited for a person and was verified, until now or the run's end."""
        plot: Plot = _call(self._twin.gantt)
        return plot

    async def _end(self) -> RunReport:
        return await self._twin.wait()

    def __repr__(self) -> str:
        return repr(self._twin)


class Harness(Displayed):
    """One project, opened; the same project opened again in this process is the same harness.

    ``trust`` lets commands from the project's plans run, from now on. ``credentials`` is where values are looked up.

    ``policies`` answer what is asked here: by ``ask()``, by sessions that were started or are waited for here, and in
    runs. A run's own come before them, those of ``config.yaml`` after them; given again they replace the earlier ones,
    for what is asked from then on and not for a run that goes on. With somebody there, those without ``after`` leave
    a question to them; with nobody there (nbval, nbclient, papermill, ``HARNESS_UNATTENDED=1``), what no policy answers
    ends the waiting with an UnansweredQuestionError. ``judges`` is whether tries at plans that belong to no run are
    judged here once they end.

    Raises: ProjectNotFoundError, NotAFolderError, UnwritableFolderError, JournalDamagedError, UnusableArgumentError.
    """

    _opened: ClassVar[dict[Path, Harness]] = {}
    _opening: ClassVar[threading.Lock] = threading.Lock()
    _twin: AsyncHarness

    def __new__(
        cls,
        project: str | Path = ".",
        *,
        trust: bool = False,
        credentials: CredentialProvider | None = None,
        door: str = "python",
        policies: Sequence[Policy | PolicyFunction] | None = None,
        judges: bool = True,
    ) -> Self:
        """Return the harness of this project, opened once per process."""
        root = Path(project).expanduser().resolve()
        given: tuple[Policy | PolicyFunction, ...] | None = None
        if policies is not None:
            given = (*policies_of(policies), *functions_of(policies))
        with cls._opening:
            found = cls._opened.get(root)
            if found is not None and not found._served.done() and found._is_outlived():
                found = None
            if found is None or found._served.done():
                found = super().__new__(cls)
                found._start(root, credentials, door, judges=judges)
            elif not isinstance(found, cls):
                problem = f"it is open already, as a {type(found).__name__} and not as a {cls.__name__}"
                raise UnusableArgumentError("project", problem, "Close that one first, with its close()")
            cls._opened.pop(root, None)
            cls._opened[root] = found
        if credentials is not None:
            found._twin.desk.use(credentials)
        if given is not None:
            found._twin.answering.use(given)
        if trust:
            found.trust()
        return found

    def _start(self, root: Path, credentials: CredentialProvider | None, door: str, *, judges: bool) -> None:
        self.root = root
        ready = threading.Event()
        self._twin = AsyncHarness(root, credentials=credentials, door=door, judges=judges)
        self._closing: anyio.Event | None = None

        async def serve() -> None:
            self._closing = anyio.Event()
            async with self._twin:
                ready.set()
                await self._closing.wait()

        self._served = loop_thread().portal.start_task_soon(serve)
        self._served.add_done_callback(lambda _: ready.set())
        ready.wait()
        if self._served.done():
            self._served.result()

    def _is_outlived(self) -> bool:
        """Say whether what was opened here was deleted meanwhile, and let go of it then."""
        try:
            require_project(self._twin.store)
        except ProjectNotFoundError:
            with suppress(Exception):  # whatever its end is like, there is nothing more to lose
                self._end(CLOSING)
            return True
        return False

    @classmethod
    def opened_last(cls) -> Harness | None:
        """Return the harness that this process opened last and that is still open, or None."""
        with cls._opening:
            return next((one for one in reversed(cls._opened.values()) if not one._served.done()), None)

    def close(self) -> None:
        """Let go of the project; its sessions go on, and a run goes on when it is started again."""
        with self._opening:
            if self._opened.get(self.root) is self:
                del self._opened[self.root]
        self._end()

    def _end(self, patience: float | None = None) -> None:
        if self._closing is not None and not self._served.done():
            loop_thread().portal.call(self._closing.set)
            self._served.result(patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- sessions ----------------------------------------------------------------------------

    def start_session(
        self,
        *,
        command: Sequence[str] | None = None,
        worker: str | None = None,
        plan: str | None = None,
        prompt: str | None = None,
        working_dir: str | Path | None = None,
        task_type: str = "execute",
        params: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        env_credentials: Mapping[str, str] | None = None,
        resume: str | None = None,
        terminal: bool = True,
    ) -> Session:
        """Start a worker in a process of its own that outlives this one.

        A ``command`` is run as it is; a ``plan`` is assigned to the worker by itself. ``env_credentials`` are in the
        worker's environment and masked in its output. ``resume`` names a session to go on with.
        Without a ``terminal`` a command has pipes, and its output is kept byte for byte.

        Raises: UntrustedProjectError for a plan, UnknownPlanError, UnknownWorkerError, UnsuitableWorkerError,
        CommandNotFoundError, WorkingFolderNotFoundError, MissingCommandError, NotResumableError, UnusableArgumentError.
        """
        twin: AsyncSession = _call(
            self._twin.start_session,
            command=command,
            worker=worker,
            plan=plan,
            prompt=prompt,
            working_dir=working_dir,
            task_type=task_type,
            params=params,
            env=env,
            env_credentials=env_credentials,
            resume=resume,
            terminal=terminal,
        )
        return Session(twin)

    def session(self, session_id: str) -> Session:
        """Return a session by its id.

        Raises: SessionNotFoundError.
        """
        return Session(_call(self._twin.session, session_id))

    def list_sessions(self, state: str | None = None) -> list[Session]:
        """Return all sessions, or those in a state, oldest first.

        Raises: UnknownStateError.
        """
        return [Session(twin) for twin in _call(self._twin.list_sessions, state)]

    def get_output(self, session_id: str, lines: int | None = 100, since: int | None = None) -> Output:
        """Return the last lines that a session printed, or all since a place in bytes.

        Raises: SessionNotFoundError.
        """
        output: Output = _call(self._twin.get_output, session_id, lines, since)
        return output

    def end_session(self, session_id: str, grace: float = 5.0) -> SessionRecord:
        """End a session's processes; what still lives after ``grace`` seconds is killed.

        Raises: SessionNotFoundError.
        """
        record: SessionRecord = _call(self._twin.end_session, session_id, grace)
        return record

    def wait_for_state(
        self,
        *,
        session_ids: Iterable[str] | None = None,
        states: Iterable[str] | None = None,
        timeout: float | None = None,
        cursor: int | None = None,
    ) -> StateChange:
        """Block until a session changes; woken, never polling.

        With a ``cursor`` from an earlier call: what changed since, at once if anything did. Without one: at once only
        if a session already is in one of ``states``, else at the next change. ``timeout`` is in seconds.

        Raises: TimeoutError, SessionNotFoundError, UnknownStateError; UnansweredQuestionError where nobody is there and
        one of the sessions asks what no policy answers, unless ``states`` has ``checkpoint``.
        """
        change: StateChange = _call(
            self._twin.wait_for_state, session_ids=session_ids, states=states, timeout=timeout, cursor=cursor
        )
        return change

    def next_change(
        self,
        *,
        session_ids: Iterable[str] | None = None,
        states: Iterable[str] | None = None,
        timeout: float | None = None,
        cursor: int | None = None,
    ) -> StateChange:
        """Do what ``wait_for_state`` does for a program that waits again and again: time brings an empty change.

        Its cursor always leads on, so that nothing between two calls is missed. Questions end no such wait.

        Raises: SessionNotFoundError, UnknownStateError.
        """
        change: StateChange = _call(
            self._twin.next_change, session_ids=session_ids, states=states, timeout=timeout, cursor=cursor
        )
        return change

    # --- questions ---------------------------------------------------------------------------

    def get_pending(self, session_id: str | None = None, message_types: Iterable[str] | None = None) -> list[Question]:
        """Return the questions that wait for an answer, oldest first."""
        return [Question(twin) for twin in _call(self._twin.get_pending, session_id, message_types)]

    def respond(
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
        record: MessageRecord = _call(self._twin.respond, type, session_id, payload, in_response_to)
        return record

    def assign(self, session_id: str, plan: str, context: str | None = None) -> MessageRecord:
        """Give a session a plan.

        Raises: UnknownPlanError, SessionNotFoundError, UntrustedProjectError.
        """
        record: MessageRecord = _call(self._twin.assign, session_id, plan, context)
        return record

    def ask(self, kind: str, **payload: Any) -> MessageRecord:
        """Raise a checkpoint from Python and block for its answer; in a notebook the cell shows the form meanwhile.

        ``kind`` is ``verification`` (what_built, how_to_verify), ``decision`` (decision, context, options),
        ``action`` (action, instructions, reason) or ``credentials`` (service, env_vars, reason, context).

        Raises: UnknownMessageKindError, InvalidMessageError; UnansweredQuestionError where nobody is there and no
        policy answers, and then the question is not open any more.
        """
        with waiting(self._twin):
            record: MessageRecord = _call(
                self._twin.raise_checkpoint, kind, payload, asked=lambda twin: show_to_reader(Question(twin))
            )
        return record

    def recover(self) -> pd.DataFrame:
        """Look at every session that is not known to have ended, adopt those that live, and say what was found.

        The first look of a harness tells all that happened since anybody looked before it was opened, each further one
        what happened since the last. Returns one row a session, indexed by its id as ``session``: ``plan``, ``worker``,
        ``found`` (``adopted``, ``finished meanwhile``, ``died``, ``resumed``, ``retried`` or ``unknown``), ``state``,
        ``reason``, ``since``, ``lives`` and ``run_id``.
        """
        found: Recovery = _call(self._twin.recover)
        return found.to_frame()

    def export(self, folder: str | Path, *, run: str | None = None) -> Path:
        """Write a run (by default the newest; where there is none, the whole project) as a folder that opens elsewhere.

        ``Harness(folder)`` shows it there: frames, output, board; ``report.html`` needs no more than a browser. What
        has not ended is marked as still running when exported. Of credentials, tokens and the like nothing goes along.
        Returns the folder.

        Raises: FileInTheWayError where there is something already, UnknownRunError, UnwritableFolderError.
        """
        written: Path = _call(self._twin.export, folder, run=run)
        return written

    # --- project -----------------------------------------------------------------------------

    def get_state(self) -> ProjectState:
        """Return what documents and journal say of the project."""
        state: ProjectState = _call(self._twin.get_state)
        return state

    def sync_state(self) -> ProjectState:
        """Read plans, summaries and roadmap from disk, write the dependency graph, and return the state.

        While somebody runs the project's plans the graph is left alone: a run keeps its own up to date.
        """
        state: ProjectState = _call(self._twin.sync_state)
        return state

    def set_state(self, *, insert: bool = False, **values: Any) -> ProjectState:
        """Set the quick state in ``ROADMAP.md``'s frontmatter; the text below it stays byte for byte.

        ``values`` are ``phase``, ``plan``, ``status``, ``completed_plans`` and the like. Where there is no frontmatter
        none is written, unless ``insert``, and a NoFrontmatterWarning says so.
        """
        state: ProjectState = _call(self._twin.set_state, insert=insert, **values)
        return state

    def trust(self) -> None:
        """Let commands from this project's plans run, now and later."""
        self._twin.trust()

    @property
    def trusted(self) -> bool:
        """Whether commands from this project's plans may run."""
        return self._twin.trusted

    def run(
        self,
        plans: Sequence[str | Plan] | None = None,
        *,
        worker: str | None = None,
        max_parallel: int | None = None,
        params: Mapping[str, Any] | None = None,
        again: bool = False,
        policies: Sequence[Policy | PolicyFunction] = (),
        detach: bool | None = None,
    ) -> Run:
        """Run the project's plans, or those named or given, and return a handle at once.

        A process of its own does the run, so it goes on when this kernel is busy, restarted or gone, and ``run()`` or
        ``current_run`` finds it again. ``detach=False``, or ``HARNESS_DETACH=0``, keeps it in this kernel, as checks
        and policies that are functions of this kernel and credentials of a provider of your own do by themselves: then
        it pauses when the kernel goes, and the next ``run()`` goes on with it. ``again`` does plans again that are
        complete.
        ``policies`` answer before those of the harness and of ``config.yaml``; those without ``after`` leave it to
        whoever is there. One may be a function: it is given each question once, and returns its answer as
        ``question.answer()`` takes it, or None to leave it to the others.

        Raises: UntrustedProjectError, SecondRunError, NoPlansError, UnknownPlanError, UnknownWorkerError,
        UnusableArgumentError, HolderFailedError.
        """
        twin: AsyncRun = _call(
            self._twin.run,
            plans,
            worker=worker,
            max_parallel=max_parallel,
            params=params,
            again=again,
            policies=policies,
            detach=detach,
        )
        return Run(twin)

    @property
    def current_run(self) -> Run | None:
        """The newest run of this kernel, or the project's one that a process of its own is doing, or None."""
        twin = self._twin.current_run
        return Run(twin) if twin is not None else None

    @property
    def frames(self) -> Frames:
        """Sessions, messages, plans and events as DataFrames."""
        return self._twin.frames

    def graph(self) -> Plot:
        """Return the plan graph as documents and journal have it now."""
        plot: Plot = _call(self._twin.graph)
        return plot

    @property
    def board(self) -> Board:
        """The control room: shown, it stays up to date whatever runs come and go."""
        return Board(self._twin)

    def __repr__(self) -> str:
        return f"Harness({str(self.root)!r})"
