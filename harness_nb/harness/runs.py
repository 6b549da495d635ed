"""What a call of ``run()`` means: its options, the plans it is about, and whether it goes on with an unfinished run."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from harness_nb import errors
from harness_nb.credentials import CredentialProvider
from harness_nb.harness.arguments import max_parallel_of, params_of, plans_of, policies_of
from harness_nb.harness.state import open_project
from harness_nb.orchestrator import Runner
from harness_nb.orchestrator.notifying import LIMIT
from harness_nb.plans import Project, build_graph
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.outcome import PlanOutcome
from harness_nb.protocol.plans import Plan
from harness_nb.protocol.records import RunOptions
from harness_nb.sessions import driver_named
from harness_nb.store.locks import acquire, is_held, note_of, release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness_nb.orchestrator import Desk
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.records import RunRecord
    from harness_nb.sessions.host import SessionHost
    from harness_nb.store import Store

LETTING_GO = 10.0 + 2 * LIMIT
"""Seconds that the process of a run that has ended is given to let go of the lease: it may still tell people of a
failure, and then of the end, at an address that does not reply."""


def options_of(
    plans: Sequence[str | Plan] | None,
    *,
    worker: str | None,
    max_parallel: int | None,
    params: Mapping[str, Any] | None,
    again: bool,
    policies: Sequence[Policy | PolicyFunction],
    attended: bool | None = None,
    credentials_dir: str | None = None,
) -> RunOptions:
    """Return a run's options as they are stored.

    Raises: UnknownWorkerError, UnusableArgumentError.
    """
    if worker is not None:
        driver_named(worker)
    chosen = plans_of(plans)
    return RunOptions(
        plans=tuple(one.id if isinstance(one, Plan) else one for one in chosen) if chosen is not None else None,
        worker=worker,
        max_parallel=max_parallel_of(max_parallel),
        params=params_of(params),
        again=again,
        policies=policies_of(policies),
        attended=attended,
        inline_plans=tuple(one.to_wire() for one in chosen or () if isinstance(one, Plan)),
        credentials_dir=credentials_dir,
    )


def prepare_run(
    host: SessionHost,
    desk: Desk,
    options: RunOptions,
    functions: Sequence[PolicyFunction] = (),
    *,
    actor: str,
    door: str,
) -> Runner:
    """Take the project's lease and return what does the run: a new one, or the unfinished one that is meant.

    Raises: SecondRunError, NoPlansError, UnknownPlanError, UnknownWorkerError, UnreadableFileError.
    """
    store = host.store
    take_lease(store, door)
    try:
        record, project = _enlist(store, options, detached=False, actor=actor, door=door)
        return Runner(host, desk, project, store.runs.lead(record.id, door=door), functions)
    except BaseException:
        release(store.layout.lease)
        raise


def enlist_run(store: Store, options: RunOptions, *, actor: str, door: str) -> RunRecord:
    """Write down a run for a process of its own: a new one, or the unfinished one that is meant.

    Raises: SecondRunError, NoPlansError, UnknownPlanError, UnknownWorkerError, UnreadableFileError.
    """
    take_lease(store, door)
    try:
        return _enlist(store, options, detached=True, actor=actor, door=door)[0]
    finally:
        release(store.layout.lease)


def join_run(store: Store, options: RunOptions, *, actor: str, door: str) -> RunRecord | None:
    """Return the run that is meant if a process of its own is doing it; how it goes on may be changed by that.

    Raises: NoPlansError, UnknownPlanError, UnreadableFileError.
    """
    if not is_held(store.layout.lease):
        return None
    record, exact = _meant(store, options)
    if record is None:
        return None
    news = _with_news(record.options, exact)
    if news == record.options:
        return record
    return store.runs.change_options(record.id, news, detached=True, actor=actor, door=door)


def is_begun(store: Store, options: RunOptions) -> bool:
    """Say whether the run that is meant is there, though nobody may do it yet.

    Raises: NoPlansError, UnknownPlanError, UnreadableFileError.
    """
    return _meant(store, options)[0] is not None


def _meant(store: Store, options: RunOptions) -> tuple[RunRecord | None, RunOptions]:
    exact = _exact(options, project_of(store, options))
    record = store.runs.unfinished()
    meant = record is not None and record.detached and not record.stopping and _goes_on(record.options, exact)
    return record if meant else None, exact


def take_up_run(host: SessionHost, desk: Desk, run_id: str, *, door: str) -> Runner | None:
    """Take the project's lease and return what does a run; None where another process is at it, or it has ended.

    Raises: UnknownRunError, NoPlansError, UnreadableFileError.
    """
    store = host.store
    if not acquire(store.layout.lease, _note(store, door)):
        return None
    try:
        record = store.runs.get(run_id)
        if record.state == "running":
            record = store.runs.lead(run_id, door=door)
            if record.options.credentials_dir is not None:
                desk.broker.use(CredentialProvider(record.options.credentials_dir))
            return Runner(host, desk, project_of(store, record.options), record)
    except BaseException:
        release(store.layout.lease)
        raise
    release(store.layout.lease)
    return None


def take_lease(store: Store, door: str) -> None:
    """Become the one that may do a run; whoever has only just ended one is given time to go.

    Raises: SecondRunError.
    """
    lease, until = store.layout.lease, time.monotonic() + LETTING_GO
    while not acquire(lease, _note(store, door)):
        if store.runs.unfinished() is not None or time.monotonic() > until:
            raise errors.SecondRunError(store.layout.root, note_of(lease))
        time.sleep(0.02)


def _note(store: Store, door: str) -> dict[str, Any]:
    return {"door": door, "pid": os.getpid(), "since": format_timestamp(store.clock())}


def _enlist(store: Store, options: RunOptions, *, detached: bool, actor: str, door: str) -> tuple[RunRecord, Project]:
    project = project_of(store, options)
    if (configured := store.config().worker) is not None:
        driver_named(configured)
    exact = _exact(options, project)
    record = store.runs.unfinished()
    if record is not None and not record.stopping and _goes_on(record.options, exact):
        news = _with_news(record.options, exact)
        return store.runs.change_options(record.id, news, detached=detached, actor=actor, door=door), project
    if record is not None and record.detached and record.trouble is None and not record.stopping:
        raise errors.SecondRunError(store.layout.root, {})  # its process is just starting, or being replaced
    if record is not None:
        store.runs.end(record.id, "stopped")
    store.write_default_config()
    name = f"run-{store.new_id()[:8]}"
    record = store.runs.create(name, exact, detached=detached, actor=actor, door=door)
    chosen = None if exact.inline_plans else exact.plans  # so that it can be drawn before anybody does it
    first = [(PlanOutcome(plan_id=one.id, title=one.title, phase=one.phase), one.id) for one in project.plans]
    store.runs.show(name, [(outcome, chosen is None or plan_id in chosen) for outcome, plan_id in first])
    return record, project


def project_of(store: Store, options: RunOptions) -> Project:
    """Return the plans that a run is about, and their graph.

    Raises: NoPlansError, UnknownPlanError, UnreadableFileError.
    """
    if options.inline_plans:
        plans = tuple(Plan.model_validate(one) for one in options.inline_plans)
        return Project(root=store.layout.root, plans=plans, graph=build_graph(plans))
    project = open_project(store)
    if not project.plans:
        raise errors.NoPlansError(store.layout.root)
    for name in options.plans or ():
        if project.plan(name) is None:
            raise errors.UnknownPlanError(name, [plan.id for plan in project.plans])
    return project


def _exact(options: RunOptions, project: Project) -> RunOptions:
    """Name plans as the project names them: ``3-2`` becomes ``03-02``."""
    if options.plans is None or options.inline_plans:
        return options
    return options.replace(plans=tuple(plan.id for name in options.plans if (plan := project.plan(name))))


def _goes_on(earlier: RunOptions, now: RunOptions) -> bool:
    """Whether a call means the unfinished run: it names nothing that differs from it."""
    return (
        now.plans in (None, earlier.plans)
        and now.worker in (None, earlier.worker)
        and now.inline_plans == earlier.inline_plans
        and (not now.params or now.params == earlier.params)
        and (not now.again or earlier.again)
    )


def _with_news(earlier: RunOptions, now: RunOptions) -> RunOptions:
    """What an unfinished run is to go on with: how many at a time and who answers may differ from before.

    Whoever knows whether somebody is there knows better than who began it; who does not know leaves it as it was.
    """
    return earlier.replace(
        max_parallel=now.max_parallel or earlier.max_parallel,
        policies=now.policies or earlier.policies,
        attended=earlier.attended if now.attended is None else now.attended,
        credentials_dir=now.credentials_dir or earlier.credentials_dir,
    )
