"""``status``, ``sync``, ``output`` and ``doctor``: looking at a project without taking the lead of it."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb.store import Store
from tests.cli.conftest import DECISION, question_id, sh
from tests.sessions.workers import kill_shim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Program, Shell

    Begin = Callable[..., Program]
    WritePlan = Callable[..., Path]


@pytest.mark.row(3)
def test_status_shows_plans_questions_and_who_runs_them(shell: Shell, begin: Begin, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"), title="Lay the floor")
    write_plan("p", "01-02", DECISION, title="Paint the door", depends_on='["01-01"]')
    write_plan("p", "02-01", sh("true"), title="Move in")
    run = begin("run", "p", "--trust")
    run.expect("--option blue")
    shown = shell("status", "p").out
    assert shown.startswith("p  1 of 3 plans complete\n")
    assert f"in process {run.process.pid} (cli" in shown
    assert "? 01-02 asks for a decision: Which colour?\n    harness-nb respond " in shown
    assert "Phase 1  Phase  1 of 2 complete\n" in shown
    assert "  ✓ 01-01  Lay the floor   complete\n" in shown
    assert "  ? 01-02  Paint the door  asks       1/1 choose\n" in shown
    assert "  ○ 02-01  Move in         waiting    for 01-02\n" in shown


def test_status_as_json_is_the_project_state_with_its_open_questions(
    shell: Shell, begin: Begin, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION)
    begin("run", "p", "--trust").expect("--option blue")
    state = json.loads(shell("status", "p", "--json").out)
    assert state["plans"][0]["id"] == "01-01"
    assert state["sessions"][0]["state"] == "checkpoint"
    assert state["holder"]["door"] == "cli"
    assert [one["type"] for one in state["openQuestions"]] == ["decision_needed"]


def test_status_does_not_take_the_lease(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    state = json.loads(shell("status", "p", "--json").out)
    assert "holder" not in state
    assert not (shell.folder / "p" / ".orchestration" / "lease.lock").exists()


@pytest.mark.row(11)
def test_status_notices_that_a_session_died_while_nobody_looked(
    shell: Shell, begin: Begin, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION)
    run = begin("run", "p", "--trust")
    asked = question_id(run.expect("harness-nb respond .*?blue")[0])
    run.process.kill()
    run.process.wait()
    with closing(Store(shell.folder / "p")) as store:
        session = store.sessions.select(live=True)[0]
        kill_shim(store.layout.session(session.id))

    shown = shell("status", "p").out
    assert "is paused: the process that did it has gone. h.run(), or `harness-nb run`, goes on with it." in shown
    assert "? 01-01" in shown, "it is asked all the same: whoever goes on finds the answer"
    late = shell("respond", asked, "--option", "red", "--project", "p")
    assert late.code == 0, "it is kept for the worker that goes on"
    assert shell("run", "p").code == 0


@pytest.mark.row(7)
def test_sync_writes_the_graph_and_finds_plans_that_were_added(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    first = shell("sync", "p")
    assert first.code == 0
    assert "0 of 1 plans complete" in first.out
    write_plan("p", "01-02", sh("true"), depends_on='["01-01"]')
    assert "0 of 2 plans complete" in shell("sync", "p").out
    graph = json.loads((shell.folder / "p" / ".orchestration" / "dependency-graph.json").read_text())
    assert graph["available"] == ["01-01"]
    assert graph["blocked"] == ["01-02"]


@pytest.mark.row(6, 7)
def test_sync_leaves_the_graph_to_whoever_runs_the_plans(shell: Shell, begin: Begin, write_plan: WritePlan) -> None:
    """It is in the journal all the same, and says where the plans stand."""
    write_plan("p", "01-01", DECISION)
    begin("run", "p", "--trust").expect("--option blue")
    graph = shell.folder / "p" / ".orchestration" / "dependency-graph.json"
    before = graph.read_text()
    done = shell("sync", "p")
    assert done.code == 0
    assert "0 of 1 plans complete" in done.out
    assert graph.read_text() == before
    with closing(Store(shell.folder / "p")) as store:
        assert len(store.events.select(kind="synced")) == 1


def test_output_follows_a_session_to_its_end(shell: Shell, begin: Begin, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("echo before") + DECISION + sh("echo after"))
    run = begin("run", "p", "--trust")
    asked = question_id(run.expect("harness-nb respond .*?blue")[0])
    follower = begin("output", "01-01", "--follow", "--project", "p")
    follower.expect("before")
    assert shell("respond", asked, "--approve", "--project", "p").code == 0
    text = follower.rest()
    assert follower.process.returncode == 0
    assert "after" in text
    last = shell("output", "01-01", "--lines", "1", "--project", "p")
    assert last.out == "after\n"


def test_doctor_says_what_is_fine_and_what_to_do(shell: Shell, write_plan: WritePlan, tmp_path: Path) -> None:
    write_plan("p", "01-01", sh("true"))
    loose = tmp_path / "credentials"
    loose.mkdir()
    (loose / "demo.env").write_text("TOKEN=x\n")
    (loose / "demo.env").chmod(0o644)
    done = shell("doctor", "p", env={"HARNESS_CREDENTIALS_DIR": str(loose)})
    assert done.code == 0
    lines = {line[2:].split("  ")[0].strip(): line for line in done.out.splitlines() if line[0] in "✓!✕"}
    for what in ("Python", "system", "sockets", "file system", "journal", "settings", "plans"):
        assert lines[what].startswith("✓"), lines[what]
    assert "journal mode wal" in lines["journal"]
    assert "1 in 1 phases, not trusted yet" in lines["plans"]
    assert "others can read demo.env" in lines["credentials"]
    assert f"→ chmod 600 {loose}/*.env" in done.out
    for what in ("notebook", "sample"):
        assert what in lines


def test_doctor_fails_where_something_needed_is_broken(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    (shell.folder / "p" / ".orchestration").mkdir()
    (shell.folder / "p" / ".orchestration" / "config.yaml").write_text("maxParallelExecutions: none at all\n")
    done = shell("doctor", "p")
    assert done.code == 1
    assert "✕ settings" in done.out
    assert "config.yaml" in done.out


@pytest.mark.row(3)
def test_end_ends_a_session_of_another_process_and_says_how(shell: Shell, begin: Begin, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", DECISION)
    run = begin("run", "p", "--trust")
    run.expect("--option blue")
    done = shell("end", "01-01", "--project", "p")
    assert done.code == 0
    assert "failed: ended by end_session" in done.out
    run.expect("01-01 failed")
    assert shell("end", "nothing", "--project", "p").code == 2
