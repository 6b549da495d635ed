"""Locks that die with their holder, and the bell that wakes."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.store import Bell, Store
from harness_nb.store.bell import ring
from harness_nb.store.locks import acquire, held_here, is_held, leave_number, note_of, release

if TYPE_CHECKING:
    from collections.abc import Iterator

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "lease.lock"
    yield path
    release(path)


def hold(path: str, ready: Any) -> None:
    ready.put(acquire(Path(path), {"pid": os.getpid(), "door": "test"}))
    signal.pause()


def ask(path: str, answers: Any) -> None:
    lock = Path(path)
    answers.put((is_held(lock), held_here(lock), acquire(lock), note_of(lock)))


def ask_in_process(lock: Path) -> tuple[bool, bool, bool, dict[str, Any]]:
    answers = SPAWN.Queue()
    process = SPAWN.Process(target=ask, args=(os.fspath(lock), answers))
    process.start()
    answer: tuple[bool, bool, bool, dict[str, Any]] = answers.get()
    process.join()
    return answer


class TestLocks:
    def test_a_number_is_left_for_the_next_holder_only_where_there_is_none(self, lock: Path) -> None:
        assert leave_number(lock, "life", 2)
        assert leave_number(lock, "life", 1)
        assert not is_held(lock)
        assert note_of(lock) == {"life": 2}, "a lower number replaces no higher one"
        assert acquire(lock)
        assert not leave_number(lock, "life", 3)
        release(lock)
        ready = SPAWN.Queue()
        holder = SPAWN.Process(target=hold, args=(os.fspath(lock), ready))
        holder.start()
        assert ready.get()
        assert not leave_number(lock, "life", 3)
        holder.kill()
        holder.join()
        assert note_of(lock) == {"pid": holder.pid, "door": "test"}
        assert leave_number(lock, "life", 1)
        assert note_of(lock) == {"life": 1}

    def test_one_process_holds_it_and_others_see_that_and_the_note(self, lock: Path) -> None:
        assert not is_held(lock)
        assert note_of(lock) == {}
        assert acquire(lock, {"pid": 7})
        assert not acquire(lock)
        assert held_here(lock)
        assert ask_in_process(lock) == (True, False, False, {"pid": 7})
        release(lock)
        assert not held_here(lock)
        assert ask_in_process(lock)[:3] == (False, False, True)

    def test_asking_about_it_does_not_give_it_back(self, lock: Path, tmp_path: Path) -> None:
        assert acquire(lock, {"a": 1})
        link = tmp_path / "link"
        link.symlink_to(tmp_path)
        for name in (lock, link / lock.name):
            assert is_held(name)
            assert note_of(name) == {"a": 1}
            assert not acquire(name)
        assert ask_in_process(lock)[0] is True

    @pytest.mark.row(11)
    def test_it_is_free_once_its_holder_was_killed(self, lock: Path) -> None:
        ready = SPAWN.Queue()
        holder = SPAWN.Process(target=hold, args=(os.fspath(lock), ready))
        holder.start()
        try:
            assert ready.get() is True
            assert is_held(lock)
            assert not acquire(lock)
            assert note_of(lock) == {"pid": holder.pid, "door": "test"}
        finally:
            holder.kill()
            holder.join()
        assert not is_held(lock)
        assert acquire(lock, {"pid": 1})
        assert note_of(lock) == {"pid": 1}

    def test_a_forked_child_has_it_not_and_cannot_give_it_back(self, lock: Path) -> None:
        assert acquire(lock, {"pid": 1})
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                found = [held_here(lock), is_held(lock), acquire(lock)]
                release(lock)
                os.write(writing, repr(found).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        assert os.read(reading, 100) == b"[False, True, False]"
        os.close(reading)
        assert ask_in_process(lock)[0] is True

    def test_asking_does_not_turn_away_who_wants_it_in_that_moment(self, lock: Path) -> None:
        lock.touch()
        started = SPAWN.Event()
        asking = SPAWN.Process(target=ask_often, args=(os.fspath(lock), started))
        asking.start()
        try:
            started.wait()
            refused = 0
            for _ in range(2000):
                refused += not acquire(lock)
                release(lock)
        finally:
            asking.kill()
            asking.join()
        assert refused == 0

    def test_threads_that_ask_never_lose_it_for_the_one_that_has_it(self, lock: Path) -> None:
        stop = threading.Event()

        def ask_in_thread() -> None:
            while not stop.is_set():
                is_held(lock)
                note_of(lock)

        threads = [threading.Thread(target=ask_in_thread) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(200):
                release(lock)
                assert acquire(lock)
            held = ask_in_process(lock)[0]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert held

    def test_a_note_that_is_not_one_is_none(self, lock: Path) -> None:
        for text in ("{", "[1]", ""):
            lock.write_text(text)
            assert note_of(lock) == {}


def ask_often(path: str, started: Any) -> None:
    started.set()
    while True:
        is_held(Path(path))


def ring_from_outside(root: str) -> None:
    store = Store(Path(root))
    store.ring()
    store.close()


def heard(bell: Bell, timeout: float | None = 0) -> bool:
    return bool(select.select([bell.socket], [], [], timeout)[0])


class TestBell:
    def test_another_process_wakes_everyone_who_listens(self, store: Store) -> None:
        bells = [Bell(store.layout), Bell(store.layout)]
        try:
            assert not any(heard(bell) for bell in bells)
            process = SPAWN.Process(target=ring_from_outside, args=(os.fspath(store.layout.root),))
            process.start()
            assert all(heard(bell, None) for bell in bells)
            process.join()
            for bell in bells:
                bell.drain()
                assert not heard(bell)
        finally:
            for bell in bells:
                bell.close()
        assert list(store.layout.bells.iterdir()) == []

    def test_what_a_dead_listener_left_behind_is_swept_away(self, store: Store) -> None:
        left = store.layout.bells / "1-dead"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(os.fspath(left))
        bell = Bell(store.layout)
        try:
            ring(store.layout)
            assert heard(bell)
            assert not left.exists()
        finally:
            bell.close()

    def test_a_listener_that_never_looks_blocks_nobody(self, store: Store) -> None:
        deaf, bell = Bell(store.layout), Bell(store.layout)
        try:
            for _ in range(2000):
                store.ring()
                bell.drain()
            store.ring()
            assert heard(bell)
            assert heard(deaf)
        finally:
            deaf.close()
            bell.close()

    def test_with_nobody_there_a_ring_is_no_error(self, store: Store) -> None:
        store.ring()
        store.layout.bells.rmdir()
        store.ring()

    def test_it_works_after_the_folder_for_sockets_was_cleared_away(self, store: Store) -> None:
        store.layout.bells.rmdir()
        store.layout.sockets.rmdir()
        bell = Bell(store.layout)
        try:
            store.ring()
            assert heard(bell)
        finally:
            bell.close()
