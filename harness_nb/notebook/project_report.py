"""A project as if it were a run, from documents and journal: for runs of other processes, and when nothing runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness_nb.harness.state import open_project, read_state
from harness_nb.plans import Project, build_graph
from harness_nb.protocol.outcome import PlanOutcome, RunReport
from harness_nb.protocol.plans import Plan

if TYPE_CHECKING:
    from harness_nb.store import Store

READ_AGAIN = 2.0
"""Seconds between two readings of a project's documents at least."""


class ProjectReport:
    """Where each plan stands, by documents and journal."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read = 0.0
        self._report: RunReport | None = None
        self.last: RunReport | None = None
        """How the newest run ended, unless one goes on."""
        self.project = _project_now(store)

    @property
    def report(self) -> RunReport:
        """Where each plan stands."""
        if self._report is None or time.monotonic() - self._read > READ_AGAIN:
            self._report, self._read = self._now(), time.monotonic()
        return self._report

    def _now(self) -> RunReport:
        self.project = _project_now(self._store)
        state = read_state(self._store, self.project)
        newest = self._store.runs.newest()
        self.last = RunReport.model_validate(newest.report) if newest and newest.ended_at and newest.report else None
        at_work = any(one.state in ("running", "verifying") for one in state.plans)  # also those that are of no run
        return RunReport(
            run_id=state.run_id or "",
            state="running" if state.holder or at_work else "idle",
            passed=False,
            plans=tuple(PlanOutcome.of(one) for one in state.plans),
        )


def _project_now(store: Store) -> Project:
    """Return what the documents say, or the plans that a run was given instead: the one that goes on, or the newest."""
    project = open_project(store)
    run = store.runs.unfinished() or (None if project.plans else store.runs.newest())
    if run is None or not run.options.inline_plans:
        return project
    plans = tuple(Plan.model_validate(one) for one in run.options.inline_plans)
    return Project(root=store.layout.root, plans=plans, graph=build_graph(plans))
