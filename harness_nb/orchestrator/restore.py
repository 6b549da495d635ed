"""Finding out from documents and journal where every plan of a run stands, however the run was left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.orchestrator.progress import PlanProgress
from harness_nb.protocol.report import Report
from harness_nb.sessions import DRIVERS, driver_named, result_of

if TYPE_CHECKING:
    from harness_nb.plans.project import Project
    from harness_nb.protocol.files import Config
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import RunRecord, SessionRecord
    from harness_nb.store import Store


def restore(store: Store, project: Project, record: RunRecord, config: Config) -> dict[str, PlanProgress]:
    """Return each plan of the project as it stands: adopted, to be judged, complete, failed or still to do.

    Raises: UnknownWorkerError.
    """
    return _Restoration(store, project, record, config).plans()


def choose_worker(plan: Plan, named: str | None) -> tuple[str | None, str | None]:
    """Return which worker does a plan, or a sentence that says why none can.

    Without a name a plan goes to the runbook, where each automatic task has a run block.

    Raises: UnknownWorkerError.
    """
    driver = driver_named(named) if named is not None else DRIVERS["runbook"]
    refusal = driver.refusal(plan)
    return (None, refusal) if refusal else (driver.name, None)


class _Restoration:
    def __init__(self, store: Store, project: Project, record: RunRecord, config: Config) -> None:
        self.store = store
        self.project = project
        self.record = record
        self.config = config

    def plans(self) -> dict[str, PlanProgress]:
        options = self.record.options
        held = self.project.graph.held(() if options.again else self.project.completed)
        found = {}
        for plan in self.project.plans:
            progress = PlanProgress(plan, selected=options.plans is None or plan.id in options.plans)
            progress.worker, refusal = choose_worker(plan, options.worker or self.config.worker)
            progress.refusal = held.get(plan.id) or refusal
            self._restore(progress)
            found[plan.id] = progress
        return found

    def _restore(self, progress: PlanProgress) -> None:
        done_before = progress.plan.id in self.project.completed
        every = self.store.sessions.select(plan_id=progress.plan.id)
        attempts = [one for one in every if one.task_type in ("execute", "research") and one.worker != "python"]
        ours = [one for one in attempts if one.run_id == self.record.id or one.live]
        if ours:
            progress.attempts = ours
            self._restore_attempt(progress, ours[-1])
        elif attempts and not self._fresh(progress):
            last = attempts[-1]
            if last.verdict in ("passed", "unverified"):
                self._mark_earlier(progress, last)
        elif done_before and not self._fresh(progress):
            progress.state, progress.earlier = "complete", True
            progress.verified = progress.plan.id in self.project.verified_plans or None

    def _fresh(self, progress: PlanProgress) -> bool:
        return progress.selected and self.record.options.again

    def _mark_earlier(self, progress: PlanProgress, last: SessionRecord) -> None:
        progress.state, progress.earlier = "complete", True
        progress.verified = True if last.verdict == "passed" else None
        progress.report = Report.model_validate(last.report) if last.report else None

    def _restore_attempt(self, progress: PlanProgress, last: SessionRecord) -> None:
        progress.worker = last.worker
        progress.report = Report.model_validate(last.report) if last.report else None
        if last.live or last.verdict is None:
            progress.state = "running"  # seen through from here: adopted, or judged now
        elif last.verdict in ("passed", "unverified"):
            progress.state, progress.verified = "complete", True if last.verdict == "passed" else None
        elif len(progress.attempts) <= self.config.max_retries and self._may_retry(last):
            progress.state = "waiting"
        else:
            progress.state, progress.reason = "failed", last.reason or "verification failed"
            progress.verified = False if last.state == "completed" else None

    def _may_retry(self, last: SessionRecord) -> bool:
        result = result_of(self.store, last.id)
        return last.state == "failed" and bool(result and result.recoverable)
