"""A launcher that gives up waiting, or was replaced meanwhile, ends nothing that has come and starts nothing twice."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import JournalBusyError
from harness_nb.orchestrator.restore import await_launches
from harness_nb.protocol.records import RunOptions, SessionRecord
from harness_nb.sessions import Assignment, ask_shim, conclude
from harness_nb.sessions.launch import SHIM, Launch, launch, orders_for
from harness_nb.sessions.proof import proof_of
from harness_nb.sessions.starting import confirm, give_up, start, start_again, this_process
from harness_nb.store import Store
from tests.sessions.workers import alive, eventually, kill_shim

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.row(11)

launching = importlib.import_module("harness_nb.sessions.launch")  # the package has a function of that name
starting = importlib.import_module("harness_nb.sessions.starting")
ending = importlib.import_module("harness_nb.sessions.ending")
LONG_AGO = timedelta(minutes=5)
WAIT = ("sh", "-c", "read line")


@pytest.fixture
def store(project: Path) -> Iterator[Store]:
    store = Store(project)
    yield store
    for session in store.sessions.select(live=True):
        if proof_of(store, session).goes_on and store.layout.session(session.id).shim.exists():
            kill_shim(store.layout.session(session.id))
    store.close()


def record(store: Store, *, old: bool = False, **fields: Any) -> SessionRecord:
    created = store.clock() - (LONG_AGO if old else timedelta())
    return SessionRecord(id="s1", worker="command", working_dir=".", created_at=created, **fields)


def attempt(store: Store, **fields: Any) -> SessionRecord:
    """Return a try at a plan whose worker can be resumed."""
    return record(store, plan_id="01-01", resumable=True, state="running", **fields)


def started(store: Store) -> SessionRecord:
    assignment = Assignment(command=WAIT)
    return start(
        store, record(store), assignment, env={}, credentials={}, before_launch=None, actor="test", door="test"
    )  # fmt: skip


@pytest.fixture
def resumed_by_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have sessions resumed by a command that waits."""
    order = lambda store, session: Launch(WAIT, store.layout.root, life=session.lives)  # noqa: E731
    monkeypatch.setattr(starting, "_order_to_resume", order)


def worker_of(store: Store) -> int:
    return int(starting.read_json(store.layout.session("s1").shim)["workerPid"])


def test_a_worker_that_came_while_its_launcher_stood_still_is_not_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher was stopped for longer than its patience; meanwhile others have seen the session run."""
    said_by_shim = launching._said_by_shim

    def stand_still(orders: bytes) -> tuple[bytes, bytes]:
        said_by_shim(orders)
        starting._started(store, store.sessions.get("s1"), {})
        raise subprocess.TimeoutExpired("shim", 30)

    monkeypatch.setattr(launching, "_said_by_shim", stand_still)
    session = started(store)
    assert session.state == "running"
    assert alive(worker_of(store))
    assert conclude(store, "s1") is None
    assert store.sessions.get("s1").live


def test_work_that_was_done_while_its_launcher_stood_still_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_by_shim = launching._said_by_shim

    def stand_still(orders: bytes) -> tuple[bytes, bytes]:
        said_by_shim(orders)
        ask_shim(store.layout.session("s1"), do="input", data="Cg==")
        eventually(lambda: not proof_of(store, store.sessions.get("s1").replace(launcher=None)).goes_on, "the end")
        raise subprocess.TimeoutExpired("shim", 30)

    monkeypatch.setattr(launching, "_said_by_shim", stand_still)
    started(store)
    conclude(store, "s1")
    assert store.sessions.get("s1").state == "completed"


def test_a_worker_whose_shim_was_killed_before_it_could_say_so_is_not_left_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_by_shim = launching._said_by_shim

    def be_killed(orders: bytes) -> tuple[bytes, bytes]:
        said_by_shim(orders)
        kill_shim(store.layout.session("s1"))
        return b"", b""

    monkeypatch.setattr(launching, "_said_by_shim", be_killed)
    monkeypatch.setattr(sys.modules[__name__], "WAIT", ("sh", "-c", "trap '' HUP; while :; do sleep 1; done"))
    started(store)
    worker = worker_of(store)
    eventually(lambda: conclude(store, "s1"), "the end of the session")
    assert not alive(worker)


@pytest.mark.usefixtures("resumed_by_waiting")
def test_a_launcher_that_was_replaced_does_not_end_the_next_life(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands between the journal and the process of life 2; the next one gives that up and starts life 3."""
    other = Store(store.layout.root)
    store.sessions.create(attempt(store, died_at=store.clock()))
    launches: list[int] = []

    def stand_still(layout: Any, session_id: str, order: Launch) -> dict[str, Any]:
        launches.append(order.life)
        if order.life == 2:
            give_up(other, other.sessions.get(session_id))
            conclude(other, session_id)
            assert start_again(other, session_id).lives == 3
            monkeypatch.setattr(launching, "START_TIMEOUT", 0.5)
        return launch(layout, session_id, order)

    monkeypatch.setattr(starting, "launch", stand_still)
    start_again(store, "s1")
    assert launches == [2, 3]
    now = other.sessions.get("s1")
    other.close()
    assert (now.live, now.lives) == (True, 3)
    assert alive(worker_of(store))
    assert proof_of(store, now).goes_on


