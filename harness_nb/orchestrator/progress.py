"""Where each plan of a run stands, in memory, and the files that show it to everybody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness_nb.orchestrator.scheduler import PlanFacts
from harness_nb.plans.roadmap import write_roadmap
from harness_nb.protocol.files import ActiveFile, DependencyGraph, GraphPlan
from harness_nb.protocol.outcome import PlanOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from harness_nb.plans.project import Project
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import PlanState, SessionRecord
    from harness_nb.protocol.report import Report
    from harness_nb.store import Store


@dataclass
class PlanProgress:
    """One plan on its way.

    ``untrusted`` is whether it is refused because its commands are not trusted, which may pass while the run goes on.
    ``retry_at`` is a moment of the event loop's clock; ``pause`` is what was left of a delay in seconds when the run
    was taken up.
    """

    plan: Plan
    selected: bool = True
    state: PlanState = "waiting"
    reason: str | None = None
    worker: str | None = None
    refusal: str | None = None
    untrusted: bool = False
    attempts: list[SessionRecord] = field(default_factory=list)
    report: Report | None = None
    verified: bool | None = None
    earlier: bool = False
    by_verdict: bool = False
    context: str | None = None
    retry_at: float | None = None
    pause: float = 0.0

    @property
    def session_id(self) -> str | None:
        """The newest attempt's session."""
        return self.attempts[-1].id if self.attempts else None

    @property
    def judged(self) -> bool:
        """Whether the plan is complete because a run judged it, and not only by a summary that was there."""
        return self.state == "complete" and (bool(self.attempts) or self.by_verdict)

    def keep(self, session: SessionRecord) -> None:
        """Note how an attempt stands now."""
        self.attempts = [one for one in self.attempts if one.id != session.id] + [session]

    @property
    def mark(self) -> tuple[object, ...]:
        """What differs as soon as the outcome would, and is made more quickly."""
        attempts = tuple((one.id, one.ended_at) for one in self.attempts)
        return (self.state, self.reason, self.worker, self.verified, self.earlier, attempts, id(self.report))

    def facts(self, depends_on: frozenset[str], now: float) -> PlanFacts:
        """Return what the scheduler is to know of this plan; ``now`` is by the event loop's clock."""
        return PlanFacts(
            id=self.plan.id,
            phase=self.plan.phase,
            depends_on=depends_on,
            writes=tuple(self.plan.writes),
            reads=tuple(self.plan.reads),
            state="waiting" if self.state == "held" else self.state,
            selected=self.selected,
            research=self.plan.frontmatter.type == "research",
            refusal=self.refusal,
            ready_in=0.0 if self.retry_at is None else max(0.0, self.retry_at - now),
        )

    def outcome(self) -> PlanOutcome:
        """Return what the report says of this plan."""
        ends = [one.ended_at for one in self.attempts if one.ended_at]
        return PlanOutcome(
            plan_id=self.plan.id,
            title=self.plan.title,
            phase=self.plan.phase,
            state=self.state,
            reason=self.reason,
            worker=self.worker,
            attempts=len(self.attempts),
            verified=self.verified,
            earlier=self.earlier,
            session_id=self.session_id,
            started_at=self.attempts[0].created_at if self.attempts else None,
            ended_at=max(ends) if ends else None,
            report=self.report,
        )


