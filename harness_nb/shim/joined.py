"""Masks values in lines of JSON, also where a text comes in pieces over many lines; standard library only.

Agents write what they say in pieces, a line each: ``{"type": "stream_event", "event": {"delta": {"text": "…"}}}``. The
texts of one stream are joined by where they stand in their line and by whose they are. A line whose text may be the
beginning of a value waits until the stream goes on or ends, and the lines behind it wait too, so that their order
stays. A value becomes its mask in the line where it begins, and nothing in the others. Lines without any value are
left byte for byte, and lines that are no JSON are masked as bytes.
"""

from __future__ import annotations

import json
import time

from .masker import SILENCE, Finder, Masker, text_of, texts_of
from .plain import between

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from .needles import Hit

    Path = tuple[str | int, ...]
    Owner = frozenset[tuple[str, str]]

__all__ = ["LineMasker", "Masker"]

OWNERS = frozenset(
    ("index", "session_id", "sessionId", "parent_tool_use_id", "item_id", "output_index", "content_index", "toolCallId")
)
"""The names of what tells one stream from another."""
PIECES = frozenset(("delta", "update"))
"""The names under which texts come in pieces: of any other a beginning of a few letters is no reason to wait."""
MOST_WAITING = 1 << 20
"""Bytes of lines that wait; more are let go, whatever their texts may be the beginning of."""
SHORT = 64
MOST_HARMLESS = 1000
MOST_STREAMS = 200
"""Streams whose last letters are remembered without a line that waits; the ones longest silent are forgotten."""
LONGEST_LINE = 16 << 20
DEEPEST = 100
"""Lists and objects in one another; what is deeper is no message, and would end this process by its recursion."""
LINE_SILENCE = 1.0
"""Seconds that a line waits for its stream to go on; others may go on meanwhile."""
FEW = 3


class Line:
    """One line of JSON, until each of its texts is decided; or what is no JSON, and stands behind one that waits."""

    def __init__(self, raw: bytes, since: float, content: Any = None) -> None:
        self.raw = raw
        self.since = since
        self.content = content
        self.undecided = 0
        self.changed = False

    def change(self, path: Path, text: str) -> None:
        """Put another text in the place of one."""
        holder = self.content
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = text
        self.changed = True

    def written(self) -> str:
        """Return the line as it is to be written."""
        if not self.changed:
            return self.raw.decode(errors="surrogateescape")
        tight = b'": ' not in self.raw.partition(b",")[0]
        separators = (",", ":") if tight else (", ", ": ")
        return json.dumps(self.content, separators=separators) + "\n"


