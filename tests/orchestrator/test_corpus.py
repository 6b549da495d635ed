"""Real projects, copied: their state opens, and a run says of each plan why the runbook cannot do it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.orchestrator.written_plans import states

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb import Harness


@pytest.fixture
def projects(corpus: Path, tmp_path: Path) -> list[Path]:
    """Copies of all projects of the corpus."""
    return [
        Path(shutil.copytree(source, tmp_path / source.name)) for source in sorted(corpus.iterdir()) if source.is_dir()
    ]


def test_the_state_of_every_real_project_opens(opened: Callable[..., Harness], projects: list[Path]) -> None:
    """Every plan has a state, and the graph names the same plans."""
    for project in projects:
        state = opened(project).get_state()
        assert state.plans
        assert {one.plan_id for one in state.graph.plans} == {one.id for one in state.plans}
        assert {one.state for one in state.plans} <= {"complete", "waiting", "held"}
        assert str(state).startswith(f"{project.name}: ")


@pytest.mark.row(4, 7)
def test_taskflow_shows_its_ten_plans(opened: Callable[..., Harness], projects: list[Path]) -> None:
    """Ten plans with their dependencies, all executed, phases 1 to 3 verified; a run has nothing to do."""
    harness = opened(next(one for one in projects if one.name == "taskflow"))
    state = harness.get_state()
    assert len(state.plans) == 10
    assert {one.state for one in state.plans} == {"complete"}
    assert [phase.number for phase in state.phases if phase.verified] == ["1", "2", "3"]
    assert any(one.depends_on for one in state.plans)
    report = harness.run().wait(timeout=60)
    assert report.passed
    assert all(one.earlier for one in report.plans)


def test_the_runbook_says_of_each_real_plan_why_it_cannot_do_it(
    opened: Callable[..., Harness], projects: list[Path]
) -> None:
    """No plan in the wild has a run block: each is held with its file and what to choose instead, and none is run."""
    for project in projects:
        harness = opened(project)
        report = harness.run(worker="runbook", again=True).wait(timeout=60)
        assert set(states(report).values()) == {"held"}
        own = [str(one.reason) for one in report.plans if not str(one.reason).startswith("waits for ")]
        assert own
        for reason in own:
            assert ".md" in reason
            assert "so the runbook worker" in reason or "correct" in reason or "remove" in reason, reason
        assert harness.list_sessions() == []
