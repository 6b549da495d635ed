"""Runs that a process of their own does: they outlive kernels, are found again, and never have two that do them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness_nb import ACCEPT_ALL, CredentialProvider, Harness
from harness_nb.errors import RunPausedError, SecondRunError, UnusableArgumentError
from harness_nb.store.locks import is_held, note_of
from harness_nb.verification.registry import REGISTERED, Outcome, RegisteredCheck
from harness_nb.views.troubles import troubles_of
from tests.orchestrator.written_plans import configure, plan, states, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.row(11)

LIMIT = 100
WAITS = "echo begun >> {name}-began; while ! test -e go; do sleep 0.02; done; echo done >> {name}-ended"
KERNEL = """
import sys
from harness_nb import Harness
run = Harness(sys.argv[1], trust=True).run()
print(run.id, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def detached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs get processes of their own here, as they do unless somebody says otherwise."""
    monkeypatch.delenv("HARNESS_DETACH")


def waits(name: str) -> str:
    return WAITS.replace("{name}", name)


def holder(harness: Harness) -> int:
    """Return the process that has the lease, as soon as there is one that does a run."""
    lease = harness._twin.store.layout.lease
    until(lambda: is_held(lease) and note_of(lease).get("door") == "run")
    return int(note_of(lease)["pid"])


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def kinds(harness: Harness, run_id: str) -> list[str]:
    """Return what happened to a run itself, in order."""
    found = harness._twin.store.events.select()
    return [one.kind for one in found if one.run_id == run_id and one.kind.startswith("run_")]


def test_a_run_is_done_by_a_process_of_its_own_and_shown_as_any_other(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", waits("one"))
    write_plan(root, "01-02", depends_on=["01-01"])
    run = harness.run()
    assert run.detached
    assert list(states(run.report)) == ["01-01", "01-02"], "it can be shown before anybody does it"
    until(lambda: lines(root / "one-began"))
    assert holder(harness) != os.getpid()
    assert states(run.report)["01-01"] == "running"
    (root / "go").touch()
    report = run.wait(timeout=LIMIT)
    assert (report.passed, states(report)) == (True, {"01-01": "complete", "01-02": "complete"})
    assert kinds(harness, run.id) == ["run_started", "run_taken_up", "run_ended"]
    assert run.record.generation == 1
    assert "01-02" in run.graph().svg
    assert "01-02" in run.gantt().svg


def test_a_cell_that_computes_stalls_nothing(harness: Harness, root: Path) -> None:
    """The interpreter is held for as long as the run takes, as one long computation in C does it."""
    for number in range(1, 4):
        write_plan(root, f"01-0{number}", depends_on=[f"01-0{number - 1}"] if number > 1 else [])
    run = harness.run()
    ended = root / ".orchestration" / "dependency-graph.json"
    hold = ctypes.PyDLL(None).usleep
    for _ in range(600):  # nothing of this process runs in these, and hardly anything in between
        hold(100_000)
        if ended.exists() and '"completed": [\n    "01-01",\n    "01-02",\n    "01-03"' in ended.read_text():
            break
    assert run.wait(timeout=LIMIT).passed


def test_a_run_goes_on_when_the_kernel_that_began_it_is_killed(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", waits("one"))
    write_plan(root, "01-02", depends_on=["01-01"])
    with subprocess.Popen(
        [sys.executable, "-c", KERNEL, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as kernel:  # fmt: skip
        assert kernel.stdout is not None
        run_id = kernel.stdout.readline().strip()
        until(lambda: lines(root / "one-began"))
        os.killpg(kernel.pid, signal.SIGKILL)  # as Jupyter ends a kernel: with its whole group
    run = harness.current_run
    assert run is not None
    assert run.id == run_id
    assert kinds(harness, run_id) == ["run_started", "run_taken_up"], "the one that does it never stopped"
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert lines(root / "one-began") == ["begun"]


def test_calling_run_again_joins_the_one_that_goes_on(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", waits("one"))
    write_plan(root, "01-02")
    first = harness.run(max_parallel=1)
    until(lambda: lines(root / "one-began"))
    again = harness.run(max_parallel=2)
    assert again.id == first.id
    until(lambda: states(again.report)["01-02"] == "complete")
    with pytest.raises(SecondRunError, match="is going on already"):
        harness.run(plans=["01-02"])
    (root / "go").touch()
    assert again.wait(timeout=LIMIT).passed
    assert first.report == again.report


def test_another_process_takes_over_a_run_whose_own_was_killed(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", waits("one"))
    write_plan(root, "01-02", "echo two >> two", depends_on=["01-01"])
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    first = holder(harness)
    os.kill(first, signal.SIGKILL)
    until(lambda: holder(harness) != first)
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert (lines(root / "one-began"), lines(root / "one-ended"), lines(root / "two")) == (["begun"], ["done"], ["two"])
    assert kinds(harness, run.id) == ["run_started", "run_taken_up", "run_taken_up", "run_ended"]
    judged = [one.plan_id for one in harness._twin.store.events.select(kind="judged")]
    assert judged == ["01-01", "01-02"]


def test_a_page_or_a_short_command_takes_nothing_over(root: Path, opened: Callable[..., Harness]) -> None:
    write_plan(root, "01-01", waits("one"))
    harness = opened(judges=False)
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    first = holder(harness)
    os.kill(first, signal.SIGKILL)
    until(lambda: not is_held(harness._twin.store.layout.lease))
    (root / "go").touch()
    until(lambda: harness.list_sessions()[0].state == "completed")
    with pytest.raises(TimeoutError):
        run.wait(timeout=1.5)
    assert kinds(harness, run.id) == ["run_started", "run_taken_up"]
    harness.close()
    again = opened()
    assert again.run().wait(timeout=LIMIT).passed


def test_an_agent_that_orchestrates_takes_a_run_over_where_no_notebook_is_open(
    root: Path, opened: Callable[..., Harness]
) -> None:
    write_plan(root, "01-01", waits("one"))
    harness = opened(judges=False)
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    first = holder(harness)
    with subprocess.Popen(
        [sys.executable, "-m", "harness_nb.cli", "mcp", "--project", str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: run.record.generation == 2)
        server.stdin.close()
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert lines(root / "one-began") == ["begun"]


def test_one_that_stood_still_and_was_replaced_changes_nothing_any_more(harness: Harness, root: Path) -> None:
    """Its lock is taken from it as a network file system may do it: the file is another one."""
    write_plan(root, "01-01", waits("one"))
    write_plan(root, "01-02", "echo two >> two", depends_on=["01-01"])
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    old = psutil.Process(holder(harness))
    old.suspend()
    harness._twin.store.layout.lease.unlink()
    until(lambda: is_held(harness._twin.store.layout.lease) and holder(harness) != old.pid)
    until(lambda: run.record.generation == 2)
    old.resume()
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE)
    assert lines(root / "two") == ["two"]
    assert [one.plan_id for one in harness._twin.store.events.select(kind="judged")] == ["01-01", "01-02"]
    assert kinds(harness, run.id).count("run_ended") == 1


def test_any_process_can_stop_a_run(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", waits("one"))
    write_plan(root, "01-02", depends_on=["01-01"])
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    report = run.stop()
    assert (report.state, states(report)["01-01"]) == ("stopped", "aborted")
    [asked] = harness._twin.store.events.select(kind="run_stop_asked")
    assert (asked.actor, asked.door) == (harness._twin.actor, "python")
    assert not harness.list_sessions()[0].record.live


def test_a_run_that_lost_its_kernel_can_be_stopped_elsewhere(root: Path, opened: Callable[..., Harness]) -> None:
    write_plan(root, "01-01", waits("one"))
    harness = opened()
    run = harness.run(detach=False)
    assert not run.detached
    until(lambda: lines(root / "one-began"))
    harness.close()
    again = opened()
    assert again.current_run is None, "nobody does it: it is paused"
    [sentence] = troubles_of(again._twin.store)
    assert sentence.endswith(
        "is paused: the process that did it has gone. h.run(), or `harness-nb run`, goes on with it."
    )
    assert again.run().stop().state == "stopped"


def test_a_check_that_is_a_function_keeps_the_run_in_its_process(
    harness: Harness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mine(spec: Any, context: Any) -> Outcome:
        return Outcome(passed=True)

    monkeypatch.setitem(REGISTERED, "file_exists", RegisteredCheck(mine))
    write_plan(root, "01-01", must_pass=[{"id": "own", "type": "file_exists", "path": "not-there"}])
    with pytest.raises(UnusableArgumentError, match="the check 'file_exists' is a function of this process"):
        harness.run(detach=True)
    run = harness.run()
    assert not run.detached
    assert run.wait(timeout=LIMIT).passed


def test_credentials_of_the_harness_are_looked_up_by_the_run_s_process_too(
    root: Path, tmp_path: Path, opened: Callable[..., Harness]
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "weather.env").write_text("WEATHER_KEY=k-123456789\n")
    needs = [{"service": "weather", "env_vars": ["WEATHER_KEY"], "reason": "to look"}]
    write_plan(root, "01-01", 'test "$WEATHER_KEY" = k-123456789', credentials_needed=needs)
    harness = opened(credentials=CredentialProvider(tmp_path / "secrets"))
    run = harness.run(policies=[ACCEPT_ALL])
    assert run.detached
    assert run.wait(timeout=LIMIT).passed


def test_what_keeps_a_run_from_going_on_is_said(harness: Harness, root: Path) -> None:
    file = write_plan(root, "01-01", waits("one"))
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    file.unlink()
    os.kill(holder(harness), signal.SIGKILL)
    with pytest.raises(RunPausedError, match=r"is paused: .*no plans.* run\(\) goes on with it"):
        run.wait(timeout=LIMIT)
    assert f"Run {run.id} is paused: " in str(troubles_of(harness._twin.store))
    assert f"Run {run.id} is paused: " in harness.board._repr_html_()
    write_plan(root, "01-01", waits("one"))
    (root / "go").touch()
    assert harness.run().wait(timeout=LIMIT).passed


def test_plans_that_were_written_in_python_go_along(harness: Harness) -> None:
    run = harness.run(plans=[plan("01-01"), plan("01-02", depends_on=["01-01"])])
    assert run.detached
    assert states(run.wait(timeout=LIMIT)) == {"01-01": "complete", "01-02": "complete"}


def test_the_environment_says_that_runs_stay_in_their_kernel(
    harness: Harness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DETACH", "no")
    configure(root)
    write_plan(root, "01-01")
    run = harness.run()
    assert not run.detached
    assert run.wait(timeout=LIMIT).passed