class Stream:
    """The joined text of one stream, as far as it is not decided, and the lines that it is from."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._data = b""
        self._out = 0  # bytes of that whose lines are written
        self._masked = 0  # bytes of that which are part of a value that has its mask
        self._pieces: list[tuple[Line, Path, int]] = []

    def __bool__(self) -> bool:
        return bool(self._data)

    @property
    def waits(self) -> bool:
        """Whether a line waits for it."""
        return bool(self._pieces)

    def add(self, line: Line, path: Path, text: str) -> None:
        """Take in the next piece; ``decide`` says what becomes of it."""
        self._data += text.encode(errors="surrogatepass")
        self._pieces.append((line, path, len(self._data)))
        line.undecided += 1

    def decide(self, *, ends: bool = False, patient: bool = True) -> None:
        """Settle what becomes of the pieces: all where the stream ends, else those that hold no value's beginning.

        Without patience a beginning of a few letters does not keep a line, and the rest is masked all the same.
        """
        texts = texts_of(self._data)
        hits = self._finder.hits(self._data, texts)
        size = len(self._data)
        hold = keep = size
        if not ends:
            found = [one for search in self._finder.undecided(self._data, texts) for one in search]
            keep = min([texts[0].unfinished, *(at for at, _ in found)])
            hold = min([size, *(at for at, form in found if patient or size - at > min(FEW, len(form) // 4))])
        self._write(hits, hold)
        self._forget(hits, min(keep, hold))

    def let_go(self) -> None:
        """Settle all pieces, and go on to mask a value that began in them."""
        texts = texts_of(self._data)
        searches = self._finder.undecided(self._data, texts)
        keep = min([len(self._data), *(at for search in searches for at, _ in search)])
        hits = self._finder.hits(self._data, texts)
        self._write(hits, len(self._data))
        self._forget(hits, keep)

    def _write(self, hits: list[Hit], hold: int) -> None:
        while self._pieces and self._pieces[0][2] <= hold:
            line, path, end = self._pieces.pop(0)
            before = self._data[self._out : end]
            after = self._replaced(hits, self._out, end)
            if after != before:
                line.change(path, text_of(after))
            line.undecided -= 1
            self._out = end

    def _replaced(self, hits: list[Hit], start: int, end: int) -> bytes:
        """Return what is shown of one piece: each value has its mask where it begins, or where it first can."""
        written: list[bytes] = []
        place = start
        for first, last, name in hits:
            if first >= end:
                break
            if last <= place:
                continue
            written.append(self._data[place:first])
            if last > self._masked:
                written.append(self._finder.mask_for(name))
                self._masked = last
            written.append(between(self._data, first, min(last, end), place))
            place = min(last, end)
        written.append(self._data[place:end])
        return b"".join(written)

    def _forget(self, hits: list[Hit], keep: int) -> None:
        """Drop what no later piece can change."""
        keep = min(keep, self._out)
        for first, last, _ in hits:  # one whose end is in a piece that waits must be found again
            if first < keep and last > self._out:
                keep = first
        self._data = self._data[keep:]
        self._out -= keep
        self._masked = max(0, self._masked - keep)
        self._pieces = [(line, path, end - keep) for line, path, end in self._pieces]


class LineMasker:
    """Replaces values in what a worker writes into a pipe; it is used as a ``Masker`` is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._finder = Finder()
        self._bytes = Masker(self._finder)
        self._begun = b""  # a line of JSON without its end
        self._in_text = False  # in the middle of a line that is none
        self._queue: list[Line] = []
        self._streams: dict[tuple[Owner, Path], Stream] = {}
        self._harmless: set[str] = set()  # short texts that stand in line after line
        self.waiting = False
        self.silence = SILENCE

    def add(self, masks: Mapping[str, Iterable[str]]) -> None:
        """Mask these forms from now on, each as its value's name."""
        self._finder.add(masks)
        self._harmless.clear()

    def mask(self, text: str) -> str:
        """Return a text that stands for itself with its values replaced; the stream is not touched."""
        return self._finder.masked(text)

    def feed(self, data: bytes) -> bytes:
        """Return what may be written of everything that has come so far."""
        lines = _lines(self._begun + data)
        self._begun = b""
        written = [self._line(line) for line in lines]
        if sum(len(line.raw) for line in self._queue) > MOST_WAITING:
            written.append(self._let_go())
        self._wait()
        return b"".join(written)

    def _wait(self) -> None:
        self.waiting = bool(self._queue or self._begun or self._bytes.waiting)
        self.silence = LINE_SILENCE if self._queue or self._begun else SILENCE
        if self._queue:
            self.silence = max(0.0, self._queue[0].since + LINE_SILENCE - self._clock())

    def settle(self) -> bytes:
        """Return what may be written since nothing more has come for as long as ``silence`` says."""
        self._wait()
        if self._queue and self.silence > 0:
            return b""
        self.waiting = False
        written = self._let_go()
        if self._begun:  # who writes a line of JSON does not stop in its middle
            written += self._text(self._begun)
            self._begun = b""
        return written + self._bytes.settle()

    def flush(self) -> bytes:
        """Return what is still held back, once nothing more can come."""
        for stream in self._streams.values():
            stream.decide(ends=True)
        self._streams.clear()
        rest, self._begun = self._begun, b""
        return self._ready() + (self._text(rest) if rest else b"") + self._bytes.flush()

    def _line(self, line: bytes) -> bytes:
        whole = line.endswith(b"\n")
        if self._in_text or not line.lstrip().startswith(b"{") or len(line) > LONGEST_LINE:
            return self._text(line)
        if not whole:
            self._begun = line
            return b""
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            return self._text(line)
        if line.count(b"[") + line.count(b"{") > DEEPEST and _is_deep(content):
            return self._text(line)
        return self._in_order(self._bytes.flush()) + self._json(Line(line, self._clock(), content))

    def _text(self, data: bytes) -> bytes:
        self._in_text = not data.endswith(b"\n")
        return self._in_order(self._bytes.feed(data))

    def _in_order(self, masked: bytes) -> bytes:
        """Return what is to be written now, or put it behind the lines that wait."""
        if not self._queue:
            return masked
        self._queue.append(Line(masked, self._clock()))
        return b""

    def _json(self, line: Line) -> bytes:
        self._queue.append(line)
        owner = frozenset(_owners(line.content))
        texts = dict(_texts(line.content))
        for (other, path), stream in list(self._streams.items()):
            if owner <= other and path not in texts:
                stream.decide(ends=True)
                del self._streams[other, path]
        for path, text in texts.items():
            known = self._streams.pop((owner, path), None)
            if known is None and text in self._harmless:
                continue
            stream = known or Stream(self._finder)
            stream.add(line, path, text)
            stream.decide(patient=not PIECES.isdisjoint(path))
            if stream:
                self._streams[owner, path] = stream
            elif known is None and not line.changed and len(text) < SHORT and len(self._harmless) < MOST_HARMLESS:
                self._harmless.add(text)
        if len(self._streams) > MOST_STREAMS:
            silent = [key for key, stream in self._streams.items() if not stream.waits]
            for key in silent[: len(self._streams) - MOST_STREAMS]:
                del self._streams[key]
        return self._ready()

    def _let_go(self) -> bytes:
        for stream in self._streams.values():
            stream.let_go()
        return self._ready()

    def _ready(self) -> bytes:
        """Return the lines before the first that waits; what is in their names and numbers is masked as text is."""
        written = []
        while self._queue and not self._queue[0].undecided:
            shown = self._finder.masked(self._queue.pop(0).written())
            written.append(shown.encode(errors="surrogateescape"))
        return b"".join(written)


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _is_deep(content: Any) -> bool:
    level = [content]
    for _ in range(DEEPEST):
        inside = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        if not inside:
            return False
        level = [part for parts in inside for part in parts]
    return True


def _texts(content: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    if isinstance(content, str):
        yield path, content
    elif isinstance(content, dict):
        for key, part in content.items():
            yield from _texts(part, (*path, key))
    elif isinstance(content, list):
        for number, part in enumerate(content):
            yield from _texts(part, (*path, number))


def _owners(content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):
        for key, part in content.items():
            if key in OWNERS and not isinstance(part, dict | list):
                yield key, str(part)
            yield from _owners(part)
    elif isinstance(content, list):
        for part in content:
            yield from _owners(part)
