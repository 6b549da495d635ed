"""The verbs of the blocking harness, each of which hands its work to its async twin on the loop thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness_nb.harness.blocking_handles import Question, Run, Session, call
from harness_nb.harness.display import show_to_reader, waiting
from harness_nb.harness.hiding import hides_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from harness_nb.harness.arguments import EnvCredentials
    from harness_nb.harness.asynchronous import AsyncHarness
    from harness_nb.harness.handles import AsyncRun, AsyncSession
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.protocol.commands import TrustShown
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.grants import GrantRecord
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.protocol.recovery import Recovery
    from harness_nb.protocol.state import ProjectState, StateChange
    from harness_nb.sessions import Output
    from harness_nb.views.frames import Frames
    from harness_nb.views.picture import Plot


class BlockingVerbs:
    """What can be done with a project that is open, each call blocking for its result."""

    _twin: AsyncHarness

    @hides_values
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
        env_credentials: EnvCredentials = None,
        resume: str | None = None,
        terminal: bool = True,
    ) -> Session:
        """Start a worker in a process of its own that outlives this one.

        A ``command`` is run as it is; a ``plan`` is assigned to the worker by itself. ``env_credentials`` are in the
        worker's environment and masked in its output: a service that is looked up, as ``"postgres"`` or
        ``"postgres:production"``, several, or names and values. ``resume`` names a session to go on with.
        Without a ``terminal`` a command has pipes, and its output is kept byte for byte.

        Raises: UntrustedProjectError, ChangedCommandsError and UnknownPlanError for a plan, UnknownWorkerError,
        UnsuitableWorkerError, CommandNotFoundError, WorkingFolderNotFoundError, MissingCommandError, NotResumableError,
        UnusableArgumentError.
        """
        twin: AsyncSession = call(
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
        return Session(call(self._twin.session, session_id))

    def list_sessions(self, state: str | None = None) -> list[Session]:
        """Return all sessions, or those in a state, oldest first.

        Raises: UnknownStateError.
        """
        return [Session(twin) for twin in call(self._twin.list_sessions, state)]

    def get_output(self, session_id: str, lines: int | None = 100, since: int | None = None) -> Output:
        """Return the last lines that a session printed, or all since a place in bytes.

        Raises: SessionNotFoundError.
        """
        output: Output = call(self._twin.get_output, session_id, lines, since)
        return output

    def end_session(self, session_id: str, grace: float = 5.0) -> SessionRecord:
        """End a session's processes; what still lives after ``grace`` seconds is killed.

        Raises: SessionNotFoundError.
        """
        record: SessionRecord = call(self._twin.end_session, session_id, grace)
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
        change: StateChange = call(
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
        change: StateChange = call(
            self._twin.next_change, session_ids=session_ids, states=states, timeout=timeout, cursor=cursor
        )
        return change

    def get_pending(self, session_id: str | None = None, message_types: Iterable[str] | None = None) -> list[Question]:
        """Return the questions that wait for an answer, oldest first."""
        return [Question(twin) for twin in call(self._twin.get_pending, session_id, message_types)]

    @hides_values
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
        record: MessageRecord = call(self._twin.respond, type, session_id, payload, in_response_to)
        return record

    def assign(self, session_id: str, plan: str, context: str | None = None) -> MessageRecord:
        """Give a session a plan.

        Raises: UnknownPlanError, SessionNotFoundError, UntrustedProjectError, ChangedCommandsError.
        """
        record: MessageRecord = call(self._twin.assign, session_id, plan, context)
        return record

    def ask(self, kind: str, **payload: Any) -> MessageRecord:
        """Raise a checkpoint from Python and block for its answer; in a notebook the cell shows the form meanwhile.

        ``kind`` is ``verification`` (what_built, how_to_verify), ``decision`` (decision, context, options),
        ``action`` (action, instructions, reason) or ``credentials`` (service, env_vars, reason, context).

        Raises: UnknownMessageKindError, InvalidMessageError; UnansweredQuestionError where nobody is there and no
        policy answers, and then the question is not open any more.
        """
        with waiting(self._twin):
            record: MessageRecord = call(
                self._twin.raise_checkpoint, kind, payload, asked=lambda twin: show_to_reader(Question(twin))
            )
        return record

    def revoke(self, grant_id: str) -> GrantRecord:
        """Take back a yes to credentials: it answers nothing more, and its session hands the values out no longer.

        What a worker has taken already it has. ``h.frames.grants()`` has the ids.

        Raises: GrantNotFoundError.
        """
        revoked: GrantRecord = call(self._twin.revoke, grant_id)
        return revoked

    def recover(self) -> pd.DataFrame:
        """Look at every session that is not known to have ended, adopt those that live, and say what was found.

        The first look of a harness tells all that happened since anybody looked before it was opened, each further one
        what happened since the last. Returns one row a session, indexed by its id as ``session``: ``plan``, ``worker``,
        ``found`` (``adopted``, ``finished meanwhile``, ``died``, ``resumed``, ``retried`` or ``unknown``), ``state``,
        ``reason``, ``since``, ``lives`` and ``run_id``.
        """
        found: Recovery = call(self._twin.recover)
        return found.to_frame()

    def export(self, folder: str | Path, *, run: str | None = None) -> Path:
        """Write a run (by default the newest; where there is none, the whole project) as a folder that opens elsewhere.

        ``Harness(folder)`` shows it there: frames, output, board; ``report.html`` needs no more than a browser. What
        has not ended is marked as still running when exported. Of credentials, tokens and the like nothing goes along.
        Returns the folder.

        Raises: FileInTheWayError where there is something already, UnknownRunError, UnwritableFolderError.
        """
        written: Path = call(self._twin.export, folder, run=run)
        return written

    def get_state(self) -> ProjectState:
        """Return what documents and journal say of the project."""
        state: ProjectState = call(self._twin.get_state)
        return state

    def sync_state(self) -> ProjectState:
        """Read plans, summaries and roadmap from disk, write the dependency graph, and return the state.

        While somebody runs the project's plans the graph is left alone: a run keeps its own up to date.
        """
        state: ProjectState = call(self._twin.sync_state)
        return state

    def set_state(self, *, insert: bool = False, **values: Any) -> ProjectState:
        """Set the quick state in ``ROADMAP.md``'s frontmatter; the text below it stays byte for byte.

        ``values`` are ``phase``, ``plan``, ``status``, ``completed_plans`` and the like. Where there is no frontmatter
        none is written, unless ``insert``, and a NoFrontmatterWarning says so.
        """
        state: ProjectState = call(self._twin.set_state, insert=insert, **values)
        return state

    def trust(self, *, show: bool = False) -> TrustShown:
        """Let the commands run that the project's plans hold in this moment, now and later, and return what changed.

        Commands that are changed or added afterwards wait for another yes. With ``show`` nothing is trusted by this:
        what is returned says what would be.
        """
        return self._twin.trust(show=show)

    @property
    def trusted(self) -> bool:
        """Whether commands from this project's plans may run, as far as they did not change since."""
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

        Raises: UntrustedProjectError, ChangedCommandsError, SecondRunError, NoPlansError, UnknownPlanError,
        UnknownWorkerError, UnusableArgumentError, HolderFailedError.
        """
        twin: AsyncRun = call(
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
        """Sessions, messages, plans, events and what credentials there are as DataFrames."""
        return self._twin.frames

    def graph(self) -> Plot:
        """Return the plan graph as documents and journal have it now."""
        plot: Plot = call(self._twin.graph)
        return plot
