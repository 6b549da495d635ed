"""Which files are plans, what their names say, and where a project keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness_nb.plans.names import normal_id, phase_order, plan_order, read_folder, read_name
from harness_nb.plans.project import load_project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plans.conftest import WritePlan


@pytest.mark.parametrize(
    ("name", "phase", "plan", "slug"),
    [
        ("03-02-PLAN.md", "03", "02", ""),
        ("03-02-login-form-PLAN.md", "03", "02", "login-form"),
        ("02.1-03-PLAN.md", "02.1", "03", ""),
        ("999.83-01-PLAN.md", "999.83", "01", ""),
        ("03-06b-PLAN.md", "03", "06b", ""),
        ("05-W3-PLAN.md", "05", "W3", ""),
        ("04.5-03-W1-PLAN.md", "04.5", "03-W1", ""),
        ("03-B-PLAN.md", "03", "B", ""),
        ("01-PLAN.md", None, "01", ""),
        ("01-error-log-PLAN.md", None, "01", "error-log"),
        ("01-3d-view-PLAN.md", None, "01", "3d-view"),
        ("010-PLAN.md", None, "010", ""),
        ("PLAN.md", None, None, ""),
    ],
)
def test_a_plan_files_name_says_its_phase_plan_and_slug(
    name: str, phase: str | None, plan: str | None, slug: str
) -> None:
    read = read_name(name)
    assert read is not None
    assert (read.phase, read.plan, read.slug) == (phase, plan, slug)


@pytest.mark.parametrize(
    "name",
    [
        "03-PLAN-CHECK.md",
        "03-PLAN-REVIEW.md",
        "03-PLAN-REVIEW-DECISIONS.md",
        "03-PRE-PLAN-NOTES.md",
        "03-PLAN-OUTLINE.md",
        "PLAN-SUMMARY.md",
        "plan.md",
        "PAPER_TRADING_PLAN.md",
        "LIGHTHOUSE-PLAN.md",
        "03-02-PLAN.md.bak",
        "03-02-SUMMARY.md",
    ],
)
def test_names_that_only_look_like_plans_are_not_read(name: str) -> None:
    assert read_name(name) is None


@pytest.mark.parametrize(
    ("folder", "number", "slug"),
    [
        ("03-web-ui", "3", "web-ui"),
        ("04.10-late", "4.10", "late"),
        ("8.1-x", "8.1", "x"),
        ("phase-2", "2", ""),
        ("codenexus-04.5-adapter", "4.5", "adapter"),
        ("05a-more", "5a", "more"),
        ("07", "7", ""),
        ("notes", None, "notes"),
    ],
)
def test_a_phase_folders_name_says_its_number(folder: str, number: str | None, slug: str) -> None:
    assert read_folder(folder) == (number, slug)


def test_phases_and_plans_sort_by_number_with_inserted_ones_between() -> None:
    assert sorted(["10", "3", "2.1", "2", "4.10", "4.9"], key=phase_order) == ["2", "2.1", "3", "4.9", "4.10", "10"]
    ids = ["03-01", "02.1-01", "02-10", "02-02", "10-01"]
    assert sorted(ids, key=plan_order) == ["02-02", "02-10", "02.1-01", "03-01", "10-01"]
    assert normal_id("4.1-1") == "04.1-01"


def test_the_projects_own_planning_folder_wins_over_specs_and_dotted_phases(
    tmp_path: Path, write_plan: WritePlan
) -> None:
    write_plan("01-a/01-01-PLAN.md", place=".planning/phases")
    assert load_project(tmp_path).spec_dir == ".planning"
    write_plan("02-b/02-01-PLAN.md", place="specs/one/planning/plans")
    assert load_project(tmp_path).spec_dir == "specs/one"
    write_plan("03-c/03-01-PLAN.md")
    project = load_project(tmp_path)
    assert (project.spec_dir, [plan.id for plan in project.plans]) == ("", ["03-01"])


def test_of_several_specs_one_is_used_and_a_problem_names_the_others(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("01-a/01-01-PLAN.md", "title: first", place="specs/a/planning/plans")
    write_plan("01-a/01-01-PLAN.md", "title: second", place="specs/b/planning/plans")
    project = load_project(tmp_path)
    assert [plan.title for plan in project.plans] == ["first"]
    assert "specs/b" in project.problems[0].message
    chosen = load_project(tmp_path, spec_dir="specs/b")
    assert [plan.title for plan in chosen.plans] == ["second"]
    assert not chosen.problems


def test_a_chosen_spec_without_plans_is_a_problem_that_names_those_that_have_some(
    tmp_path: Path, write_plan: WritePlan
) -> None:
    write_plan("01-a/01-01-PLAN.md", place="specs/a/planning/plans")
    project = load_project(tmp_path, spec_dir="specs/typo")
    assert not project.plans
    assert "specs/a" in project.problems[0].message


def test_plans_may_lie_in_the_phases_place_without_a_folder(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("07-03-PLAN.md", place=".planning/phases")
    plan = load_project(tmp_path).plans[0]
    assert (plan.id, plan.phase, plan.phase_slug) == ("07-03", "7", "")


def test_the_file_name_is_trusted_before_its_folder_and_the_frontmatter(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("05-web/05.1-01-PLAN.md", "phase: 17\nplan: 01")
    project = load_project(tmp_path)
    assert (project.plans[0].id, project.plans[0].phase) == ("05.1-01", "5.1")
    [problem] = project.problems
    assert (problem.line, problem.plan_id) == (2, "05.1-01")
    assert "17" in problem.message


def test_octal_looking_numbers_and_late_insertions_keep_their_value(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("04.10-x/PLAN.md", "phase: 4.10\nplan: 010")
    write_plan("69.1-y/69.1-02-PLAN.md", "phase: 69.1\nplan: 02")
    first, second = load_project(tmp_path).plans
    assert (first.id, first.phase, first.frontmatter.plan) == ("04.10-10", "4.10", "010")
    assert (second.id, second.phase, second.frontmatter.phase) == ("69.1-02", "69.1", "69.1")


def test_a_folder_without_plans_or_no_folder_at_all_is_an_empty_project(tmp_path: Path) -> None:
    assert load_project(tmp_path).plans == ()
    assert load_project(tmp_path / "nowhere").plans == ()
