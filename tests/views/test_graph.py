"""The plan graph: what is joined, what is heavy and dashed, that everything fits, and what odd projects look like."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from harness_nb import AsyncHarness, Harness, Plan
from harness_nb.plans import Project, build_graph, load_project
from harness_nb.views.chains import chains_of
from harness_nb.views.graph import NodeState, graph_plot, layout, render_frame, render_graph, render_nodes
from harness_nb.views.lettering import cut, width_of
from harness_nb.views.placing import columns_of, crossings, rows_of
from harness_nb.views.snapshot import PlanLine
from tests.benchmarks.projects import write_plans
from tests.orchestrator.written_plans import plan, write_plan

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.views.graph import GraphLayout

SVG = "{http://www.w3.org/2000/svg}"


def project_of(*plans: Plan, **more: Any) -> Project:
    from pathlib import Path

    return Project(root=Path("/nowhere"), plans=plans, graph=build_graph(plans, **more))


def waits(plan_id: str, *others: str, **keys: Any) -> Plan:
    return plan(plan_id, depends_on=list(others), **keys)


def places(placed: GraphLayout) -> dict[str, tuple[int, int]]:
    return {node.id: (node.box.column, node.box.row) for node in placed.nodes}


def overlaps(placed: GraphLayout) -> list[tuple[str, str]]:
    nodes = placed.nodes
    return [
        (a.id, b.id)
        for a in nodes
        for b in nodes
        if a.id < b.id and abs(a.box.x - b.box.x) < a.box.width and abs(a.box.y - b.box.y) < a.box.height
    ]


def test_a_column_is_a_phase_in_the_projects_order_with_its_name_above(tmp_path: Path) -> None:
    for name in ("01-01", "02-01", "02-02", "10-01"):
        write_plan(tmp_path, name)
    (tmp_path / "planning" / "plans" / "10-phase").rename(tmp_path / "planning" / "plans" / "10-last-look")

    placed = layout(load_project(tmp_path))

    assert [heading for heading, _ in placed.headings] == ["Phase 1 · Phase", "Phase 2 · Phase", "Phase 10 · Last look"]
    assert {name: place[0] for name, place in places(placed).items()} == {
        "01-01": 0,
        "02-01": 1,
        "02-02": 1,
        "10-01": 2,
    }


def test_the_critical_path_is_the_longest_chain_of_what_is_to_do_led_by_what_is_done() -> None:
    """A chain of two open plans outweighs one of three of which two are complete."""
    project = project_of(
        waits("01-01"), waits("01-02"), waits("01-03"),
        waits("02-01", "01-01"), waits("02-02", "01-02"), waits("03-01", "02-01"), waits("03-02", "02-02"),
        phase_order="declared",
    )  # fmt: skip

    assert layout(project).critical == ("01-01", "02-01", "03-01"), "at a tie the first by id"
    assert layout(project, {"01-01", "02-01"}).critical == ("01-02", "02-02", "03-02")
    assert layout(project, {"01-01", "01-02", "02-02"}).critical == ("01-01", "02-01", "03-01")


def test_plans_on_the_same_files_are_joined_unless_one_waits_for_the_other() -> None:
    project = project_of(
        waits("01-01", files_modified=["src/a.py"]),
        waits("01-02", "01-01", files_modified=["src/a.py"]),
        waits("01-03", files_modified=["src/"]),
        waits("01-04", files_modified=["docs/*.md"]),
        waits("01-05", files_modified=["docs/index.md"]),
    )

    assert layout(project).conflicts == (("01-01", "01-03"), ("01-02", "01-03"), ("01-04", "01-05"))
    assert "conflict" in layout(project).lines


def test_what_the_order_of_phases_says_is_drawn_lightly_and_in_few_lines() -> None:
    """Ten plans a phase wait for ten others: that is a line for each of them, not a hundred."""
    plans = [waits(f"{phase:02}-{number:02}") for phase in (1, 2) for number in range(1, 11)]
    placed = layout(project_of(*plans))

    assert len(placed.edges) == 100
    assert set(placed.lines) == {"implied", "critical"}
    assert placed.lines["implied"].count("M") == 20
    assert placed.lines["critical"].count("M") == 1


def test_few_lines_cross() -> None:
    """In the order of their ids all of these would cross."""
    first = [waits(f"01-{number:02}") for number in range(1, 7)]
    second = [waits(f"02-{number:02}", f"01-{7 - number:02}") for number in range(1, 7)]
    project = project_of(*first, *second, phase_order="declared")
    chains = chains_of(project.graph.graph)
    columns = columns_of(project, chains)
    column_of = {name: number for number, (_, ids) in enumerate(columns) for name in ids}
    by_id = {name: row for _, ids in columns for row, name in enumerate(ids)}

    assert crossings(by_id, chains, column_of) == 15
    assert crossings(rows_of(columns, chains), chains, column_of) == 0


def test_inside_a_phase_a_plan_stands_below_what_it_waits_for() -> None:
    placed = layout(project_of(waits("01-01", "01-03"), waits("01-02"), waits("01-03", "01-02"), waits("02-01")))
    rows = {name: row for name, (_, row) in places(placed).items()}

    assert rows["01-02"] < rows["01-03"] < rows["01-01"]


@pytest.mark.parametrize(
    "title", ["a title that goes on and on, longer than any box", "漢字" * 40, "W" * 60, "iii" * 60]
)
def test_no_title_is_wider_than_its_box(title: str) -> None:
    node = layout(project_of(waits("01-01", title=title), waits("02-01"))).nodes[0]

    assert node.label.endswith("…")
    assert 27 + width_of(f"01-01 {node.label}", 11.5) <= node.box.width
    assert node.title == title, "the tooltip has all of it"


def test_a_title_that_fits_is_left_as_it_is() -> None:
    assert cut("Cache layer", 200, 11.5) == "Cache layer"


def test_a_node_is_a_button_that_says_how_its_plan_stands_and_why() -> None:
    placed = layout(project_of(waits("02-03", title="Cache <layer>")))
    nodes = render_nodes(placed, {"02-03": NodeState("asks", "?", "asks", "decision: Which\ncache?")})
    found = ElementTree.fromstring(nodes["02-03"])

    assert found.attrib["data-key"] == "02-03"
    assert (found.attrib["role"], found.attrib["tabindex"]) == ("button", "0")
    assert found.attrib["aria-label"] == "02-03 Cache <layer>: asks, decision: Which cache?"
    assert found.findtext("title") == found.attrib["aria-label"]
    assert "".join(found.itertext()).count("?") == 2, "a sign goes with the colour"


def test_nodes_and_frame_make_the_whole() -> None:
    """Who redraws only what changed gets the same picture."""
    placed = layout(project_of(waits("01-01"), waits("02-01")))
    frame = ElementTree.fromstring(render_frame(placed))
    (empty,) = (group for group in frame if group.get("data-list") == "nodes")
    whole = ElementTree.fromstring(render_graph(placed, {}))
    (full,) = (group for group in whole if group.get("data-list") == "nodes")

    assert len(empty) == 0
    assert [one.get("data-key") for one in full] == list(render_nodes(placed, {}))
    assert whole.get("role") == "group"
    assert whole.get("aria-label")


def test_a_long_line_goes_between_plans_and_not_behind_them() -> None:
    """Straight on it would look as if it came from the plan in the middle."""
    plans = (waits("01-01"), waits("02-01"), waits("02-02"), waits("02-03"), waits("03-01", "01-01"))
    placed = layout(project_of(*plans, phase_order="declared"))
    (between,) = (node.box for node in placed.nodes if node.id == "02-01")
    points = [tuple(map(float, pair.split(","))) for pair in re.findall(r"[\d.]+,[\d.]+", placed.lines["critical"])]
    crossing = [y for x, y in points if between.x <= x <= between.right]

    assert crossing
    assert not [y for y in crossing if between.y <= y <= between.y + between.height]


def test_places_do_not_move_while_plans_go_on() -> None:
    first = [waits(f"01-{number:02}") for number in range(1, 4)]
    project = project_of(*first, waits("02-01"), waits("02-02"))

    before, after = layout(project), layout(project).at({"01-01"})

    assert places(before) == places(after)
    assert (before.critical, after.critical) == (("01-01", "02-01"), ("01-02", "02-01"))
    assert after == layout(project, {"01-01"})
    assert before.at(()) is before


@pytest.mark.parametrize(
    ("plans", "sentence"),
    [
        ((), "plan graph: 0 plans"),
        ((waits("01-01"),), "plan graph: 1 plan"),
        ((Plan(id="fix"), Plan(id="ship", depends_on=["fix"])), "plan graph: 2 plans, critical path fix → ship"),
        ((waits("01-01", "01-02"), waits("01-02", "01-01"), waits("01-03")), "plan graph: 3 plans"),
        ((waits("01-01", "01-01"),), "plan graph: 1 plan"),
        ((waits("01-01", "02-01"), waits("02-01")), "plan graph: 2 plans in 2 phases, critical path 02-01 → 01-01"),
        ((waits("01-01"), waits("01-01"), waits("01-02", "09-09")), "plan graph: 2 plans"),
    ],
    ids=["none", "one", "without phases", "a circle", "itself", "backwards", "twice the same id"],
)
def test_odd_projects_are_drawn_all_the_same(plans: tuple[Plan, ...], sentence: str) -> None:
    placed = layout(project_of(*plans))
    drawn = ElementTree.fromstring(render_graph(placed, {}))

    assert placed.sentence == sentence
    assert not overlaps(placed)
    assert len(drawn.findall(f".//{SVG}g[@class]")) == len(placed.nodes)


def test_a_circle_is_shown_as_one() -> None:
    assert "circle" in layout(project_of(waits("01-01", "01-02"), waits("01-02", "01-01"))).lines


def test_plans_without_phases_stand_in_the_order_of_their_steps() -> None:
    placed = layout(
        project_of(Plan(id="fix"), Plan(id="look", depends_on=["fix"]), Plan(id="ship", depends_on=["look"]))
    )

    assert places(placed) == {"fix": (0, 0), "look": (1, 0), "ship": (2, 0)}


def test_a_roadmap_without_plans_shows_its_phases(tmp_path: Path) -> None:
    (tmp_path / "ROADMAP.md").write_text("# Roadmap\n\n### Phase 1: Data\n\n### Phase 2: Page\n")
    placed = layout(load_project(tmp_path))

    assert [heading for heading, _ in placed.headings] == ["Phase 1 · Data", "Phase 2 · Page"]
    assert "There are no plans." in render_graph(placed, {})


def test_three_hundred_plans_are_drawn_small_and_at_once(tmp_path: Path) -> None:
    write_plans(tmp_path, 300)
    project = load_project(tmp_path)
    layout(project)
    began = time.process_time()
    placed = layout(project)
    took = time.process_time() - began

    svg = render_graph(placed, {node.id: NodeState("held", "○", "held", "x" * 100) for node in placed.nodes})
    assert took < 0.3
    assert len(svg.encode()) < 300_000
    assert placed.compact
    assert not overlaps(placed)
    assert "Step" not in "".join(node.label for node in placed.nodes)


def test_a_crowd_of_dependencies_and_conflicts_stays_small() -> None:
    """Three hundred plans that all name all before them, and others that all touch one folder."""
    ids = [f"01-{number:03}" for number in range(1, 301)]
    dense = project_of(*[waits(name, *ids[:number]) for number, name in enumerate(ids)])
    crowd = project_of(*[waits(name, files_modified=["src/"]) for name in ids])

    assert len(layout(dense).edges) == 300 * 299 // 2
    assert len(render_graph(layout(dense), {})) < 300_000
    placed = layout(crowd)
    assert len(placed.conflicts) == 300 * 299 // 2
    assert placed.lines["conflict"].count("M") == 299


def lines_of(**groups: str) -> list[PlanLine]:
    return [PlanLine(name.replace("_", "-")[1:], "", group, "✓", group, "") for name, group in groups.items()]  # type: ignore[arg-type]


def test_the_frame_has_a_row_per_plan() -> None:
    project = project_of(
        waits("01-01", files_modified=["a"]), waits("01-02", files_modified=["a"]), waits("02-01", "01-01")
    )
    frame = graph_plot(project, lines_of(p01_01="complete", p01_02="running")).frame

    assert frame.index.name == "plan"
    assert list(frame.columns) == ["phase", "title", "state", "detail", "depends_on", "critical", "conflicts"]
    assert frame.loc["02-01", "depends_on"] == ("01-01", "01-02")
    assert frame.loc["01-01", "conflicts"] == ("01-02",)
    assert list(frame.index[frame["critical"]]) == ["01-02", "02-01"], "01-01 is complete"
    assert list(frame["state"]) == ["complete", "running", "waiting"]
    assert graph_plot(project_of(), []).frame.empty


def test_a_plot_is_text_html_and_a_file_of_its_own(tmp_path: Path) -> None:
    plot = graph_plot(project_of(waits("01-01"), waits("02-01")), [])

    assert repr(plot) == "plan graph: 2 plans in 2 phases, critical path 01-01 → 02-01"
    html = plot._repr_html_()
    assert html.count("<svg") == 1
    assert 'tabindex="0"' in html.split("<svg")[0], "a wide graph scrolls by keyboard"
    assert 'role="button"' not in html.split("</style>")[1], "where nobody listens, nothing is a button"
    assert html == graph_plot(project_of(waits("01-01"), waits("02-01")), [])._repr_html_()

    saved = plot.save(tmp_path / "graph.svg")
    root = ElementTree.fromstring(saved.read_text(encoding="utf-8"))
    assert root.tag == f"{SVG}svg"
    assert "prefers-color-scheme: dark" in (root.findtext(f"{SVG}style") or "")


def test_a_harness_draws_its_project_and_a_run_its_plans(tmp_path: Path) -> None:
    write_plan(tmp_path, "01-01")
    write_plan(tmp_path, "02-01", "false")
    with Harness(tmp_path, trust=True) as h:
        assert list(h.graph().frame["state"]) == ["waiting", "waiting"]
        run = h.run()
        run.wait(60)
        assert list(run.graph().frame["state"]) == ["complete", "failed"]
        assert list(h.graph().frame["state"]) == ["complete", "failed"]
        assert repr(h.graph()) == "plan graph: 2 plans in 2 phases, critical path 01-01 → 02-01"


@pytest.mark.anyio
async def test_the_asynchronous_harness_draws_too_awaited(tmp_path: Path) -> None:
    async with AsyncHarness(tmp_path, trust=True) as h:
        assert repr(await h.graph()) == "plan graph: 0 plans"
        run = await h.run([plan("01-01")])
        await run
        assert list((await run.graph()).frame["state"]) == ["complete"]
        assert repr(await run.gantt()) == "gantt of a run: 1 plan, 1 attempt"
