"""The order of phases: what the roadmap names under ``Depends on``, else all phases with a lower number.

A phase that nobody has written plans for yet has nothing to wait for, and passes on what it waits for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness_nb.plans.names import phase_order
from harness_nb.protocol.plans import PlanProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harness_nb.plans.roadmap import RoadmapPhase


@dataclass
class PhaseOrder:
    """Which phases come directly before each phase, and what is wrong in what the roadmap says about it."""

    before: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[PlanProblem] = field(default_factory=list)
    blocked: dict[str, PlanProblem] = field(default_factory=dict)

    _all_before: dict[str, set[str]] = field(default_factory=dict, repr=False)

    def all_before(self, number: str) -> set[str]:
        """Return every phase that is directly or indirectly before this one."""
        known = self._all_before.get(number)
        if known is not None:
            return known
        found: set[str] = set()
        queue = list(self.before[number])
        while queue:
            earlier = queue.pop()
            if earlier not in found:
                found.add(earlier)
                queue += self.before[earlier]
        self._all_before[number] = found - {number}
        return self._all_before[number]

    def nearest_before(self, number: str, with_plans: Collection[str]) -> list[str]:
        """Return the phases with plans before this one that are before no other of them."""
        earlier = [name for name in self.all_before(number) if name in with_plans]
        covered = {name for other in earlier for name in self.all_before(other)}
        return sorted((name for name in earlier if name not in covered), key=phase_order) or sorted(
            earlier, key=phase_order
        )


def order_phases(
    of_plans: Collection[str], roadmap: Mapping[str, RoadmapPhase], roadmap_path: str | None = None
) -> PhaseOrder:
    """Return the order of the phases that plans are in and the roadmap names."""
    numbers = sorted({*of_plans, *roadmap}, key=phase_order)
    order = PhaseOrder()
    said: dict[str, tuple[str, ...]] = {}
    for number in numbers:
        named = roadmap[number].depends_on if number in roadmap else None
        if named is None:
            continue
        said[number] = tuple(name for name in named if name in numbers)
        for name in named:
            # A phase with a lower number that nobody knows any more was shipped with an earlier milestone.
            if name not in numbers and phase_order(name) > phase_order(number):
                _block(order, roadmap[number], roadmap_path, f"waits for phase {name}, which does not exist")
    by_number = {
        number: tuple(name for name in numbers if phase_order(name) < phase_order(number))
        for number in numbers
        if number not in said
    }
    order.before = _without_circles(numbers, said, by_number)
    _block_circles(order, said, roadmap, roadmap_path)
    return order


def _block(order: PhaseOrder, phase: RoadmapPhase, path: str | None, what: str) -> None:
    message = f"Phase {phase.number} {what}; correct its 'Depends on' line"
    problem = PlanProblem(message=message, path=path, line=phase.depends_line, kind="phase-order")
    order.problems.append(problem)
    order.blocked.setdefault(phase.number, problem)


def _without_circles(
    numbers: list[str], said: Mapping[str, tuple[str, ...]], by_number: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Return the phases before each, where an order by number gives way to what the roadmap says."""
    before = {number: said.get(number, by_number.get(number, ())) for number in numbers}
    for circle in _circles(before):
        for number in circle & by_number.keys():
            before[number] = tuple(name for name in before[number] if name not in circle)
    return before


def _block_circles(
    order: PhaseOrder, said: Mapping[str, tuple[str, ...]], roadmap: Mapping[str, RoadmapPhase], path: str | None
) -> None:
    for circle in _circles(order.before):
        names = " and ".join(sorted(circle, key=phase_order))
        for number in sorted(circle & said.keys(), key=phase_order):
            what = "waits for itself" if len(circle) == 1 else f"is in a circle: phases {names} wait for each other"
            _block(order, roadmap[number], path, what)


def _circles(before: Mapping[str, tuple[str, ...]]) -> list[set[str]]:
    import networkx as nx

    graph: Any = nx.DiGraph()
    graph.add_nodes_from(before)
    graph.add_edges_from((name, number) for number, names in before.items() for name in names)
    found = [set(circle) for circle in nx.strongly_connected_components(graph)]
    return [circle for circle in found if len(circle) > 1 or graph.has_edge(*(2 * tuple(circle)))]
