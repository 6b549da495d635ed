"""What a run leaves for people and other programs: summaries, the roadmap, the graph, active files, commits."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import ACCEPT_ALL, Harness
from harness_nb.orchestrator.progress import PlanProgress, Publisher
from harness_nb.plans import load_project
from tests.orchestrator.written_plans import configure, plan, states, until, write_plan

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 60
ROADMAP = """\
---
version: 1.0.0
project: tiny
# a person's own remark
current_phase: 1
current_plan: 1
status: planning
total_phases: 2
completed_phases: 0
total_plans: 3
completed_plans: 0
---

# Tiny

- [ ] **Phase 1: First**\u00a0– kept   as it is\t
- [ ] **Phase 2: Second**
"""


def quick_state(root: Path) -> dict[str, Any]:
    """Return what the roadmap's frontmatter says."""
    roadmap = load_project(root).roadmap
    assert roadmap
    assert roadmap.frontmatter
    keys = ("current_phase", "current_plan", "status", "completed_phases", "completed_plans")
    return {key: getattr(roadmap.frontmatter, key) for key in keys}


def publisher_of(harness: Harness, root: Path) -> tuple[Publisher, dict[str, PlanProgress]]:
    """Return what shows a run of one plan that is complete, in a project with a roadmap."""
    write_plan(root, "01-01")
    (root / "ROADMAP.md").write_text(ROADMAP)
    project = load_project(root)
    return Publisher(harness._twin.store, project), {"01-01": PlanProgress(project.plans[0], state="complete")}


@pytest.mark.row(5, 7)
def test_a_finished_plan_gets_a_summary_that_a_later_sync_finds(harness: Harness, root: Path) -> None:
    """It says VERIFIED, and is the truth also for somebody who has no journal of this project."""
    file = write_plan(root, "01-01")
    assert harness.run().wait(timeout=LIMIT).passed
    summary = file.with_name("01-01-SUMMARY.md").read_text()
    assert "Status: VERIFIED" in summary
    assert "fine: passed" in summary
    state = harness.sync_state()
    assert (state.plan("01-01").state, state.plan("01-01").verified) == ("complete", True)
    harness.close()
    shutil.rmtree(root / ".orchestration")
    with Harness(root) as elsewhere:
        state = elsewhere.sync_state()
        assert (state.plan("01-01").state, state.plan("01-01").verified) == ("complete", True)
        assert state.phases[0].verified
        assert elsewhere.run().wait(timeout=LIMIT).plan("01-01").earlier


@pytest.mark.row(5)
def test_a_plan_that_fails_when_done_again_is_no_longer_called_verified(harness: Harness, root: Path) -> None:
    """Neither by its summary, which others may read without a journal, nor by the state."""
    file = write_plan(root, "01-01")
    assert harness.run().wait(timeout=LIMIT).passed
    write_plan(root, "01-01", must_pass=[{"id": "broken", "type": "command_succeeds", "command": "false"}])
    assert not harness.run(again=True).wait(timeout=LIMIT).passed
    assert "Status: not verified" in file.with_name("01-01-SUMMARY.md").read_text()
    state = harness.sync_state()
    assert (state.plan("01-01").state, state.plan("01-01").verified) == ("failed", False)


@pytest.mark.row(7)
def test_the_roadmaps_quick_state_is_kept_and_its_text_left_alone(harness: Harness, root: Path) -> None:
    """Executing while plans run, blocked when one failed, complete at the end; the body stays byte for byte."""
    write_plan(root, "01-01")
    write_plan(root, "01-02", "cp ROADMAP.md seen", depends_on=["01-01"])
    write_plan(root, "02-01", "test -e mended")
    project = load_project(root)
    assert project.roadmap_file
    file = project.roadmap_file
    file.write_text(ROADMAP)
    assert states(harness.run().wait(timeout=LIMIT))["02-01"] == "failed"
    during = (root / "seen").read_text()
    for line in ("status: executing", "completed_plans: 1", "current_plan: 2", "completed_phases: 0"):
        assert line in during
    assert quick_state(root) == {
        "current_phase": 2, "current_plan": 1, "status": "blocked", "completed_phases": 1, "completed_plans": 2,
    }  # fmt: skip
    (root / "mended").touch()
    assert harness.run().wait(timeout=LIMIT).passed
    assert quick_state(root)["status"] == "complete"
    assert quick_state(root)["completed_plans"] == 3
    assert file.read_text().split("---\n", 2)[2] == ROADMAP.split("---\n", 2)[2]
    assert "# a person's own remark\n" in file.read_text()


