"""The journal is locked, full or damaged: workers go on, the board says so once, and what was stored can be read."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from harness_nb import AsyncHarness, Harness
from harness_nb.errors import JournalBusyError, JournalDamagedError, JournalFullError
from harness_nb.notebook.board import ControlRoom
from harness_nb.protocol.plans import Plan, RunBlock, Task
from harness_nb.sessions.worker_side import WorkerSide
from harness_nb.store import Store
from harness_nb.store.journal import Journal
from tests.sessions.living import happens, opened, printed, questions
from tests.store.conftest import get, new_session, only, says

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hardship.conftest import Disks
    from tests.store.conftest import Stores

pytestmark = [pytest.mark.anyio, pytest.mark.row(11)]

LOCKED = "has been locked by another program for too long"
MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def hardly_any_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each try at a locked journal fail soon, so that any lock is held for longer than that."""
    monkeypatch.setattr("harness_nb.store.journal.BUSY_TIMEOUT", 0.05)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep the journal locked as another program may."""
    other = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def board(h: AsyncHarness) -> str:
    return ControlRoom(h).look(live=True).text


def plan_of(script: str) -> Plan:
    return Plan(id="01-01", phase="1", tasks=(Task(name="only", runs=(RunBlock(lang="sh", code=script),)),))


# --- locked ------------------------------------------------------------------------------------


async def test_a_locked_journal_is_one_sentence_on_the_board_while_it_lasts_and_the_worker_goes_on(
    project: Path,
) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", "echo one; read a; echo two; read b; exit 0"])
        await printed(h, session.id, "one")
        with locked(h.store.journal.path):
            await session.send("\n")
            await printed(h, session.id, "two")
            await session.send("\n")
            await happens(h, lambda: any(LOCKED in one for one in h.store.troubles.sentences))
            text = await anyio.to_thread.run_sync(board, h)
            assert text.count(LOCKED) == 1
            assert session.record.live
        record = await session.wait()
        assert record.state == "completed"
        await happens(h, lambda: LOCKED not in board(h))


@contextmanager
def locked_again_and_again(path: Path) -> Iterator[None]:
    """Keep the journal locked most of the time, each time for longer than this process waits."""
    over = threading.Event()

    def lock() -> None:
        other = sqlite3.connect(path, isolation_level=None, timeout=30)
        while not over.is_set():
            other.execute("BEGIN EXCLUSIVE")
            over.wait(0.2)
            other.execute("ROLLBACK")
            over.wait(0.1)
        other.close()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def test_a_run_whose_journal_is_locked_most_of_the_time_is_done_and_nothing_twice(project: Path) -> None:
    """Beginning, judging and ending its plan all want the journal, and none of them gives up."""
    (project / ".orchestration").mkdir()
    (project / ".orchestration" / "config.yaml").write_text("verificationRequired: false\n")
    async with opened(project) as h:
        with locked(h.store.journal.path), pytest.raises(JournalBusyError):
            await h.run(plans=[plan_of("true")])
        run = await h.run(plans=[plan_of("echo ran >> ran")])
        with locked_again_and_again(h.store.journal.path):
            report = await run.wait()
        assert report.passed, str(report)
        assert (report.plan("01-01").attempts, (project / "ran").read_text()) == (1, "ran\n")
        [ended] = h.store.events.select(kind="run_ended")
        assert ended.data == {"state": "passed"}


def test_a_worker_that_reports_to_a_locked_journal_waits_for_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_session(store)
    folder.token.write_text("x" * 40)
    folder.token.chmod(0o600)
    environment = {"HARNESS_SESSION_DIR": os.fspath(folder.path), "HARNESS_TOKEN_FILE": os.fspath(folder.token)}
    refused = threading.Event()
    monkeypatch.setattr("harness_nb.store.patience.time.sleep", lambda _: refused.set())
    with WorkerSide(environment) as side:
        said: list[Any] = []
        worker = threading.Thread(
            target=lambda: said.append(side.report("action_needed", {"action": "Log in"}, message_id="q1"))
        )
        with locked(store.journal.path):
            worker.start()
            assert refused.wait(30)
        worker.join(30)
    assert said[0].id == "q1"
    assert only(store.messages.pending()).id == "q1"


# --- full --------------------------------------------------------------------------------------


async def test_a_full_disk_is_one_sentence_on_the_board_and_all_goes_on_once_there_is_room(
    disks: Disks, project: Path
) -> None:
    disk = disks.make(project / ".orchestration", 4 * MEGABYTE)
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", "echo one; read a; echo two; exit 0"])
        await printed(h, session.id, "one")
        filler = await anyio.to_thread.run_sync(disk.fill)
        await session.send("\n")
        await happens(h, lambda: h.store.troubles.sentences)
        assert h.store.troubles.sentences == (str(JournalFullError(h.store.journal.path)),)
        text = await anyio.to_thread.run_sync(board, h)
        assert text.count("is full") == 1
        with pytest.raises(JournalFullError, match="Free some space"):
            await h.start_session(command=["true"])
        filler.unlink()
        assert (await session.wait()).state == "completed"
        await happens(h, lambda: get(h.store.layout.session(session.id).status)["state"] == "completed")
        assert (await (await h.start_session(command=["true"])).wait()).state == "completed"
        await happens(h, lambda: not h.store.troubles.sentences)  # each of those who tried again looks by itself
        assert "is full" not in await anyio.to_thread.run_sync(board, h)


# --- damaged -----------------------------------------------------------------------------------


def damage(path: Path, table: str) -> None:
    """Overwrite the pages of one table, as a disk or a careless program does."""
    reader = sqlite3.connect(path)
    try:
        reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [[page]] = reader.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchall()
        [[size]] = reader.execute("PRAGMA page_size").fetchall()
    finally:
        reader.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.timeout(60)
async def test_in_a_damaged_journal_what_can_be_read_is_read_and_the_rest_is_one_sentence(project: Path) -> None:
    async with AsyncHarness(project) as h:
        session = await h.start_session(command=["sh", "-c", "echo one; read a; echo two; read b"])
        await printed(h, session.id, "one")
        before = h.store.sessions.get(session.id)
        damage(h.store.journal.path, "events")
        h.store.journal._connection.execute("PRAGMA shrink_memory")
        await session.send("\n")
        await printed(h, session.id, "two")
        assert h.store.sessions.get(session.id) == before
        with pytest.raises(JournalDamagedError, match=r"cannot be used: .*malformed.*Move it aside"):
            h.store.events.select()
        await session.send("\n")
        await happens(h, lambda: any("cannot be used" in one for one in h.store.troubles.sentences))
        assert len(h.store.troubles.sentences) == 1
        with pytest.raises(JournalDamagedError, match="cannot be used"):
            await h.end_session(session.id)
        assert h.store.layout.session(session.id).exit.exists()


def test_a_project_whose_journal_cannot_be_read_is_refused_and_all_others_go_on(tmp_path: Path) -> None:
    """They share one loop with it, in this process."""
    for name in ("sound", "damaged"):
        (tmp_path / name).mkdir()
    Harness(tmp_path / "damaged").close()
    with closing(sqlite3.connect(tmp_path / "damaged" / ".orchestration" / "harness.db")) as other:
        other.execute("DROP TABLE events")
    with Harness(tmp_path / "sound") as sound:
        for _ in range(2):
            with pytest.raises(JournalDamagedError, match="no such table: events"):
                Harness(tmp_path / "damaged")
        assert sound.start_session(command=["true"]).wait(timeout=60).state == "completed"


def test_a_journal_whose_end_is_missing_says_so_and_nothing_is_made_up(stores: Stores) -> None:
    store = stores.open()
    new_session(store)
    path = store.journal.path
    store.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(JournalDamagedError, match="Move it aside"):
        Store(stores.root).sessions.get("s1")


def test_what_was_stored_stays_when_the_journals_side_files_are_deleted_below_it(stores: Stores) -> None:
    store = stores.open()
    new_session(store)
    store.questions.ask(says("action_needed", {"action": "Log in"}, message_id="q1"))
    for name in ("-wal", "-shm"):
        store.journal.path.with_name(store.journal.path.name + name).unlink()
    store.questions.ask(says("action_needed", {"action": "Log out"}, message_id="q2"))
    assert [one.id for one in store.messages.pending()] == ["q1", "q2"]
    store.close()
    again = stores.open()
    assert [one.id for one in again.messages.pending()] == ["q1", "q2"]


# --- what follows a change ---------------------------------------------------------------------


def test_what_follows_a_change_is_all_done_whatever_goes_wrong_with_a_part_of_it(stores: Stores) -> None:
    store = stores.open()
    done: list[str] = []

    def fails() -> None:
        raise LookupError("the first")

    def change() -> None:
        with store.journal.write():
            store.journal.afterwards(fails)
            store.journal.afterwards(lambda: done.append("second"))
            store.events.add("change")

    with pytest.raises(LookupError, match="the first"):
        change()
    assert done == ["second"]
    assert [one.kind for one in store.events.select()] == ["change"]


def test_a_journal_says_why_it_cannot_be_opened(disks: Disks, tmp_path: Path) -> None:
    disk = disks.make(tmp_path / "small", 65536)
    disk.fill()
    with pytest.raises(JournalFullError):
        Journal(disk.folder / "harness.db")


async def test_a_question_waits_where_the_journal_does(project: Path) -> None:
    """What a worker asks by file while the journal is locked is found when that is free."""
    ask = """cd "$HARNESS_SESSION_DIR"; read go; echo '{"type":"action","action":"Log in"}' > t; mv t checkpoint.json
    echo asked; read line"""
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", ask])
        with locked(h.store.journal.path):
            await session.send("\n")
            await printed(h, session.id, "asked")
        [found] = await questions(h)
        assert found.payload["action"] == "Log in"
