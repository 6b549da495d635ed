"""The end of what a worker prints: coloured, bounded, harmless, and with the right line numbers whatever is printed."""

from __future__ import annotations

import html
import re
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_nb.notebook.output import (
    KEPT,
    LONGEST,
    MOST,
    MOST_AT_ONCE,
    SAVED_MOST,
    Painter,
    Tail,
    overwritten,
    plain_lines,
    saved_lines,
)

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 1 << 20
OURS = re.compile(r'<span class="[a-z -]*"(?: style="[a-z0-9#:;-]+")?>|</span>')


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An empty file of output."""
    path = tmp_path / "terminal.log"
    path.touch()
    return path


def add(log: Path, *pieces: bytes) -> None:
    with log.open("ab") as file:
        for piece in pieces:
            file.write(piece)


class Page:
    """Puts pieces together as the page does."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self.lines: dict[int, str] = {}
        self.size = 0

    def look(self) -> list[str]:
        """Take what is new, and return the lines that the page shows."""
        piece = self._tail.look()
        if piece is not None:
            self.take(piece)
        return [self.lines[number] for number in sorted(self.lines)]

    def take(self, piece: dict[str, Any]) -> None:
        """Take one piece."""
        kept = {} if piece["reset"] else {key: text for key, text in self.lines.items() if key < piece["first"]}
        self.lines = kept | dict(enumerate(piece["lines"], piece["first"]))
        self.size = sum(map(len, piece["lines"]))
        assert piece["first"] + len(piece["lines"]) == piece["total"], "the last line has the last number"


def text_of(line: str) -> str:
    return html.unescape(OURS.sub("", line))


# --- what is new, bit by bit ---------------------------------------------------------------------


def test_no_output_yet_is_nothing(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "missing.log")
    assert tail.look() is None
    assert tail.whole() == {"first": 0, "lines": [], "total": 0, "reset": True}


def test_a_line_that_goes_on_is_sent_again_under_its_number(log: Path) -> None:
    page = Page(Tail(log))
    add(log, b"one\ntw")
    assert page.look() == ["one", "tw"]
    add(log, b"o\nthree\n")
    assert page.look() == ["one", "two", "three"]
    assert page._tail.look() is None


def test_the_line_ends_of_a_terminal_are_not_shown(log: Path) -> None:
    add(log, b"one\r\ntwo\r")
    page = Page(Tail(log))
    assert page.look() == ["one", "two"]
    add(log, b"\n\r\nfour\r\n")
    assert page.look() == ["one", "two", "", "four"]


def test_a_letter_that_is_cut_in_its_middle_waits_for_its_rest(log: Path) -> None:
    add(log, "grü".encode()[:-1])
    page = Page(Tail(log))
    assert page.look() == ["gr"]
    add(log, "ü".encode()[1:] + b"n")
    assert page.look() == ["grün"]


def test_a_progress_bar_shows_only_its_last_state(log: Path) -> None:
    add(log, *(b"\r%3d%%" % number for number in range(50)))
    page = Page(Tail(log))
    assert page.look() == [" 49%"]
    add(log, *(b"\r%3d%%" % number for number in range(50, 101)), b"\ndone\n")
    assert page.look() == ["100%", "done"]


def test_a_file_that_begins_anew_is_read_anew(log: Path) -> None:
    add(log, b"old\n" * 20)
    page = Page(Tail(log))
    page.look()
    log.write_bytes(b"new\n")
    assert page.look() == ["new"]
    log.write_bytes(b"")
    assert page.look() == [], "an emptied file has no lines"


# --- much ----------------------------------------------------------------------------------------


def test_of_many_short_lines_the_last_are_shown_under_their_own_numbers(log: Path) -> None:
    """More lines than a view keeps may come between two looks, though they are few bytes."""
    page = Page(Tail(log))
    add(log, *(b"%d\n" % number for number in range(5000)))
    page.look()
    assert page.lines == {number: str(number) for number in range(5000 - KEPT, 5000)}
    add(log, *(b"%d\n" % number for number in range(5000, 8000)))
    page.look()
    assert page.lines == {number: str(number) for number in range(8000 - KEPT, 8000)}


