"""What a call of ``run()`` means: its options, the plans it is about, and whether it goes on with an unfinished run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from harness_nb import errors
from harness_nb.harness.arguments import max_parallel_of, params_of, plans_of, policies_of
from harness_nb.harness.state import open_project
from harness_nb.orchestrator import Runner
from harness_nb.plans import Project, build_graph
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.plans import Plan
from harness_nb.protocol.records import RunOptions
from harness_nb.sessions import driver_named
from harness_nb.store.locks import acquire, note_of, release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness_nb.orchestrator import Desk
    from harness_nb.protocol.files import Policy
    from harness_nb.sessions.host import SessionHost
    from harness_nb.store import Store


def options_of(
    plans: Sequence[str | Plan] | None,
    *,
    worker: str | None,
    max_parallel: int | None,
    params: Mapping[str, Any] | None,
    again: bool,
    policies: Sequence[Policy],
    attended: bool | None = None,
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
    )


def prepare_run(host: SessionHost, desk: Desk, options: RunOptions, door: str) -> Runner:
    """Take the project's lease and return what does the run: a new one, or the unfinished one that is meant.

    Raises: SecondRunError, NoPlansError, UnknownPlanError, UnknownWorkerError, UnreadableFileError.
    """
    store = host.store
    lease = store.layout.lease
    note = {"door": door, "pid": os.getpid(), "since": format_timestamp(store.clock())}
    if not acquire(lease, note):
        raise errors.SecondRunError(store.layout.root, note_of(lease))
    try:
        project = _project_of(store, options)
        if (configured := store.config().worker) is not None:
            driver_named(configured)
        exact = _exact(options, project)
        record = store.runs.unfinished()
        if record is not None and _goes_on(record.options, exact):
            record = record.replace(options=_with_news(record.options, exact))
        else:
            if record is not None:
                store.runs.end(record.id, "stopped")
            store.write_default_config()
            record = store.runs.create(f"run-{store.new_id()[:8]}", exact)
        return Runner(host, desk, project, record)
    except BaseException:
        release(lease)
        raise


def _project_of(store: Store, options: RunOptions) -> Project:
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
    )
