"""A copy of a log: the same places, holes that take no space, bounded memory, and values blotted out."""

from __future__ import annotations

import base64
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from harness_nb.credentials import Redactor
from harness_nb.sessions import read_output
from harness_nb.sessions.output_copy import PIECE, copy_output, data_in
from harness_nb.shim.log import Log

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_dropped_stays_a_hole_and_every_place_what_it_was(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 200_000)
    for number in range(20_000):
        log.append(b"line %d of the long output\n" % number)
    assert log.dropped > 0
    told: list[int] = []
    assert copy_output(tmp_path / "log", tmp_path / "copy", tell=told.append)
    assert read_output(tmp_path / "copy") == read_output(tmp_path / "log")
    assert read_output(tmp_path / "copy", since=0, lines=None).dropped == log.dropped
    assert (tmp_path / "copy").stat().st_size == log.size
    assert data_in(tmp_path / "copy") < log.size
    assert sum(told) == log.size - log.dropped


@pytest.mark.row(2)
def test_a_value_is_blotted_out_also_across_two_pieces(tmp_path: Path) -> None:
    value = b"hunter2-planted"
    text = bytearray(b"." * (2 * PIECE + 100))
    for place in (0, PIECE - 7, 2 * PIECE - len(value), 2 * PIECE + 100 - len(value)):
        text[place : place + len(value)] = value
    (tmp_path / "log").write_bytes(text)
    copy_output(tmp_path / "log", tmp_path / "copy", blot=Redactor({"ONE": value.decode(), "TWO": "hunter2"}))
    copied = (tmp_path / "copy").read_bytes()
    assert copied == bytes(text).replace(value, b"*" * len(value))


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    size = 64 << 20
    piece = os.urandom(1 << 20)
    with (tmp_path / "log").open("wb") as file:
        for _ in range(size >> 20):
            file.write(piece)
    tracemalloc.start()
    try:
        copy_output(tmp_path / "log", tmp_path / "copy", blot=Redactor({"ONE": "planted"}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert (tmp_path / "copy").stat().st_size == size


def test_there_is_nothing_to_copy_where_no_file_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "other")
    (tmp_path / "other").write_text("private")
    os.mkfifo(tmp_path / "pipe")
    for name in ("none", "link", "pipe"):
        assert not copy_output(tmp_path / name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.row(2)
def test_a_value_that_is_encoded_or_coloured_is_blotted_out(tmp_path: Path) -> None:
    value = "hunter2-planted"
    coloured = "\x1b[1m".join(value).encode()
    encoded = base64.b64encode(value.encode())
    (tmp_path / "log").write_bytes(b"." * (PIECE - 20) + coloured + b" " + encoded + b".")
    copy_output(tmp_path / "log", tmp_path / "copy", blot=Redactor({"ONE": value}))
    copied = (tmp_path / "copy").read_bytes()
    assert set(copied) <= set(b".* =")
    assert len(copied) == (tmp_path / "log").stat().st_size
