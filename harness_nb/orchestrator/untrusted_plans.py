"""The plans of a run that are held because what they execute is not what their user trusted.

The others go on. Once something else is trusted, in whatever process, those that were held are looked at anew.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from harness_nb.errors import ChangedCommandsError, UntrustedProjectError
from harness_nb.orchestrator.trusted_commands import TrustedCommands
from harness_nb.orchestrator.verdicts import say
from harness_nb.sessions import driver_named
from harness_nb.store.trust import mark_of_trust

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.plans.project import Project
    from harness_nb.protocol.plans import Plan
    from harness_nb.store import Store

T = TypeVar("T")

_HOW_TO_GO_ON = "h.trust(), or `harness-nb trust`, shows them and lets them run"
CHANGED_REASON = f"its commands changed since you trusted them: {_HOW_TO_GO_ON}"
"""Why a plan is held that executes something else than what was trusted."""
_REMOVED_REASON = f"this project is not trusted any more: {_HOW_TO_GO_ON}"
UNTRUSTED = "commands_untrusted"
"""The event that says that a plan is held for its commands; what they are is not in the journal."""


def reason_of(error: UntrustedProjectError) -> str:
    """Return, as a reason for a plan that is held, why its commands may not run."""
    return CHANGED_REASON if isinstance(error, ChangedCommandsError) else _REMOVED_REASON


class UntrustedPlans:
    """Looks at the plans of one run in the moment that they start, and when they are judged."""

    def __init__(self, store: Store, project: Project, redact: Callable[[str], str], run_id: str) -> None:
        self._store = store
        self._root = project.root
        self._run_id = run_id
        self._trusted = TrustedCommands(project, redact)
        self._mark = mark_of_trust(self._root)

    async def may_start(self, progress: PlanProgress) -> bool:
        """Say whether a plan's commands may run as they are now; else it is held."""

        async def look(plan: Plan) -> Plan:
            return await anyio.to_thread.run_sync(self._trusted.to_start, plan)

        plan = await self.unless(progress, look)
        if plan is None:
            return False
        if plan is not progress.plan:
            progress.plan, refusal = plan, driver_named(str(progress.worker)).refusal(plan)
            if refusal is not None:
                progress.state, progress.reason, progress.refusal = "held", refusal, refusal
                return False
        return True

    async def unless(self, progress: PlanProgress, step: Callable[[Plan], Awaitable[T]]) -> T | None:
        """Return what comes of a step with a plan, or None where that is held because its commands are not trusted."""
        while True:
            before = mark_of_trust(self._root)
            try:
                return await step(progress.plan)
            except UntrustedProjectError as error:
                if mark_of_trust(self._root) == before:  # else somebody said yes just now, and nobody would look again
                    await self._hold(progress, error)
                    return None

    async def _hold(self, progress: PlanProgress, error: UntrustedProjectError) -> None:
        reason = reason_of(error)
        progress.state, progress.reason, progress.refusal, progress.untrusted = "held", reason, reason, True
        tell = partial(say, self._store, UNTRUSTED, reason, self._run_id, progress.plan.id)
        await anyio.to_thread.run_sync(tell)

    def released(self, plans: Iterable[PlanProgress]) -> list[PlanProgress]:
        """Return the plans that are held no longer, since something else is trusted than at the last look."""
        before, self._mark = self._mark, mark_of_trust(self._root)
        found = [one for one in plans if one.untrusted] if self._mark != before else []
        for one in found:
            one.untrusted, one.refusal, one.state = False, None, "waiting"
        return found