@pytest.mark.row(4, 6)
def test_graph_and_active_files_are_true_when_a_worker_looks(harness: Harness, root: Path) -> None:
    """From its very first moment a plan finds itself running and its own files among the active ones."""
    look = "cp .orchestration/active-files.json active.json; cp .orchestration/dependency-graph.json graph.json"
    write_plan(root, "01-01")
    write_plan(root, "01-02", look, depends_on=["01-01"], files_modified=["out/*.txt"], files_read=["data/"])
    write_plan(root, "01-03", depends_on=["01-02"])
    assert harness.run().wait(timeout=LIMIT).passed
    [session] = [one for one in harness.list_sessions() if one.record.plan_id == "01-02"]
    active = json.loads((root / "active.json").read_text())["files"]
    assert {(one["path"], one["operation"], one["planId"], one["sessionId"]) for one in active} == {
        ("out/*.txt", "write", "01-02", session.id),
        ("data/", "read", "01-02", session.id),
    }
    graph = json.loads((root / "graph.json").read_text())
    shown = {key: graph[key] for key in ("completed", "running", "available", "blocked")}
    assert shown == {"completed": ["01-01"], "running": ["01-02"], "available": [], "blocked": ["01-03"]}
    assert graph["plans"][1]["dependsOn"] == ["01-01"]
    after = json.loads((root / ".orchestration" / "dependency-graph.json").read_text())
    assert after["completed"] == ["01-01", "01-02", "01-03"]
    assert json.loads((root / ".orchestration" / "active-files.json").read_text())["files"] == []


