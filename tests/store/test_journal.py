"""The journal: several processes, damage, nesting, and where it lives."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import HarnessClosedError, JournalBusyError, JournalDamagedError, UnwritableFolderError
from harness_nb.store import JournalOnLocalDiskWarning, Store, journal
from harness_nb.store.journal import Journal, file_system_of, journal_location

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.store.conftest import Stores

SPAWN = multiprocessing.get_context("spawn")


class Stop(BaseException):
    """Something that nobody expects, as a kernel's interrupt."""


def add_events(root: str, name: str, count: int, start: Any) -> None:
    from pathlib import Path

    start.wait()
    store = Store(Path(root))  # opened at the same time: one of them makes the schema
    for number in range(count):
        store.events.add("tick", actor=name, data={"number": number})
    store.close()


def test_processes_that_open_a_new_project_at_once_and_write_all_get_their_turn(tmp_path: Path) -> None:
    start = SPAWN.Event()
    writers = [
        SPAWN.Process(target=add_events, args=(os.fspath(tmp_path), name, 100, start)) for name in ("a", "b", "c")
    ]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    store = Store(tmp_path)
    events = store.events.select(kind="tick")
    store.close()
    assert [event.seq for event in events] == list(range(1, 301))
    for name in ("a", "b", "c"):
        assert [event.data["number"] for event in events if event.actor == name] == list(range(100))


def test_it_is_in_wal_mode_and_readers_see_the_last_whole_state_while_one_writes(stores: Stores) -> None:
    one, other = stores.open(), stores.open()
    assert one.journal.read("PRAGMA journal_mode")[0][0] == "wal"
    one.events.add("before")
    with one.journal.write():
        one.events.add("during")
        assert [event.kind for event in other.events.select()] == ["before"]
    assert [event.kind for event in other.events.select()] == ["before", "during"]


def test_a_lock_that_is_held_too_long_is_a_sentence(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BUSY_TIMEOUT", 0.05)
    one, other = stores.open(), stores.open()
    with one.journal.write(), pytest.raises(JournalBusyError, match=r"harness\.db has been locked"):
        other.events.add("never")
    other.events.add("now")
    assert [event.kind for event in one.events.select()] == ["now"]


def test_threads_of_one_process_take_turns(store: Store) -> None:
    def write() -> None:
        for _ in range(50):
            with store.journal.write():
                number = store.events.add("tick")
                assert store.events.last == number

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.events.select(kind="tick")) == 200


def follow_and_fail(store: Store, work: Callable[[], object]) -> None:
    with store.journal.write():
        store.journal.afterwards(work)
        raise Stop


class TestAfterwards:
    def test_what_follows_a_change_is_done_in_its_order_once_all_is_kept_and_others_may_write(
        self, stores: Stores
    ) -> None:
        one, other = stores.open(), stores.open()
        done: list[str] = []

        def tell(name: str) -> None:
            other.events.add(name)  # whoever did not give up the lock would wait for itself
            done.append(name)

        with one.journal.write():
            one.journal.afterwards(lambda: tell("first"))
            with one.journal.write():
                one.journal.afterwards(lambda: tell("second"))
            one.events.add("change")
            assert done == []
        assert done == ["first", "second"]
        assert [event.kind for event in one.events.select()] == ["change", "first", "second"]
        one.events.add("another change")
        assert done == ["first", "second"]

    def test_of_what_is_undone_nothing_follows(self, store: Store) -> None:
        done: list[str] = []
        with store.journal.write():
            store.journal.afterwards(lambda: done.append("outer"))
            with pytest.raises(Stop):
                follow_and_fail(store, lambda: done.append("inner"))
        assert done == ["outer"]
        with pytest.raises(Stop):
            follow_and_fail(store, lambda: done.append("never"))
        store.events.add("later")
        assert done == ["outer"]


def add_and_fail(store: Store, kind: str, error: type[BaseException]) -> None:
    with store.journal.write():
        store.events.add(kind)
        raise error


class TestAllOrNothing:
    @pytest.mark.parametrize("kind", [ValueError, Stop, KeyboardInterrupt])
    def test_an_exception_undoes_everything(self, store: Store, kind: type[BaseException]) -> None:
        with pytest.raises(kind):
            add_and_fail(store, "one", kind)
        assert store.events.select() == []
        store.events.add("two")
        assert [event.kind for event in store.events.select()] == ["two"]

    def test_an_inner_block_is_part_of_the_outer_one(self, stores: Stores) -> None:
        one, other = stores.open(), stores.open()
        with one.journal.write():
            with one.journal.write():
                one.events.add("inner")
            assert other.events.select() == []
        assert len(other.events.select()) == 1

    def test_an_inner_block_that_fails_is_undone_alone(self, store: Store) -> None:
        with store.journal.write():
            store.events.add("outer")
            with pytest.raises(ValueError):
                add_and_fail(store, "inner", ValueError)
        assert [event.kind for event in store.events.select()] == ["outer"]

    def test_a_unique_constraint_is_no_damage(self, store: Store) -> None:
        insert = "INSERT INTO runs (id, state, created_at, data) VALUES (?, 's', 'c', 'd')"
        with pytest.raises(sqlite3.IntegrityError), store.journal.write() as connection:
            connection.executemany(insert, [("r",), ("r",)])
        assert store.journal.read("SELECT * FROM runs") == []


