"""The plots that a project and a run can be asked for; each reads documents and journal, so in a worker thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.harness.state import open_project, read_state
from harness_nb.protocol.outcome import PlanOutcome
from harness_nb.views.gantt_chart import gantt_plot
from harness_nb.views.graph import graph_plot
from harness_nb.views.snapshot import plan_lines

if TYPE_CHECKING:
    from harness_nb.orchestrator.run import Runner
    from harness_nb.store import Store
    from harness_nb.views.picture import Plot


def graph_of_project(store: Store) -> Plot:
    """Return the plan graph of a project, with where documents and journal say that each plan stands."""
    project = open_project(store)
    outcomes = [PlanOutcome.of(one) for one in read_state(store, project).plans]
    return graph_plot(project, plan_lines(store, outcomes))


def graph_of_run(runner: Runner) -> Plot:
    """Return the plan graph as a run has it: its plans, and the others of their project."""
    outcomes = [one.outcome() for one in list(runner.plans.values())]
    return graph_plot(runner.project, plan_lines(runner.store, outcomes))


def gantt_of_run(runner: Runner) -> Plot:
    """Return the Gantt of a run, until now or its end."""
    return gantt_plot(runner.store, runner.record, runner.project, runner.store.clock())
