"""The project's state beside others who read and write it: no value is lost, and no old view is left behind."""

from __future__ import annotations

import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Harness
from harness_nb.orchestrator.progress import PlanProgress, Publisher, dependency_graph
from harness_nb.plans import load_project
from tests.orchestrator.written_plans import plan, until, write_plan

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 60
SPAWN = multiprocessing.get_context("spawn")


def set_many(root: Path, who: str, together: Any) -> None:
    """Set sixty values, each under a key of its own."""
    with Harness(root) as harness:
        together.wait()
        for number in range(60):
            values: dict[str, Any] = {f"{who}_{number}": number}
            harness.set_state(**values)


def graph_of(root: Path) -> dict[str, Any]:
    """Return what ``dependency-graph.json`` says."""
    return dict(json.loads((root / ".orchestration" / "dependency-graph.json").read_text()))


@pytest.mark.row(7)
def test_no_value_is_lost_when_two_processes_set_the_state(root: Path) -> None:
    (root / "ROADMAP.md").write_text("---\nstatus: planning\n---\n# Tiny\n")
    together = SPAWN.Barrier(2)
    processes = [SPAWN.Process(target=set_many, args=(root, who, together)) for who in ("ada", "ben")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT)
    assert [process.exitcode for process in processes] == [0, 0]
    lines = (root / "ROADMAP.md").read_text().splitlines()
    assert {f"{who}_{number}: {number}" for who in ("ada", "ben") for number in range(60)} <= set(lines)


@pytest.mark.row(7)
def test_no_value_is_lost_when_threads_of_one_process_set_the_state(harness: Harness, root: Path) -> None:
    (root / "ROADMAP.md").write_text("---\nstatus: planning\n---\n# Tiny\n")

    def set_one(number: int) -> None:
        values: dict[str, Any] = {f"key_{number}": number}
        harness.set_state(**values)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(set_one, range(80)))
    lines = (root / "ROADMAP.md").read_text().splitlines()
    assert {f"key_{number}: {number}" for number in range(80)} <= set(lines)


@pytest.mark.row(7)
def test_a_sync_that_read_before_a_run_went_on_does_not_put_the_old_graph_back(
    harness: Harness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the state and writing the graph nobody else writes it."""
    write_plan(root, "01-01")
    project = load_project(root)
    publisher = Publisher(harness._twin.store, project)
    complete = {"01-01": PlanProgress(project.plans[0], state="complete")}
    publishing = threading.Thread(target=publisher.publish, args=(complete,))

    def read_slowly(*arguments: Any) -> Any:
        graph = dependency_graph(*arguments)
        if publishing.ident is None:
            publishing.start()
            publishing.join(0.3)  # long enough for whoever does not have to wait
        return graph

    monkeypatch.setattr("harness_nb.harness.state.dependency_graph", read_slowly)
    assert harness.sync_state().graph.available == ("01-01",)
    publishing.join(LIMIT)
    assert graph_of(root)["completed"] == ["01-01"]


@pytest.mark.row(6, 7)
def test_a_sync_leaves_the_graph_of_a_run_that_goes_on_alone(harness: Harness, root: Path) -> None:
    """Whoever runs keeps it true, also for plans that are in no document; after the run a sync writes it."""
    write_plan(root, "01-01")
    run = harness.run(plans=[plan("09-01", "while ! test -e go; do sleep 0.02; done")])
    until(lambda: harness.list_sessions("running"))
    before = graph_of(root)
    assert before["running"] == ["09-01"]
    assert [one.id for one in harness.sync_state().plans] == ["01-01"]
    assert graph_of(root) == before
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert harness.sync_state().graph.available == ("01-01",)
    assert graph_of(root)["available"] == ["01-01"]
    assert len(harness._twin.store.events.select(kind="synced")) == 2
