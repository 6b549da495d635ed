"""What a plan graph says beyond its edges: the critical path, which lines say nothing new, and who may meet whom.

A circle of dependencies is left out of all of this: its plans are blocked, and ``PlanGraph`` says so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness_nb.plans.names import plan_order
from harness_nb.plans.paths import conflicts, read_paths

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from harness_nb.protocol.plans import Plan

Edge = tuple[str, str]


@dataclass(frozen=True)
class Chains:
    """A graph without its circles, in an order in which nobody comes before what it waits for.

    ``before`` and ``after`` are direct neighbours; ``circles`` are the edges that were left out.
    """

    order: tuple[str, ...]
    before: Mapping[str, tuple[str, ...]]
    after: Mapping[str, tuple[str, ...]]
    circles: frozenset[Edge]


def chains_of(graph: Any) -> Chains:
    """Return the chains of a ``networkx.DiGraph`` over plan ids."""
    import networkx as nx

    part = {name: number for number, some in enumerate(nx.strongly_connected_components(graph)) for name in some}
    circles = frozenset((one, other) for one, other in graph.edges if part[one] == part[other])
    free: Any = nx.DiGraph()
    free.add_nodes_from(graph)
    free.add_edges_from(edge for edge in graph.edges if edge not in circles)
    return Chains(
        order=tuple(nx.lexicographical_topological_sort(free, key=plan_order)),
        before={name: tuple(sorted(free.predecessors(name), key=plan_order)) for name in free},
        after={name: tuple(sorted(free.successors(name), key=plan_order)) for name in free},
        circles=circles,
    )


def critical_path(chains: Chains, completed: Collection[str] = ()) -> tuple[str, ...]:
    """Return the chain with the most plans to do, and of such chains the longest; at a tie the first by id."""
    length: dict[str, tuple[int, int]] = {}
    follows: dict[str, str | None] = {}
    for name in reversed(chains.order):
        best = max((length[after] for after in chains.after[name]), default=(0, 0))
        follows[name] = next((after for after in chains.after[name] if length[after] == best), None)
        length[name] = (best[0] + (name not in completed), best[1] + 1)
    longest = max(length.values(), default=(0, 0))
    at: str | None = min((name for name in length if length[name] == longest), key=plan_order, default=None)
    path = []
    while at is not None:
        path.append(at)
        at = follows[at]
    return tuple(path) if len(path) > 1 else ()


def ancestors(chains: Chains) -> dict[str, int]:
    """Return for each plan all that come before it, as bits at their places in ``order``."""
    place = {name: 1 << number for number, name in enumerate(chains.order)}
    found: dict[str, int] = {}
    for name in chains.order:
        bits = 0
        for before in chains.before[name]:
            bits |= found[before] | place[before]
        found[name] = bits
    return found


def needless(chains: Chains, before_all: Mapping[str, int]) -> set[Edge]:
    """Return the edges that a longer way says as well."""
    place = {name: 1 << number for number, name in enumerate(chains.order)}
    found = set()
    for name in chains.order:
        farther = 0
        for before in chains.before[name]:
            farther |= before_all[before]
        found |= {(before, name) for before in chains.before[name] if place[before] & farther}
    return found


def file_conflicts(plans: Sequence[Plan], chains: Chains, before_all: Mapping[str, int]) -> list[Edge]:
    """Return the pairs that may touch the same files while nothing says which of them comes first."""
    place = {name: 1 << number for number, name in enumerate(chains.order)}
    by_id = {plan.id: plan for plan in reversed(plans)}
    pairs = []
    for one, other in _near_each_other(by_id):
        if place[one] & before_all[other] or place[other] & before_all[one]:
            continue
        a, b = by_id[one], by_id[other]
        if conflicts(a.writes, a.reads, b.writes, b.reads):
            pairs.append((one, other))
    return pairs


def _near_each_other(plans: Mapping[str, Plan]) -> Iterable[Edge]:
    """Yield the pairs with paths that begin alike, which all that overlap do: a fraction of all pairs."""
    starts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(plans, key=plan_order):
        for start in _starts(plans[name]):
            starts[start].append(name)
    rank = {name: number for number, name in enumerate(sorted(plans, key=plan_order))}
    found = set()
    for start, names in starts.items():
        shorter = [name for length in range(len(start) + 1) for name in starts.get(start[:length], ())]
        found |= {(rank[one], rank[other]) for one in names for other in shorter if one != other}
    by_rank = list(rank)
    return [(by_rank[one], by_rank[other]) for one, other in sorted({(min(two), max(two)) for two in found})]


def _starts(plan: Plan) -> set[tuple[str, ...]]:
    found = set()
    for entry in (*plan.writes, *plan.reads):
        for path in read_paths(entry):
            wild = (number for number, part in enumerate(path.segments) if "*" in part or "?" in part)
            found.add(path.segments[: next(wild, len(path.segments))])
    return found
