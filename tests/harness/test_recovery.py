"""What ``recover()`` says of the sessions that somebody left: each is told once, and no doubt leads to a deed."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb import AsyncHarness, Harness
from harness_nb.harness.recovery import look
from harness_nb.protocol.outcome import PlanOutcome
from harness_nb.sessions import DRIVERS, Assignment, conclude
from harness_nb.store import Store
from harness_nb.views.snapshot import plan_lines
from tests.orchestrator.written_plans import configure, plan, until, write_plan
from tests.sessions.workers import kill_shim
from tests.store.conftest import new_session, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from harness_nb import Session
    from harness_nb.store import SessionFolder

    Open = Callable[..., Harness]

pytestmark = pytest.mark.row(11)

LIMIT = 100
UNTIL_GO = "while ! test -e go; do sleep 0.02; done"


def folder_of(session: Session) -> SessionFolder:
    return session._twin.harness.store.layout.session(session.id)


def left_to_die(harness: Harness, session: Session) -> SessionFolder:
    """Close the harness, and kill the session's shim once nobody looks."""
    folder = folder_of(session)
    harness.close()
    kill_shim(folder)
    return folder


def found(frame: pd.DataFrame) -> dict[str, str]:
    return dict(frame["found"].astype(str))


def events(harness: Harness, kind: str) -> list[Any]:
    return harness._twin.store.events.select(kind=kind)


def test_each_session_that_was_left_is_told_with_what_became_of_it(opened: Open, root: Path) -> None:
    harness = opened()
    lives = harness.start_session(command=["sleep", "600"])
    ends = harness.start_session(command=["sh", "-c", UNTIL_GO])
    dies = harness.start_session(command=["sleep", "600"])
    folders = folder_of(ends), folder_of(dies)
    harness.close()
    (root / "go").touch()
    until(folders[0].exit.exists)
    kill_shim(folders[1])

    again = opened()
    frame = again.recover()
    assert found(frame) == {lives.id: "adopted", ends.id: "finished meanwhile", dies.id: "died"}
    assert list(frame["state"]) == ["running", "completed", "failed"]
    assert str(frame["reason"][dies.id]).startswith("lost")
    assert frame.index.name == "session"
    assert frame["since"].dt.tz is not None
    assert found(again.recover()) == {lives.id: "adopted"}, "what was told is not news any more"


def test_what_another_process_found_first_is_told_all_the_same(opened: Open) -> None:
    harness = opened()
    dies = harness.start_session(command=["sleep", "600"])
    left_to_die(harness, dies)
    store = Store(harness.root)
    until(lambda: conclude(store, dies.id))
    store.close()
    assert found(opened().recover()) == {dies.id: "died"}


def test_a_session_that_ended_while_it_was_followed_is_nobodys_discovery(harness: Harness) -> None:
    harness.start_session(command=["true"]).wait(timeout=LIMIT)
    assert harness.recover().empty


def test_a_died_session_that_its_worker_can_go_on_with_is_resumed_or_will_be(opened: Open, root: Path) -> None:
    write_plan(root, "01-01", f"echo life >> lives; {UNTIL_GO}")
    harness = opened()
    session = harness.start_session(plan="01-01")
    until(lambda: (root / "lives").exists())
    left_to_die(harness, session)

    watching = opened(judges=False)
    first = watching.recover()
    assert found(first) == {session.id: "resumed"}
    assert "it will be resumed" in str(first["reason"][session.id])
    died = watching.session(session.id)
    assert "died · will be resumed" in repr(died) + repr(died.record)
    assert "died · will be resumed" in died._repr_html_()
    assert "died · will be resumed" in watching.board._repr_html_()
    assert watching.frames.sessions()["died_at"].notna().all()
    [line] = plan_lines(watching._twin.store, [PlanOutcome.of(one) for one in watching.get_state().plans])
    assert (line.sign, line.word, line.detail) == ("○", "died", "will be resumed")
    watching.close()

    carrying = opened()
    until(lambda: carrying.session(session.id).record.lives == 2)
    second = carrying.recover()
    assert found(second) == {session.id: "resumed"} or found(second) == {session.id: "adopted"}
    assert int(second["lives"][session.id]) == 2
    (root / "go").touch()
    assert carrying.session(session.id).wait(timeout=LIMIT).state == "completed"


def test_an_attempt_that_died_for_good_is_told_with_the_try_that_follows(opened: Open, root: Path) -> None:
    configure(root, maxRetries=1)
    harness = opened()
    harness.run(plans=[plan("01-01", "kill -9 $PPID")]).wait(timeout=LIMIT)
    first, second = (one.id for one in harness.list_sessions())
    frame = harness.recover()
    assert found(frame) == {first: "retried", second: "died"}
    assert f"tried again as {second}" in str(frame["reason"][first])