class TestDamage:
    @pytest.mark.parametrize("content", [b"this is no database" * 100, os.urandom(4096)])
    def test_a_file_that_is_no_database_is_a_sentence(self, stores: Stores, content: bytes) -> None:
        store = stores.open()
        store.close()
        for path in store.layout.folder.glob("harness.db*"):
            path.unlink()
        store.layout.database.write_bytes(content)
        with pytest.raises(JournalDamagedError, match=r"harness\.db cannot be used: .*Move it aside"):
            stores.open()

    def test_damage_in_the_middle_is_a_sentence(self, stores: Stores) -> None:
        store = stores.open()
        for _ in range(200):
            store.events.add("tick", data={"text": "x" * 500})
        store.close()
        with store.layout.database.open("r+b") as file:
            file.seek(store.layout.database.stat().st_size // 2)
            file.write(os.urandom(60_000))
        again = stores.open()
        with pytest.raises(JournalDamagedError, match="cannot be used"):
            again.events.select()

    def test_a_journal_of_a_newer_version_is_not_touched(self, stores: Stores) -> None:
        store = stores.open()
        with store.journal.write() as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(JournalDamagedError, match=r"a newer harness_nb wrote it \(version 99\)"):
            stores.open()

    def test_a_place_that_cannot_be_made_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UnwritableFolderError, match="Cannot write in"):
            Journal(tmp_path / "file" / "harness.db")

    def test_after_closing_it_says_so(self, store: Store) -> None:
        store.close()
        with pytest.raises(HarnessClosedError):
            store.events.select()
        with pytest.raises(HarnessClosedError):
            store.events.add("x")


MOUNTS = rb"""22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /home rw,relatime shared:5 - nfs4 server:/home rw,vers=4.2
31 30 0:27 / /home/ada/local\040disk rw - xfs /dev/sdb rw
32 22 0:28 / /mnt/gr\303\266\303\237e rw - cifs //server/x rw
33 22 0:29 / /mnt/gr%s rw - fuse.sshfs host: rw
34 22 0:30 / /over rw - ext4 /dev/sdc rw
35 34 0:31 / /over rw shared:7 master:1 - 9p share rw

broken line
36 22 0:32 / /mnt/\377 rw - nfs x rw
""" % "öße2".encode()  # fmt: skip


class TestPlace:
    @pytest.mark.parametrize(
        ("folder", "kind"),
        [
            ("/", "ext4"),
            ("/srv/x", "ext4"),
            ("/homework", "ext4"),
            ("/home/bob/p", "nfs4"),
            ("/home/ada/local disk/p", "xfs"),
            ("/mnt/größe/p", "cifs"),
            ("/mnt/größe2/p", "fuse.sshfs"),
            ("/over/p", "9p"),
        ],
    )
    def test_the_file_system_is_that_of_the_nearest_mount(self, tmp_path: Path, folder: str, kind: str) -> None:
        from pathlib import Path

        mounts = tmp_path / "mountinfo"
        mounts.write_bytes(MOUNTS)
        assert file_system_of(Path(folder), mounts) == kind

    def test_a_system_that_does_not_say_is_taken_as_local(self, tmp_path: Path) -> None:
        assert file_system_of(tmp_path, tmp_path / "missing") is None

    def test_on_a_local_disk_it_lies_with_the_other_files(self, tmp_path: Path) -> None:
        assert journal_location(tmp_path / "harness.db") == (tmp_path / "harness.db", None)

    @pytest.mark.row(6)
    def test_on_a_network_file_system_it_lies_in_local_state_and_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project, state = tmp_path / "project", tmp_path / "state"
        project.mkdir()
        monkeypatch.setenv("HARNESS_STATE_DIR", os.fspath(state))
        monkeypatch.setattr(journal, "file_system_of", lambda folder: "nfs4")
        with pytest.warns(JournalOnLocalDiskWarning, match=r"network file system \(nfs4\), so the journal is kept in"):
            one = Store(project)
        one.events.add("kept")
        one.close()
        assert one.journal.path.is_relative_to(state)
        assert not one.layout.database.exists()
        with pytest.warns(JournalOnLocalDiskWarning):
            again = Store(project)
        assert [event.kind for event in again.events.select()] == ["kept"]
        again.close()

    def test_two_projects_there_have_two_journals(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal, "file_system_of", lambda folder: "nfs")
        places = {journal_location(tmp_path / name / "harness.db")[0] for name in ("a", "b")}
        assert len(places) == 2
