"""Showing where a run stands: in the journal for whoever watches it, and in the project's files for everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from harness_nb.errors import HarnessError, RunTakenOverError
from harness_nb.orchestrator.progress import Publisher
from harness_nb.orchestrator.verdicts import say
from harness_nb.store.troubles import sentence_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.plans.project import Project
    from harness_nb.protocol.report import Report
    from harness_nb.store import Store


class Showing:
    """Shows the plans and phases of one run, and remembers what it has shown: only what is new is written."""

    def __init__(self, store: Store, project: Project, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._publisher = Publisher(store, project)
        self._shown: dict[str, object] = {}

    async def show(self, plans: Mapping[str, PlanProgress], phases: Mapping[str, Report]) -> None:
        """Show where everything stands; a view that cannot be written stops no work.

        Raises: RunTakenOverError.
        """
        try:
            await anyio.to_thread.run_sync(self._keep, plans, phases)
            await anyio.to_thread.run_sync(self._publisher.publish, plans)
        except RunTakenOverError:
            raise
        except (HarnessError, OSError) as error:
            if self._store.troubles.met("publishing", error):
                await self._say("publishing_failed", sentence_of(error))
        else:
            if self._store.troubles.over("publishing"):
                await self._say("published", "")

    def _keep(self, plans: Mapping[str, PlanProgress], phases: Mapping[str, Report]) -> None:
        """Keep in the journal what has changed of the plans and phases."""
        self._store.runs.require_lead()
        marks = {name: one.mark for name, one in plans.items()}
        changed = [name for name, mark in marks.items() if self._shown.get(name) != mark]
        checked = tuple(sorted(phases))
        if not changed and self._shown.get("") == checked:
            return
        news = [(plans[name].outcome(), plans[name].selected) for name in changed]
        reports = {name: report.to_wire() for name, report in phases.items()}
        self._store.runs.show(self._run_id, news, reports if self._shown.get("") != checked else None)
        self._shown |= {name: marks[name] for name in changed} | {"": checked}
        self._store.ring()

    async def _say(self, kind: str, reason: str) -> None:
        await anyio.to_thread.run_sync(say, self._store, kind, reason, self._run_id)
