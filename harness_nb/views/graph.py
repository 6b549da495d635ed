"""The plan graph as a picture: a column a phase, a box a plan, the critical path heavy, file conflicts dashed.

Places depend on the documents alone and states on the run, so that nothing moves while plans go on. Who redraws only
what changed takes ``render_frame`` and ``render_nodes`` apart: each node is a fragment of its own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from harness_nb.plans.names import plan_order
from harness_nb.protocol.shown import one_line
from harness_nb.templates import render
from harness_nb.views.chains import ancestors, chains_of, critical_path, file_conflicts, needless
from harness_nb.views.lettering import cut, width_of
from harness_nb.views.lines import WIDEST_BOW, Box, Router
from harness_nb.views.picture import Plot
from harness_nb.views.placing import columns_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from harness_nb.plans.project import Project
    from harness_nb.views.chains import Chains, Edge
    from harness_nb.views.placing import Columns
    from harness_nb.views.snapshot import PlanLine

MANY_PLANS = 60
"""Above this, boxes show id and sign alone; the title is their tooltip."""
MANY_LINES = 400
"""Above this, lines are left out that a longer way says as well."""
BUNDLED = {"implied": 6, "declared": 100}
"""From so many lines between two columns on, they meet in a knot."""
TEXT, SMALL = 11.5, 10.5
MARGIN, TOP = 8, 22
CELL = 968
"""About the width of a notebook's cell."""


class NodeState(NamedTuple):
    """How a plan stands: see ``PlanLine``."""

    group: str
    sign: str
    word: str
    detail: str = ""


UNKNOWN = NodeState("waiting", "○", "waiting")


@dataclass(frozen=True)
class Node:
    """One plan's box; ``label`` is as much of its title as fits."""

    id: str
    phase: str
    title: str
    label: str
    box: Box
    critical: bool = False


@dataclass(frozen=True)
class GraphLayout:
    """Where everything is, in pixels.

    ``edges`` are direct dependencies as ``(before, after)`` with what each is: ``declared``, ``implied`` or
    ``circle``; ``lines`` the paths to draw, by kind; ``headings`` texts with their x.
    """

    nodes: tuple[Node, ...]
    edges: Mapping[Edge, str]
    critical: tuple[str, ...]
    conflicts: tuple[Edge, ...]
    headings: tuple[tuple[str, float], ...]
    lines: Mapping[str, str]
    width: float
    height: float
    compact: bool
    phases: int
    places: _Places = field(repr=False, compare=False)

    def at(self, completed: Collection[str]) -> GraphLayout:
        """Return the same places with the critical path as it is once these plans are complete."""
        critical = critical_path(self.places.chains, completed)
        return self if critical == self.critical else self.places.drawn(critical)

    @property
    def sentence(self) -> str:
        """The graph in one line."""
        plans = f"{len(self.nodes)} plan{'s' * (len(self.nodes) != 1)}"
        phases = f" in {self.phases} phase{'s' * (self.phases != 1)}" if self.phases else ""
        path = f", critical path {' → '.join(_shortened(self.critical))}" if self.critical else ""
        return f"plan graph: {plans}{phases}{path}"


def layout(project: Project, completed: Collection[str] = ()) -> GraphLayout:
    """Return where the plans of a project stand; ``completed`` decides which chain is the critical one."""
    places = _Places(project)
    return places.drawn(critical_path(places.chains, completed))


