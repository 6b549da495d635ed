"""``recover``: what became of sessions, and ``status`` where one died or may be alive or not."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb import Harness
from harness_nb.sessions import proof_of
from harness_nb.store import Layout, Store
from tests.cli.conftest import sh
from tests.sessions.workers import kill_shim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Shell

    WritePlan = Callable[..., Path]

pytestmark = pytest.mark.row(11)

LONG = "echo begun; while ! test -e go; do sleep 0.02; done"


def left_alone(root: Path) -> Layout:
    """Start a try at the plan, and leave it as soon as its worker is at work."""
    with Harness(root, trust=True, judges=False) as harness:
        session = harness.start_session(plan="01-01")
        while "begun" not in session.output():
            time.sleep(0.01)
    return Layout(root)


def test_recover_tells_what_it_finds_and_does_nothing(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh(LONG))
    layout = left_alone(shell.folder / "p")
    [folder] = layout.sessions.iterdir()
    [row] = json.loads(shell("recover", "p", "--json").out)
    assert (row["session"], row["plan"], row["found"], row["state"]) == (folder.name, "01-01", "adopted", "running")

    kill_shim(layout.session(folder.name))
    with closing(Store(layout.root)) as store:
        session = store.sessions.get(folder.name)
        while proof_of(store, session).goes_on:
            pass
    shown = shell("recover", "p").out
    assert shown.splitlines()[0].split() == ["session", "plan", "worker", "found", "state", "since", "reason"]
    assert "resumed" in shown
    assert "it will be resumed" in shown
    assert "  ○ 01-01  A plan  died       will be resumed\n" in shell("status", "p").out
    with closing(Store(layout.root)) as store:
        assert store.sessions.get(folder.name).lives == 1, "whoever looks resumes nothing"
        assert [(one.door, one.data) for one in store.events.select(kind="recovered")] == [
            ("cli", {"adopted": 1}),
            ("cli", {"resumed": 1}),
        ]


def test_status_names_a_session_of_which_nothing_can_be_proved(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh(LONG))
    layout = left_alone(shell.folder / "p")
    [folder] = layout.sessions.iterdir()
    lock, aside = folder / "shim.lock", folder / "aside"
    lock.rename(aside)
    lock.symlink_to(lock)
    assert f"? {folder.name} may be alive or not: its lock cannot be asked" in shell("status", "p").out
    assert json.loads(shell("recover", "p", "--json").out)[0]["found"] == "unknown"
    lock.unlink()
    aside.rename(lock)


def test_where_nothing_ever_happened_there_is_nothing_to_find(shell: Shell) -> None:
    (shell.folder / "p").mkdir()
    assert shell("recover", "p").out == "No session was left to be found.\n"
    assert json.loads(shell("recover", "p", "--json").out) == []
    assert not (shell.folder / "p" / ".orchestration").exists()


def test_doctor_says_which_workers_can_be_resumed(shell: Shell) -> None:
    shown = shell("doctor").out
    assert "worker command" in shown
    assert "one whose processes die goes on at the task that it was at" in shown
