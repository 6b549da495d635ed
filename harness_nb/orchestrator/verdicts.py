"""What becomes of an attempt once it was judged: verdict, summary and commit."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import anyio.to_thread

from harness_nb.errors import HarnessError

if TYPE_CHECKING:
    from harness_nb.orchestrator.judging import Judge
    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.protocol.files import Config
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.sessions.host import SessionHost
    from harness_nb.store import Store


class Verdicts:
    """Writes verdicts down, for a run or for sessions that belong to none."""

    def __init__(self, host: SessionHost, judge: Judge, config: Config, run_id: str | None = None) -> None:
        self._host = host
        self._store = host.store
        self._judge = judge
        self._config = config
        self._run_id = run_id

    async def settle(self, progress: PlanProgress) -> None:
        """Write down what the plan's report says of its newest attempt."""
        assert progress.report is not None
        if progress.report.passed:
            await self.complete(progress, "passed")
            return
        progress.verified = False
        progress.reason = f"verification failed: {progress.report.failed_because}"
        await self.record(progress, "failed", progress.reason)
        progress.state = "failed"

    async def complete(self, progress: PlanProgress, verdict: str) -> None:
        """Leave a summary and a commit behind, then write down that the plan is done."""
        await anyio.to_thread.run_sync(self._store.runs.require_lead)  # files and commits know of no such thing
        progress.verified = True if verdict == "passed" else None
        progress.reason = await self._leave_behind(progress)
        await self.record(progress, verdict)
        progress.state = "complete"

    async def record(self, progress: PlanProgress, verdict: str, reason: str | None = None) -> None:
        """Write a verdict down, and wake everyone."""
        report = progress.report.to_wire() if progress.report else None

        def record() -> SessionRecord:
            if verdict == "failed" and self._is_newest(progress):
                self._judge.withdraw_summary(progress.plan)
            session = self._store.sessions.get(str(progress.session_id))
            return self._store.sessions.update(
                session.id, "judged", verdict=verdict, report=report, reason=session.reason or reason
            )

        progress.keep(await anyio.to_thread.run_sync(record))
        await self._host.announce()

    def _is_newest(self, progress: PlanProgress) -> bool:
        """Say whether no later try at the plan was begun: its summary is none of an earlier one's business."""
        tries = [one.id for one in self._store.sessions.select(plan_id=progress.plan.id) if one.is_attempt]
        return tries[-1:] == [progress.session_id]

    async def _leave_behind(self, progress: PlanProgress) -> str | None:
        """Write the summary and commit, and return what of that failed: it takes nothing from a plan that passed."""
        try:
            summary = await anyio.to_thread.run_sync(self._judge.leave_summary, progress)
        except OSError as error:
            await self._say("summary_failed", str(error), progress)
            return f"no summary was written: {error}"
        trouble = await self._judge.commit(progress, summary) if self._config.auto_commit else None
        if trouble:
            await self._say("commit_failed", trouble, progress)
            return f"not committed: {trouble}"
        return None

    async def _say(self, kind: str, reason: str, progress: PlanProgress) -> None:
        await anyio.to_thread.run_sync(lambda: say(self._store, kind, reason, self._run_id, progress.plan.id))


def say(store: Store, kind: str, reason: str, run_id: str | None, plan_id: str | None = None, **data: object) -> None:
    """Add an event; that it could not be written stops no work."""
    with contextlib.suppress(HarnessError):
        store.events.add(kind, run_id=run_id, plan_id=plan_id, data={"reason": reason, **data})