class _Places:
    """What of a layout stays as it is while plans go on."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.graph = project.graph.graph
        self.chains: Chains = chains_of(self.graph)
        self.before_all = ancestors(self.chains)
        self.columns: Columns = columns_of(project, self.chains)
        self.conflicts = tuple(file_conflicts(project.plans, self.chains, self.before_all))
        self.compact = len(self.graph) > MANY_PLANS
        widest = max((width_of(name, TEXT) for name in self.graph), default=0.0)
        self.box_height, self.gutter = (20.0, 40.0) if self.compact else (30.0, 59.0)
        self.left = MARGIN + self._room_for(self.conflicts, first=True)
        self.right = MARGIN + self._room_for(self.graph.edges, first=False)
        share = (CELL - self.left - self.right + self.gutter) / max(len(self.columns), 1) - self.gutter
        roomy = max(186.0, min(share, 300.0), min(widest + 90, 320.0))
        self.box_width = max(64.0, widest + 30) if self.compact else roomy
        self.row_pitch = self.box_height + (6 if self.compact else 8)
        self.rows = rows_of(self.columns, self.chains)
        self.edges = self._edges()

    def drawn(self, critical: tuple[str, ...]) -> GraphLayout:
        nodes = self._nodes(critical)
        height = TOP + self.row_pitch * (max(self.rows.values(), default=0) + 1)
        pitch = self.box_width + self.gutter
        return GraphLayout(
            nodes=nodes,
            edges=self.edges,
            critical=critical,
            conflicts=self.conflicts,
            headings=tuple(
                (cut(one_line(heading), pitch - 8, SMALL), self.left + number * pitch)
                for number, (heading, _) in enumerate(self.columns)
            ),
            lines=self._lines({node.id: node.box for node in nodes}, critical),
            width=max(self.left + pitch * len(self.columns) - self.gutter + self.right, 200),
            height=height,
            compact=self.compact,
            phases=sum(bool(heading) for heading, _ in self.columns),
            places=self,
        )

    def _room_for(self, pairs: Iterable[Edge], *, first: bool) -> float:
        """Return the room that bows beside the first or the last column need."""
        ids = set(self.columns[0 if first else -1][1]) if self.columns else set()
        return self.gutter * WIDEST_BOW if any(one in ids and other in ids for one, other in pairs) else 0.0

    def _nodes(self, critical: tuple[str, ...]) -> tuple[Node, ...]:
        nodes, rows = [], self.rows
        for column, (_, ids) in enumerate(self.columns):
            for name in sorted(ids, key=lambda one: rows[one]):
                data = self.graph.nodes[name]
                x, y = self.left + column * (self.box_width + self.gutter), TOP + rows[name] * self.row_pitch
                box = Box(column, rows[name], x, y, self.box_width, self.box_height)
                title = one_line(data["title"]) if data["title"] != name else ""
                room = self.box_width - 27 - 8
                label = "" if self.compact else cut(title, room - width_of(f"{name} ", TEXT), TEXT)
                nodes.append(Node(name, data["phase"], title, label, box, name in critical))
        return tuple(nodes)

    def _edges(self) -> dict[Edge, str]:
        circles = self.chains.circles
        kinds = {
            (before, after): "circle" if (before, after) in circles else kind
            for before, after, kind in self.graph.edges(data="kind")
        }
        return dict(sorted(kinds.items(), key=lambda one: (plan_order(one[0][0]), plan_order(one[0][1]))))

    def _lines(self, boxes: Mapping[str, Box], critical: tuple[str, ...]) -> dict[str, str]:
        router = Router(boxes.values(), (self.gutter, self.row_pitch))
        heavy = list(pairwise(critical))
        plain: dict[str, list[Edge]] = defaultdict(list)
        left_out = needless(self.chains, self.before_all) if len(self.edges) > MANY_LINES else set()
        for edge, kind in self.edges.items():
            if edge not in left_out and edge not in heavy:
                plain[kind].append(edge)
        paths = {kind: _joined(kind, some, boxes, router) for kind, some in plain.items()}
        paths["conflict"] = "".join(router.beside(boxes[a], boxes[b]) for a, b in self._conflicts_shown())
        paths["critical"] = "".join(router.path(boxes[a], boxes[b]) for a, b in heavy)
        return {kind: path for kind, path in paths.items() if path}

    def _conflicts_shown(self) -> Iterable[Edge]:
        """All pairs; of a crowd each plan's nearest alone, which leads from one to the next."""
        if len(self.conflicts) <= 2 * len(self.graph):
            return self.conflicts
        return {one: (one, other) for one, other in reversed(self.conflicts)}.values()


