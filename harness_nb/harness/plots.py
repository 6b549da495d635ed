"""The plots that a project and a run can be asked for; each reads documents and journal, so in a worker thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.harness.state import open_project, read_state
from harness_nb.protocol.outcome import PlanOutcome
from harness_nb.views.gantt_chart import gantt_plot
from harness_nb.views.graph import graph_plot
from harness_nb.views.snapshot import plan_lines

if TYPE_CHECKING:
    from harness_nb.harness.handles import AsyncRun
    from harness_nb.store import Store
    from harness_nb.views.picture import Plot


def graph_of_project(store: Store) -> Plot:
    """Return the plan graph of a project, with where documents and journal say that each plan stands."""
    project = open_project(store)
    outcomes = [PlanOutcome.of(one) for one in read_state(store, project).plans]
    return graph_plot(project, plan_lines(store, outcomes))


def graph_of_run(run: AsyncRun) -> Plot:
    """Return the plan graph as a run has it: its plans, and the others of their project."""
    return graph_plot(run.project, plan_lines(run.harness.store, run.outcomes))


def gantt_of_run(run: AsyncRun) -> Plot:
    """Return the Gantt of a run, until now or its end."""
    store = run.harness.store
    return gantt_plot(store, run.record, run.project, store.clock())
