"""Masks credentials in a byte stream before it reaches the disk; loaded by the shim, so standard library only.

Every form of a value is found, also where a terminal wrapped it or a program coloured its letters, and wherever the
stream was split. Values that overlap are masked as a whole; what stood between their letters (colours, line breaks)
is kept behind the mask. All other output is left byte for byte.
"""

from __future__ import annotations

from itertools import chain

from .needles import Needles, sorted_forms
from .plain import COLOURS, ESCAPE, NONE, Plain, between, start_of_escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .needles import Hit

HIDDEN = b"[credential:%s]"
BARE = "[…]".encode()
"""The mask where a value's own would spell a value: shorter than any, so that it cannot hold one."""
MOST_SHOWN = 3
"""Bytes of a value's beginning that may be shown when nothing follows for a while, and at most a quarter of it."""
SILENCE = 0.002
"""Seconds after which output that could be a value's beginning counts as a prompt's end; eyes do not see them."""
MOST_HELD = 1 << 18
"""Bytes that are held back, and ``SPREAD`` times the longest form where that is more: a value's beginning may be
followed by line breaks or cursor moves without end."""
SPREAD = 16


class Finder:
    """Finds the forms of values in bytes; they can be added to while other threads look."""

    def __init__(self) -> None:
        self._long = Needles()
        self._short = Needles()
        self._masks: dict[bytes, bytes] = {}

    def add(self, masks: Mapping[str, Iterable[str]]) -> None:
        """Find these forms too, each by its value's name."""
        for name, forms in masks.items():
            long, short = sorted_forms(forms)
            self._long.add(name.encode(errors="surrogatepass"), long)
            self._short.add(name.encode(errors="surrogatepass"), short)
        self._masks = {}

    def hits(self, data: bytes, texts: list[Plain]) -> list[Hit]:
        """Return every hit that is no part of a longer one, from left to right."""
        found = self._short.hits(data)
        for plain in texts:
            for start, end, name in self._long.hits(plain.text):
                found.append((plain.place(start), plain.place(end - 1) + 1, name))
        found.sort(key=lambda hit: (hit[0], -hit[1]))
        widest: list[Hit] = []
        for hit in found:
            if not widest or hit[1] > widest[-1][1]:
                widest.append(hit)
        return widest

    def undecided(self, data: bytes, texts: list[Plain]) -> list[Iterator[tuple[int, bytes]]]:
        """Search for the places from which on a form may have begun that is not complete, each from left to right."""
        searches = [self._short.undecided(data)]
        for plain in texts:
            searches.append(self._undecided_in(plain, plain.text))
            if plain.text.endswith(b" "):  # which may turn out to be readline's wrap
                searches.append(self._undecided_in(plain, plain.text[:-1]))
        return searches

    def _undecided_in(self, plain: Plain, text: bytes) -> Iterator[tuple[int, bytes]]:
        for at, form in self._long.undecided(text):
            yield start_of_escape(plain.data, plain.place_near_end(at)), form

    def mask_for(self, name: bytes) -> bytes:
        """Return what stands in a value's place."""
        masks = self._masks
        if name not in masks:
            mask = HIDDEN % name
            masks[name] = BARE if self.hits(mask, texts_of(mask)) else mask
        return masks[name]

    def masked(self, text: str) -> str:
        """Return a text that stands for itself with its values replaced, until none is left."""
        data = text.encode(errors="surrogatepass")
        hits = self.hits(data, texts_of(data))
        if not hits:
            return text
        data = self._replaced(data, hits, None)
        while hits := self.hits(data, texts_of(data)):  # a mask and the text beside it may spell one
            data = self._replaced(data, hits, BARE)
        return text_of(data)

    def _replaced(self, data: bytes, hits: list[Hit], mask: bytes | None) -> bytes:
        written: list[bytes] = []
        place, last = 0, b""
        for start, end, name in hits:
            overlaps = bool(place) and start < place
            written.append(data[place:start])
            if not overlaps or (mask is None and name != last):
                written.append(mask or self.mask_for(name))
            written.append(between(data, start, end, place))
            place, last = end, name
        return b"".join((*written, data[place:]))

    def blotted(self, data: bytes, shown: bytes, sign: bytes) -> bytes:
        """Return what is shown of some data with a sign in the place of each byte of a value."""
        result = bytearray(shown)
        for start, end, _ in self.hits(data, texts_of(data)):
            result[start:end] = sign * (end - start)
        return bytes(result)

    @property
    def longest(self) -> int:
        """The bytes of the longest form."""
        return max(map(len, (*self._long.names, *self._short.names)), default=1)


