"""The moments between a session's row in the journal and its process: whoever starts it may stop in each of them."""

from __future__ import annotations

import importlib
import os
import subprocess
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Plan, RunBlock, Task
from harness_nb.errors import ShimFailedError
from harness_nb.orchestrator.restore import await_launches
from harness_nb.protocol.commands import commands_of
from harness_nb.protocol.records import RunOptions, SessionRecord
from harness_nb.sessions import Assignment, conclude
from harness_nb.sessions.launch import SHIM, Launch, launch
from harness_nb.sessions.proof import proof_of, rule_out
from harness_nb.sessions.starting import NEVER_STARTED, NeverStarted, give_up, start, start_again, this_process
from harness_nb.store import Store
from harness_nb.store.atomic import write_model
from harness_nb.store.locks import note_of
from harness_nb.store.trust import set_trusted
from tests.sessions.living import happens, opened
from tests.sessions.workers import alive, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.row(11)

launching = importlib.import_module("harness_nb.sessions.launch")  # the package has a function of that name
LONG_AGO = timedelta(minutes=5)
TOUCH = ("sh", "-c", "touch began; read line")


@pytest.fixture
def store(project: Path) -> Iterator[Store]:
    store = Store(project)
    yield store
    store.close()


def record(store: Store, *, old: bool = False, **fields: Any) -> SessionRecord:
    created = store.clock() - (LONG_AGO if old else timedelta())
    return SessionRecord(id="s1", worker="command", working_dir=".", created_at=created, **fields)


def started(store: Store, session: SessionRecord, before_launch: Callable[[], object] | None = None) -> SessionRecord:
    assignment = Assignment(command=TOUCH)
    return start(
        store, session, assignment, env={}, credentials={}, before_launch=before_launch, actor="test", door="test"
    )  # fmt: skip


def gone() -> dict[str, Any]:
    """Return a process that started sessions and is not there any more."""
    process = subprocess.Popen(["sleep", "60"])
    who = {**this_process(), "pid": process.pid}
    process.kill()
    process.wait()
    return who


def folder_of(store: Store) -> Path:
    return store.layout.session("s1").path


def order(store: Store, life: int = 1) -> Launch:
    return Launch(TOUCH, store.layout.root, life=life)


def test_a_launcher_that_stood_still_and_was_replaced_starts_nothing_any_more(store: Store) -> None:
    """It stands between the session's row and its process; meanwhile the run's next holder gives the session up."""
    stands, goes_on, refused = threading.Event(), threading.Event(), []
    run = store.runs.create("r1", RunOptions())

    def stand_still() -> None:
        stands.set()
        assert goes_on.wait(60)

    def launcher() -> None:
        try:
            started(store, record(store, old=True, run_id=run.id), stand_still)
        except NeverStarted as failure:
            refused.append(failure)

    thread = threading.Thread(target=launcher)
    thread.start()
    assert stands.wait(60)
    await_launches(store, run.id)
    assert (store.sessions.get("s1").state, store.sessions.get("s1").reason) == ("failed", NEVER_STARTED)
    goes_on.set()
    thread.join(60)
    assert "its start was given up before it came" in refused[0].reason
    assert not (store.layout.root / "began").exists()
    assert not store.layout.session("s1").shim.exists()


def test_a_process_that_came_in_time_is_not_given_up(store: Store) -> None:
    run = store.runs.create("r1", RunOptions())
    session = store.sessions.create(record(store, old=True, run_id=run.id, launcher=gone()))
    info = launch(store.layout, "s1", order(store))
    await_launches(store, run.id)
    give_up(store, session)
    assert store.sessions.get("s1").live
    assert proof_of(store, session).goes_on
    os.kill(info["pid"], 15)
    eventually(lambda: not alive(info["pid"]), "the shim's end")


def test_a_session_that_is_taken_for_dead_cannot_come_to_life_beside_the_next_try(store: Store) -> None:
    """Its shim was wanted minutes ago, and is only now given a processor."""
    store.sessions.create(record(store, old=True, launcher=gone()))
    assert conclude(store, "s1") is not None
    with pytest.raises(ShimFailedError, match="its start was given up"):
        launch(store.layout, "s1", order(store))
    assert not (store.layout.root / "began").exists()


def test_the_next_life_of_a_session_may_begin(store: Store) -> None:
    session = store.sessions.create(record(store))
    assert rule_out(store, session)
    assert note_of(store.layout.session("s1").lock) == {"ruledOut": 1}
    with pytest.raises(ShimFailedError):
        launch(store.layout, "s1", order(store, life=1))
    info = launch(store.layout, "s1", order(store, life=2))
    assert not rule_out(store, session)
    os.kill(info["pid"], 15)
    eventually(lambda: not alive(info["pid"]), "the shim's end")


