"""Which plan waits for which: what plans declare, and the order of phases that hardly anybody writes down.

Edges of the graph point from a plan to those that wait for it, and say in ``kind`` whether that was
``declared`` or is ``implied`` by the order of phases. Between two phases only the last plans of the one are
joined to the first of the other, so that three hundred plans do not make forty thousand edges; who waits for
whom in full is answered by :meth:`PlanGraph.dependencies_of`. What a plan declares wins: where phase order
would close a circle with it, the implied wait is dropped, and said so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness_nb.plans.dependencies import PlanIndex, named_id
from harness_nb.plans.names import plan_order
from harness_nb.plans.phases import PhaseOrder, order_phases
from harness_nb.plans.plan_file import SCHEDULE_UNREADABLE
from harness_nb.protocol.plans import Plan, PlanProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from harness_nb.plans.roadmap import RoadmapPhase

PhaseOrderSetting = Literal["implied", "declared"]


@dataclass(frozen=True)
class PlanGraph:
    """The plans' dependencies.

    ``graph`` is a ``networkx.DiGraph`` over plan ids. ``declared`` and ``implied`` give each plan's direct
    dependencies; ``phase_dependencies`` the phases before each phase, by number. ``blocked`` says, for each plan
    with a problem of its own that keeps it from starting, which one.
    """

    graph: Any
    declared: Mapping[str, frozenset[str]]
    implied: Mapping[str, frozenset[str]]
    phase_dependencies: Mapping[str, tuple[str, ...]]
    problems: tuple[PlanProblem, ...] = ()
    blocked: Mapping[str, str] = field(default_factory=dict)

    def dependencies_of(self, plan_id: str) -> frozenset[str]:
        """Return all plans that must be complete before this one starts, declared and implied."""
        return self.declared[plan_id] | self.implied[plan_id]

    def held(self, completed: Collection[str] = ()) -> dict[str, str]:
        """Return the plans that cannot start until a document is mended, each with the reason.

        These are the blocked ones and all that wait for them; plans already complete are neither held nor
        do they hold others.
        """
        done = set(completed)
        reasons = {plan_id: why for plan_id, why in self.blocked.items() if plan_id not in done}
        if not reasons:
            return {}
        waiting: dict[str, set[str]] = defaultdict(set)
        for plan_id in self.declared:
            for before in self.dependencies_of(plan_id) - done:
                waiting[before].add(plan_id)
        queue = sorted(reasons, key=plan_order)
        for before in queue:
            for after in sorted(waiting[before] - done - reasons.keys(), key=plan_order):
                reasons[after] = f"It waits for {before}, which is held: {self._root_reason(reasons, before)}"
                queue.append(after)
        return reasons

    def _root_reason(self, reasons: Mapping[str, str], plan_id: str) -> str:
        return self.blocked.get(plan_id) or reasons[plan_id].split("which is held: ", 1)[-1]

    def ready(self, completed: Collection[str]) -> list[str]:
        """Return the plans that are not complete, not held, and wait for nothing that is not complete."""
        done = set(completed)
        held = self.held(done)
        return [name for name in self.declared if name not in done | held.keys() and self.dependencies_of(name) <= done]


def build_graph(
    plans: Sequence[Plan],
    roadmap_phases: Mapping[str, RoadmapPhase] | None = None,
    *,
    phase_order: PhaseOrderSetting = "implied",
    roadmap_path: str | None = None,
    finished: Collection[str] = (),
) -> PlanGraph:
    """Return the graph of these plans; cycles, missing dependencies and duplicate ids become problems.

    ``finished`` are ids that need no plan file: whoever depends on one of them waits for nothing.
    """
    return _Builder(plans, roadmap_phases or {}, phase_order, roadmap_path, finished).build()


class _Builder:
    def __init__(
        self,
        plans: Sequence[Plan],
        roadmap_phases: Mapping[str, RoadmapPhase],
        phase_order: PhaseOrderSetting,
        roadmap_path: str | None,
        finished: Collection[str],
    ) -> None:
        self.plans = sorted(plans, key=lambda plan: (plan_order(plan.id), plan.path or ""))
        self.by_id: dict[str, list[Plan]] = defaultdict(list)
        for plan in self.plans:
            self.by_id[plan.id].append(plan)
        self.finished = finished
        self.problems: list[PlanProblem] = []
        self.blocked: dict[str, str] = {}
        self.phase_order = phase_order
        self.order: PhaseOrder = order_phases({plan.phase for plan in plans}, roadmap_phases, roadmap_path)

    def build(self) -> PlanGraph:
        self._block_unreadable()
        self._block_duplicates()
        declared = self._declared()
        implied: dict[str, frozenset[str]] = dict.fromkeys(declared, frozenset())
        graph = self._graph_of(declared)
        if self.phase_order == "implied":
            self._block_phases()
            implied = self._implied()
            self._join_phases(graph, declared)
            self._let_declared_win(graph, implied)
        self._block_cycles(graph)
        return PlanGraph(
            graph=graph,
            declared=declared,
            implied=implied,
            phase_dependencies=self.order.before if self.phase_order == "implied" else {},
            problems=tuple(self.problems),
            blocked=self.blocked,
        )

    def _block(self, plan_id: str, problem: PlanProblem) -> None:
        self.blocked.setdefault(plan_id, str(problem))

    def _block_unreadable(self) -> None:
        for plan in self.plans:
            for problem in plan.problems:
                if problem.kind == SCHEDULE_UNREADABLE:
                    self._block(plan.id, problem)

    def _block_duplicates(self) -> None:
        for plan_id, several in self.by_id.items():
            if len(several) < 2:
                continue
            files = ", ".join(_place(plan, "plan") for plan in several)
            message = f"{len(several)} plans have the id {plan_id}: {files}; rename or remove all but one"
            first = several[0]
            problem = _problem(message, first, first.lines.get("plan", 1 if first.path else None), "duplicate-id")
            self.problems.append(problem)
            self._block(plan_id, problem)

    def _declared(self) -> dict[str, frozenset[str]]:
        index = PlanIndex(self.plans)
        declared: dict[str, frozenset[str]] = {}
        for plan_id, several in self.by_id.items():
            found: set[str] = set()
            for plan in several:
                for number, reference in enumerate(plan.depends_on):
                    found |= self._resolve(index, plan, number, reference)
            declared[plan_id] = frozenset(found)
        return declared

    def _resolve(self, index: PlanIndex, plan: Plan, number: int, reference: str) -> set[str]:
        found = index.resolve(reference, plan)
        if found or named_id(reference, plan.phase) in self.finished:
            return set(found)
        message = f"{plan.id} depends on {reference!r}, and there is no such plan; correct the id or write that plan"
        line = plan.lines.get(f"depends_on.{number}", plan.lines.get("depends_on"))
        problem = _problem(message, plan, line, "missing-dependency")
        self.problems.append(problem)
        self._block(plan.id, problem)
        return set()

    def _graph_of(self, declared: Mapping[str, frozenset[str]]) -> Any:
        import networkx as nx

        graph: Any = nx.DiGraph()
        for plan_id, several in self.by_id.items():
            graph.add_node(plan_id, phase=several[0].phase, title=several[0].title)
        graph.add_edges_from(
            (before, plan_id, {"kind": "declared"})
            for plan_id, befores in declared.items()
            for before in sorted(befores)
        )
        return graph

    def _block_phases(self) -> None:
        self.problems += self.order.problems
        for number, problem in self.order.blocked.items():
            for plan_id in self._ids_of(number):
                self._block(plan_id, problem)

    def _ids_of(self, phase: str) -> list[str]:
        return [plan_id for plan_id, several in self.by_id.items() if several[0].phase == phase]

    def _implied(self) -> dict[str, frozenset[str]]:
        members = {number: self._ids_of(number) for number in self.order.before}
        before_phase = {
            number: frozenset(plan_id for earlier in self.order.all_before(number) for plan_id in members[earlier])
            for number in self.order.before
        }
        return {plan_id: before_phase[several[0].phase] for plan_id, several in self.by_id.items()}

    def _join_phases(self, graph: Any, declared: Mapping[str, frozenset[str]]) -> None:
        members = {number: self._ids_of(number) for number in self.order.before}
        firsts = {number: self._ends(ids, lambda one: declared[one]) for number, ids in members.items()}
        waited = {one: frozenset(graph.successors(one)) for one in declared}
        lasts = {number: self._ends(ids, lambda one: waited[one]) for number, ids in members.items()}
        for number, ids in members.items():
            for earlier in self.order.nearest_before(number, {name for name, some in members.items() if some}):
                for before in lasts[earlier]:
                    for after in firsts[number] if ids else ():
                        if not graph.has_edge(before, after):
                            graph.add_edge(before, after, kind="implied")

    @staticmethod
    def _ends(ids: list[str], neighbours: Any) -> list[str]:
        """Return the members of a phase that have no neighbour in it; all of them where a circle leaves none out."""
        inside = set(ids)
        free = [one for one in ids if not (neighbours(one) & inside)]
        reached = set(free)
        return free if free and not _has_circle(ids, neighbours, reached) else ids

    def _let_declared_win(self, graph: Any, implied: dict[str, frozenset[str]]) -> None:
        """Drop implied waits inside every circle, so that what is left of circles is declared."""
        import networkx as nx

        any_dropped = False
        for circle in list(nx.strongly_connected_components(graph)):
            edges = graph.subgraph(circle).edges(data="kind")
            dropped = [(before, after) for before, after, kind in edges if kind == "implied"]
            if not dropped:
                continue
            any_dropped = True
            graph.remove_edges_from(dropped)
            for after in sorted(circle, key=plan_order):
                if implied[after] & circle and after not in self.blocked:
                    self._say_dropped(after, implied[after] & circle)
                implied[after] -= circle
        if any_dropped:
            self._join_what_came_apart(graph, implied)

    @staticmethod
    def _join_what_came_apart(graph: Any, implied: Mapping[str, frozenset[str]]) -> None:
        """Add the implied waits that led through an edge which is no longer there."""
        import networkx as nx

        for after, befores in implied.items():
            missing = befores - nx.ancestors(graph, after)
            graph.add_edges_from((before, after, {"kind": "implied"}) for before in sorted(missing))

    def _say_dropped(self, after: str, befores: Iterable[str]) -> None:
        names = sorted(befores, key=plan_order)
        plan = next((self.by_id[name][0] for name in names if self.by_id[name][0].depends_on), self.by_id[after][0])
        message = (
            f"{after} does not wait for {', '.join(names)} of an earlier phase, since by what plans declare it comes "
            "first; move one of them to another phase if that is not meant"
        )
        self.problems.append(_problem(message, plan, plan.lines.get("depends_on"), "phase-order"))

    def _block_cycles(self, graph: Any) -> None:
        import networkx as nx

        for circle in sorted(nx.strongly_connected_components(graph), key=lambda ids: plan_order(min(ids))):
            if len(circle) == 1 and not graph.has_edge(*(2 * tuple(circle))):
                continue
            start = min(circle, key=plan_order)
            waits = graph.subgraph(circle).reverse(copy=True)
            path = [start] if waits.has_edge(start, start) else _shortest_circle(waits, start)
            problem = self._cycle_problem([*path, start])
            self.problems.append(problem)
            for plan_id in circle:
                self._block(plan_id, problem)

    def _cycle_problem(self, path: list[str]) -> PlanProblem:
        steps = " → ".join(path)
        places = ", ".join(_place(self.by_id[plan_id][0], "depends_on") for plan_id in path[:-1])
        message = f"These plans wait for each other: {steps} ({places}); remove one of these dependencies"
        first = self.by_id[path[0]][0]
        return _problem(message, first, first.lines.get("depends_on"), "cycle")


def _has_circle(ids: list[str], neighbours: Any, reached: set[str]) -> bool:
    """Whether some of these plans can only reach each other; ``reached`` are those known to be free."""
    left = [one for one in ids if one not in reached]
    inside = set(ids)
    while left:
        now = [one for one in left if (neighbours(one) & inside) <= reached]
        if not now:
            return True
        reached.update(now)
        left = [one for one in left if one not in reached]
    return False


def _shortest_circle(waits: Any, start: str) -> list[str]:
    import networkx as nx

    circles = [nx.shortest_path(waits, after, start) for after in waits.successors(start)]
    shortest: list[str] = min(circles, key=lambda path: (len(path), path))
    return [start, *shortest[:-1]]


def _place(plan: Plan, key: str) -> str:
    if plan.path is None:
        return f"{plan.id} (written in Python)"
    return f"{plan.path}:{plan.lines.get(key, 1)}"


def _problem(message: str, plan: Plan, line: int | None, kind: str) -> PlanProblem:
    return PlanProblem(message=message, path=plan.path, line=line, plan_id=plan.id, kind=kind)