class Publisher:
    """Writes ``dependency-graph.json``, ``active-files.json`` and the roadmap's quick state when they change."""

    def __init__(self, store: Store, project: Project) -> None:
        self._store = store
        self._project = project
        self._shown: dict[str, Any] = {}

    def publish(self, plans: Mapping[str, PlanProgress]) -> None:
        """Show where the plans stand now; a view that could not be written is written the next time.

        Raises:
            OSError: a view cannot be written, and all the others are.
        """
        with self._store.writing_views():
            self.show(plans)

    def show(self, plans: Mapping[str, PlanProgress]) -> None:
        """Do what ``publish`` does, for whoever holds the lock of the views.

        Raises: OSError as there.
        """
        states = {name: progress.state for name, progress in plans.items()}
        graph = dependency_graph(self._project, states, self._store.clock())
        files = list(active_files(plans.values()))
        views: list[tuple[str, Any, Callable[[], object]]] = [
            ("graph", graph.model_dump(exclude={"timestamp"}), lambda: self._store.write_graph(graph)),
            ("files", files, lambda: self._store.write_active_files(files)),
        ]
        roadmap = self._project.roadmap
        if roadmap is not None and roadmap.frontmatter is not None:
            quick = quick_state(self._project, states)
            views.append(("roadmap", quick, lambda: write_roadmap(self._project.root / roadmap.path, quick)))
        failures = [failure for view in views if (failure := self._show(*view))]
        if failures:
            raise failures[0]

    def _show(self, what: str, content: Any, write: Callable[[], object]) -> OSError | None:
        if self._shown.get(what) != content:
            try:
                write()
            except OSError as error:
                return error
            self._shown[what] = content
        return None


def dependency_graph(project: Project, states: Mapping[str, str], now: datetime) -> DependencyGraph:
    """Return the graph as its file shows it; a plan is blocked when it is neither done, running nor available."""
    complete = {name for name, state in states.items() if state == "complete"}
    running = [name for name, state in states.items() if state in ("running", "verifying")]
    ready = set(project.graph.ready(complete))
    idle = [name for name, state in states.items() if name not in complete and name not in running]
    available = [name for name in idle if name in ready and states[name] == "waiting"]
    return DependencyGraph(
        timestamp=now,
        spec_dir=project.spec_dir,
        plans=tuple(
            GraphPlan(
                plan_id=plan.id,
                depends_on=tuple(sorted(project.graph.dependencies_of(plan.id))),
                files_modified=tuple(plan.writes),
                files_read=tuple(plan.reads),
                autonomous=plan.frontmatter.autonomous is not False,
                checkpoints=tuple(task.checkpoint for task in plan.tasks if task.checkpoint),
            )
            for plan in project.plans
        ),
        completed=tuple(name for name in states if name in complete),
        running=tuple(running),
        available=tuple(available),
        blocked=tuple(name for name in idle if name not in available),
    )


def active_files(plans: Iterable[PlanProgress]) -> Iterable[ActiveFile]:
    """Yield what plans that run now may touch."""
    for progress in plans:
        if progress.state in ("running", "verifying") and progress.attempts:
            session = progress.attempts[-1]
            paths = [(path, "write") for path in progress.plan.writes]
            paths += [(path, "read") for path in progress.plan.reads]
            for path, operation in paths:
                yield ActiveFile(
                    path=path,
                    session_id=session.id,
                    plan_id=progress.plan.id,
                    operation=operation,
                    started_at=session.created_at,
                )


def quick_state(project: Project, states: Mapping[str, str]) -> dict[str, Any]:
    """Return what the roadmap's frontmatter should say; the current plan is the first that is not complete."""
    complete = {name for name, state in states.items() if state == "complete"}
    phases = [phase for phase in project.phases if phase.plans]
    done = [phase for phase in phases if set(phase.plans) <= complete]
    left = [plan for plan in project.plans if plan.id not in complete]
    current = left[0] if left else project.plans[-1]
    return {
        "current_phase": _number(current.phase),
        "current_plan": _number(current.number),
        "status": _status(states, done_all=not left),
        "total_phases": len(project.phases),
        "completed_phases": len(done),
        "total_plans": len(project.plans),
        "completed_plans": len(complete),
    }


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _status(states: Mapping[str, str], *, done_all: bool) -> str:
    if done_all:
        return "complete"
    if "running" in states.values():
        return "executing"
    if "verifying" in states.values():
        return "verifying"
    return "blocked" if {"failed", "aborted", "held"} & set(states.values()) else "executing"