def test_a_lock_that_cannot_be_asked_proves_nothing_and_nothing_is_done(opened: Open) -> None:
    harness = opened()
    session = harness.start_session(command=["sh", "-c", UNTIL_GO])
    folder = folder_of(session)
    harness.close()
    aside = folder.lock.with_name("aside")
    folder.lock.rename(aside)
    folder.lock.symlink_to(folder.lock)  # opening it fails, and not because it is missing

    again = opened()
    frame = again.recover()
    assert found(frame) == {session.id: "unknown"}
    assert "its lock cannot be asked" in str(frame["reason"][session.id])
    assert again.session(session.id).state == "running"
    until(lambda: events(again, "session_unknown"))
    assert found(again.recover()) == {session.id: "unknown"}
    assert len(events(again, "session_unknown")) == 1, "one doubt is told once"

    folder.lock.unlink()
    aside.rename(folder.lock)
    assert found(again.recover()) == {session.id: "adopted"}
    (again.root / "go").touch()
    assert again.session(session.id).wait(timeout=LIMIT).state == "completed"


def test_a_session_of_another_machine_is_left_alone_until_somebody_gives_it_up(opened: Open) -> None:
    harness = opened()
    session = harness.start_session(command=["sleep", "600"])
    folder = left_to_die(harness, session)
    info = json.loads(folder.shim.read_text())
    worker = info["workerPid"]
    folder.shim.write_text(json.dumps({**info, "hostId": "elsewhere/1", "bootId": "another"}))

    again = opened()
    frame = again.recover()
    assert found(frame) == {session.id: "unknown"}
    assert "another machine (elsewhere)" in str(frame["reason"][session.id])
    given_up = again.end_session(session.id)
    assert given_up.state == "failed"
    assert str(given_up.reason).startswith("given up by end_session, its processes were left alone")
    assert os.getpgid(worker), "nothing was signalled"
    os.killpg(worker, signal.SIGKILL)


def test_another_boot_of_the_same_machine_left_nothing_alive(opened: Open) -> None:
    harness = opened()
    session = harness.start_session(command=["sh", "-c", UNTIL_GO])
    folder = left_to_die(harness, session)
    info = json.loads(folder.shim.read_text())
    folder.shim.write_text(json.dumps({**info, "bootId": "the one before"}))
    assert found(opened().recover()) == {session.id: "died"}
    os.killpg(info["workerPid"], signal.SIGKILL)


def test_each_look_is_one_act_in_the_journal(harness: Harness) -> None:
    session = harness.start_session(command=["sleep", "600"])
    harness.recover()
    [look] = events(harness, "recovered")
    assert (look.actor, look.door, look.data) == (harness._twin.actor, "python", {"adopted": 1})
    assert session.state == "running"


def test_without_pandas_there_are_the_same_rows_as_records(root: Path) -> None:
    async def look() -> None:
        async with AsyncHarness(root) as harness:
            session = await harness.start_session(command=["sleep", "600"])
            [one] = (await harness.recover()).sessions
            assert (one.session, one.worker, one.found) == (session.id, "command", "adopted")
            await session.stop(grace=0)
            assert str(await harness.recover()) == "no session"

    anyio.run(look)


def test_an_empty_project_has_the_same_columns(harness: Harness) -> None:
    frame = harness.recover()
    assert frame.empty
    assert list(frame.columns) == ["plan", "worker", "found", "state", "reason", "since", "lives", "run_id"]


def test_the_table_of_drivers_says_who_can_be_resumed() -> None:
    given = Assignment(plan=plan("01-01"), command=("true",))
    for driver in DRIVERS.values():
        assert (driver.resume(given) is not None) == bool(driver.resumes), driver.name


def test_a_session_whose_files_are_out_of_reach_hides_no_other(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        broken = new_session(store, "s1", state="running")
        new_session(store, "s2", state="running")
        broken.asked.rmdir()
        broken.asked.write_text("in the way")
        put(broken.checkpoint, {"type": "action", "action": "Log in"})
        seen, _ = look(store, actor="ann", door="cli")
        assert {one.session: one.found for one in seen.sessions} == {"s1": "unknown", "s2": "died"}
        assert "asked" in str(seen.sessions[0].reason)
        assert store.sessions.get("s1").live
        broken.asked.unlink()
        seen, _ = look(store, actor="ann", door="cli")
        assert [(one.session, one.found) for one in seen.sessions] == [("s1", "died")]
        assert store.troubles.sentences == ()
