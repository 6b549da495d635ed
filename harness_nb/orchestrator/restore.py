"""Finding out from documents and journal where every plan of a run stands, however the run was left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness_nb.orchestrator.progress import PlanProgress
from harness_nb.protocol.report import Report
from harness_nb.sessions import DRIVERS, driver_named, result_of
from harness_nb.sessions.proof import is_fresh, is_to_come
from harness_nb.sessions.starting import NEVER_STARTED, give_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_nb.plans.project import Project
    from harness_nb.protocol.files import Config
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import RunRecord, SessionRecord
    from harness_nb.store import Store


STOPPED = "ended by stop"
"""Why a session failed that was ended with its run."""
LOOK_AGAIN = 0.02


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


def retry_context(store: Store, failed: SessionRecord) -> str:
    """Return what the next attempt is told of the one before: why it failed, and what was suggested to mend that."""
    result = result_of(store, failed.id)
    suggestion = f"\n{result.suggestion}" if result is not None and result.suggestion else ""
    return f"The attempt before failed: {failed.reason}{suggestion}"


def retry_delay(config: Config, attempts: int) -> float:
    """Return the seconds between a failure and the next try, after so many: each time twice as long."""
    return float(config.retry_delay * 2 ** (attempts - 1))


def was_aborted(store: Store, session_id: str) -> bool:
    """Say whether a try was told to stop its task."""
    return any(message.type == "abort_task" for message in store.messages.select(session_id, direction="out"))


def earlier_attempts(store: Store, plan_id: str) -> list[SessionRecord]:
    """Return the tries at a plan so far, oldest first."""
    return [one for one in store.sessions.select(plan_id=plan_id) if one.worker != "python"]


def words_along(store: Store, earlier: Sequence[SessionRecord], prompt: str | None) -> str | None:
    """Return what a try is told besides its plan: how the one before failed, and what whoever starts it says."""
    failed = [one for one in earlier[-1:] if "failed" in (one.state, one.verdict)]
    return "\n".join(filter(None, (*(retry_context(store, one) for one in failed), prompt))) or None


def await_launches(store: Store, run_id: str) -> None:
    """Wait for the sessions that another process was just starting, and give up those that do not come in time.

    Only for whoever holds the lease: nobody else starts sessions of this run any more, and who tries is too late.
    """
    while coming := [one for one in store.sessions.select(run_id=run_id, live=True) if _is_to_come(store, one)]:
        for one in coming:
            if not is_fresh(store, one):
                give_up(store, one)
        time.sleep(LOOK_AGAIN)


def _is_to_come(store: Store, session: SessionRecord) -> bool:
    try:
        return session.worker != "python" and is_to_come(store, session)
    except OSError:  # nothing can be proved of it
        return False


class _Restoration:
    def __init__(self, store: Store, project: Project, record: RunRecord, config: Config) -> None:
        self.store = store
        self.project = project
        self.record = record
        self.config = config

    def plans(self) -> dict[str, PlanProgress]:
        options = self.record.options
        again = set(options.plans or ()) or {plan.id for plan in self.project.plans}
        held = self.project.graph.held(self.project.completed - (again if options.again else set()))
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
        attempts = [one for one in every if one.is_attempt and one.reason != NEVER_STARTED]
        ours = [one for one in attempts if one.run_id == self.record.id or one.live]
        if ours:
            progress.attempts = ours
            self._restore_attempt(progress, ours[-1])
        elif attempts and not self._fresh(progress):
            last = attempts[-1]
            if last.verdict in ("passed", "unverified"):
                self._mark_earlier(progress, last)
            elif last.verdict is None and last.state == "completed" and last.run_id is not None:
                progress.attempts = [last]  # an earlier run was stopped before it could judge this
                self._restore_attempt(progress, last)
        elif done_before and not self._fresh(progress):
            progress.state, progress.earlier = "complete", True
            progress.verified = progress.plan.id in self.project.verified_plans or None

    def _fresh(self, progress: PlanProgress) -> bool:
        return progress.selected and self.record.options.again

    def _mark_earlier(self, progress: PlanProgress, last: SessionRecord) -> None:
        progress.state, progress.earlier, progress.by_verdict = "complete", True, True
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
            progress.state, progress.context = "waiting", retry_context(self.store, last)
            progress.pause = self._left_of_delay(last, len(progress.attempts))
        else:
            progress.state = "aborted" if self._was_aborted(last) else "failed"
            progress.reason = last.reason or "verification failed"
            progress.verified = False if last.report else None

    def _may_retry(self, last: SessionRecord) -> bool:
        result = result_of(self.store, last.id)
        return last.state == "failed" and bool(result and result.recoverable)

    def _was_aborted(self, last: SessionRecord) -> bool:
        if last.state != "failed" or self._may_retry(last):
            return False
        stopped = self.record.stopping and last.reason == STOPPED
        return stopped or was_aborted(self.store, last.id)

    def _left_of_delay(self, last: SessionRecord, attempts: int) -> float:
        delay = retry_delay(self.config, attempts)
        gone = (self.store.clock() - (last.ended_at or last.created_at)).total_seconds()
        return min(delay, max(0.0, delay - gone))