@pytest.mark.usefixtures("resumed_by_waiting")
def test_a_launcher_that_was_replaced_does_not_remove_how_the_next_life_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store(store.layout.root)
    store.sessions.create(attempt(store, died_at=store.clock()))

    def stand_still(layout: Any, session_id: str, order: Launch) -> dict[str, Any]:
        if order.life == 2:
            give_up(other, other.sessions.get(session_id))
            conclude(other, session_id)
            start_again(other, session_id)
            ask_shim(layout.session("s1"), do="input", data="Cg==")
            eventually(lambda: not proof_of(other, other.sessions.get("s1")).goes_on, "the end")
        return launch(layout, session_id, order)

    monkeypatch.setattr(starting, "launch", stand_still)
    start_again(store, "s1")
    conclude(other, "s1")
    other.close()
    assert store.sessions.get("s1").state == "completed"


@pytest.mark.usefixtures("resumed_by_waiting")
def test_a_journal_that_is_locked_for_long_does_not_cut_a_resumed_worker_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is there, and the journal cannot be told so at once."""
    store.sessions.create(attempt(store, died_at=store.clock()))
    tell, busy = starting._started, [JournalBusyError(store.journal.path)]

    def told(*said: Any) -> SessionRecord:
        if busy:
            raise busy.pop()
        return tell(*said)  # type: ignore[no-any-return]

    monkeypatch.setattr(starting, "_started", told)
    assert start_again(store, "s1").live
    assert alive(worker_of(store))


def test_a_session_that_came_and_ended_while_it_was_looked_for_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gives it up has just seen that it is not there, and stands still for a moment."""
    session = store.sessions.create(record(store, old=True, launcher=this_process()))
    launch(store.layout, "s1", Launch(("true",), store.layout.root))
    eventually(store.layout.session("s1").exit.exists, "the end of the worker")
    eventually(lambda: not starting.is_alive(store, "s1"), "the end of the shim")
    give_up(store, session)
    assert store.sessions.get("s1").live
    assert (conclude(store, "s1") or session).state == "completed"


def test_a_session_that_came_and_ended_while_it_was_taken_for_dead_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule_out = ending.rule_out
    gone = this_process() | {"startTime": 1}
    store.sessions.create(record(store, old=True, launcher=gone))

    def comes_late(*which: Any) -> bool:
        launch(store.layout, "s1", Launch(("true",), store.layout.root))
        eventually(lambda: not starting.is_alive(store, "s1"), "the end of the shim")
        return bool(rule_out(*which))

    monkeypatch.setattr(ending, "rule_out", comes_late)
    ended = conclude(store, "s1")
    assert ended is not None
    assert (ended.state, ended.exit_code) == ("completed", 0)


def test_a_look_at_one_life_says_nothing_of_the_next(store: Store) -> None:
    """Whoever looked at the first life stood still until the second one was on its way."""
    first = store.sessions.create(attempt(store, old=True, launcher=this_process()))
    store.layout.session("s1").shim.write_text('{"pid": 1, "socket": "nowhere"}')

    def meanwhile(*_: Any) -> dict[str, Any]:
        store.sessions.update("s1", "session_resumed", lives=2, launcher=this_process(), launched_at=store.clock())
        return {"pid": 1}

    patch = pytest.MonkeyPatch()
    patch.setattr(starting, "read_json", meanwhile)
    try:
        confirm(store, first)
    finally:
        patch.undo()
    assert store.sessions.get("s1").launcher is not None


def test_a_session_that_another_machine_was_starting_is_not_given_up(store: Store) -> None:
    run = store.runs.create("r1", RunOptions())
    there = {"pid": 4242, "startTime": 1, "bootId": "another", "hostId": "another/machine"}
    store.sessions.create(record(store, old=True, run_id=run.id, launcher=there))
    await_launches(store, run.id)
    assert store.sessions.get("s1").live


@pytest.mark.parametrize("terminal", [True, False])
def test_a_worker_whose_shim_cannot_say_where_it_is_does_not_go_on(
    store: Store, tmp_path: Path, *, terminal: bool
) -> None:
    """The disk is full by the time that its file is to be written."""
    store.sessions.create(record(store))
    loop = ("sh", "-c", "trap '' HUP; while :; do sleep 1; done")
    orders = orders_for(store.layout, "s1", Launch(loop, store.layout.root, terminal=terminal))
    orders["info"] = os.fspath(tmp_path / "missing" / "shim.json")
    argv = [sys.executable, "-I", "-S", os.fspath(SHIM)]
    said = subprocess.run(argv, input=json.dumps(orders).encode(), capture_output=True, check=True).stdout
    assert json.loads(said)["ok"] is False
    here = os.fsencode(store.layout.session("s1").path)
    eventually(lambda: not any(here in one for one in environments()), "the end of all that was started")


def environments() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()
