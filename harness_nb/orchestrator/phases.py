"""The own checks of a run's phases: when they are due, and what they found.

A later plan may break what an earlier one did, so what the plans of a phase check is checked again for all of them
together, once all are complete; what waits for that phase begins only when these checks have passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import RunTakenOverError
from harness_nb.orchestrator.verdicts import say
from harness_nb.protocol.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from harness_nb.orchestrator.judging import Judge
    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.orchestrator.scheduler import Gate
    from harness_nb.plans.project import Project
    from harness_nb.protocol.records import EventRecord
    from harness_nb.store import Store

PHASE_CHECKED = "phase_checked"
"""The event that says what a phase's own checks found."""


class PhaseChecks:
    """The checks of one run's phases; without ``required`` none are run.

    ``gates`` says where the checks of each phase stand, and ``reports`` what those found that this run has done.
    """

    def __init__(self, store: Store, project: Project, judge: Judge, run_id: str, *, required: bool) -> None:
        self.gates: dict[str, Gate] = {}
        self.reports: dict[str, Report] = {}
        self._store = store
        self._project = project
        self._judge = judge
        self._run_id = run_id
        self._required = required
        self._plans: Mapping[str, PlanProgress] = {}

    @property
    def passed(self) -> bool:
        """Whether no phase's checks failed, and none are still to be run."""
        return not {"failed", "due"} & set(self.gates.values())

    def take_up(self, plans: Mapping[str, PlanProgress]) -> None:
        """Find out from the journal which phases of a run's plans are still to be checked."""
        self._plans = plans
        settled = self._settled()
        self.reports = {phase: report for phase, report in settled.items() if report is not None}
        for phase in self._phases_that_matter():
            if phase not in settled and any(one.judged for one in self._members(phase)):
                self.open_gate(phase)

    def open_gate(self, phase: str) -> None:
        """Have a phase's own checks run once all of its plans are complete."""
        members = self._members(phase)
        has_checks = any(self._judge.phase_manifest(one.plan).must_pass for one in members)
        if self._required and has_checks:
            self.gates[phase] = "due" if all(one.state == "complete" for one in members) else "open"

    def begin(self, phase: str) -> None:
        """Note that a phase's checks are about to run, so that nobody begins them twice."""
        self.gates[phase] = "checking"

    async def check(self, phase: str, until_stop: AbstractContextManager[anyio.CancelScope]) -> None:
        """Run a phase's own checks; where ``until_stop`` ends them they stay due.

        Raises: RunTakenOverError.
        """
        try:
            with until_stop as scope:
                report = await self._judge.phase(phase, [one.plan for one in self._members(phase)])
            if scope.cancelled_caught:
                self.gates[phase] = "due"
                return
        except RunTakenOverError:
            raise
        except Exception as error:
            report = self._judge.unchecked(phase, error)
        try:
            await self._write_down(phase, report)
        finally:
            self.reports[phase] = report
            self.gates[phase] = "open" if report.passed else "failed"

    async def _write_down(self, phase: str, report: Report) -> None:
        def write() -> None:
            say(
                self._store, PHASE_CHECKED, "", self._run_id,
                phase=phase, passed=report.passed, report=report.to_wire(),
            )  # fmt: skip

        await anyio.to_thread.run_sync(write)

    def _members(self, phase: str) -> list[PlanProgress]:
        return [one for one in self._plans.values() if one.plan.phase == phase]

    def _phases_that_matter(self) -> dict[str, None]:
        """The phases of this run's plans, and those that they wait for."""
        found: dict[str, None] = {}
        for one in self._plans.values():
            if one.selected:
                found[one.plan.phase] = None
                before = self._project.graph.dependencies_of(one.plan.id)
                found |= {self._plans[name].plan.phase: None for name in before if name in self._plans}
        return found

    def _settled(self) -> dict[str, Report | None]:
        """Return the phases whose own checks passed after all that was judged there, with the reports of this run.

        One that was checked in an earlier run stays settled and has no report in this one.
        """
        phase_of = {plan.id: plan.phase for plan in self._project.plans}
        judged: dict[str, int] = {}
        checked: dict[str, EventRecord] = {}
        for event in self._store.events.select(kind="judged"):
            judged[phase_of.get(str(event.plan_id), "")] = event.seq
        for event in self._store.events.select(kind=PHASE_CHECKED):
            checked[event.data["phase"]] = event
        return {
            phase: Report.model_validate(event.data["report"]) if event.run_id == self._run_id else None
            for phase, event in checked.items()
            if event.data["passed"] and event.seq > judged.get(phase, 0)
        }
