"""Any program on a terminal: it may speak the protocol by files, by ``harness-nb worker``, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness_nb.errors import MissingCommandError
from harness_nb.sessions.drivers.base import Assignment, Start

if TYPE_CHECKING:
    from harness_nb.protocol.plans import Plan


class CommandDriver:
    """Starts a command as it is given; with a plan, the plan's name and path are in its environment."""

    name = "command"
    resumes: str | None = None

    def refusal(self, plan: Plan) -> str | None:
        """A command does what it is told, which is not the plan."""
        return (
            f"{plan.id}: the command worker has no command for a plan. Start it yourself with "
            f"start_session(command=[…], plan={plan.id!r}), or choose worker='runbook'."
        )

    def start(self, assignment: Assignment) -> Start:
        """Return the command itself."""
        if not assignment.command:
            raise MissingCommandError
        env = parameters(assignment)
        if assignment.plan is not None:
            env |= {"HARNESS_PLAN": assignment.plan.id, "HARNESS_PLAN_PATH": assignment.plan.path or ""}
        return Start(tuple(os.fspath(part) for part in assignment.command), env, assignment.terminal)

    def resume(self, assignment: Assignment) -> Start | None:  # noqa: ARG002 — what every driver is asked
        """Return None: nobody knows what a command has done already."""
        return None


def parameters(assignment: Assignment) -> dict[str, str]:
    """Return the run's parameters as environment variables: ``city`` becomes ``HARNESS_PARAM_CITY``."""
    return {f"HARNESS_PARAM_{name.upper()}": str(value) for name, value in assignment.params.items()}
