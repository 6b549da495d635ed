"""Which plan waits for which, and what is held when a document is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import pytest

from harness_nb.plans.graph import PlanGraph, build_graph
from harness_nb.plans.project import load_project
from harness_nb.plans.roadmap import parse_roadmap
from harness_nb.protocol.plans import Plan, RunBlock, Task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plans.conftest import WritePlan


def plans(**depends_on: list[str]) -> list[Plan]:
    """Make plans from ``_01_02=["01-01"]``."""
    return [
        Plan(id=name[1:].replace("__", ".").replace("_", "-"), depends_on=befores)
        for name, befores in depends_on.items()
    ]


def dependants(graph: PlanGraph, plan_id: str) -> set[str]:
    """Return all plans that directly or indirectly wait for this one."""
    return set(nx.descendants(graph.graph, plan_id)) - {plan_id}


@pytest.mark.row(4)
@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("01-01", {"01-01"}),
        ("1-1", {"01-01"}),
        ("2.1-01", {"02.1-01"}),
        ("1", {"03-01"}),
        ("02", {"03-02"}),
        ("17", {"17-01", "17-02"}),
        ("2.1", {"02.1-01"}),
        ("phase-17", {"17-01", "17-02"}),
        ("17-the-end", {"17-01", "17-02"}),
        ("01-01 (followup)", {"01-01"}),
        ("01-01-wave0-scaffolding", {"01-01"}),
        ("01-01-PLAN.md", {"01-01"}),
        ("05-W0", {"05-W0"}),
        ("04.5-03-W1", {"04.5-03-W1"}),
        ("03-06a", {"03-06a"}),
    ],
)
def test_a_reference_finds_the_plan_its_author_meant(reference: str, found: set[str]) -> None:
    ids = ["01-01", "02.1-01", "03-01", "03-02", "03-06a", "04.5-03-W1", "05-W0", "17-01", "17-02"]
    some = [Plan(id=name, phase_slug="17-the-end" if name.startswith("17") else "") for name in ids]
    graph = build_graph([*some, Plan(id="03-09", depends_on=[reference])], phase_order="declared")
    assert graph.declared["03-09"] == found
    assert not graph.problems


def test_one_scalar_with_commas_and_prose_is_a_list() -> None:
    plan = Plan(id="02-01", depends_on="01-01 (a, b), 01-02")
    assert plan.depends_on == ["01-01 (a, b)", "01-02"]
    assert Plan(id="02-01", depends_on="none").depends_on == []


@pytest.mark.row(4)
def test_phases_follow_each_other_unless_only_what_is_declared_counts() -> None:
    some = plans(_01_01=[], _01_02=[], _02_01=[], _02_02=["02-01"], _02__1_01=[], _03_01=[])
    implied = build_graph(some)
    assert implied.dependencies_of("02-02") == {"01-01", "01-02", "02-01"}
    assert implied.dependencies_of("02.1-01") == {"01-01", "01-02", "02-01", "02-02"}
    assert implied.phase_dependencies["3"] == ("1", "2", "2.1")
    assert dependants(implied, "02-02") == {"02.1-01", "03-01"}
    assert implied.graph.edges["02-01", "02-02"]["kind"] == "declared"
    assert implied.graph.edges["02-02", "02.1-01"]["kind"] == "implied"
    declared = build_graph(some, phase_order="declared")
    assert declared.dependencies_of("02-02") == {"02-01"}
    assert declared.phase_dependencies == {}
    assert declared.ready([]) == ["01-01", "01-02", "02-01", "02.1-01", "03-01"]
    assert implied.ready(["01-01", "01-02", "02-01"]) == ["02-02"]


def test_what_the_roadmap_says_about_phases_comes_before_their_numbers() -> None:
    roadmap = parse_roadmap(
        "## Phase 1: a\n## Phase 2: b\nDepends on: Phase 1\n## Phase 3: c\n**Depends on**: Phase 1\n"
    )
    graph = build_graph(plans(_01_01=[], _02_01=[], _03_01=[], _04_01=[]), roadmap.phases)
    assert graph.dependencies_of("03-01") == {"01-01"}
    assert graph.dependencies_of("04-01") == {"01-01", "02-01", "03-01"}


def test_a_phase_without_plans_passes_on_what_it_waits_for() -> None:
    roadmap = parse_roadmap("## Phase 1: a\n## Phase 2: b\n## Phase 3: c\nDepends on: Phase 2\n")
    graph = build_graph(plans(_01_01=[], _03_01=[]), roadmap.phases)
    assert graph.dependencies_of("03-01") == {"01-01"}
    assert dependants(graph, "01-01") == {"03-01"}


def test_a_cycle_names_files_and_lines_and_holds_only_what_is_behind_it(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("01-a/01-01-PLAN.md", "depends_on: []")
    write_plan("02-b/02-01-PLAN.md", "wave: 1\ndepends_on:\n  - 02-02")
    write_plan("02-b/02-02-PLAN.md", "depends_on: [02-01, 01-01]")
    write_plan("02-b/02-03-PLAN.md", "depends_on: [02-02]")
    write_plan("02-b/02-04-PLAN.md")
    write_plan("03-c/03-01-PLAN.md")
    project = load_project(tmp_path)
    [problem] = project.graph.problems
    assert problem.kind == "cycle"
    assert "02-01 → 02-02 → 02-01" in problem.message
    assert "planning/plans/02-b/02-01-PLAN.md:3" in problem.message
    assert "planning/plans/02-b/02-02-PLAN.md:2" in problem.message
    assert set(project.held) == {"02-01", "02-02", "02-03", "03-01"}
    assert project.graph.ready([]) == ["01-01"]
    assert project.graph.ready(["01-01"]) == ["02-04"]
    assert project.held["03-01"].startswith("It waits for 02-")


def test_a_plan_that_waits_for_itself_is_a_cycle() -> None:
    graph = build_graph(plans(_01_01=["01-01"], _01_02=[]))
    assert [problem.kind for problem in graph.problems] == ["cycle"]
    assert set(graph.held()) == {"01-01"}


def test_a_missing_dependency_names_its_own_line_and_holds_the_plan(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("01-a/01-01-PLAN.md", "phase: 01-a\ndepends_on:\n  - 01-02\n  - 01-09")
    write_plan("01-a/01-02-PLAN.md")
    write_plan("01-a/01-03-PLAN.md", "depends_on: [01-01]")
    project = load_project(tmp_path)
    [problem] = project.problems
    assert str(problem).startswith("planning/plans/01-a/01-01-PLAN.md:5: 01-01 depends on '01-09'")
    assert set(project.held) == {"01-01", "01-03"}


def test_a_plan_that_is_complete_is_neither_held_nor_holds_others() -> None:
    graph = build_graph(plans(_01_01=["01-09"], _01_02=["01-01"]))
    assert set(graph.held()) == {"01-01", "01-02"}
    assert graph.held({"01-01"}) == {}
    assert graph.ready({"01-01"}) == ["01-02"]


@pytest.mark.parametrize("place", ["planning/plans/01-a", "planning/milestones/v1-phases/01-a"])
def test_work_that_is_done_and_whose_plan_is_gone_is_no_missing_dependency(
    tmp_path: Path, write_plan: WritePlan, place: str
) -> None:
    write_plan("02-b/02-01-PLAN.md", "depends_on: [01-01]")
    summary = tmp_path / place.replace("planning/milestones", "milestones") / "01-01-SUMMARY.md"
    summary.parent.mkdir(parents=True)
    summary.write_text("done\n")
    project = load_project(tmp_path)
    assert not project.problems
    assert project.graph.ready([]) == ["02-01"]


def test_duplicate_ids_are_both_listed_and_hold_what_is_behind_them(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("07-x/07-03-PLAN.md", "plan: 03")
    write_plan("07-3-PLAN.md", "title: the other")
    write_plan("07-x/07-04-PLAN.md", "depends_on: ['03']")
    write_plan("07-x/07-05-PLAN.md")
    project = load_project(tmp_path)
    assert [plan.id for plan in project.plans] == ["07-03", "07-03", "07-04", "07-05"]
    [problem] = project.problems
    assert problem.kind == "duplicate-id"
    assert "planning/plans/07-3-PLAN.md:1, planning/plans/07-x/07-03-PLAN.md:2" in problem.message
    assert set(project.held) == {"07-03", "07-04"}


def test_a_plan_whose_scheduling_keys_are_broken_is_held(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("01-a/01-01-PLAN.md", 'phase: 1\ndepends_on: [01-00, "x')
    write_plan("01-a/01-02-PLAN.md")
    project = load_project(tmp_path)
    assert set(project.held) == {"01-01"}
    assert project.problems[0].line in (3, 4)


def test_declared_dependencies_win_over_the_order_of_phases() -> None:
    graph = build_graph(plans(_01_01=[], _01_02=["02-01"], _02_01=[], _02_02=[]))
    assert graph.dependencies_of("02-01") == {"01-01"}
    assert graph.dependencies_of("01-02") == {"02-01"}
    assert graph.dependencies_of("02-02") == {"01-01", "01-02"}
    assert dependants(graph, "01-01") == {"02-01", "01-02", "02-02"}
    assert not graph.held()
    assert [problem.kind for problem in graph.problems] == ["phase-order"]


def test_phases_that_wait_for_each_other_or_for_none_that_exists_are_held_with_the_roadmaps_line() -> None:
    text = "## Phase 1: a\n## Phase 2: b\nDepends on: Phase 3\n"
    text += "## Phase 3: c\nDepends on: Phase 2\n## Phase 4: d\nDepends on: Phase 44\n"
    some = plans(_01_01=[], _02_01=[], _03_01=[], _04_01=[])
    graph = build_graph(some, parse_roadmap(text).phases, roadmap_path="ROADMAP.md")
    assert set(graph.held()) == {"02-01", "03-01", "04-01"}
    assert {(problem.path, problem.line) for problem in graph.problems} == {
        ("ROADMAP.md", 3),
        ("ROADMAP.md", 5),
        ("ROADMAP.md", 7),
    }
    assert graph.ready([]) == ["01-01"]


def test_a_roadmap_may_turn_phases_around() -> None:
    text = "## Phase 2: b\nDepends on: Phase 3\n## Phase 3: c\n"
    graph = build_graph(plans(_01_01=[], _02_01=[], _03_01=[]), parse_roadmap(text).phases)
    assert graph.dependencies_of("03-01") == {"01-01"}
    assert graph.dependencies_of("02-01") == {"01-01", "03-01"}
    assert not graph.problems


@pytest.mark.parametrize("width", [1, 20, 150])
def test_three_hundred_plans_make_few_edges_and_full_dependencies(width: int) -> None:
    many = [
        Plan(id=f"{phase:02}-{number:02}") for phase in range(1, 300 // width + 1) for number in range(1, width + 1)
    ]
    graph = build_graph(many)
    last = many[-1].id
    assert len(graph.dependencies_of(last)) == 300 - width
    assert graph.graph.number_of_edges() == (300 // width - 1) * width**2
    assert dependants(graph, many[0].id) == {plan.id for plan in many[width:]}


def test_plans_written_in_python_need_nothing_but_what_they_do() -> None:
    plan = Plan(
        id="01-01",
        title="Build",
        tasks=[Task(name="make", runs=[RunBlock(lang="sh", code="make")]), Task(type="checkpoint:decision")],
        depends_on=["01-00"],
        must_pass=[{"id": "ok", "type": "file_exists", "path": "x"}],
        files_modified=["out/"],
    )
    assert (plan.phase, plan.number, plan.path, plan.tasks_without_run) == ("1", "01", None, [])
    assert (plan.depends_on, plan.writes, plan.must_pass[0]["id"]) == (["01-00"], ["out/"], "ok")
    assert Plan.model_validate(plan.to_wire()) == plan
    graph = build_graph([plan, Plan(id="setup"), Plan(id="01-00", depends_on=["setup"])])
    assert graph.declared["01-01"] == {"01-00"}
    assert graph.dependencies_of("01-00") == {"setup"}
