"""What is known of a project at one moment: documents and journal together."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from harness_nb.protocol.base import WireModel
from harness_nb.protocol.files import DependencyGraph
from harness_nb.protocol.marks import SIGNS, mark_of
from harness_nb.protocol.plans import PlanProblem, RoadmapFrontmatter
from harness_nb.protocol.records import PlanState, SessionRecord
from harness_nb.protocol.shown import print_whole, short_line
from harness_nb.templates import render

if TYPE_CHECKING:
    from collections.abc import Iterator


class PlanInfo(WireModel):
    """A plan and where it stands; ``reason`` says why it is held or how it failed."""

    id: str
    title: str = ""
    phase: str = ""
    path: str | None = None
    state: PlanState = "waiting"
    reason: str | None = None
    verified: bool = False
    depends_on: tuple[str, ...] = ()
    session_id: str | None = None

    def __repr__(self) -> str:
        reason = f": {short_line(self.reason)}" if self.reason else ""
        return f"<plan {self.id}: {SIGNS[self.state]} {self.state}{reason}>"

    def __str__(self) -> str:
        return repr(self)[1:-1]


class PhaseState(WireModel):
    """A phase, how many of its plans are complete, and whether it was verified."""

    number: str
    name: str = ""
    plans: tuple[str, ...] = ()
    completed_plans: int = 0
    complete: bool = False
    verified: bool = False

    @property
    def counts(self) -> str:
        """How many of its plans are complete, and whether it was verified."""
        return f"{self.completed_plans} of {len(self.plans)}{', verified' if self.verified else ''}"

    def __repr__(self) -> str:
        return f"<phase {self.number} {self.name}: {self.counts}>"

    def __str__(self) -> str:
        return repr(self)[1:-1]


class ProjectState(WireModel):
    """A project: its quick state, phases, plans, graph, living sessions, and what is wrong in its documents.

    ``run_id`` names the run that is going on or was left unfinished, ``holder`` the process that holds the lease.
    """

    root: str
    spec_dir: str = ""
    roadmap: RoadmapFrontmatter | None = None
    audit_status: str | None = None
    phases: tuple[PhaseState, ...] = ()
    plans: tuple[PlanInfo, ...] = ()
    graph: DependencyGraph
    sessions: tuple[SessionRecord, ...] = ()
    questions: int = 0
    problems: tuple[PlanProblem, ...] = ()
    run_id: str | None = None
    holder: dict[str, object] | None = None

    def plan(self, plan_id: str) -> PlanInfo:
        """Return one plan.

        Raises: KeyError.
        """
        for plan in self.plans:
            if plan.id == plan_id:
                return plan
        raise KeyError(plan_id)

    @property
    def completed(self) -> tuple[str, ...]:
        """The ids of the complete plans."""
        return tuple(plan.id for plan in self.plans if plan.state == "complete")

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        return f"<project {self.headline}>"

    _repr_pretty_ = print_whole

    def _repr_html_(self) -> str:
        known = {plan.id: plan for plan in self.plans}
        name, _, counts = self.headline.rpartition(": ")
        phases = [
            {
                "name": short_line(f"Phase {phase.number} {phase.name}"),
                "counts": phase.counts,
                "plans": [_row(known[one]) for one in phase.plans if one in known],
            }
            for phase in self.phases
        ]
        problems = [short_line(str(one), 300) for one in self.problems]
        return render("project_state.html", name=name, counts=counts, phases=phases, problems=problems)

    @property
    def headline(self) -> str:
        """The project in one line."""
        done = f"{len(self.completed)} of {len(self.plans)} plans complete"
        return f"{PurePath(self.root).name}: {done}, {self.questions} questions open"

    def _lines(self) -> Iterator[str]:
        yield self.headline
        for phase in self.phases:
            yield f"  phase {phase.number} {phase.name}: {phase.counts}"


def _row(plan: PlanInfo) -> dict[str, object]:
    return {
        "mark": mark_of(plan.state),
        "id": short_line(plan.id),
        "title": short_line(plan.title),
        "reason": short_line(plan.reason or "", 300),
    }


class StateChange(WireModel):
    """The sessions that changed, and the cursor to wait with next."""

    sessions: tuple[SessionRecord, ...] = ()
    cursor: int

    def __len__(self) -> int:
        return len(self.sessions)

    def __repr__(self) -> str:
        count = len(self.sessions)
        head = f"{count or 'no'} {'session' if count == 1 else 'sessions'} changed"
        return f"<{': '.join(filter(None, (head, '; '.join(repr(one)[1:-1] for one in self.sessions))))}>"

    def __str__(self) -> str:
        return "\n".join(repr(one)[1:-1] for one in self.sessions) or "no sessions changed"
