"""The end of what a worker prints, as lines of HTML: colours kept, bounded, and read bit by bit.

The whole output stays on disk. A view gets the last lines and then only what is new; when a worker prints faster than
anybody reads, what lies between two looks is left out and the last lines are read again as soon as it slows down.
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from harness_nb.shim.log import first_kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.ansi import AnsiDecoder
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

KEPT = 1000
"""Lines that a view shows at most."""
MOST = 256 * 1024
"""Bytes that are read at most for the first picture."""
MOST_AT_ONCE = 16 * 1024
"""Bytes that are read at most for what is new, so that a flood stays below 1 MB/s however often a view looks."""
LONGEST = 2000
"""Characters of one line that are shown."""
SAVED_LONGEST = 500
"""Characters of one line that are saved with a notebook."""
SAVED_MOST = 60_000
"""Characters of HTML that are saved with a notebook at most."""
PLAIN_LONGEST = 200
"""Characters of one line in plain text."""
COLOURS_HELD = 100
"""Colours that are looked at, of those that were written over."""
LONG = 16 * 1024
"""Bytes from which on an unfinished line is read from its middle."""

NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOUR = re.compile(r"\x1b\[[0-9;]{0,64}m")
SIGN = re.compile(r"(\x1b\[[0-9;]{0,64}m)|.", re.DOTALL)
OTHER_ORDER = re.compile(
    r"""
    \x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?      # a title, a link, a picture; one that does not end hides the rest
    | \x1b\[(?![0-9;]{0,64}m)[0-?]*[ -/]*[@-~]?    # where the cursor goes, what is cleared; colours without sense
    | \x1b$
    """,
    re.VERBOSE,
)
"""What tells a terminal something else than a colour; rich does not know all of it, or takes very long."""


class Tail:
    """The last lines of one session's output."""

    def __init__(self, path: Path, *, longest: int = LONGEST) -> None:
        self._path = path
        self._longest = longest
        self._lock = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        self._size = 0
        self._place = 0
        """Where the last line begins, which may go on."""
        self._number = 0
        """How many lines are before it."""
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._open = ""
        self._skipped = False
        self._painter = Painter(self._longest)

    @property
    def total(self) -> int:
        """How many lines there are, the unfinished one included."""
        return self._number + bool(self._open)

    @property
    def behind(self) -> bool:
        """Whether something was left out, so that the last lines are to be read again once it is calm."""
        return self._skipped

    @property
    def nothing(self) -> dict[str, Any]:
        """What is sent where no line is new."""
        return {"first": self.total, "lines": [], "total": self.total, "reset": False}

    def whole(self) -> dict[str, Any]:
        """Return all that is shown, for a page that has just come."""
        with self._lock:
            self.look()
            lines = [*self._lines, *([self._open] if self._open else [])]
            return {"first": self.total - len(lines), "lines": lines, "total": self.total, "reset": True}

    def look(self) -> dict[str, Any] | None:
        """Return what is new as lines and the number of the first of them; None if nothing is."""
        try:
            with self._lock, self._path.open("rb") as file:
                return self._read(file.fileno(), os.fstat(file.fileno()).st_size)
        except FileNotFoundError:
            return None

    def _read(self, descriptor: int, size: int) -> dict[str, Any] | None:
        if size < self._size:
            self._forget()
            if not size:
                return {"first": 0, "lines": [], "total": 0, "reset": True}
        if size == self._size:
            return self._catch_up(descriptor, size) if self._skipped else None
        begin = not self._size
        if begin:
            self._place = first_kept(descriptor)  # what was dropped before is neither read nor counted
        limit = MOST if begin else MOST_AT_ONCE
        skipped = size - self._place > limit
        if skipped:
            self._skip(descriptor, size - limit)
        number = self._take(os.pread(descriptor, size - self._place, self._place), size)
        self._skipped = skipped and not begin
        lines = [*list(self._lines)[max(0, len(self._lines) - number) :], *([self._open] if self._open else [])]
        reset = skipped or number > KEPT
        return {"first": self.total - len(lines), "lines": lines, "total": self.total, "reset": reset}

    def _catch_up(self, descriptor: int, size: int) -> dict[str, Any]:
        """Read the last lines again, now that nothing more comes."""
        total = self.total
        start = max(0, size - MOST)
        data = os.pread(descriptor, size - start, start)
        if start:
            data = data[data.find(b"\n") + 1 :]
        self._lines.clear()
        self._painter = Painter(self._longest)
        self._place, self._number, self._skipped = size - len(data), 0, False
        self._take(data, size)
        self._number += total - self.total
        return self.whole()

    def _skip(self, descriptor: int, to: int) -> None:
        """Go on near the end, at the start of a line if there is one, and count what is left out."""
        self._lines.clear()
        self._painter = Painter(self._longest)
        while self._place < to:
            data = os.pread(descriptor, min(1 << 20, to - self._place), self._place)
            if not data:
                return
            self._number += data.count(b"\n")
            self._place += len(data)
        rest = os.pread(descriptor, MOST, self._place)
        end = rest.find(b"\n") + 1
        if 0 < end < len(rest):
            self._number += 1
            self._place += end

    def _take(self, data: bytes, size: int) -> int:
        """Paint lines, and return how many of them are finished."""
        *complete, rest = data.split(b"\n")
        for line in complete[-KEPT:]:
            self._lines.append(self._painter.paint(line.decode("utf-8", "replace")))
        self._number += len(complete)
        self._place = size - len(rest)
        if len(rest) > LONG:
            self._place = size - LONG // 2
        self._open = self._painter.paint(rest.decode("utf-8", "ignore"), keep=False) if rest else ""
        self._size = size
        return len(complete)


def saved_lines(path: Path, number: int) -> list[str]:
    """Return at most so many of the last lines as HTML that is small enough to be saved with a notebook."""
    lines: list[str] = Tail(path, longest=SAVED_LONGEST).whole()["lines"]
    kept, room = [], SAVED_MOST
    for line in reversed(lines[-number:]):
        room -= len(line)
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def plain_lines(path: Path, number: int) -> list[str]:
    """Return at most so many of the last lines as a terminal without colours shows them, long ones cut."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONG))
            data = file.read(LONG)
    except FileNotFoundError:
        return []
    lines = data.decode("utf-8", "replace").rstrip().split("\n")[-number:]
    shown = (CONTROL.sub("·", overwritten(COLOUR.sub("", OTHER_ORDER.sub("", line)))) for line in lines)
    return [line if len(line) <= PLAIN_LONGEST else line[: PLAIN_LONGEST - 1] + "…" for line in shown]


class Painter:
    """Turns lines with a terminal's colours into HTML, one after the other."""

    def __init__(self, longest: int = LONGEST) -> None:
        from rich.ansi import AnsiDecoder

        self._longest = longest
        self._decoder: AnsiDecoder = AnsiDecoder()

    def paint(self, line: str, *, keep: bool = True) -> str:
        """Return a line as HTML; ``keep`` is whether the colour at its end holds for the next."""
        before = self._decoder.style
        text = self._colours_only(line) if "\x1b" in line else overwritten(line)
        if "\x1b" not in text and not self._decoder.style:
            return _plain(text, self._longest)
        decoded = self._decoder.decode_line(text)
        if not keep:
            self._decoder.style = before
        decoded.truncate(self._longest, overflow="ellipsis")
        return "".join(
            f'<span class="{classes}"{css}>{escape(part)}</span>' if classes or css else escape(part)
            for part, classes, css in _segments(decoded)
            if part
        )

    def _colours_only(self, line: str) -> str:
        """Return what is to be seen of a line with its colours, and note those that are written over and still hold."""
        text = OTHER_ORDER.sub("", line).rstrip("\r")
        hidden, _, shown = text.rpartition("\r")
        if colours := COLOUR.findall(hidden):
            self._decoder.decode_line("".join(colours[-COLOURS_HELD:]))
        return overwritten(shown)


def overwritten(line: str) -> str:
    """Return what a terminal shows of a line in the end: a carriage return writes over it, a backspace takes back."""
    text = line.rstrip("\r").rsplit("\r", 1)[-1]
    return _taken_back(text) if "\b" in text else text


def _taken_back(text: str) -> str:
    """Return a text without what a backspace takes back, which is never a colour."""
    kept: list[tuple[str, str]] = []
    colours = ""
    for match in SIGN.finditer(text):
        if match[1]:
            colours += match[1]
        elif match[0] != "\b":
            kept.append((colours, match[0]))
            colours = ""
        elif kept:
            colours = kept.pop()[0] + colours
    return "".join(colour + sign for colour, sign in kept) + colours


def _plain(text: str, longest: int) -> str:
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return escape(CONTROL.sub("·", cut))


def _segments(decoded: Text) -> Iterator[tuple[str, str, str]]:
    """Return pieces of text with their looks; rich renders styles that overlap, and these never do."""
    text, place = decoded.plain, 0
    for span in [*decoded.spans, None]:
        start, end = (span.start, span.end) if span else (len(text), len(text))
        if start > place:
            yield CONTROL.sub("·", text[place:start]), "", ""
        if span and end > start:
            assert not isinstance(span.style, str)
            yield CONTROL.sub("·", text[start:end]), *_look_of(span.style)
        place = end


@lru_cache(maxsize=1000)
def _look_of(style: Style | None) -> tuple[str, str]:
    """Return a style as classes, for the sixteen colours that have names in a theme, and as CSS for all others."""
    if not style:
        return "", ""
    classes = [f"hnb-{name}" for name in ("bold", "italic", "underline", "strike", "dim") if getattr(style, name)]
    fore, back = (style.bgcolor, style.color) if style.reverse else (style.color, style.bgcolor)
    if style.reverse and fore is None and back is None:
        classes.append("hnb-reverse")
    css = []
    for colour, prefix, property_ in ((fore, "hnb-fg", "color"), (back, "hnb-bg", "background-color")):
        if colour is None or colour.is_default:
            continue
        name = _name_of(colour)
        if name:
            classes.append(f"{prefix}-{name}")
        else:
            css.append(f"{property_}:{colour.get_truecolor().hex}")
    return " ".join(classes), f' style="{";".join(css)}"' if css else ""


def _name_of(colour: Color) -> str:
    number = colour.number
    return NAMES[number % 8] if number is not None and number < 16 else ""