@pytest.mark.row(6, 7)
@pytest.mark.parametrize(
    "broken",
    [
        "harness_nb.store.Store.write_graph",
        "harness_nb.store.Store.write_active_files",
        "harness_nb.orchestrator.progress.write_roadmap",
    ],
)
def test_a_view_that_could_not_be_written_is_written_the_next_time(
    harness: Harness, root: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The disk was full for a moment: the other views are written at once, and this one with the next step."""
    publisher, plans = publisher_of(harness, root)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(broken, refuse)
        with pytest.raises(OSError, match="No space left"):
            publisher.publish(plans)
    written = [(root / ".orchestration" / name).exists() for name in ("dependency-graph.json", "active-files.json")]
    assert (*written, quick_state(root)["status"] == "complete").count(False) == 1
    publisher.publish(plans)
    assert json.loads((root / ".orchestration" / "dependency-graph.json").read_text())["completed"] == ["01-01"]
    assert json.loads((root / ".orchestration" / "active-files.json").read_text())["files"] == []
    assert quick_state(root)["status"] == "complete"


@pytest.mark.row(6)
def test_a_view_that_says_nothing_new_is_not_written_again(harness: Harness, root: Path) -> None:
    """The moment of writing is no news."""
    publisher, plans = publisher_of(harness, root)
    publisher.publish(plans)
    first = (root / ".orchestration" / "dependency-graph.json").read_text()
    moments = itertools.count(1)
    harness._twin.store.clock = lambda: datetime(2030, 1, next(moments), tzinfo=UTC)
    for _ in range(5):
        publisher.publish(plans)
    assert (root / ".orchestration" / "dependency-graph.json").read_text() == first


@pytest.mark.row(6)
def test_a_sessions_files_tell_how_it_went(harness: Harness, root: Path) -> None:
    """``status.json`` while it runs, and ``result.json`` when it has ended."""
    run = harness.run(plans=[plan("01-01", "while ! test -e go; do sleep 0.02; done")])
    until(lambda: harness.list_sessions("running"))
    [session] = harness.list_sessions()
    folder = root / ".orchestration" / "sessions" / session.id
    until(lambda: json.loads((folder / "status.json").read_text())["currentTask"] == 1)
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["plan"], status["taskName"], status["totalTasks"]) == (
        "running", "01-01", "Do it", 1,
    )  # fmt: skip
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert json.loads((folder / "status.json").read_text())["state"] == "completed"
    assert json.loads((folder / "result.json").read_text())["success"] is True


# --- commits ----------------------------------------------------------------------------------


def git(root: Path, *arguments: str) -> str:
    """Run git and return what it says."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as a git repository with one commit, whatever this machine's git is set to."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@example.org")
    git(root, "init", "-q")
    (root / "old.txt").write_text("old\n")
    (root / ".gitignore").write_text("*.log\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "Start")
    return root


def test_auto_commit_commits_each_plans_own_files(harness: Harness, repository: Path) -> None:
    """New, changed and removed ones and the summary; not the ignored, not the missing, not what a person staged."""
    configure(repository, autoCommit=True)
    files = ["out/", "old.txt", "run.log", "never-made.txt (new)", "odd[1]x.txt"]
    code = 'mkdir -p out; echo 1 > out/a.txt; rm -f old.txt; echo noise > run.log; echo odd > "odd[1]x.txt"'
    write_plan(repository, "01-01", code, files_modified=files)
    write_plan(repository, "01-02", "echo 2 > b.txt", files_modified=["b.txt"])
    (repository / "mine").write_text("a person's own work\n")
    git(repository, "add", "mine")
    report = harness.run().wait(timeout=LIMIT)
    assert report.passed
    assert [one.reason for one in report.plans] == [None, None]
    subjects = git(repository, "log", "--format=%s").splitlines()
    assert sorted(subjects[:2]) == ["Complete 01-01: The plan 01-01", "Complete 01-02: The plan 01-02"]
    changed = git(repository, "log", "--name-status", "--format=", "--grep=01-01").splitlines()
    assert sorted(changed) == [
        "A\todd[1]x.txt",
        "A\tout/a.txt",
        "A\tplanning/plans/01-phase/01-01-SUMMARY.md",
        "D\told.txt",
    ]
    assert git(repository, "diff", "--cached", "--name-only") == "mine"
    assert harness.run(again=True).wait(timeout=LIMIT).passed
    assert git(repository, "log", "--format=%s").splitlines() == subjects, "what changed nothing commits nothing"


INTERRUPTED = """
import sys
from harness_nb import Harness
run = Harness(sys.argv[1], trust=True).run()
try:
    run.wait()
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(run.wait().plan("01-01").reason)
"""


def test_an_interrupt_of_the_cell_breaks_off_no_commit(repository: Path) -> None:
    """Jupyter sends it to the kernel's whole group of processes; it ends the waiting alone."""
    configure(repository, autoCommit=True)
    write_plan(repository, "01-01", "touch a", files_modified=["a"])
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch .git/hooked\nwhile [ ! -e .git/go ]; do sleep 0.02; done\n")
    hook.chmod(0o755)
    kernel = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(repository)], stdout=-1, text=True, start_new_session=True
    )
    until((repository / ".git" / "hooked").exists, LIMIT)
    os.killpg(kernel.pid, signal.SIGINT)
    assert kernel.stdout
    assert kernel.stdout.readline() == "interrupted\n"
    (repository / ".git" / "go").touch()
    assert kernel.communicate(timeout=LIMIT)[0] == "None\n"
    assert git(repository, "log", "--format=%s").startswith("Complete 01-01")


def test_a_commit_that_fails_is_said_and_takes_nothing_from_the_plan(harness: Harness, root: Path) -> None:
    """The project is no repository: the plan is complete, and the reason is git's own."""
    configure(root, autoCommit=True)
    write_plan(root, "01-01", "touch a", files_modified=["a"])
    outcome = harness.run(policies=[ACCEPT_ALL]).wait(timeout=LIMIT).plan("01-01")
    assert outcome.state == "complete"
    assert "not committed: " in str(outcome.reason)
    assert "not a git repository" in str(outcome.reason)
