"""Doing what the scheduler decides, from a run's beginning to its end.

A run is resumable at any moment, since nothing but the journal counts: sessions that live are adopted, those that ended
unjudged are judged, and what a plan's attempts say decides where it stands. So a run that lost its process goes on with
the same attempts when ``run()`` is called again.

Each plan is carried by a task of its own, and the check of a phase by another: whatever goes wrong there, also what
nobody foresaw, fails that plan or that phase and leaves the others alone. Only when another process has taken the run
over does all of it end at once, and nothing is written any more.

Where the plans stand is in the journal after every step, and what is wanted of the run is read there: whoever watches
it or stops it may be another process.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import HarnessError, JournalTroubleError, OutOfDescriptorsError, RunTakenOverError
from harness_nb.orchestrator.answering import PolicyAnswers, failed_by_policy
from harness_nb.orchestrator.attempts import next_attempt, task_message
from harness_nb.orchestrator.functions import TO_BE_ASKED, FunctionPolicies
from harness_nb.orchestrator.judging import Judge
from harness_nb.orchestrator.notices import end_notice
from harness_nb.orchestrator.notifying import Notifier, RunNotices
from harness_nb.orchestrator.phases import PhaseChecks
from harness_nb.orchestrator.policies import Prospect, prospect, rules_of_run
from harness_nb.orchestrator.restore import await_launches, restore, retry_context, retry_delay, was_aborted
from harness_nb.orchestrator.scheduler import Decision, Limits, decide
from harness_nb.orchestrator.showing import Showing
from harness_nb.orchestrator.untrusted_plans import UntrustedPlans
from harness_nb.orchestrator.verdicts import Verdicts, say
from harness_nb.protocol.outcome import RunReport
from harness_nb.sessions import Assignment, result_of
from harness_nb.store.settings import CurrentConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from anyio.abc import TaskGroup

    from harness_nb.orchestrator.desk import Desk
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.orchestrator.policies import Rules
    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.plans.project import Project
    from harness_nb.protocol.records import MessageRecord, RunRecord, RunState, SessionRecord
    from harness_nb.sessions.host import SessionHost


class Runner:
    """One run of a project's plans, from now until nothing more can be done; ``record`` is as its leader has it."""

    def __init__(
        self,
        host: SessionHost,
        desk: Desk,
        project: Project,
        record: RunRecord,
        functions: Sequence[PolicyFunction] = (),
    ) -> None:
        self.host = host
        self.store = host.store
        self.desk = desk
        self.project = project
        self.record = record
        self.config = self.store.config()
        self._settings = CurrentConfig(self.store.layout)
        self._settings()  # so that they are known, whatever becomes of the file
        self.stopping = record.stopping
        self.functions = FunctionPolicies(functions)
        self.plans: dict[str, PlanProgress] = {}
        self._untrusted = UntrustedPlans(self.store, project, desk.broker.redact, record.id)
        self._judge = Judge(host, desk, project, record.id)
        required = self.config.verification_required
        self._phases = PhaseChecks(self.store, project, self._judge, record.id, required=required)
        self._verdicts = Verdicts(host, self._judge, self.config, record.id)
        self._showing = Showing(self.store, project, record.id)
        self._moved = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._judging: set[anyio.CancelScope] = set()

    def _report(self, state: str) -> RunReport:
        return RunReport(
            run_id=self.record.id,
            state=state,
            passed=state == "passed",
            plans=tuple(one.outcome() for one in self.plans.values() if one.selected),
            phases=dict(self._phases.reports),
            started_at=self.record.created_at,
            completed_at=self.store.clock(),
        )

    async def run(self) -> RunReport:
        """Run until nothing more can be done, tell those whom the settings name, and return the report.

        Raises: RunTakenOverError when another process does the run now.
        """
        self.store.runs.act_as(self.record)
        look = RunNotices(self.store, lambda: list(self.plans.values()), self.carries, self._prospect_of).look
        notifier = Notifier(self.host, look, self.record.id)
        async with notifier.serving():
            report = await self._run()
            await notifier.finish([end_notice(self.store.layout.root, report)])
        return report

    def _prospect_of(self, question: MessageRecord) -> Prospect:
        if self.functions.are_to_be_asked(question):
            return TO_BE_ASKED
        ahead = prospect(question, self._rules())
        return Prospect() if failed_by_policy(self.store, question, ahead) else ahead

    async def _run(self) -> RunReport:
        await anyio.to_thread.run_sync(self._take_up)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._heed)
            for progress in self.plans.values():
                if progress.pause:
                    progress.retry_at = anyio.current_time() + progress.pause
                if progress.state == "running":
                    tasks.start_soon(self._carry, progress, self._see_through)
            by_policy = PolicyAnswers(self.host, self.desk, self._rules, self.carries, lambda: self.functions)
            tasks.start_soon(by_policy.serve)
            await self._steer()
            tasks.cancel_scope.cancel()
        await self._show()
        report = self._report(self._end_state())
        wire = report.to_wire()
        await self.host.insist("the run", lambda: self.store.runs.end(self.record.id, report.state, wire))
        await self.host.announce()
        return report

    def _rules(self) -> Rules:
        """Return who answers by the settings of now, which whoever shows the run goes by as well."""
        return rules_of_run(self.record.options, self._settings(), self.desk.broker.standing.for_question)

    async def _heed(self) -> None:
        """Do what others want of the run: to stop, or to go on by other rules."""
        while True:
            changed = self.host.changes.next
            now = await self.host.insist("the run", lambda: self.store.runs.get(self.record.id))
            self._look_at_trust()
            if now.generation != self.record.generation:
                raise RunTakenOverError(now.id)
            news, self.record = now.options != self.record.options, now
            if now.stopping and not self.stopping:
                await self.stop()
            elif news:
                self._move()
            await changed.wait()

    def carries(self, session_id: str) -> bool:
        """Whether a session is of this run: it began here, or was adopted as the attempt at one of its plans."""
        if any(one.session_id == session_id for one in list(self.plans.values())):
            return True
        return self.store.sessions.get(session_id).run_id == self.record.id

    def _end_state(self) -> RunState:
        plans = [one for one in self.plans.values() if one.selected]
        if plans and self._phases.passed and all(one.state == "complete" for one in plans):
            return "passed"
        return "stopped" if self.stopping else "failed"

    async def stop(self) -> None:
        """Start nothing more, end the sessions of this run, and let it come to its end."""
        self.stopping = True
        self._move()

    def _wind_up(self) -> None:
        """End what runs; whoever is just beginning looks at ``stopping`` itself."""
        assert self._tasks is not None
        for scope in self._judging:  # a verification may wait for a person for ever
            scope.cancel()
        for progress in self.plans.values():
            if progress.state == "running":
                self._tasks.start_soon(self._end_session, str(progress.session_id))

    async def _end_session(self, session_id: str) -> None:
        with contextlib.suppress(HarnessError):  # it is not there yet, or cannot be reached: its end is awaited anyway
            await self.host.end(session_id, by="stop", actor="run", door="run")

    @contextlib.contextmanager
    def _until_stop(self) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            self._judging.add(scope)
            if self.stopping:
                scope.cancel()
            try:
                yield scope
            finally:
                self._judging.discard(scope)

    # --- steering ----------------------------------------------------------------------------

    async def _steer(self) -> None:
        winding_up = False
        while True:
            moved = self._moved
            if self.stopping and not winding_up:
                winding_up = True
                self._wind_up()
            decision = self._decide()
            self._apply(decision)
            await self._show()  # before anything starts, so that a worker finds its own files among the active ones
            if decision.finished:
                return
            self._launch(decision)
            if decision.start or decision.check:
                continue
            with anyio.move_on_after(decision.wake_in):
                await moved.wait()

    def _decide(self) -> Decision:
        now, needed = anyio.current_time(), self.project.graph.dependencies_of
        return decide(
            {name: one.facts(needed(one.plan.id), now) for name, one in self.plans.items()},
            gates=self._phases.gates,
            limits=Limits(
                self.record.options.max_parallel or self.config.max_parallel_executions,
                self.config.max_parallel_research,
            ),
            stopping=self.stopping,
        )

    def _apply(self, decision: Decision) -> None:
        for name, progress in self.plans.items():
            if progress.state in ("waiting", "held") and progress.selected:
                progress.state = "held" if name in decision.held else "waiting"
                progress.reason = decision.held.get(name) or decision.waiting.get(name)
        for name in decision.start:
            progress = self.plans[name]
            progress.state, progress.reason = "running", None
            progress.keep(next_attempt(progress, self.record.id, self.store.new_id(), self.store.clock()))
        for phase in decision.check:
            self._phases.begin(phase)

    def _launch(self, decision: Decision) -> None:
        assert self._tasks is not None
        for name in decision.start:
            self._tasks.start_soon(self._carry, self.plans[name], self._begin)
        for phase in decision.check:
            self._tasks.start_soon(self._check_phase, phase)

    async def _check_phase(self, phase: str) -> None:
        await self._phases.check(phase, self._until_stop())
        self._move()

    def _move(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def _show(self) -> None:
        await self._showing.show(self.plans, self._phases.reports)

    def _take_up(self) -> None:
        await_launches(self.store, self.record.id)
        self.plans = restore(self.store, self.project, self.record, self.config)
        self._phases.take_up(self.plans)

    # --- one plan ----------------------------------------------------------------------------

    async def _carry(self, progress: PlanProgress, step: Callable[[PlanProgress], Awaitable[None]]) -> None:
        """Take a step with a plan; what goes wrong fails this plan and no other, and what will pass is waited for."""
        try:
            while not await self._takes(step, progress):
                known = await self.host.insist(self._about(progress), lambda: self._is_stored(progress))
                step = self._see_through if known else self._begin
        except RunTakenOverError:
            raise
        except Exception as error:
            foreseen = isinstance(error, HarnessError | OSError)
            reason = str(error) if foreseen else f"{type(error).__name__}: {error}"
            with contextlib.suppress(Exception):
                await self._end_session(str(progress.session_id))  # what nobody sees through must not go on
                await self._verdicts.record(progress, "failed", reason)
            progress.state, progress.reason = "failed", reason
        finally:
            self._move()

    async def _takes(self, step: Callable[[PlanProgress], Awaitable[None]], progress: PlanProgress) -> bool:
        """Take a step; false where the journal was locked or full, say: then the same has to be done once more."""
        try:
            await step(progress)
        except (JournalTroubleError, OutOfDescriptorsError) as error:
            if self.stopping:
                raise
            await self.host.hindered(self._about(progress), error)
            return False
        self.host.unhindered(self._about(progress))
        return True

    def _about(self, progress: PlanProgress) -> str:
        return f"the plan {progress.plan.id}"

    def _is_stored(self, progress: PlanProgress) -> bool:
        attempts = self.store.sessions.select(plan_id=progress.plan.id)
        return any(one.id == progress.session_id for one in attempts)

    async def _begin(self, progress: PlanProgress) -> None:
        session = progress.attempts[-1]
        if self.stopping:
            progress.attempts.remove(session)
            progress.state = "waiting"
            return
        if not await self._untrusted.may_start(progress):
            progress.attempts.remove(session)
            return
        await self._start(progress, session)
        await self._see_through(progress)

    def _look_at_trust(self) -> None:
        """Go on with the plans that were held for their commands, where something else is trusted since."""
        for progress in self._untrusted.released(self.plans.values()):
            last = progress.attempts[-1] if progress.attempts else None
            if last is not None and last.state == "completed" and last.verdict is None:
                assert self._tasks is not None
                progress.state = "running"  # its work is done, and only to be judged
                self._tasks.start_soon(self._carry, progress, self._see_through)
            self._move()

    async def _start(self, progress: PlanProgress, session: SessionRecord) -> None:
        plan, context = progress.plan, progress.context
        assignment = Assignment(
            plan=plan, params=self.record.options.params, task_type=session.task_type, attempt=session.attempt
        )
        started = await self.host.start(
            session,
            assignment,
            before_launch=lambda: self.store.messages.send(
                task_message(self.store.new_id(), session, plan, self.project.spec_dir, context, self.store.clock()),
                actor="run",
                door="run",
                with_start=True,
            ),
            actor="run",
            door="run",
        )
        progress.keep(started)
        self._move()
        if self.stopping:
            await self._end_session(session.id)

    async def _see_through(self, progress: PlanProgress) -> None:
        """Wait for an attempt's end and judge it."""
        session = await self.host.wait_until_ended(str(progress.session_id), resume=lambda: not self.stopping)
        progress.keep(session)
        if session.state == "completed":
            await self._verify(progress)
        else:
            await self._fail_or_retry(progress, session)

    async def _verify(self, progress: PlanProgress) -> None:
        if not self.config.verification_required:
            await self._complete(progress, "unverified")
            return
        progress.state = "verifying"
        self._move()
        with self._until_stop() as scope:
            progress.report = await self._untrusted.unless(progress, self._judge.plan)
        if progress.untrusted:
            return
        if scope.cancelled_caught or progress.report is None:
            progress.state, progress.reason = "aborted", "the run was stopped before this was verified"
        elif progress.report.passed:
            await self._complete(progress, "passed")
        else:
            await self._verdicts.settle(progress)

    async def _complete(self, progress: PlanProgress, verdict: str) -> None:
        await self._verdicts.complete(progress, verdict)
        self._phases.open_gate(progress.plan.phase)

    async def _fail_or_retry(self, progress: PlanProgress, session: SessionRecord) -> None:
        result = await anyio.to_thread.run_sync(result_of, self.store, session.id)
        recoverable = bool(result and not result.success and result.recoverable) and not self.stopping
        await self._verdicts.record(progress, "failed")
        progress.reason = session.reason
        if self.stopping or (await anyio.to_thread.run_sync(was_aborted, self.store, session.id) and not recoverable):
            progress.state = "aborted"
        elif recoverable and len(progress.attempts) <= self.config.max_retries:
            await self._retry_later(progress, session)
        else:
            progress.state = "failed"

    async def _retry_later(self, progress: PlanProgress, session: SessionRecord) -> None:
        delay, reason = retry_delay(self.config, len(progress.attempts)), session.reason or ""
        progress.retry_at = anyio.current_time() + delay
        progress.context = await anyio.to_thread.run_sync(retry_context, self.store, session)
        progress.state = "waiting"
        tell = partial(say, self.store, "retry", reason, self.record.id, progress.plan.id, after=delay)
        await anyio.to_thread.run_sync(tell)