def test_of_100_mb_of_lines_only_the_end_is_read_and_the_numbers_are_right(log: Path) -> None:
    block = b"".join(b"%07d %s\n" % (number, b"x" * 91) for number in range(10_000))
    lines = 100 * 10_000
    for _ in range(100):
        add(log, block)
    tracemalloc.start()
    began = time.monotonic()
    page = Page(Tail(log))
    shown = page.look()
    took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert max(page.lines) == lines - 1
    assert shown[-1].startswith("0009999 ")
    assert len(shown) <= KEPT
    assert peak < 8 * MEGABYTE
    assert took < 5


def test_a_line_of_100_mb_without_end_is_shown_by_its_end_in_bounded_memory(log: Path) -> None:
    for _ in range(100):
        add(log, b"y" * MEGABYTE)
    page = Page(Tail(log))
    tracemalloc.start()
    began = time.monotonic()
    for _ in range(20):
        [line] = page.look()
        assert len(line) <= LONGEST
        add(log, b"z" * 100)
    took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MEGABYTE
    assert took < 5
    add(log, b"\nshort\n")
    assert page.look()[-1] == "short"
    assert max(page.lines) == 1, "it was one line all the time"


def test_a_flood_is_left_out_between_two_looks_and_its_end_is_read_once_it_is_calm(log: Path) -> None:
    tail = Tail(log)
    page = Page(tail)
    add(log, b"first\n")
    page.look()
    for block in range(20):
        add(log, *(b"%d-%d %s\n" % (block, number, b"x" * 50) for number in range(2000)))
        page.look()
        assert page.size <= 2 * MOST_AT_ONCE
        assert tail.behind
    page.look()
    assert not tail.behind
    total = 1 + 20 * 2000
    assert sorted(page.lines) == list(range(total - KEPT, total))
    assert page.lines[total - 1].startswith("19-1999 ")
    assert page._tail.look() is None


def test_a_flood_without_line_ends_catches_up_too(log: Path) -> None:
    tail = Tail(log)
    page = Page(tail)
    add(log, b"first\n")
    page.look()
    add(log, b"x" * (2 * MOST), b"the end")
    page.look()
    [line] = page.look()
    assert not tail.behind
    assert list(page.lines) == [1]
    assert len(line) <= LONGEST


def test_binary_is_shown_as_dots_and_harms_nothing(log: Path) -> None:
    add(log, bytes(range(256)) * 40)
    page = Page(Tail(log))
    for line in page.look():
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line)
        assert "<" not in OURS.sub("", line)


# --- one line ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("\x1b[31mred\x1b[0m plain", '<span class="hnb-fg-red">red</span> plain'),
        ("\x1b[91mbright", '<span class="hnb-fg-red">bright</span>'),
        ("\x1b[1;44mx", '<span class="hnb-bold hnb-bg-blue">x</span>'),
        ("\x1b[38;2;1;2;3mx", '<span class="" style="color:#010203">x</span>'),
        ("\x1b[7mx", '<span class="hnb-reverse">x</span>'),
        ("\x1b[2K\x1b[1Gtext", "text"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended", ""),
        ("\x1b[3", ""),
        ("bell\x07", "bell·"),
        ("\x1b[" + "9" * 5000 + "mtext", "text"),
    ],
    ids=["html", "red", "bright", "bold on blue", "24 bits", "reverse", "cursor", "title", "link", "unended title",
         "half an escape", "bell", "a number without end"],
)  # fmt: skip
def test_a_line_is_shown_as_a_terminal_would(line: str, shown: str) -> None:
    assert Painter().paint(line) == shown


