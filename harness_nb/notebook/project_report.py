"""A project as if it were a run, from documents and journal: for runs of other processes, and when nothing runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness_nb.harness.state import open_project, read_state
from harness_nb.plans import Project, build_graph
from harness_nb.protocol.outcome import PlanOutcome, RunReport
from harness_nb.protocol.plans import Plan
from harness_nb.store.locks import is_held

if TYPE_CHECKING:
    from harness_nb.store import Store

READ_AGAIN = 2.0
"""Seconds between two readings of a project's documents at least."""


class ProjectReport:
    """Where each plan stands: by the journal at each look, and by documents that are read now and then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._report: RunReport | None = None
        self._known: tuple[int, bool] | None = None
        self.last: RunReport | None = None
        """How the newest run ended, unless one goes on."""
        self.again: float | None = None
        """Seconds until the documents may be read again, None where the last report read them itself."""
        self._read()

    def _read(self) -> None:
        self._documents, self._when = open_project(self._store), time.monotonic()
        self.project = _with_given_plans(self._store, self._documents)

    @property
    def report(self) -> RunReport:
        """Where each plan stands."""
        left = READ_AGAIN - (time.monotonic() - self._when)
        self.again = left if left > 0 else None
        if left <= 0:
            self._read()
        known = self._store.events.last, is_held(self._store.layout.lease)  # taken first: what comes later is not lost
        if self._report is None or left <= 0 or known != self._known:
            self._report, self._known = self._now(), known
        return self._report

    def _now(self) -> RunReport:
        self.project = _with_given_plans(self._store, self._documents)
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


def _with_given_plans(store: Store, documents: Project) -> Project:
    """Return the documents, or the plans that a run was given instead: the one that goes on, or the newest."""
    run = store.runs.unfinished() or (None if documents.plans else store.runs.newest())
    if run is None or not run.options.inline_plans:
        return documents
    plans = tuple(Plan.model_validate(one) for one in run.options.inline_plans)
    return Project(root=store.layout.root, plans=plans, graph=build_graph(plans))
