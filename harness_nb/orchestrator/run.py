"""Doing what the scheduler decides: the only place of this room with effects.

A run is resumable at any moment, since nothing but the journal counts: sessions that live are adopted, those that ended
unjudged are judged, and what a plan's attempts say decides where it stands. So a run that lost its process goes on with
the same attempts when ``run()`` is called again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import HarnessError
from harness_nb.orchestrator.answering import PolicyAnswers
from harness_nb.orchestrator.judging import Judge
from harness_nb.orchestrator.progress import PlanProgress, Publisher
from harness_nb.orchestrator.restore import restore
from harness_nb.orchestrator.scheduler import Decision, Gate, Limits, PlanFacts, decide
from harness_nb.protocol.messages import AssignTask, AssignTaskPayload
from harness_nb.protocol.outcome import RunReport
from harness_nb.protocol.records import SessionRecord
from harness_nb.protocol.report import Report
from harness_nb.sessions import Assignment, result_of
from harness_nb.sessions.host import Changes

if TYPE_CHECKING:
    from datetime import datetime

    from anyio.abc import TaskGroup

    from harness_nb.orchestrator.desk import Desk
    from harness_nb.plans.project import Project
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import RunRecord
    from harness_nb.sessions.host import SessionHost


class Runner:
    """One run of a project's plans, from now until nothing more can be done.

    ``changes`` wakes whoever shows the run, after every step.
    """

    def __init__(self, host: SessionHost, desk: Desk, project: Project, record: RunRecord) -> None:
        self.host = host
        self.store = host.store
        self.desk = desk
        self.project = project
        self.record = record
        self.config = self.store.config()
        self.stopping = False
        self.plans: dict[str, PlanProgress] = {}
        self.phases: dict[str, Report] = {}
        self._gates: dict[str, Gate] = {}
        self._judge = Judge(host, desk, project, record.id)
        self._publisher = Publisher(self.store, project)
        self.changes = Changes()
        self._moved = anyio.Event()
        self._tasks: TaskGroup | None = None

    @property
    def report(self) -> RunReport:
        """How the run stands now."""
        plans = tuple(one.outcome() for one in self.plans.values() if one.selected)
        failed_phase = any(not report.passed for report in self.phases.values())
        passed = all(one.state == "complete" for one in plans) and not failed_phase
        ended = not any(one.state in ("running", "verifying", "waiting") for one in plans)
        state = "stopped" if self.stopping else ("passed" if passed else "failed") if ended else "running"
        return RunReport(
            run_id=self.record.id,
            state=state,
            passed=passed,
            plans=plans,
            phases=self.phases,
            started_at=self.record.created_at,
            completed_at=self.record.ended_at,
        )

    async def run(self) -> RunReport:
        """Run until nothing more can be done, and return the report."""
        await anyio.to_thread.run_sync(self._take_up)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for progress in self.plans.values():
                if progress.state in ("running", "verifying"):
                    tasks.start_soon(self._see_through, progress)
            policies = (*self.record.options.policies, *self.config.policies)
            tasks.start_soon(PolicyAnswers(self.host, self.desk, policies).serve)
            await self._steer()
            tasks.cancel_scope.cancel()
        report = self.report
        state = "stopped" if self.stopping else "passed" if report.passed else "failed"
        self.record = await anyio.to_thread.run_sync(self.store.runs.end, self.record.id, state, report.to_wire())
        await self._publish()
        await self.host.announce()
        return self.report.replace(state=state)

    async def stop(self) -> None:
        """Start nothing more, end the sessions of this run, and let it come to its end."""
        self.stopping = True
        self._move()
        for progress in self.plans.values():
            if progress.state == "running" and progress.session_id:
                await self.host.end(progress.session_id, by="stop")

    # --- steering ----------------------------------------------------------------------------

    async def _steer(self) -> None:
        while True:
            moved = self._moved
            decision = decide(
                {name: self._facts(one) for name, one in self.plans.items()},
                gates=self._gates,
                limits=Limits(
                    self.record.options.max_parallel or self.config.max_parallel_executions,
                    self.config.max_parallel_research,
                ),
                stopping=self.stopping,
            )
            self._apply(decision)
            await self._publish()
            if decision.finished:
                return
            if decision.start or decision.check:
                continue
            with anyio.move_on_after(decision.wake_in):
                await moved.wait()

    def _apply(self, decision: Decision) -> None:
        assert self._tasks is not None
        for name, progress in self.plans.items():
            if progress.state in ("waiting", "held") and progress.selected:
                progress.state = "held" if name in decision.held else "waiting"
                progress.reason = decision.held.get(name) or decision.waiting.get(name)
        for name in decision.start:
            self.plans[name].state = "running"
            self.plans[name].reason = None
            self._tasks.start_soon(self._begin, self.plans[name])
        for phase in decision.check:
            self._gates[phase] = "checking"
            self._tasks.start_soon(self._check_phase, phase)

    def _facts(self, progress: PlanProgress) -> PlanFacts:
        plan = progress.plan
        delay = 0.0 if progress.retry_at is None else max(0.0, progress.retry_at - anyio.current_time())
        return PlanFacts(
            id=plan.id,
            phase=plan.phase,
            depends_on=self.project.graph.dependencies_of(plan.id),
            writes=tuple(plan.writes),
            reads=tuple(plan.reads),
            state="waiting" if progress.state == "held" else progress.state,
            selected=progress.selected,
            research=plan.frontmatter.type == "research",
            refusal=progress.refusal,
            ready_in=delay,
        )

    def _move(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def _publish(self) -> None:
        self.changes.happened()
        await anyio.to_thread.run_sync(self._publisher.publish, self.plans)

    def _take_up(self) -> None:
        self.plans = restore(self.store, self.project, self.record, self.config)
        checked = [one.data for one in self.store.events.select(kind="phase_checked") if one.run_id == self.record.id]
        self.phases = {one["phase"]: Report.model_validate(one["report"]) for one in checked if one["passed"]}
        for phase in dict.fromkeys(plan.phase for plan in self.project.plans):
            members = [one for one in self.plans.values() if one.plan.phase == phase]
            if phase not in self.phases and any(one.attempts and one.state == "complete" for one in members):
                self._open_gate(phase)

    # --- one plan ----------------------------------------------------------------------------

    async def _begin(self, progress: PlanProgress) -> None:
        try:
            await self._start(progress)
        except HarnessError as error:
            progress.state, progress.reason = "failed", str(error)
            self._move()
            return
        await self._see_through(progress)

    async def _start(self, progress: PlanProgress) -> None:
        plan = progress.plan
        assert progress.worker is not None
        session = SessionRecord(
            id=f"{plan.id}-{self.store.new_id()[:8]}",
            worker=progress.worker,
            run_id=self.record.id,
            plan_id=plan.id,
            phase=plan.phase,
            attempt=len(progress.attempts) + 1,
            working_dir=".",
            task_type="research" if plan.frontmatter.type == "research" else "execute",
            created_at=self.store.clock(),
        )
        assignment = Assignment(
            plan=plan, params=self.record.options.params, task_type=session.task_type, attempt=session.attempt
        )
        progress.keep(session)
        context = progress.context
        started = await self.host.start(
            session,
            assignment,
            before_launch=lambda: self.store.messages.send(
                task_message(self.store.new_id(), session, plan, self.project.spec_dir, context, self.store.clock()),
                actor="run",
                door="run",
            ),
            actor="run",
            door="run",
        )
        progress.keep(started)
        self._move()

    async def _see_through(self, progress: PlanProgress) -> None:
        """Wait for an attempt's end and judge it; what goes wrong fails this plan and no other."""
        try:
            session = await self.host.wait_until_ended(str(progress.session_id))
            progress.keep(session)
            if session.state == "completed":
                await self._verify(progress)
            else:
                await self._fail_or_retry(progress, session)
        except (HarnessError, OSError) as error:
            progress.state, progress.reason = "failed", str(error)
        finally:
            self._move()

    async def _verify(self, progress: PlanProgress) -> None:
        if not self.config.verification_required:
            await self._complete(progress, "unverified")
            return
        progress.state = "verifying"
        self._move()
        progress.report = await self._judge.plan(progress.plan)
        progress.verified = progress.report.passed
        if progress.report.passed:
            await self._complete(progress, "passed")
        else:
            reason = f"verification failed: {_failures(progress.report)}"
            await self._record_verdict(progress, "failed")
            progress.state, progress.reason = "failed", reason

    async def _complete(self, progress: PlanProgress, verdict: str) -> None:
        progress.verified = True if verdict == "passed" else None
        summary = await anyio.to_thread.run_sync(self._judge.leave_summary, progress)
        if self.config.auto_commit:
            trouble = await self._judge.commit(progress, summary)
            if trouble:
                self.store.events.add("commit_failed", plan_id=progress.plan.id, data={"reason": trouble})
                progress.reason = f"not committed: {trouble}"
        await self._record_verdict(progress, verdict)
        progress.state = "complete"
        self._open_gate(progress.plan.phase)

    async def _record_verdict(self, progress: PlanProgress, verdict: str) -> None:
        report = progress.report.to_wire() if progress.report else None

        def record() -> SessionRecord:
            return self.store.sessions.update(str(progress.session_id), "judged", verdict=verdict, report=report)

        progress.keep(await anyio.to_thread.run_sync(record))
        await self.host.announce()

    async def _fail_or_retry(self, progress: PlanProgress, session: SessionRecord) -> None:
        result = await anyio.to_thread.run_sync(result_of, self.store, session.id)
        recoverable = bool(result and not result.success and result.recoverable) and not self.stopping
        await self._record_verdict(progress, "failed")
        progress.reason = session.reason
        if self.stopping or (await anyio.to_thread.run_sync(self._was_aborted, session.id) and not recoverable):
            progress.state = "aborted"
        elif recoverable and len(progress.attempts) <= self.config.max_retries:
            delay = self.config.retry_delay * 2 ** (len(progress.attempts) - 1)
            progress.retry_at = anyio.current_time() + delay
            progress.context = f"The attempt before failed: {session.reason}"
            progress.state = "waiting"
            self.store.events.add("retry", plan_id=progress.plan.id, data={"after": delay, "reason": session.reason})
        else:
            progress.state = "failed"

    def _was_aborted(self, session_id: str) -> bool:
        sent = self.store.messages.select(session_id, direction="out")
        return any(message.type == "abort_task" for message in sent)

    # --- phases ------------------------------------------------------------------------------

    def _open_gate(self, phase: str) -> None:
        """Have a phase's own checks run once all of its plans are complete."""
        members = [one for one in self.plans.values() if one.plan.phase == phase]
        has_checks = any(one.plan.frontmatter.must_pass for one in members)
        if self.config.verification_required and has_checks:
            self._gates[phase] = "due" if all(one.state == "complete" for one in members) else "open"

    async def _check_phase(self, phase: str) -> None:
        try:
            plans = [one.plan for one in self.plans.values() if one.plan.phase == phase]
            report = await self._judge.phase(phase, plans)
            self.phases[phase] = report
            self._gates[phase] = "open" if report.passed else "failed"
            self.store.events.add(
                "phase_checked", run_id=self.record.id, data={"phase": phase, "passed": report.passed}
            )
        finally:
            self._move()


def task_message(
    message_id: str, session: SessionRecord, plan: Plan, spec_dir: str, context: str | None, now: datetime
) -> AssignTask:
    """Return the message that gives a session its plan."""
    return AssignTask(
        id=message_id,
        session_id=session.id,
        timestamp=now,
        payload=AssignTaskPayload(
            phase=plan.phase,
            plan=plan.id,
            plan_path=plan.path or "",
            spec_dir=spec_dir,
            task_type=session.task_type,
            context=context,
        ),
    )


def _failures(report: Report) -> str:
    return "; ".join(f"{one.spec_id}: {one.error or 'not passed'}" for one in report.failures) or str(report.reason)
