"""Runs: beginning one, going on with one or joining it, here or in a process of its own."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from harness_nb import errors
from harness_nb.harness.arguments import functions_of, policies_of
from harness_nb.harness.detached import is_detached
from harness_nb.harness.handles import AsyncRun
from harness_nb.harness.leading import Leading
from harness_nb.harness.opened import Opened
from harness_nb.harness.runs import enlist_run, is_begun, join_run, options_of, prepare_run
from harness_nb.harness.state import open_project, read_state
from harness_nb.protocol.commands import commands_of
from harness_nb.store import require_workplace
from harness_nb.store.settings import unknown_settings
from harness_nb.store.trust import read_trust, require_trusted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness_nb.orchestrator import Runner
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import RunOptions, RunRecord

BEGINNING = 10.0
"""Seconds that another process is given which begins the same run at the same time."""
LOOK_AGAIN = 0.05


class RunVerbs(Opened):
    """The harness's verbs for runs."""

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

        Raises: UntrustedProjectError, ChangedCommandsError, SecondRunError, NoPlansError, UnknownPlanError,
        UnknownWorkerError, UnusableArgumentError, HolderFailedError.
        """
        self.require_open()
        functions = (*functions_of(policies), *self.answering.functions.functions)
        tie = "a policy is a function of this process" if functions else self.desk.broker.tie
        detached = is_detached(asked=detach, bound=tie)
        options = options_of(
            plans, worker=worker, max_parallel=max_parallel, params=params, again=again,
            policies=(*policies_of(policies), *self.answering.policies), attended=self.answering.notice(),
            credentials_dir=self.desk.broker.directory,
        )  # fmt: skip
        await anyio.to_thread.run_sync(require_workplace, self.store)
        await anyio.to_thread.run_sync(self._require_trust, options)
        joined = None if functions else await self._join(options)
        if joined is None:
            await anyio.to_thread.run_sync(self._require_trusted_commands, options)
        run = joined or await (self._detach(options) if detached else self._lead(options, functions))
        for text in await anyio.to_thread.run_sync(unknown_settings, self.store.layout):
            warnings.warn(text, errors.UnknownSettingWarning, stacklevel=2)
        self._run = run
        return run

    async def _join(self, options: RunOptions) -> AsyncRun | None:
        record = await self.announced(lambda: join_run(self.store, options, actor=self.actor, door=self.door))
        return AsyncRun(self._whole, record) if record is not None else None

    async def _detach(self, options: RunOptions) -> AsyncRun:
        until = anyio.current_time() + BEGINNING
        while True:
            try:
                record = await self.announced(lambda: enlist_run(self.store, options, actor=self.actor, door=self.door))
            except errors.SecondRunError:  # it may be this very one, which another process begins in this moment
                if joined := await self._join(options):
                    return joined
                begun = await anyio.to_thread.run_sync(is_begun, self.store, options)
                if not begun or anyio.current_time() > until:
                    raise
                await anyio.sleep(LOOK_AGAIN)
            else:
                await anyio.to_thread.run_sync(self.see_to, record)
                return AsyncRun(self._whole, record)

    async def _lead(self, options: RunOptions, functions: Sequence[PolicyFunction]) -> AsyncRun:
        def prepare() -> Runner:
            return prepare_run(self.host, self.desk, options, functions, actor=self.actor, door=self.door)

        runner = await anyio.to_thread.run_sync(prepare)
        self._leads = True
        leading = Leading(runner)
        try:
            self._open.start_soon(leading.drive, self.closed_by, self._let_go)
        except errors.HarnessError:  # it was closed meanwhile
            self._let_go()
            raise
        return AsyncRun(self._whole, runner.record, leading)

    def see_to(self, record: RunRecord) -> None:
        """Start a process that does a run which has not ended, unless one does it already.

        Raises: HolderFailedError.
        """
        self._takeover.start(record)

    async def see_through(self, record: RunRecord) -> None:
        """Have a process do a run which has not ended, and another one if that dies, while this harness is open.

        Raises: HolderFailedError.
        """
        await anyio.to_thread.run_sync(self.see_to, record)
        if not self._takes_over:
            self._takes_over = True
            self._open.start_soon(self._takeover.serve)

    @property
    def current_run(self) -> AsyncRun | None:
        """The newest run of this harness, or the project's one that a process of its own is doing."""
        if self._run is None or self._run.ended:
            record = self.store.runs.unfinished()
            if record is not None and record.detached and (self._run is None or self._run.id != record.id):
                self._run = AsyncRun(self._whole, record)
        return self._run

    def _require_trust(self, options: RunOptions) -> None:
        if self.trusted or options.inline_plans:
            return
        if not open_project(self.store).plans:
            raise errors.NoPlansError(self.root)
        raise errors.UntrustedProjectError(self.root)

    def _require_trusted_commands(self, options: RunOptions) -> None:
        """Make sure that whoever begins a run, or goes on with one, has trusted what its plans execute now.

        Each is looked at again in the moment that it starts.
        """
        if options.inline_plans:
            return
        project, trust = open_project(self.store), read_trust(self.root)
        changed = [one for one in project.plans if trust is None or not trust.covers(commands_of(one))]
        if not changed:
            return
        named = {plan.id for name in options.plans or () if (plan := project.plan(name))}
        done = {one.id for one in read_state(self.store, project).plans if one.state == "complete"}
        due = [one for one in changed if options.plans is None or one.id in named]
        require_trusted(
            self.root, [commands_of(one) for one in due if options.again or one.id not in done], self.desk.broker.redact
        )