def _joined(kind: str, edges: Iterable[Edge], boxes: Mapping[str, Box], router: Router) -> str:
    between: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    for before, after in edges:
        between[boxes[before].column, boxes[after].column].append((before, after))
    paths = []
    for (start, end), some in sorted(between.items()):
        if start < end and len(some) >= BUNDLED.get(kind, len(some) + 1):
            froms, tos = (dict.fromkeys(edge[side] for edge in some) for side in (0, 1))
            paths.append(router.bundle([boxes[one] for one in froms], [boxes[one] for one in tos]))
        else:
            paths += [router.path(boxes[before], boxes[after]) for before, after in some]
    return "".join(paths)


def _shortened(path: Sequence[str]) -> list[str]:
    return list(path) if len(path) <= 8 else [*path[:4], "…", *path[-3:]]


# --- drawing -------------------------------------------------------------------------------------


def states_of(lines: Iterable[PlanLine]) -> dict[str, NodeState]:
    """Return how plans stand, as the drawing wants it, by id."""
    return {one.id: NodeState(one.group, one.sign, one.word, one.detail) for one in lines}


def render_nodes(
    layout: GraphLayout, states: Mapping[str, tuple[str, str, str, str]], *, buttons: bool = True
) -> dict[str, str]:
    """Return each plan's ``<g>`` by its id; as ``buttons`` they take the keyboard's focus."""
    return {
        node.id: render(
            "graph_node.html",
            node=node,
            state=(state := NodeState(*states.get(node.id, UNKNOWN))),
            said=_said(node, state),
            buttons=buttons,
        )
        for node in layout.nodes
    }


def _said(node: Node, state: NodeState) -> str:
    """Return what a screen reader and the tooltip say, as ``02-03 Cache layer: asks, decision: Which cache?``."""
    stands = ", ".join(filter(None, (state.word, one_line(state.detail))))
    return f"{' '.join(filter(None, (node.id, node.title)))}: {stands}"


def render_frame(layout: GraphLayout, *, style: str = "", nodes: Iterable[str] = ()) -> str:
    """Return the ``<svg>`` with headings and lines; its ``<g data-list="nodes">`` is empty unless nodes are given."""
    return render("graph.html", layout=layout, style=style, nodes=list(nodes))


def render_graph(
    layout: GraphLayout, states: Mapping[str, tuple[str, str, str, str]], *, style: str = "", buttons: bool = True
) -> str:
    """Return the whole graph as an ``<svg>``."""
    return render_frame(layout, style=style, nodes=render_nodes(layout, states, buttons=buttons).values())


def graph_plot(project: Project, lines: Iterable[PlanLine]) -> Plot:
    """Return the plan graph of a project whose plans stand as these lines say."""
    states = states_of(lines)
    placed = layout(project, {name for name, state in states.items() if state.group == "complete"})
    return Plot(
        sentence=placed.sentence,
        label="Plan graph",
        draw=lambda style: render_graph(placed, states, style=style, buttons=False),
        frame=lambda: graph_frame(placed, states),
    )


def graph_frame(layout: GraphLayout, states: Mapping[str, NodeState]) -> pd.DataFrame:
    """Return one row per plan, indexed by its id, column by column of the picture.

    Columns: ``phase``, ``title``, ``state``, ``detail`` (strings), ``depends_on``, ``conflicts`` (tuples of ids: the
    direct dependencies, and plans that may touch the same files with no order between them), ``critical`` (boolean).
    """
    import pandas as pd

    befores, meets = defaultdict(list), defaultdict(list)
    for before, after in layout.edges:
        befores[after].append(before)
    for one, other in layout.conflicts:
        meets[one].append(other)
        meets[other].append(one)
    rows = [
        {
            "plan": node.id,
            "phase": node.phase,
            "title": node.title,
            "state": (state := states.get(node.id, UNKNOWN)).word,
            "detail": state.detail,
            "depends_on": tuple(befores[node.id]),
            "critical": node.critical,
            "conflicts": tuple(sorted(meets[node.id], key=plan_order)),
        }
        for node in layout.nodes
    ]
    columns = ["plan", "phase", "title", "state", "detail", "depends_on", "critical", "conflicts"]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[:5], "str") | {"critical": "bool"})
    return frame.set_index("plan")
