"""Whatever plans declare, the graph never deadlocks: what is not held gets its turn."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_nb.plans.graph import PlanGraph, build_graph
from harness_nb.plans.roadmap import RoadmapPhase
from harness_nb.protocol.plans import Plan

IDS = [f"{phase:02}-{number:02}" for phase in range(1, 5) for number in range(1, 4)]


@st.composite
def graphs(draw: st.DrawFn) -> PlanGraph:
    """Draw up to twelve plans in four phases, with any dependencies and any order of phases."""
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, unique=True))
    pairs = draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=10))
    order = draw(st.dictionaries(st.sampled_from("1234"), st.lists(st.sampled_from("1234"), max_size=2), max_size=3))
    phases = {number: RoadmapPhase(number, "", 1, tuple(before), 2) for number, before in order.items()}
    plans = [Plan(id=name, depends_on=[before for after, before in pairs if after == name]) for name in ids]
    return build_graph(plans, phases)


@settings(max_examples=400, deadline=None)
@given(graphs())
def test_all_plans_that_are_not_held_can_be_done_one_after_the_other(graph: PlanGraph) -> None:
    done: set[str] = set()
    held = graph.held()
    while ready := graph.ready(done):
        done.update(ready)
    assert done == set(graph.declared) - held.keys()
    assert bool(held) == bool(graph.blocked)


@settings(max_examples=400, deadline=None)
@given(graphs())
def test_the_few_edges_of_the_graph_say_the_same_as_the_full_dependencies(graph: PlanGraph) -> None:
    full = nx.DiGraph([(before, after) for after in graph.declared for before in graph.dependencies_of(after)])
    full.add_nodes_from(graph.declared)
    free = set(graph.declared) - graph.held().keys()
    for name in free:
        assert nx.ancestors(graph.graph, name) == nx.ancestors(full, name)
