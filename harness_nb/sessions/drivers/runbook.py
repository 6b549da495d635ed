"""The built-in worker: does a plan by its own ``<run>`` blocks and asks at its checkpoints; needs no login."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness_nb.errors import MissingPlanError
from harness_nb.sessions.drivers.base import Assignment, Start
from harness_nb.sessions.drivers.command import parameters

if TYPE_CHECKING:
    from harness_nb.protocol.plans import Plan, Task


class RunbookDriver:
    """Starts this package's own runner on a plan."""

    name = "runbook"
    resumes: str | None = "at the task that it was at; what it completed is not done again"

    def refusal(self, plan: Plan) -> str | None:
        """A task that is neither a checkpoint nor has a run block can be done by nobody here."""
        where = plan.path or plan.id
        if not plan.tasks:
            return (
                f"{plan.id}: {where} has no <task>, so the runbook worker has nothing to do. "
                f"Add tasks with <run> blocks, or {_instead(plan)}."
            )
        if unanswerable := next((task for task in plan.tasks if not task.is_answerable), None):
            decides = unanswerable.checkpoint == "decision"
            what, lacks = ("a decision", "<option>") if decides else ("credentials", "<service>")
            return (
                f"{plan.id}: {_place(plan, unanswerable)}: task {unanswerable.name!r} asks for {what} "
                f"and has no {lacks}, so nobody could answer it. Add one, or give the task another type."
            )
        undoable = plan.tasks_without_run
        if not undoable:
            return None
        first = undoable[0]
        others = f" (nor have {len(undoable) - 1} more)" if len(undoable) > 1 else ""
        return (
            f"{plan.id}: {_place(plan, first)}: task {first.name!r} has no <run> block{others}, "
            f"so the runbook worker cannot do it. Add one, or {_instead(plan)}."
        )

    def start(self, assignment: Assignment) -> Start:
        """Return the runner's command line; it finds the plan in ``assignment.json``.

        Raises: MissingPlanError.
        """
        if assignment.plan is None:
            raise MissingPlanError(self.name)
        env = {**parameters(assignment), "PYTHONUNBUFFERED": "1", "HARNESS_PLAN": assignment.plan.id}
        return Start((sys.executable, "-m", "harness_nb.sessions.runbook"), env)

    def resume(self, assignment: Assignment) -> Start | None:
        """Return the same command line: the runner passes over what its session has said to be done."""
        return self.start(assignment)


def _instead(plan: Plan) -> str:
    return f"hand the plan to a program of yours: start_session(plan={plan.id!r}, command=[…])"


def _place(plan: Plan, task: Task) -> str:
    where = plan.path or plan.id
    return f"{where}:{task.line}" if task.line else where
