"""What a terminal shows of some bytes, without what may stand in the middle of a word; standard library only.

Left out are line breaks (a terminal, ``fold`` and ``base64`` wrap), what readline writes where it wraps, escape
sequences that colour and move, and the signs that UTF-16 and old terminals put between letters.
"""

from __future__ import annotations

import re
from bisect import bisect_right

IGNORED = b"\r\n\0\x0e\x0f"
ESCAPE = b"\x1b"
LONGEST_ESCAPE = 300
"""Bytes; what goes on longer without an end is none."""
_WRAP = rb"| \r(?![\r\n])"  # of readline
_SEQUENCE = (
    rb"\x1b(?:\[[0-?\r\n]{0,64}[ -/]{0,8}[@-~]"  # colours and moves
    rb"|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)"  # titles and links
    rb"|[ -/]{1,4}[0-~]|[0-OQ-WYZ\\`-~])"  # character sets, the keypad
)
_BREAK = rb"[\r\n\x00\x0e\x0f]+"


class Grammar:
    """Which sequences count as being between letters."""

    def __init__(self, sequence: bytes, unfinished: bytes) -> None:
        self.sequences = re.compile(sequence)
        self.with_wraps = re.compile(sequence + _WRAP)  # only where there are any: it takes thrice as long
        self.unfinished = re.compile(unfinished)


EVERY = Grammar(_SEQUENCE, rb"\x1b(?:\[[0-?\r\n]{0,64}[ -/]{0,8}|\][^\x07\x1b]{0,256}\x1b?|[ -/]{0,4})\Z")
COLOURS = Grammar(rb"\x1b(?:\[[0-9;:]{0,64}m|\([B0])", rb"\x1b(?:\[[0-9;:]{0,64}|\()?\Z")
"""Colours alone: a value may also stand inside another sequence, such as a title, or behind one that is broken."""
NONE = Grammar(rb"(?!)", rb"(?!)")
"""No sequence: a value may end in the middle of one, where its last byte is an escape."""
_BREAKS = re.compile(_BREAK)
_BETWEEN = re.compile(_SEQUENCE + _WRAP + b"|" + _BREAK)


class Plain:
    """Some bytes as they are shown; ``place`` says where a byte of that stands among all of them."""

    def __init__(self, data: bytes, grammar: Grammar = EVERY) -> None:
        self.data = data
        self.unfinished = len(data)
        self._joined = data
        self._sequences: _LeftOut | None = None
        if ESCAPE in data or b" \r" in data:
            self.unfinished = _unfinished(data, grammar)
            pattern = grammar.with_wraps if b" \r" in data else grammar.sequences
            self._sequences = _LeftOut(pattern, data[: self.unfinished])
            self._joined = pattern.sub(b"", data[: self.unfinished])
        self._breaks = _LeftOut(_BREAKS, self._joined)
        self.text = self._joined.translate(None, IGNORED)

    def place(self, at: int) -> int:
        """Return where a byte of the text stands in the data."""
        joined = at if len(self.text) == len(self._joined) else self._breaks.place(at)
        return joined if self._sequences is None else self._sequences.place(joined)

    def place_near_end(self, at: int) -> int:
        """Return the same, found from the end."""
        joined = len(self._joined)
        for _ in range(len(self.text) - at):
            joined -= 1
            while self._joined[joined] in IGNORED:
                joined -= 1
        return joined if self._sequences is None else self._sequences.place(joined)


class _LeftOut:
    """Where parts of some data were, for finding a place in the data by one in the rest; looked for at first use."""

    def __init__(self, pattern: re.Pattern[bytes], data: bytes) -> None:
        self._pattern = pattern
        self._data = data
        self._edges: list[int] = []
        self._sizes: list[int] = []

    def place(self, at: int) -> int:
        if not self._sizes:
            self._look()
        return at + self._sizes[bisect_right(self._edges, at)]

    def _look(self) -> None:
        size = 0
        self._sizes.append(0)
        for part in self._pattern.finditer(self._data):
            start, end = part.span()
            self._edges.append(start - size)
            size += end - start
            self._sizes.append(size)


def between(data: bytes, start: int, end: int, place: int) -> bytes:
    """Return what a terminal does not show of ``start`` to ``end``, as far as it stands at ``place`` or behind it."""
    return b"".join(part[0][max(0, place - part.start()) :] for part in _BETWEEN.finditer(data, start, end))


def start_of_escape(data: bytes, place: int) -> int:
    """Return where the escape sequence begins in the middle of which a place is, or the place itself."""
    start = data.rfind(ESCAPE, max(0, place - LONGEST_ESCAPE), place)
    if start < 0:
        return place
    sequence = EVERY.sequences.match(data, start)
    return start if sequence is not None and sequence.end() > place else place


def _unfinished(data: bytes, grammar: Grammar) -> int:
    """Return where an escape sequence begins that the end of the data cuts off, or the end."""
    at = len(data)
    oldest = max(0, len(data) - LONGEST_ESCAPE)
    for _ in range(2):  # a title ends with an escape of its own
        start = data.rfind(ESCAPE, oldest, at)
        if start < 0 or grammar.unfinished.match(data, start) is None:
            break
        at = start
    return at
