"""Detached runs in bad moments: killed, stopped, begun twice, or opened by somebody who trusts nothing yet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from harness_nb import AsyncHarness, Harness
from harness_nb.errors import SecondRunError, UnansweredQuestionError
from harness_nb.harness.runs import enlist_run, options_of
from harness_nb.store import Store
from harness_nb.store.locks import is_held
from harness_nb.store.trust import set_trusted
from harness_nb.views.troubles import troubles_of
from tests.harness.test_detached import LIMIT, detached, holder, lines, waits
from tests.orchestrator.written_plans import plan, states, until, write_plan
from tests.trusting import trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["detached"]
pytestmark = pytest.mark.row(11)

KERNEL = """
import sys
from harness_nb import Harness
harness = Harness(sys.argv[1], trust=True)
print(flush=True)
sys.stdin.readline()
run = harness.run()
print(run.id, run.wait(timeout=60).passed, flush=True)
"""

ASKS = """
<task type="checkpoint:decision">
<name>Choose</name>
<decision>Which?</decision>
<options><option id="a"><name>A</name></option><option id="b"><name>B</name></option></options>
</task>
"""


def kill_holder(harness: Harness) -> None:
    """Kill the process that does the run."""
    os.kill(holder(harness), signal.SIGKILL)


def test_opening_a_project_that_is_not_trusted_does_nothing_of_its_unfinished_run(
    root: Path, opened: Callable[..., Harness]
) -> None:
    """It may have come with its journal: from an archive, say, or another user."""
    write_plan(root, "01-01", waits("one"))
    write_plan(root, "01-02", "touch two", depends_on=["01-01"])
    harness = opened(judges=False)
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    kill_holder(harness)
    until(lambda: not is_held(harness._twin.store.layout.lease))
    harness.close()
    set_trusted(root, trusted=False)
    (root / "go").touch()
    again = Harness(root)
    store = again._twin.store
    with pytest.raises(AssertionError):
        until(lambda: store.runs.get(run.id).generation > 1, 4)
    assert "is not trusted" in str(troubles_of(store))
    assert not (root / "two").exists()
    trust(root)
    again.run().wait(timeout=LIMIT)


def test_trusting_the_plans_of_a_folder_lets_no_others_run_that_came_in_its_journal(
    harness: Harness, root: Path
) -> None:
    """Nobody is shown the plans that another one's run was given in Python; here, whoever gave them goes on."""
    write_plan(root, "01-01", "true")
    given = plan("02-01", "echo ran >> given")
    options = options_of([given], worker=None, max_parallel=None, params=None, again=False, policies=())
    record = enlist_run(harness._twin.store, options, actor="mallory", door="python")
    harness._twin.store.runs.lead(record.id, door="run")  # as if its process had died since
    harness.trust()
    until(lambda: any("written in Python" in one for one in troubles_of(harness._twin.store)))
    time.sleep(1.5)
    assert not (root / "given").exists()
    harness.run([given]).wait(LIMIT)
    assert (root / "given").read_text() == "ran\n"


