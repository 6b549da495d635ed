"""The harness: one project's sessions, questions and runs, behind the verbs that every door uses."""

from __future__ import annotations

import getpass
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from harness_nb import errors
from harness_nb.harness.answering import Answering
from harness_nb.harness.arguments import (
    command_of,
    environment_of,
    folder_of,
    functions_of,
    names_of,
    params_of,
    policies_of,
    states_of,
)
from harness_nb.harness.detached import TakeOver, is_detached
from harness_nb.harness.handles import AsyncQuestion, AsyncRun, AsyncSession, _patience, only
from harness_nb.harness.leading import Leading
from harness_nb.harness.lone_notices import LoneNotices
from harness_nb.harness.lone_sessions import LoneSessions
from harness_nb.harness.recovery import last_look, look
from harness_nb.harness.runs import enlist_run, join_run, options_of, prepare_run
from harness_nb.harness.state import (
    open_project,
    publish_state,
    read_state,
    roadmap_without_frontmatter,
    sync_state,
    write_quick_state,
)
from harness_nb.harness.watching import Watch
from harness_nb.orchestrator import Desk, ask
from harness_nb.orchestrator.attempts import task_message
from harness_nb.orchestrator.notifying import Notifier
from harness_nb.orchestrator.restore import choose_worker, earlier_attempts, words_along
from harness_nb.protocol.records import SessionRecord
from harness_nb.protocol.state import StateChange
from harness_nb.sessions import Assignment, Output, driver_named, read_output
from harness_nb.sessions.host import SessionHost
from harness_nb.store import Store, require_workplace
from harness_nb.store.locks import release
from harness_nb.store.settings import unknown_settings
from harness_nb.store.trust import is_trusted, trust_project
from harness_nb.views.frames import Frames

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup, TaskStatus

    from harness_nb.credentials import CredentialProvider
    from harness_nb.orchestrator import Runner
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.plans import Project
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import MessageRecord, RunOptions, RunRecord
    from harness_nb.protocol.recovery import Recovery
    from harness_nb.protocol.state import ProjectState
    from harness_nb.sessions.host import Changes
    from harness_nb.views.picture import Plot

T = TypeVar("T")


