"""How much of a worker's output is kept: the newest, up to a limit, and what is not kept is said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from harness_nb.sessions import read_output
from harness_nb.shim import log
from harness_nb.shim.log import Log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sessions.workers import Workers

pytestmark = pytest.mark.row(3)

MEGABYTE = 1 << 20
COUNT = "for n in range(300_000): print(f'line {n:08}')"
LINE = len("line 00000000\r\n")


def test_the_newest_output_is_kept_and_the_places_in_it_stay(workers: Workers) -> None:
    worker = workers.python(COUNT, limit=MEGABYTE)
    ended = worker.ends()
    path = worker.folder.output
    size = 300_000 * LINE
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 <= MEGABYTE + 65536
    tail = read_output(path, lines=2)
    assert tail.text == "line 00299998\nline 00299999\n"
    assert MEGABYTE * 3 // 4 <= size - tail.dropped <= MEGABYTE
    assert ended["dropped"] == tail.dropped
    beginning = read_output(path, since=0, limit=10 * LINE)
    assert beginning.start == beginning.dropped
    assert read_output(path, since=size - 5 * LINE).text.splitlines()[0] == "line 00299995"
    assert "\0" not in read_output(path, lines=None).text


def test_output_below_the_limit_is_kept_whole(workers: Workers) -> None:
    worker = workers.sh("echo all of it", limit=MEGABYTE)
    assert "dropped" not in worker.ends()
    assert worker.text == "all of it\n"
    assert read_output(worker.folder.output).dropped == 0


def test_a_session_that_goes_on_remembers_what_was_dropped(tmp_path: Path) -> None:
    first = Log(str(tmp_path / "log"), 8 * log.BLOCK)
    first.append(b"x" * 20 * log.BLOCK)
    again = Log(str(tmp_path / "log"), 8 * log.BLOCK)
    assert first.dropped > 0
    assert (again.size, again.dropped) == (first.size, first.dropped)


def test_where_the_oldest_cannot_be_dropped_the_beginning_is_kept_and_the_rest_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, size: int) -> None:
        raise OSError("not here")

    monkeypatch.setattr(log, "punch", refuse)
    kept = Log(str(tmp_path / "log"), 8 * log.BLOCK)
    for _ in range(20):
        kept.append(b"x" * log.BLOCK)
    assert kept.size == 9 * log.BLOCK
    assert kept.lost == 11 * log.BLOCK
    assert kept.trouble is not None
    assert kept.trouble.startswith("45,056 bytes of output were not stored: the limit of 32,768 bytes is reached")


def test_what_a_full_disk_refused_is_counted_and_what_comes_later_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Log(str(tmp_path / "log"), None)
    kept.append(b"before\n")
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    kept.append(b"lost\n")
    kept.append(b"lost too\n")
    monkeypatch.setattr(os, "write", write)
    kept.append(b"after\n")
    assert (tmp_path / "log").read_bytes() == b"before\nafter\n"
    assert kept.trouble == "14 bytes of output were not stored: No space left on device"
