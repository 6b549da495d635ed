"""A project as its documents describe it: plans, phases, graph, roadmap, what is done, and what is wrong.

Nothing here raises for what is in a document: every problem is listed with its file and line, and the rest
of the project is read.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from harness_nb.plans.discovery import PlanFile, Spec, find_plans, ids_with_summary, relative
from harness_nb.plans.graph import PhaseOrderSetting, PlanGraph, build_graph
from harness_nb.plans.names import normal_id, phase_order, plan_order, read_folder, read_name
from harness_nb.plans.plan_file import read_plan
from harness_nb.plans.roadmap import Roadmap, read_roadmap
from harness_nb.plans.summary import audit_status, find_summary, is_verified_summary, phase_verification
from harness_nb.protocol.plans import PhaseInfo, Plan, PlanProblem


@dataclass(frozen=True)
class Project:
    """What a project's documents say.

    ``root`` is absolute; every other path is relative to it. ``spec_dir`` is the folder of the roadmap ("" for
    the project itself). ``completed`` are the plans with a summary, ``verified_plans`` and ``verified_phases``
    (by number) those that were verified. ``plans`` is empty for a project without any.
    """

    root: Path
    plans: tuple[Plan, ...]
    graph: PlanGraph
    spec: Spec | None = None
    spec_dir: str = ""
    phases: tuple[PhaseInfo, ...] = ()
    roadmap: Roadmap | None = None
    completed: frozenset[str] = frozenset()
    verified_plans: frozenset[str] = frozenset()
    verified_phases: frozenset[str] = frozenset()
    audit_status: str | None = None
    problems: tuple[PlanProblem, ...] = ()
    _by_id: dict[str, Plan] = field(default_factory=dict, repr=False, compare=False)

    def plan(self, plan_id: str) -> Plan | None:
        """Return the plan with this id, padded or not, or ``None``; of duplicates the first."""
        return self._by_id.get(plan_id) or self._by_id.get(normal_id(plan_id))

    @property
    def roadmap_file(self) -> Path | None:
        """Where the spec's ROADMAP.md is, or would be; ``None`` for a project without plans or roadmap."""
        if self.roadmap is not None:
            return self.root / self.roadmap.path
        return self.spec.folder / "ROADMAP.md" if self.spec else None

    @property
    def held(self) -> dict[str, str]:
        """The plans that cannot start until a document is mended, each with the reason."""
        return self.graph.held(self.completed)


def load_project(root: Path | str, spec_dir: str | None = None, phase_order: PhaseOrderSetting = "implied") -> Project:
    """Read a project's documents; ``spec_dir`` chooses one of several specs, by its folder.

    Nothing in a document makes this raise; see ``problems`` and ``held`` of what it returns.
    """
    base = Path(root).expanduser().resolve()
    found = find_plans(base, spec_dir)
    spec = found.spec
    plans = [read_plan(base, spec, file) for file in found.files] if spec else []
    plans = _sorted([_with_summary(base, spec, plan) for plan in plans]) if spec else []
    roadmap = _find_roadmap(base, spec, spec_dir)
    graph = build_graph(
        plans,
        roadmap.phases if roadmap else None,
        phase_order=phase_order,
        roadmap_path=roadmap.path if roadmap else None,
        finished=ids_with_summary(spec) if spec and any(plan.depends_on for plan in plans) else (),
    )
    completed = _completed(plans)
    phases = _phases(plans, roadmap, graph)
    verified_plans, verified_phases = _verified(base, spec, plans, phases, completed)
    return Project(
        root=base,
        plans=tuple(plans),
        graph=graph,
        spec=spec,
        spec_dir=relative(base, spec.folder) if spec else "",
        phases=tuple(phases),
        roadmap=roadmap,
        completed=completed,
        verified_plans=verified_plans,
        verified_phases=verified_phases,
        audit_status=audit_status(spec) if spec else None,
        problems=_all_problems(found.problems, roadmap, plans, graph),
        _by_id={plan.id: plan for plan in reversed(plans)},
    )


def read_again(project: Project, plan: Plan) -> Plan:
    """Return what a plan's file says now; where it is gone, or is another plan's now, the plan as it is known."""
    if project.spec is None or plan.path is None:
        return plan
    path = project.root / plan.path
    name = read_name(path.name)
    if name is None or not path.is_file():
        return plan
    written = read_plan(project.root, project.spec, PlanFile(path, name, path.parent if plan.phase_slug else None))
    return written.model_copy(update={"summary_path": plan.summary_path}) if written.id == plan.id else plan


def _sorted(plans: list[Plan]) -> list[Plan]:
    return sorted(plans, key=lambda plan: (plan_order(plan.id), plan.path or ""))


def _with_summary(root: Path, spec: Spec, plan: Plan) -> Plan:
    return plan.model_copy(update={"summary_path": find_summary(root, spec, plan)})


def _find_roadmap(root: Path, spec: Spec | None, spec_dir: str | None) -> Roadmap | None:
    folders = [spec.folder] if spec else [root / spec_dir] if spec_dir else [root, root / ".planning"]
    for folder in folders:
        file = folder / "ROADMAP.md"
        if roadmap := read_roadmap(file, relative(root, file)):
            return roadmap
    return None


def _completed(plans: list[Plan]) -> frozenset[str]:
    """Return the ids whose every plan has a summary: of two plans with one id, one alone says nothing."""
    open_ids = {plan.id for plan in plans if plan.summary_path is None}
    return frozenset(plan.id for plan in plans) - open_ids


def _phases(plans: list[Plan], roadmap: Roadmap | None, graph: PlanGraph) -> list[PhaseInfo]:
    members: dict[str, list[Plan]] = defaultdict(list)
    for plan in plans:
        members[plan.phase].append(plan)
    named = roadmap.phases if roadmap else {}
    phases = []
    for number in sorted({*members, *named}, key=phase_order):
        slugs = {plan.phase_slug for plan in members[number] if plan.phase_slug}
        # A plan may lie in another phase's folder; the phase's own folder carries its number.
        slug = min(slugs, key=lambda name: (read_folder(name)[0] != number, name), default="")
        in_folder, words = read_folder(slug)
        own_name = words.replace("-", " ").capitalize() if in_folder == number else ""
        phases.append(
            PhaseInfo(
                number=number,
                slug=slug,
                name=(named[number].name if number in named else "") or own_name or f"Phase {number}",
                plans=list(dict.fromkeys(plan.id for plan in members[number])),
                depends_on=list(graph.phase_dependencies.get(number, ())),
            )
        )
    return phases


def _verified(
    root: Path, spec: Spec | None, plans: list[Plan], phases: list[PhaseInfo], completed: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    if spec is None:
        return frozenset(), frozenset()
    by_summary = {
        plan.id
        for plan in plans
        if plan.id in completed and plan.summary_path and is_verified_summary(root / plan.summary_path)
    }
    verified_plans: set[str] = set()
    verified_phases: set[str] = set()
    for phase in phases:
        ids = set(phase.plans)
        passed = phase_verification(spec, phase.slug, phase.number)
        verified_plans |= ids & completed if passed else ids & by_summary
        if ids and ids <= completed and (passed or (passed is None and ids <= by_summary)):
            verified_phases.add(phase.number)
    return frozenset(verified_plans), frozenset(verified_phases)


def _all_problems(
    found: list[PlanProblem], roadmap: Roadmap | None, plans: list[Plan], graph: PlanGraph
) -> tuple[PlanProblem, ...]:
    of_plans = [problem for plan in plans for problem in plan.problems]
    return (*found, *(roadmap.problems if roadmap else ()), *of_plans, *graph.problems)