def text_of(data: bytes) -> str:
    """Return masked bytes as text; a value that is none may have been a part of a sign, the rest of which is one."""
    try:
        return data.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return data.decode(errors="replace")


def texts_of(data: bytes) -> list[Plain]:
    """Return how data is shown; a value may also stand inside an escape sequence, such as a title."""
    shown = Plain(data)
    if ESCAPE not in data:
        return [shown]
    texts = [shown]
    otherwise = Plain(data, COLOURS)
    if otherwise.text != shown.text:
        texts.append(otherwise)
    if shown.unfinished < len(data):  # nothing may ever come that finishes it
        texts.append(Plain(data, NONE))
    return texts


class Masker:
    """Replaces values in a byte stream as it comes; what cannot be decided yet is held back."""

    silence = SILENCE

    def __init__(self, finder: Finder | None = None) -> None:
        self._finder = finder or Finder()
        self._held = b""
        self._done = 0  # bytes of that which were put out, shown or masked, and may still be part of a value
        self._masked_to = 0
        self._last = b""
        self.waiting = False

    def add(self, masks: Mapping[str, Iterable[str]]) -> None:
        """Mask these forms from now on, each as its value's name."""
        self._finder.add(masks)

    def feed(self, data: bytes) -> bytes:
        """Return what may be written of everything that has come so far.

        ``waiting`` says then that something is held back of which ``settle`` may give a part.
        """
        data = self._held + data
        texts = texts_of(data)
        firsts = (next(search, None) for search in self._finder.undecided(data, texts))
        hold = min([texts[0].unfinished, *(first[0] for first in firsts if first)])
        if len(data) - hold > MOST_HELD:
            hold = self._later(hold, data, texts)
        written = self._put(data, self._finder.hits(data, texts), hold, hold)
        self.waiting = len(self._held) > self._done
        return written

    def _later(self, hold: int, data: bytes, texts: list[Plain]) -> int:
        """Return from where on to hold back where that would be too much."""
        oldest = len(data) - max(MOST_HELD, SPREAD * self._finder.longest)
        if hold >= oldest:
            return hold
        found = chain.from_iterable(self._finder.undecided(data, texts))
        return min([texts[0].unfinished, *(at for at, _ in found if at >= oldest)])

    def settle(self) -> bytes:
        """Return what may be written since nothing more has come for a while, such as the end of a prompt.

        A value may still begin with it; should it go on, all the rest of it is masked.
        """
        self.waiting = False
        data = self._held
        texts = texts_of(data)
        hits = self._finder.hits(data, texts)
        upto = len(data)
        for at, form in chain.from_iterable(self._finder.undecided(data, texts)):
            if at < upto and _shown(data, at, hits) > min(MOST_SHOWN, len(form) // 4):
                upto = at
        return self._put(data, hits, upto, 0)

    def flush(self) -> bytes:
        """Return what is still held back, once nothing more can come."""
        data = self._held
        self.waiting = False
        return self._put(data, self._finder.hits(data, texts_of(data)), len(data), len(data))

    def mask(self, text: str) -> str:
        """Return a text that stands for itself with its values replaced; the stream is not touched."""
        return self._finder.masked(text)

    def _put(self, data: bytes, hits: list[Hit], upto: int, keep_from: int) -> bytes:
        """Return what is to be written of the data up to a place, and keep what is behind another for later."""
        written: list[bytes] = []
        place = self._done
        for start, end, name in hits:
            if start >= upto:
                break
            if end <= place:  # masked before
                continue
            written.append(data[place:start])
            if start >= self._masked_to or name != self._last:
                written.append(self._finder.mask_for(name))
            written.append(between(data, start, end, place))
            place = self._masked_to = end
            self._last = name
        written.append(data[place:upto])
        self._held = data[keep_from:]
        self._done = max(place, upto) - keep_from
        self._masked_to -= keep_from
        return b"".join(written)


def _shown(data: bytes, at: int, hits: list[Hit]) -> int:
    """Return how many bytes from a place on would be seen that no mask covers."""
    seen = 0
    for start, end, _ in hits:
        if end > at:
            seen += len(Plain(data[at : max(at, start)]).text)
            at = max(at, end)
    return seen + len(Plain(data[at:]).text)