class AsyncHarness:
    """One project, opened; use it as ``async with AsyncHarness(path) as h``.

    ``trust`` lets commands from the project's plans run, from now on. ``credentials`` is where values are looked up,
    by default the folder that the settings or ``HARNESS_CREDENTIALS_DIR`` name. ``door`` and ``actor`` are who
    answers, in the journal.

    ``policies`` answer what is asked here: by ``ask()``, by sessions that were started or are waited for here, and in
    runs. A run's own come before them, those of ``config.yaml`` after them. ``attended`` is whether somebody is there
    to be asked; without it, it is looked for at each call (see ``attendance``). ``judges`` is whether tries at plans
    that belong to no run are judged here once they end, and a detached run that lost its process is given another one;
    who only watches and answers leaves that to others.

    Raises: ProjectNotFoundError, NotAFolderError, UnwritableFolderError, JournalDamagedError, UnusableArgumentError.
    """

    def __init__(
        self,
        project: str | Path = ".",
        *,
        trust: bool = False,
        credentials: CredentialProvider | None = None,
        door: str = "python",
        actor: str | None = None,
        policies: Sequence[Policy | PolicyFunction] = (),
        attended: bool | None = None,
        judges: bool = True,
    ) -> None:
        root = Path(project).expanduser().resolve()
        if not root.is_dir():
            raise errors.NotAFolderError(root) if root.exists() else errors.ProjectNotFoundError(root)
        self.root = root
        self.door = door
        self.actor = actor or current_user()
        self.store = Store(root)
        self.host = SessionHost(self.store)
        self.desk = Desk(self.store, credentials)
        self._tasks: TaskGroup | None = None
        self._run: AsyncRun | None = None
        self._judges = judges
        self._takeover = TakeOver(self.store, self.host.changes)
        self._lone: LoneSessions | None = None
        self._failure: Exception | None = None
        self._looked = 0
        self.answering = Answering(self.host, self.desk, lambda: self._run, policies=policies, told=attended)
        if trust:
            self.trust()

    async def __aenter__(self) -> Self:
        tasks = anyio.create_task_group()
        self._tasks = await tasks.__aenter__()
        self._failure = None
        self.answering.begin_anew()
        self._looked = await anyio.to_thread.run_sync(last_look, self.store)
        notices = LoneNotices(self.store, self.answering.is_mine, self.answering.prospect_of)  # from now on
        await tasks.start(self._serve)
        if self._judges and not self.store.is_export:
            self._lone = LoneSessions(self.host, self.desk, self.answer_for)
            tasks.start_soon(self._lone.serve)
            tasks.start_soon(self._takeover.serve)
            tasks.start_soon(Notifier(self.host, notices.look).serve)
        return self

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """Stay in touch with the sessions; what ends that is kept for whoever asks later."""
        try:
            await self.host.serve(task_status=task_status)
        except Exception as error:
            self._failure = only(error)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = self._open
        self._tasks = None
        tasks.cancel_scope.cancel()
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        try:
            # an error of the body goes on as itself, and not inside the group that a task group would make of it
            await tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
        except Exception as failure:
            raise only(failure) from None
        finally:
            self.host.changes.happened()  # whoever waits looks again, and finds the harness closed
            self._let_go()
            self.store.close()

    # --- sessions ----------------------------------------------------------------------------

    async def start_session(
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
    ) -> AsyncSession:
        """Start a worker in a process of its own that outlives this one.

        A ``command`` is run as it is; a ``plan`` is assigned to the worker by itself, and its context is how the try
        before failed, and ``prompt``. ``env_credentials`` are in the worker's environment and masked in its output.
        ``resume`` names a session to go on with. Without a ``terminal`` a command has pipes, and its output is kept
        byte for byte.

        Raises: UntrustedProjectError for a plan, UnknownPlanError, UnknownWorkerError, UnsuitableWorkerError,
        CommandNotFoundError, WorkingFolderNotFoundError, MissingCommandError, NotResumableError, UnusableArgumentError.
        """
        self.answering.notice()
        words, given = command_of(command), params_of(params)
        env, env_credentials = environment_of("env", env), environment_of("env_credentials", env_credentials)
        folder = folder_of(working_dir or ".")
        await anyio.to_thread.run_sync(require_workplace, self.store)
        if resume is not None:
            return await self._resume(resume)
        project, found = await anyio.to_thread.run_sync(self._plan_named, plan)
        name = self._worker_for(found, worker, words)
        earlier = await anyio.to_thread.run_sync(earlier_attempts, self.store, found.id) if found else []
        session = SessionRecord(
            id=f"{found.id if found else name}-{self.store.new_id()[:8]}",
            worker=name,
            plan_id=found.id if found else None,
            phase=found.phase if found else "",
            working_dir=folder,
            task_type=task_type,
            attempt=len(earlier) + 1,
            created_at=self.store.clock(),
        )
        assignment = Assignment(
            plan=found, prompt=prompt, command=words or (), params=given, task_type=task_type, terminal=terminal
        )

        def assign() -> None:
            if self._lone is not None and session.is_attempt:
                self._lone.claim(session.id)
            if found is not None and project is not None:
                told, now = words_along(self.store, earlier, prompt), self.store.clock()
                message = task_message(self.store.new_id(), session, found, project.spec_dir, told, now)
                self.store.messages.send(message, actor=self.actor, door=self.door, with_start=True)
                # before the worker starts, so that others find its files among the active ones
                with suppress(OSError, errors.HarnessError):
                    publish_state(self.store, project)

        await self._host.start(
            session, assignment, env=env, credentials=env_credentials, before_launch=assign,
            actor=self.actor, door=self.door,
        )  # fmt: skip
        self.answer_for(session.id)
        return AsyncSession(self, session.id)

    async def _resume(self, session_id: str) -> AsyncSession:
        record = await anyio.to_thread.run_sync(self.store.sessions.get, session_id)
        if not record.live:
            raise errors.NotResumableError(session_id, record.worker)
        return AsyncSession(self, session_id)

    def _plan_named(self, name: str | None) -> tuple[Project | None, Plan | None]:
        if name is None:
            return None, None
        project = open_project(self.store)
        if project.plans and not self.trusted:
            raise errors.UntrustedProjectError(self.root)
        plan = project.plan(name)
        if plan is None:
            raise errors.UnknownPlanError(name, [one.id for one in project.plans])
        return project, plan

    def _worker_for(self, plan: Plan | None, worker: str | None, command: Sequence[str] | None) -> str:
        if worker is not None:
            driver_named(worker)
        if command is not None or plan is None:
            return worker or "command"
        name, refusal = choose_worker(plan, worker or self.store.config().worker)
        if name is None:
            raise errors.UnsuitableWorkerError(str(refusal))
        return name

    async def session(self, session_id: str) -> AsyncSession:
        """Return a session by its id.

        Raises: SessionNotFoundError.
        """
        await anyio.to_thread.run_sync(self.store.sessions.get, session_id)
        return AsyncSession(self, session_id)

    async def list_sessions(self, state: str | None = None) -> list[AsyncSession]:
        """Return all sessions, or those in a state, oldest first.

        Raises: UnknownStateError.
        """
        wanted = states_of(state)
        found = await anyio.to_thread.run_sync(self.store.sessions.ids, wanted)
        return [AsyncSession(self, one) for one in found]

    async def get_output(self, session_id: str, lines: int | None = 100, since: int | None = None) -> Output:
        """Return the last lines that a session printed, or all since a place in bytes.

        Raises: SessionNotFoundError.
        """

        def read() -> Output:
            self.store.sessions.get(session_id)
            return read_output(self.store.layout.session(session_id).output, lines=lines, since=since)

        return await anyio.to_thread.run_sync(read)

    async def end_session(self, session_id: str, grace: float = 5.0) -> SessionRecord:
        """End a session's processes; what still lives after ``grace`` seconds is killed.

        Raises: SessionNotFoundError.
        """
        return await self._host.end(session_id, by="end_session", grace=grace, actor=self.actor, door=self.door)

    async def wait_for_state(
        self,
        *,
        session_ids: Iterable[str] | None = None,
        states: Iterable[str] | None = None,
        timeout: float | None = None,
        cursor: int | None = None,
    ) -> StateChange:
        """Wait until a session changes; woken, never polling.

        With a ``cursor`` from an earlier call: what changed since, at once if anything did. Without one: at once only
        if a session already is in one of ``states``, else at the next change. ``timeout`` is in seconds.

        Raises: TimeoutError, SessionNotFoundError, UnknownStateError; UnansweredQuestionError where nobody is there and
        one of the sessions asks what no policy answers, unless ``states`` has ``checkpoint``.
        """
        alone = self.answering.notice() is False
        watch = await self._watch(session_ids, states, cursor, alone=alone)
        with _patience(timeout, "no session changed as asked"):
            return await watch.next()

    async def next_change(
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
        watch = await self._watch(session_ids, states, cursor, alone=False)
        with anyio.move_on_after(timeout):
            return await watch.next()
        return StateChange(sessions=(), cursor=watch.cursor)

    async def _watch(
        self,
        session_ids: Iterable[str] | None,
        states: Iterable[str] | None,
        cursor: int | None,
        *,
        alone: bool,
    ) -> Watch:
        wanted_ids, wanted_states = names_of(session_ids), states_of(states)
        for session_id in wanted_ids or ():
            record = await anyio.to_thread.run_sync(self.store.sessions.get, session_id)
            if record.live and record.run_id is None:
                self.answer_for(session_id)
        since = cursor if cursor is not None else 0 if wanted_states else await self._last_event()
        require = self.answering.require_answers if alone and "checkpoint" not in (wanted_states or ()) else None
        watch = Watch(self.host, wanted_ids, wanted_states, since, require)
        await watch.look()  # also where there is no time at all
        return watch

    async def _last_event(self) -> int:
        return await anyio.to_thread.run_sync(lambda: self.store.events.last)

    async def recover(self) -> Recovery:
        """Look at every session that is not known to have ended, adopt those that live, and say what was found.

        The first look of a harness tells all that happened since anybody looked before it was opened, each further one
        what happened since the last: who was adopted, finished meanwhile, died, was or will be resumed or tried anew,
        and of whom nothing can be proved. ``to_frame()`` of what it returns is a DataFrame.
        """
        followed = self._host.following

        def find() -> tuple[Recovery, int]:
            return look(self.store, actor=self.actor, door=self.door, since=self._looked, followed=followed)

        found, self._looked = await self.announced(find)
        await self._host.adopt()
        return found

    # --- questions ---------------------------------------------------------------------------

    async def get_pending(
        self, session_id: str | None = None, message_types: Iterable[str] | None = None
    ) -> list[AsyncQuestion]:
        """Return the questions that wait for an answer, oldest first."""
        found = await anyio.to_thread.run_sync(self.store.messages.pending, session_id, names_of(message_types))
        return [AsyncQuestion(self, one) for one in found]

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

    async def assign(self, session_id: str, plan: str, context: str | None = None) -> MessageRecord:
        """Give a session a plan.

        Raises: UnknownPlanError, SessionNotFoundError, UntrustedProjectError.
        """

        def assign() -> MessageRecord:
            project, found = self._plan_named(plan)
            assert project is not None
            assert found is not None
            session = self.store.sessions.get(session_id)
            task = task_message(self.store.new_id(), session, found, project.spec_dir, context, self.store.clock())
            given = task.payload.to_wire()
            return self.desk.respond(task.type, session_id, given, actor=self.actor, door=self.door, plan_is_known=True)

        return await self.announced(assign)

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
                asked(AsyncQuestion(self, question))

        return await ask(
            self.host, kind, payload, session_id=session_id, refuse=unanswered, actor=self.actor, door=self.door
        )

    def answer_for(self, session_id: str) -> None:
        """Answer a session's questions by policy from now on; one of a run is left to that run.

        Raises: HarnessClosedError.
        """
        self.answering.take_on(session_id, self._open)

    async def keep(self, service: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have something go on beside everything else until it ends or the harness is closed.

        Raises: HarnessClosedError.
        """
        self._open.start_soon(service)

    async def announced(self, change: Callable[[], T]) -> T:
        """Make a change in a worker thread and wake whoever waits here; the change itself rings for the others."""
        result = await anyio.to_thread.run_sync(change)
        self._host.changes.happened()
        return result

    # --- project -----------------------------------------------------------------------------

    async def get_state(self) -> ProjectState:
        """Return what documents and journal say of the project."""
        return await anyio.to_thread.run_sync(read_state, self.store)

    async def sync_state(self) -> ProjectState:
        """Read plans, summaries and roadmap from disk, write the dependency graph, and return the state.

        While somebody runs the project's plans the graph is left alone: a run keeps its own up to date.
        """
        return await anyio.to_thread.run_sync(lambda: sync_state(self.store, actor=self.actor, door=self.door))

    async def set_state(self, *, insert: bool = False, **values: Any) -> ProjectState:
        """Set the quick state in ``ROADMAP.md``'s frontmatter; the text below it stays byte for byte.

        ``values`` are ``phase``, ``plan``, ``status``, ``completed_plans`` and the like. Where there is no frontmatter
        none is written, unless ``insert``, and a NoFrontmatterWarning says so.
        """

        def write() -> tuple[ProjectState, str | None]:
            if not write_quick_state(self.store, values, insert=insert):
                return read_state(self.store), roadmap_without_frontmatter(self.store)
            self.store.events.add("state_set", actor=self.actor, door=self.door, data=values)
            self.store.ring()
            return read_state(self.store), None

        state, without = await self.announced(write)
        if without is not None:
            warnings.warn(errors.NoFrontmatterWarning(without), stacklevel=2)
        return state

    def trust(self) -> None:
        """Let commands from this project's plans run, now and later."""
        trust_project(self.store, actor=self.actor, door=self.door)

    @property
    def trusted(self) -> bool:
        """Whether commands from this project's plans may run."""
        return is_trusted(self.root)

    async def export(
        self, folder: str | Path, *, run: str | None = None, tell: Callable[[int, int], object] = lambda *_: None
    ) -> Path:
        """Write a run (by default the newest; where there is none, the whole project) as a folder that opens elsewhere.

        ``Harness(folder)`` shows it there: frames, output, board; ``report.html`` needs no more than a browser. What
        has not ended is marked as still running when exported. Of credentials, tokens and the like nothing goes along.
        ``tell`` is called from a worker thread with how many bytes of how many are written. Returns the folder.

        Raises: FileInTheWayError where there is something already, UnknownRunError, UnwritableFolderError.
        """
        from harness_nb.harness.exporting import export  # what it takes is not for every import

        target = Path(folder)

        def write() -> Path:
            return export(
                self.store, self.desk, target, run=run, actor=self.actor, door=self.door, tell=tell
            )  # fmt: skip

        return await self.announced(write)

    # --- runs --------------------------------------------------------------------------------

    async def run(
        self,
        plans: Sequence[str | Plan] | None = None,
        *,
        worker: str | None = None,
        max_parallel: int | None = None,
        params: Mapping[str, Any] | None = None,
        again: bool = False,
        policies: Sequence[Policy | PolicyFunction] = (),
        detach: bool | None = None,
    ) -> AsyncRun:
        """Run the project's plans, or those named or given, and return a handle at once.

        A process of its own does the run, so it goes on when this one is busy or gone; ``detach=False``, or
        ``HARNESS_DETACH=0``, keeps it here, as checks that are functions of this process and credentials of a provider
        of your own do by themselves. An unfinished run goes on, and one that goes on already is joined. ``again`` does
        plans again that are complete. ``policies`` answer before those of the harness and of ``config.yaml``; those
        without ``after`` leave it to whoever is there.

        Raises: UntrustedProjectError, SecondRunError, NoPlansError, UnknownPlanError, UnknownWorkerError,
        UnusableArgumentError, HolderFailedError.
        """
        self.require_open()
        functions = (*functions_of(policies), *self.answering.functions.functions)
        tie = "a policy is a function of this process" if functions else self.desk.tie
        detached = is_detached(asked=detach, bound=tie)
        options = options_of(
            plans, worker=worker, max_parallel=max_parallel, params=params, again=again,
            policies=(*policies_of(policies), *self.answering.policies), attended=self.answering.notice(),
            credentials_dir=self.desk.directory,
        )  # fmt: skip
        await anyio.to_thread.run_sync(require_workplace, self.store)
        await anyio.to_thread.run_sync(self._require_trust, options)
        joined = None if functions else await self._join(options)
        run = joined or await (self._detach(options) if detached else self._lead(options, functions))
        for text in await anyio.to_thread.run_sync(unknown_settings, self.store.layout):
            warnings.warn(text, errors.UnknownSettingWarning, stacklevel=2)
        self._run = run
        return run

    async def _join(self, options: RunOptions) -> AsyncRun | None:
        record = await self.announced(lambda: join_run(self.store, options, actor=self.actor, door=self.door))
        return AsyncRun(self, record) if record is not None else None

    async def _detach(self, options: RunOptions) -> AsyncRun:
        record = await self.announced(lambda: enlist_run(self.store, options, actor=self.actor, door=self.door))
        await anyio.to_thread.run_sync(self.see_to, record)
        return AsyncRun(self, record)

    async def _lead(self, options: RunOptions, functions: Sequence[PolicyFunction]) -> AsyncRun:
        def prepare() -> Runner:
            return prepare_run(self.host, self.desk, options, functions, actor=self.actor, door=self.door)

        runner = await anyio.to_thread.run_sync(prepare)
        leading = Leading(runner)
        self._open.start_soon(leading.drive, self.closed_by, self._let_go)
        return AsyncRun(self, runner.record, leading)

    def see_to(self, record: RunRecord) -> None:
        """Start a process that does a run which has not ended, unless one does it already.

        Raises: HolderFailedError.
        """
        self._takeover.start(record)

    @property
    def frames(self) -> Frames:
        """Sessions, messages, plans and events as DataFrames; plain calls that read the journal."""
        return Frames(self.store, lambda: read_state(self.store))

    async def graph(self) -> Plot:
        """Return the plan graph as documents and journal have it now."""
        from harness_nb.harness.plots import graph_of_project  # drawing is not for every import

        return await anyio.to_thread.run_sync(graph_of_project, self.store)

    @property
    def current_run(self) -> AsyncRun | None:
        """The newest run of this harness, or the project's one that a process of its own is doing."""
        if self._run is None or self._run.ended:
            record = self.store.runs.unfinished()
            if record is not None and record.detached and (self._run is None or self._run.id != record.id):
                self._run = AsyncRun(self, record)
        return self._run

    def _require_trust(self, options: RunOptions) -> None:
        if self.trusted or options.inline_plans:
            return
        if not open_project(self.store).plans:
            raise errors.NoPlansError(self.root)
        raise errors.UntrustedProjectError(self.root)

    @property
    def changes(self) -> Changes:
        """What wakes whoever waits for something to happen.

        Raises: HarnessClosedError, or what closed the harness.
        """
        return self._host.changes

    def closed_by(self) -> Exception:
        """Return why the harness is not open: what went wrong inside of it, else that it was closed."""
        return self._failure or errors.HarnessClosedError()

    def _let_go(self) -> None:
        release(self.store.layout.lease)
        self.store.ring()  # for those who show whether somebody runs the plans

    @property
    def _open(self) -> TaskGroup:
        if self._tasks is None:
            raise self.closed_by()
        return self._tasks

    def require_open(self) -> None:
        """Make sure that this harness is open.

        Raises: HarnessClosedError, or what closed the harness.
        """
        self._open  # noqa: B018 — an error when it is closed

    @property
    def _host(self) -> SessionHost:
        self.require_open()
        return self.host


def current_user() -> str:
    """Return who is at the keyboard, as the journal names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
