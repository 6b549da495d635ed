"""Real projects, where a checkout has some beside it: each is read without an exception, and truly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness_nb.plans.body import read_body
from harness_nb.plans.project import load_project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.row(4)
def test_every_project_is_read_and_every_problem_has_a_file_and_a_line(corpus: Path) -> None:
    folders = [folder for folder in sorted(corpus.iterdir()) if folder.is_dir()]
    assert folders
    for folder in folders:
        project = load_project(folder)
        assert project.plans, folder.name
        assert not project.held, folder.name
        for plan in project.plans:
            assert (project.root / (plan.path or "")).is_file()
            assert plan.to_wire()
        assert all(problem.path and problem.line for problem in project.problems)


@pytest.mark.row(7)
def test_the_sample_project_of_the_format_shows_its_plans_and_state(corpus: Path) -> None:
    project = load_project(corpus / "taskflow")
    declared = {plan.id: set(project.graph.declared[plan.id]) for plan in project.plans}
    assert declared == {
        "01-01": set(),
        "01-02": {"01-01"},
        "01-03": {"01-01"},
        "02-01": {"01-02"},
        "02-02": {"02-01"},
        "02-03": {"02-01"},
        "03-01": {"01-03"},
        "03-02": {"01-03"},
        "03-03": {"03-01", "03-02", "02-02"},
        "04-01": {"03-03"},
    }
    assert project.completed == set(declared)
    assert project.verified_phases == {"1", "2", "3"}
    assert [phase.name for phase in project.phases][:2] == ["Project Foundation", "Backend API"]
    assert project.roadmap is not None
    assert project.roadmap.frontmatter is not None
    assert (project.roadmap.frontmatter.status, project.roadmap.frontmatter.total_plans) == ("executed", 10)
    assert not project.problems


def test_broken_blocks_cost_neither_dependencies_nor_truths(corpus: Path) -> None:
    project = load_project(corpus / "Pouryaak__LokulMem")
    broken = [plan for plan in project.plans if plan.problems]
    assert len(broken) == 12
    for plan in broken:
        text = (project.root / (plan.path or "")).read_text()
        wrote = re.search(r"^depends_on:(.*(?:\n +-.*)*)", text, re.MULTILINE)
        assert wrote is not None
        assert plan.depends_on == re.findall(r"\d\d-\d\d[a-z]?", wrote[1])
        assert plan.writes
        assert plan.frontmatter.wave is not None
        assert plan.must_haves.truths
        assert plan.must_haves.other  # what was lost is not silently gone


def test_every_task_element_is_found_and_every_complete_command(corpus: Path) -> None:
    tasks = commands = 0
    for file in sorted(corpus.rglob("*PLAN.md")):
        text = file.read_text(encoding="utf-8", errors="replace")
        body = read_body(text)
        assert len(body.tasks) == len(re.findall(r"^[ \t]*<task\b[^>]*>", text, re.MULTILINE)), file
        found = [command for task in body.tasks for command in task.automated]
        assert len(found) == len(re.findall(r"<automated>.*?</automated>", text, re.DOTALL)), file
        tasks += len(body.tasks)
        commands += len(found)
    assert tasks
    assert commands
