"""Seeing to it that nothing of a plan is executed that its user did not trust, word for word.

Whoever works in a project may write its plans, or change them, between a person's yes and the moment that they start.
So each plan is looked at in that moment. What is checked is the very plan that is handed on, and never the file once
more: of a file nobody knows what it will say when it is read again.

A run keeps the plans that it began with as long as what they execute is trusted. Where it is not, since the person has
changed a plan and said yes to that while the run goes on, the plan's file counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.plans import read_again
from harness_nb.protocol.commands import commands_of
from harness_nb.store.trust import read_trust, require_trusted

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.plans import Project
    from harness_nb.protocol.plans import Plan


class TrustedCommands:
    """What of one project may be executed now; plans that are written in Python are their writer's own word."""

    def __init__(self, project: Project, redact: Callable[[str], str] = str) -> None:
        self._project = project
        self._redact = redact

    def to_start(self, plan: Plan) -> Plan:
        """Return the plan that may be started now: this one, or what its file says; the file must be trusted, too.

        Raises: ChangedCommandsError, UntrustedProjectError.
        """
        if self._project.spec is None:
            return plan
        written = read_again(self._project, plan)
        require_trusted(self._project.root, [commands_of(written)], self._redact)
        return plan if self._is_trusted(plan) else written

    def to_judge(self, plan: Plan) -> Plan:
        """Return the plan that may be judged by now: this one, else what its file says.

        Raises: ChangedCommandsError, UntrustedProjectError.
        """
        if self._project.spec is None or self._is_trusted(plan):
            return plan
        written = read_again(self._project, plan)
        require_trusted(self._project.root, [commands_of(written)], self._redact)
        return written

    def _is_trusted(self, plan: Plan) -> bool:
        trust = read_trust(self._project.root)
        return trust is not None and trust.covers(commands_of(plan))
