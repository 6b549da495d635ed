"""Reading a session's output: the tail of any file, pieces that add up, nothing read that is not returned."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_nb.sessions import read_output
from harness_nb.sessions.output import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.row(3)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "terminal.log"


def test_no_output_yet_is_empty(log: Path) -> None:
    assert read_output(log).text == ""
    assert read_output(log, since=10).end == 0


@pytest.mark.parametrize(
    ("content", "lines", "text"),
    [
        (b"", 5, ""),
        (b"one\r\ntwo\r\nthree\r\n", 2, "two\nthree\n"),
        (b"one\r\ntwo\r\nthree", 2, "two\nthree"),
        (b"one\r\ntwo\r\n", 100, "one\ntwo\n"),
        (b"one", 1, "one"),
        (b"one\n\n\n", 2, "\n\n"),
        (b"one\ntwo\n", 0, ""),
        (b"one\ntwo\n", None, "one\ntwo\n"),
        (b"10 %\r50 %\r100 %\r\n", 1, "10 %\r50 %\r100 %\n"),
        (b"a\xff\xfeb\n", 1, "a\ufffd\ufffdb\n"),
    ],
)
def test_the_last_lines(log: Path, content: bytes, lines: int | None, text: str) -> None:
    log.write_bytes(content)
    output = read_output(log, lines=lines)
    assert output.text == text
    assert output.end == len(content)


def test_the_tail_of_a_big_file_reads_little(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with log.open("wb") as file:
        for block in range(64):
            file.write(b"".join(b"line %06d of block %02d\r\n" % (line, block) for line in range(40_000)))
    size = log.stat().st_size
    assert size > 60 << 20
    read = 0
    pread = os.pread

    def counted(descriptor: int, count: int, offset: int) -> bytes:
        nonlocal read
        data = pread(descriptor, count, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    output = read_output(log, lines=100)
    assert output.text.splitlines()[0] == "line 039900 of block 63"
    assert len(output.text.splitlines()) == 100
    assert output.end == size
    assert read < 1 << 20


def test_one_call_returns_no_more_than_its_limit(log: Path) -> None:
    log.write_bytes(b"x" * (3 * LIMIT))
    tail = read_output(log, lines=5)
    assert (len(tail.text), tail.start, tail.end) == (LIMIT, 2 * LIMIT, 3 * LIMIT)
    piece = read_output(log, since=10)
    assert (len(piece.text), piece.start, piece.end) == (LIMIT, 10, 10 + LIMIT)


def test_a_tail_that_is_cut_does_not_begin_inside_a_character(log: Path) -> None:
    content = "€".encode() * LIMIT
    log.write_bytes(content)
    output = read_output(log, lines=None)
    assert set(output.text) == {"€"}
    assert content[output.start : output.end].decode() == output.text


def test_a_character_that_is_half_there_comes_with_the_next_piece(log: Path) -> None:
    whole = "price: 5 €\r\n".encode()
    log.write_bytes(whole[:-4])
    first = read_output(log, since=0)
    assert first.text == "price: 5 "
    log.write_bytes(whole[:-1])
    second = read_output(log, since=first.end)
    assert second.text == "€"
    log.write_bytes(whole)
    assert read_output(log, since=second.end).text == "\n"


def test_a_place_behind_the_end_is_the_end(log: Path) -> None:
    log.write_bytes(b"abc")
    output = read_output(log, since=99)
    assert (output.text, output.start, output.end) == ("", 3, 3)
    assert read_output(log, since=-5).text == "abc"


@given(st.text(st.sampled_from("a€😀é\r\n"), max_size=40), st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=200, deadline=None)
def test_pieces_add_up_to_the_whole(tmp_path_factory: pytest.TempPathFactory, text: str, cuts: list[int]) -> None:
    """However the log grows between two calls, what they return adds up."""
    log = tmp_path_factory.mktemp("log") / "terminal.log"
    content = text.encode() + b"."
    pieces, since = [], 0
    for size in [*sorted(min(cut, len(content)) for cut in cuts), len(content)]:
        log.write_bytes(content[:size])
        output = read_output(log, since=since)
        pieces.append(output.text)
        since = output.end
    assert "".join(pieces) == content.decode().replace("\r\n", "\n")


def test_an_output_reads_as_its_text(log: Path) -> None:
    log.write_bytes(b"all is well\r\n")
    output = read_output(log)
    assert str(output) == "all is well\n"
    assert "is well" in output
