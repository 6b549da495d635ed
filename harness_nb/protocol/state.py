"""What is known of a project at one moment: documents and journal together."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from harness_nb.protocol.base import WireModel
from harness_nb.protocol.files import DependencyGraph
from harness_nb.protocol.plans import PlanProblem, RoadmapFrontmatter
from harness_nb.protocol.records import PlanState, SessionRecord

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


class PhaseState(WireModel):
    """A phase, how many of its plans are complete, and whether it was verified."""

    number: str
    name: str = ""
    plans: tuple[str, ...] = ()
    completed_plans: int = 0
    complete: bool = False
    verified: bool = False


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

    def _lines(self) -> Iterator[str]:
        done = f"{len(self.completed)} of {len(self.plans)} plans complete"
        yield f"{PurePath(self.root).name}: {done}, {self.questions} questions open"
        for phase in self.phases:
            note = ", verified" if phase.verified else ""
            yield f"  phase {phase.number} {phase.name}: {phase.completed_plans} of {len(phase.plans)}{note}"


class StateChange(WireModel):
    """The sessions that changed, and the cursor to wait with next."""

    sessions: tuple[SessionRecord, ...] = ()
    cursor: int

    def __len__(self) -> int:
        return len(self.sessions)