def test_a_colour_holds_for_the_next_line_but_not_beyond_an_unfinished_one() -> None:
    painter = Painter()
    painter.paint("\x1b[32mgreen", keep=False)
    assert painter.paint("plain") == "plain"
    painter.paint("\x1b[32mgreen")
    assert painter.paint("still") == '<span class="hnb-fg-green">still</span>'
    assert painter.paint("\x1b[0mno more") == "no more"


def test_a_colour_that_ends_in_what_was_overwritten_has_ended() -> None:
    painter = Painter()
    painter.paint("\x1b[31mred")
    assert painter.paint("bar\x1b[0m\rdone") == "done"


@pytest.mark.parametrize(
    ("line", "shown"),
    [("abc\rxy", "xy"), ("abc\r", "abc"), ("abc\b\bx", "ax"), ("\b\bx", "x"), ("a\r\r", "a"), ("", "")],
)
def test_what_is_written_over_is_not_shown(line: str, shown: str) -> None:
    assert overwritten(line) == shown


def test_many_backspaces_and_escapes_cost_no_more_than_other_text() -> None:
    began = time.monotonic()
    for piece in ("ab\b", "\b", "x\b\b", "\x1b]", "\x1b[", "\x1b[31m\r", "\x1bP", "\x1b[1;"):
        Painter().paint(piece * (MOST // len(piece)))
    assert time.monotonic() - began < 10


HARD = st.sampled_from(
    ["\x1b[", "\x1b]", "\x1b", "31", ";", "m", "0m", "38;5;", "<script>", "</span>", "&", '"', "\r", "\b", "\x07", "\n",
     "\x1b[31m", "\x1b[0m", "\x1b[48;2;9;8;7m", "\x1b]8;;javascript:x\x1b\\", "\u2028", "\x85", "\ud7ff", "漢"]
)  # fmt: skip


@given(st.lists(HARD | st.text(max_size=5), max_size=30), st.booleans())
def test_whatever_is_printed_becomes_harmless_html(pieces: list[str], keep: bool) -> None:
    """No tag but our own, each closed again, nothing that controls a terminal."""
    painter = Painter()
    for line in "".join(pieces).split("\n"):
        painted = painter.paint(line, keep=keep)
        assert not set("<>") & set(OURS.sub("", painted))
        assert painted.count("<span") == painted.count("</span>")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", painted)
        assert len(text_of(painted)) <= 2 * LONGEST


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b"\r\n", "ü€".encode(), b"\x1b[31m"]), max_size=20))
def test_it_makes_no_difference_how_output_is_cut(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    """Read bit by bit or at once, the page shows the same."""
    folder = tmp_path_factory.mktemp("cut")
    grown, whole = folder / "grown.log", folder / "whole.log"
    grown.touch()
    page = Page(Tail(grown))
    for piece in pieces:
        add(grown, piece)
        page.look()
    whole.write_bytes(b"".join(pieces))
    assert page.look() == Page(Tail(whole)).look()


@pytest.mark.parametrize(
    "content",
    [
        b"x" * 20_000_000,
        b"\x1b[31m" + b"y" * 3000 + b"\x1b[0m\n" * 100,
        b"".join(b"\x1b[38;2;%d;2;3mz\x1b[0m" % (n % 255) for n in range(20_000)) + b"\n",
        (b"<&>" * 700 + b"\n") * 200,
    ],
    ids=["no line end", "long and coloured", "a colour each", "escapes"],
)
def test_what_is_saved_with_a_notebook_stays_small(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(content)
    assert sum(len(line) for line in saved_lines(path, 60)) <= SAVED_MOST
    assert sum(len(line) for line in plain_lines(path, 10)) <= 2000


def test_plain_lines_hold_nothing_that_moves_a_terminals_cursor(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"one\n\x1b[2J\x1b[31mred\x1b[0m\a\r\n10%\r20%\r\nab\bc\n\n")
    assert plain_lines(path, 10) == ["one", "red·", "20%", "ac"]
    assert plain_lines(path, 1) == ["ac"]
    assert plain_lines(tmp_path / "none", 1) == []
