"""Sessions by themselves: what starts, finds, reads and ends them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from harness_nb import errors
from harness_nb.harness.arguments import command_of, credentials_of, environment_of, folder_of, params_of, states_of
from harness_nb.harness.handles import AsyncSession
from harness_nb.harness.hiding import hides_values
from harness_nb.harness.opened import Opened
from harness_nb.harness.state import open_project, publish_state
from harness_nb.orchestrator.attempts import task_message
from harness_nb.orchestrator.restore import choose_worker, earlier_attempts, words_along
from harness_nb.protocol.commands import commands_of
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import Assignment, Output, driver_named, read_output
from harness_nb.store import require_workplace
from harness_nb.store.trust import require_trusted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness_nb.harness.arguments import EnvCredentials
    from harness_nb.plans import Project
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import MessageRecord


class SessionVerbs(Opened):
    """The harness's verbs for sessions."""

    @hides_values
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
        env_credentials: EnvCredentials = None,
        resume: str | None = None,
        terminal: bool = True,
    ) -> AsyncSession:
        """Start a worker in a process of its own that outlives this one.

        A ``command`` is run as it is; a ``plan`` is assigned to the worker by itself, and its context is how the try
        before failed, and ``prompt``. ``env_credentials`` are in the worker's environment and masked in its output: a
        service that is looked up, as ``"postgres"`` or ``"postgres:production"``, several, or names and values.
        ``resume`` names a session to go on with. Without a ``terminal`` a command has pipes, and its output is kept
        byte for byte.

        Raises: UntrustedProjectError, ChangedCommandsError and UnknownPlanError for a plan, UnknownWorkerError,
        UnsuitableWorkerError, CommandNotFoundError, WorkingFolderNotFoundError, MissingCommandError, NotResumableError,
        UnusableArgumentError, CredentialsNotFoundError, CredentialsDeniedError.
        """
        self.answering.notice()
        words, given = command_of(command), params_of(params)
        env, (values, references) = environment_of("env", env), credentials_of(env_credentials)
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
        handed = await anyio.to_thread.run_sync(self.desk.broker.found_for_start, references, session)
        credentials = {**{name: value for one in handed for name, value in one.reveal().items()}, **values}
        self.desk.broker.redact.add(credentials)
        assignment = Assignment(
            plan=found, prompt=prompt, command=words or (), params=given, task_type=task_type, terminal=terminal
        )

        def assign() -> None:
            allowed = zip(references, references.values(), handed, strict=True)
            if self._lone is not None and session.is_attempt:
                self._lone.claim(session.id)
            with self.store.journal.write():  # all of it or nothing: where the journal is busy it is done anew
                self.desk.broker.write_down_start(session, allowed, self.actor, self.door)
                if found is not None and project is not None:
                    told, now = words_along(self.store, earlier, prompt), self.store.clock()
                    message = task_message(self.store.new_id(), session, found, project.spec_dir, told, now)
                    self.store.messages.send(message, actor=self.actor, door=self.door, with_start=True)
            if project is not None:
                # before the worker starts, so that others find its files among the active ones
                with suppress(OSError, errors.HarnessError):
                    publish_state(self.store, project)

        await self._host.start(
            session, assignment, env=env, credentials=credentials, before_launch=assign,
            actor=self.actor, door=self.door,
        )  # fmt: skip
        self.answer_for(session.id)
        return AsyncSession(self._whole, session.id)

    async def _resume(self, session_id: str) -> AsyncSession:
        record = await anyio.to_thread.run_sync(self.store.sessions.get, session_id)
        if not record.live:
            raise errors.NotResumableError(session_id, record.worker)
        return AsyncSession(self._whole, session_id)

    async def assign(self, session_id: str, plan: str, context: str | None = None) -> MessageRecord:
        """Give a session a plan.

        Raises: UnknownPlanError, SessionNotFoundError, UntrustedProjectError, ChangedCommandsError.
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

    def _plan_named(self, name: str | None) -> tuple[Project | None, Plan | None]:
        if name is None:
            return None, None
        project = open_project(self.store)
        if project.plans and not self.trusted:
            raise errors.UntrustedProjectError(self.root)
        plan = project.plan(name)
        if plan is None:
            raise errors.UnknownPlanError(name, [one.id for one in project.plans])
        require_trusted(self.root, [commands_of(plan)], self.desk.broker.redact)
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
        return AsyncSession(self._whole, session_id)

    async def list_sessions(self, state: str | None = None) -> list[AsyncSession]:
        """Return all sessions, or those in a state, oldest first.

        Raises: UnknownStateError.
        """
        wanted = states_of(state)
        found = await anyio.to_thread.run_sync(self.store.sessions.ids, wanted)
        return [AsyncSession(self._whole, one) for one in found]

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