def test_a_run_that_was_only_just_begun_is_not_ended_by_another_one(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01")
    write_plan(root, "01-02")
    first = harness.run(plans=["01-01"])
    with pytest.raises(SecondRunError):
        harness.run(plans=["01-02"])
    assert first.wait(timeout=LIMIT).passed


def test_kernels_that_begin_the_same_run_at_the_same_time_share_it(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", "echo begun >> one-began; sleep 1")
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", KERNEL, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for kernel in kernels:
        assert kernel.stdout is not None
        kernel.stdout.readline()
    for kernel in kernels:
        assert kernel.stdin is not None
        kernel.stdin.write("\n")
        kernel.stdin.flush()
    said = {kernel.communicate(timeout=LIMIT)[0] for kernel in kernels}
    [run] = harness._twin.store.runs.select()
    assert said == {f"{run.id} True\n"}
    assert lines(root / "one-began") == ["begun"]


def test_a_run_is_stopped_although_nobody_answers_what_it_asks(
    harness: Harness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    write_plan(root, "01-01", body=ASKS)
    run = harness.run()
    with pytest.raises(UnansweredQuestionError):
        run.wait(timeout=LIMIT)
    assert run.stop().state == "stopped"


def test_a_paused_run_can_be_stopped(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", waits("one"))
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    store = harness._twin.store
    store.runs.pause(run.id, "its process ended 5 times.")
    kill_holder(harness)
    until(lambda: not is_held(store.layout.lease))
    assert run.stop().state == "stopped"


def test_a_second_harness_of_a_process_leaves_the_lease_to_the_first(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", waits("one"))
    run = harness.run(detach=False)
    until(lambda: lines(root / "one-began"))

    async def look() -> None:
        async with AsyncHarness(root, judges=False):
            pass

    anyio.run(look)
    assert is_held(harness._twin.store.layout.lease)
    (root / "go").touch()
    assert run.wait(timeout=LIMIT).passed


def test_a_kernel_whose_run_was_taken_over_goes_on(harness: Harness, root: Path) -> None:
    """The run's sessions are followed for everybody, so they are no business of whoever did the run alone."""
    write_plan(root, "01-01", waits("one"))
    run = harness.run(detach=False)
    until(lambda: lines(root / "one-began"))
    store = harness._twin.store
    store.runs.lead(run.id, door="another")
    with pytest.raises(Exception, match="taken over"):
        run.wait(timeout=LIMIT)
    (root / "go").touch()
    until(lambda: not harness.list_sessions()[0].record.live, LIMIT)
    assert harness.start_session(command=["true"]).wait(timeout=LIMIT).state == "completed"


def test_the_end_of_a_run_is_seen_though_nobody_told_of_it(harness: Harness, root: Path) -> None:
    """Who does a run may die between writing down its end and ringing."""
    write_plan(root, "01-01", waits("one"))
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    pid = holder(harness)
    os.kill(pid, signal.SIGSTOP)
    changes = harness._twin.host.changes
    waiting = changes.next.statistics().tasks_waiting
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(run.wait(timeout=15).state))
    thread.start()
    until(lambda: changes.next.statistics().tasks_waiting > waiting)
    other = Store(root)
    other.runs._ring = lambda: None
    other.runs.end(run.id, "failed")
    other.close()
    os.kill(pid, signal.SIGKILL)
    thread.join()
    assert said == ["failed"]


def test_a_plan_that_was_aborted_stays_so_when_another_process_takes_over(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", body=ASKS)
    write_plan(root, "01-02", waits("two"))
    run = harness.run()
    until(lambda: harness.get_pending() and lines(root / "two-began"))
    harness.get_pending()[0].abort("enough")
    until(lambda: states(run.report)["01-01"] == "aborted")
    first = holder(harness)
    os.kill(first, signal.SIGKILL)
    until(lambda: run.record.generation == 2)
    (root / "go").touch()
    assert states(run.wait(timeout=LIMIT)) == {"01-01": "aborted", "01-02": "complete"}


def test_a_session_that_a_run_adopted_is_judged_once(harness: Harness, root: Path) -> None:
    look = {"id": "look", "type": "content_review", "location": "x", "criteria": ["right"]}
    write_plan(root, "01-01", waits("one"), must_pass=[look])
    harness.start_session(plan="01-01")
    until(lambda: lines(root / "one-began"))
    run = harness.run()
    holder(harness)
    until(lambda: states(run.report)["01-01"] == "running")
    (root / "go").touch()
    until(lambda: harness.get_pending())
    with pytest.raises(AssertionError):
        until(lambda: len(harness.get_pending()) > 1, 4)
    harness.get_pending()[0].approve()
    assert run.wait(timeout=LIMIT).passed
    assert [one.plan_id for one in harness._twin.store.events.select(kind="judged")] == ["01-01"]


def test_whoever_stops_a_run_by_a_short_command_sees_to_it_that_somebody_does(
    root: Path, opened: Callable[..., Harness]
) -> None:
    write_plan(root, "01-01", "trap '' TERM; " + waits("one"))
    harness = opened(judges=False)
    run = harness.run()
    until(lambda: lines(root / "one-began"))
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(run.stop().state))
    thread.start()
    until(lambda: run.record.stopping)
    kill_holder(harness)
    thread.join(30)
    if thread.is_alive():
        harness._twin.see_to(run.record)
        thread.join(30)
        pytest.fail("nobody came")
    assert said == ["stopped"]


def test_what_a_person_has_judged_is_not_asked_again_when_another_process_takes_over(
    harness: Harness, root: Path
) -> None:
    look = {"id": "look", "type": "content_review", "location": "x", "criteria": ["right"]}
    slow = {"id": "slow", "type": "command_succeeds", "command": "while ! test -e go; do sleep 0.02; done"}
    write_plan(root, "01-01", must_pass=[look, slow])
    run = harness.run()
    until(lambda: harness.get_pending())
    harness.get_pending()[0].approve()
    until(lambda: not harness.get_pending())
    first = holder(harness)
    os.kill(first, signal.SIGKILL)
    until(lambda: run.record.generation == 2)
    (root / "go").touch()
    assert run.wait(timeout=20).passed
