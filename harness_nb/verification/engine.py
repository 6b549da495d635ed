"""The engine: all checks of a manifest, side by side where they can be, to one report."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint_if_cancelled

from harness_nb.protocol.checks import CheckSpec, HumanCheck
from harness_nb.protocol.manifest import Manifest, parse_manifest
from harness_nb.protocol.report import CheckResult, Report
from harness_nb.verification import command_checks, files, http, system
from harness_nb.verification.attempts import Ask, Job, Judges, jobs_of, judge, make_result
from harness_nb.verification.registry import REGISTERED, CheckContext, Outcome, clash

if TYPE_CHECKING:
    import os

    from harness_nb.verification.shortening import Redact

OnProgress = Callable[[int, int, CheckResult], Awaitable[None] | None]
"""Called after each check with how many are done, how many there are, and the result."""

Checks = Manifest | Mapping[str, Any] | Sequence[CheckSpec | Mapping[str, Any]]

_log = logging.getLogger(__name__)

BUILT_IN = (command_checks, files, http, system)
"""The modules whose checks register themselves when they are imported."""

LOOK_AGAIN = 0.5
"""Seconds until an interrupt is noticed that came just before the waiting began: the system wakes nobody for that."""


class VerificationEngine:
    """Runs the checks of a manifest in a project and reports what they found.

    ``api_base_url`` and ``ui_base_url`` win over the manifest's own. ``environment`` is added to this process's
    environment, for ``env_var_set`` and for commands. ``on_playwright_required`` and ``on_human_required`` get a
    check that needs a browser or a person and return a bool, ``(bool, notes)`` or a ``CheckResult``; without
    them such a check does not pass. ``redact`` is applied to every error, output and note before it is kept.
    """

    def __init__(
        self,
        project_root: str | os.PathLike[str],
        *,
        api_base_url: str | None = None,
        ui_base_url: str | None = None,
        on_playwright_required: Ask | None = None,
        on_human_required: Ask | None = None,
        on_progress: OnProgress | None = None,
        max_concurrent: int = 4,
        environment: Mapping[str, str] | None = None,
        redact: Redact | None = None,
    ) -> None:
        if max_concurrent < 1:
            raise ValueError(f"max_concurrent is {max_concurrent}; at least one check must run at a time.")
        self.project_root = Path(project_root).expanduser().absolute()
        self.max_concurrent = max_concurrent
        self._api_base_url = api_base_url
        self._ui_base_url = ui_base_url
        self._judges = Judges(on_playwright_required, on_human_required, redact)
        self._on_progress = on_progress
        self._environment = dict(environment or {})

    def __repr__(self) -> str:
        return f"VerificationEngine({str(self.project_root)!r})"

    async def verify(self, manifest: Checks, target: str | None = None) -> Report:
        """Run all checks and return the report; cancelling it ends what it runs.

        A mapping is read as a manifest (a plan's frontmatter will do), a list as its ``must_pass``. Checks that
        clash over a port or a folder run in the manifest's order, one after the other. When a check that is
        ``critical`` fails, all that are not done are stopped and count as skipped.
        """
        read = manifest if isinstance(manifest, Manifest) else parse_manifest(manifest)
        context = CheckContext(
            project_root=self.project_root,
            api_base_url=self._api_base_url or read.api_base_url,
            ui_base_url=self._ui_base_url or read.ui_base_url,
            environment=self._environment,
        )
        run = _Run(jobs_of(read), context)
        started_at = datetime.now(UTC)
        await self._run_all(run)
        return Report.of(
            target or self.project_root.name or str(self.project_root),
            [result for result in run.results if result],
            started_at=started_at,
            completed_at=datetime.now(UTC),
            reason=run.stopped_because,
        )

    def run(self, manifest: Checks, target: str | None = None) -> Report:
        """Do what ``verify`` does and block until it is done, also where an event loop is running already.

        It runs on a loop in a thread of its own; an interrupt ends what it runs and then goes on to the caller.
        """
        with start_blocking_portal() as portal:
            future = portal.start_task_soon(self.verify, manifest, target)
            while not future.done():
                wait([future], LOOK_AGAIN)
            return future.result()

    async def _run_all(self, run: _Run) -> None:
        slots = anyio.CapacityLimiter(self.max_concurrent)
        async with anyio.create_task_group() as group:
            for index in range(len(run.jobs)):
                group.start_soon(self._run_one, run, index, slots, group.cancel_scope)
        for index, job in enumerate(run.jobs):
            if run.results[index] is None:
                outcome = Outcome(False, f"Skipped: {run.stopped_because}")
                await self._keep(run, index, make_result(job, outcome, self._judges.redact, skipped=True))

    async def _run_one(
        self, run: _Run, index: int, slots: anyio.CapacityLimiter, everything: anyio.CancelScope
    ) -> None:
        job = run.jobs[index]
        await run.wait_for_resources(index)
        if isinstance(job.spec, HumanCheck):  # a person who thinks keeps nobody from working
            result = await judge(job, run.context, self._judges)
        else:
            async with slots:
                await checkpoint_if_cancelled()  # a slot that a failed critical check gives free must not be used
                result = await judge(job, run.context, self._judges)
        if job.spec.critical and not result.passed and run.stopped_because is None:
            run.stopped_because = f"the critical check {job.spec.id!r} did not pass."
            everything.cancel()
        with anyio.CancelScope(shield=True):
            await self._keep(run, index, result)
        run.finished[index].set()

    async def _keep(self, run: _Run, index: int, result: CheckResult) -> None:
        run.results[index] = result
        if self._on_progress is None:
            return
        done = sum(one is not None for one in run.results)
        try:
            answer = self._on_progress(done, len(run.jobs), result)
            if inspect.isawaitable(answer):
                await answer
        except Exception:  # a broken display must not decide what a verification finds
            _log.exception("on_progress failed")


@dataclass
class _Run:
    """One verification on its way: the jobs in the manifest's order, and beside each what became of it."""

    jobs: list[Job]
    context: CheckContext
    stopped_because: str | None = None
    results: list[CheckResult | None] = field(init=False)
    finished: list[anyio.Event] = field(init=False)
    resources: list[tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.results = [None] * len(self.jobs)
        self.finished = [anyio.Event() for _ in self.jobs]
        self.resources = [self._resources_of(job) for job in self.jobs]

    def _resources_of(self, job: Job) -> tuple[str, ...]:
        registered = REGISTERED.get(job.spec.type)
        if registered is None or job.refusal:
            return ()
        try:
            return tuple(registered.resources(job.spec, self.context))
        except Exception:  # the check itself will say what is wrong
            _log.debug("the resources of %s are unknown", job.spec.id, exc_info=True)
            return ()

    async def wait_for_resources(self, index: int) -> None:
        """Wait for the earlier checks that need the same: the manifest's order, and never a deadlock."""
        mine = self.resources[index]
        for earlier in range(index if mine else 0):
            if clash(self.resources[earlier], mine):
                await self.finished[earlier].wait()