def test_a_later_life_that_never_began_is_one_that_died(store: Store) -> None:
    """Whoever carries the session starts it again, as long as the settings let it."""
    store.sessions.create(
        record(
            store, old=True, plan_id="01-01", lives=2, resumable=True, launcher=this_process(),
            launched_at=store.clock() - LONG_AGO, run_id="r1", state="running",
        )
    )  # fmt: skip
    store.runs.create("r1", RunOptions())
    assert conclude(store, "s1") is None, "whoever starts it lives, so it may come"
    await_launches(store, "r1")
    now = store.sessions.get("s1")
    assert (now.live, now.launcher) == (True, None)
    conclude(store, "s1")
    assert store.sessions.get("s1").died_at is not None


def test_a_shim_that_is_too_slow_for_its_launcher_does_not_begin(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import os, sys\n"
        "reads, orders = os.pipe()\n"
        "os.write(orders, sys.stdin.buffer.read())\n"
        "os.close(orders)\n"
        "os.dup2(reads, 0)\n"
        f"open({os.fspath(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        f"open({os.fspath(tmp_path / 'go')!r}).read()\n"
        f"os.execv(sys.executable, [sys.executable, '-I', '-S', {os.fspath(SHIM)!r}])\n"
    )
    os.mkfifo(tmp_path / "go")
    monkeypatch.setattr(launching, "SHIM", slow)
    monkeypatch.setattr(launching, "START_TIMEOUT", 0.5)
    with pytest.raises(NeverStarted, match="it did not start within"):
        started(store, record(store))
    with (tmp_path / "go").open("w"):
        pass
    said = os.fspath(folder_of(store))
    eventually(lambda: not any(said in line for line in commands()), "the end of all that was started")
    assert not (store.layout.root / "began").exists()
    assert not store.layout.session("s1").shim.exists()


def commands() -> list[str]:
    """Return the environments and commands of all processes that can be read."""
    found = []
    for file in ("environ", "cmdline"):
        for path in Path("/proc").glob(f"[0-9]*/{file}"):
            try:
                found.append(path.read_bytes().decode(errors="replace"))
            except OSError:
                continue
    return found


def test_a_resumed_session_whose_shim_was_too_slow_has_failed_and_does_not_begin(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(id="01-01", tasks=(Task(name="Begin", runs=(RunBlock(lang="sh", code="touch began"),)),))
    died = {"state": "running", "died_at": store.clock()}
    session = SessionRecord(
        id="s1", worker="runbook", plan_id="01-01", working_dir=".", resumable=True, created_at=store.clock(), **died
    )
    store.sessions.create(session)
    write_model(store.layout.session("s1").assignment, Assignment(plan=plan))
    set_trusted(store.layout.root, [commands_of(plan)])
    monkeypatch.setattr(launching, "START_TIMEOUT", 0.0)
    ended = start_again(store, "s1")
    assert ended.state == "failed"
    assert ended.reason is not None
    assert "could not be resumed" in ended.reason
    assert "did not start within" in ended.reason
    said = os.fspath(folder_of(store))
    eventually(lambda: not any(said in line for line in commands()), "the end of all that was started")
    assert not (store.layout.root / "began").exists()


@pytest.mark.anyio
async def test_a_session_whose_launcher_died_just_after_its_process_came_is_running(project: Path) -> None:
    """Nobody has written down that it started; whoever follows it does."""
    async with opened(project) as h:
        store = h.store
        store.sessions.create(record(store, old=True, launcher=gone()))
        launch(store.layout, "s1", order(store))
        await h.host.adopt()
        await happens(h, lambda: store.sessions.get("s1").state == "running")
        now = store.sessions.get("s1")
        assert now.launcher is None
        assert now.started_at is not None


def test_inherited_variables_of_services_from_the_settings_are_masked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "acme-4711-x8Kd02mP")
    store.layout.config.write_text("services:\n  acme:\n    variables: [ACME_KEY]\n")
    say = Assignment(command=("sh", "-c", 'echo "key=$ACME_KEY"', "acme-4711-x8Kd02mP"))
    begun = start(
        store, record(store), say, env={}, credentials={}, before_launch=None, actor="test", door="test"
    )  # fmt: skip
    folder = store.layout.session("s1")
    eventually(folder.exit.exists, "its end is written")
    assert folder.output.read_bytes() == b"key=[credential:ACME_KEY]\r\n"
    assert begun.command[-1] == "[credential:ACME_KEY]"
