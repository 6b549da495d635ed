"""Looks for many forms of many values at once; standard library only.

``bytes.find`` is ten times as fast as one pattern of all forms, and each needle costs the same. So what is looked for
is the *core* that many forms of one value share: its longest run of letters and digits, which no escaping changes. Only
where a core stands the forms around it are compared.
"""

from __future__ import annotations

import re

from .plain import IGNORED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Hit = tuple[int, int, bytes]
    Family = list[tuple[bytes, int]]

SHORTEST = 4
UNBROKEN = 8
"""Bytes; a shorter form counts only where nothing stands in its middle, since words of two lines may spell it."""
NEAR = 96
"""Bytes before the end in which each place is looked at for a form that may begin there."""
HEAD = 4
SHORTEST_CORE = 4
MANY = 64
"""Places of one core from which on it is quicker to look for each of its forms."""
LONGEST_PERIOD = 16
"""Bytes after which a form that repeats itself does so; in a run of them it stands at every such place."""
_RUN = re.compile(rb"[A-Za-z0-9]+")


class Needles:
    """The forms that are looked for in one kind of text; they can be added to while other threads look."""

    def __init__(self) -> None:
        self.names: dict[bytes, bytes] = {}
        self._families: list[tuple[bytes, Family]] = []
        self._heads: dict[bytes, list[bytes]] = {}
        self._far: list[bytes] = []

    def add(self, name: bytes, forms: Iterable[bytes]) -> None:
        """Look for these forms of one value too; one that is known already keeps its name."""
        families: list[tuple[bytes, Family]] = []
        for form in forms:
            if form not in self.names:
                self.names[form] = name
                _join(families, form)
                for size in range(1, HEAD + 1):
                    self._heads.setdefault(form[:size], []).append(form)
                if len(form) > NEAR:
                    self._far.append(form)
        self._families += families

    def hits(self, text: bytes) -> list[Hit]:
        """Return every place where a form stands, as from where to where and the value's name, in no order."""
        found: list[Hit] = []
        for core, family in self._families:
            if core in text:
                self._around(text, core, family, found)
        return found

    def _around(self, text: bytes, core: bytes, family: Family, found: list[Hit]) -> None:
        if _period(core) or text.count(core) > MANY:
            for form, _ in family:
                found += [(start, end, self.names[form]) for start, end in _runs(text, form)]
            return
        for place in _places(text, core):
            for form, offset in family:
                at = place - offset
                if at >= 0 and text.startswith(form, at):
                    found.append((at, at + len(form), self.names[form]))

    def undecided(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield each place from which on the rest of the text begins a form, with that form, from left to right."""
        size = len(text)
        yield from sorted(self._undecided_far(text))
        heads = self._heads
        for at in range(max(0, size - NEAR), size):
            forms = heads.get(text[at : at + HEAD])
            if forms:
                rest = text[at:]
                for form in forms:
                    if len(form) > size - at and form.startswith(rest):
                        yield at, form

    def _undecided_far(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        last = len(text) - NEAR - 1
        for form in self._far if last >= 0 else ():
            head = form[:16]
            at = text.find(head, max(0, len(text) - len(form) + 1), last + len(head))
            while at >= 0:
                if form.startswith(text[at:]):
                    yield at, form
                at = text.find(head, at + 1, last + len(head))


def _places(text: bytes, part: bytes) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _runs(text: bytes, form: bytes) -> Iterator[tuple[int, int]]:
    """Yield from where to where a form stands; where it repeats itself, once for all places that overlap."""
    period = _period(form)
    again = form[-period:] if period else b""
    at = text.find(form)
    while at >= 0:
        end = at + len(form)
        while again and text.startswith(again, end):
            end += period
        yield at, end
        at = text.find(form, end - len(form) + 1)


def _period(form: bytes) -> int:
    """Return after how many bytes a form repeats itself, or 0."""
    sizes = range(1, min(LONGEST_PERIOD, len(form) // 2) + 1)
    return next((size for size in sizes if form.startswith(form[size:])), 0)


def _join(families: list[tuple[bytes, Family]], form: bytes) -> None:
    """Put a form to those that share its core, or let it begin a family."""
    for core, family in families:
        at = form.find(core)
        if at >= 0:
            family.append((form, at))
            return
    core = max(_RUN.findall(form), key=len, default=b"")
    if len(core) < SHORTEST_CORE:
        core = form
    families.append((core, [(form, form.find(core))]))


def encoded(form: str) -> set[bytes]:
    """Return a text as bytes: as it stands in an environment, and as a text that need not be whole."""
    found = {form.encode(errors="surrogatepass")}
    try:
        found.add(form.encode(errors="surrogateescape"))
    except UnicodeEncodeError:  # half a sign, which no environment has
        pass
    return found


def sorted_forms(forms: Iterable[str]) -> tuple[list[bytes], list[bytes]]:
    """Return the forms to be found also where something stands between their letters, and those only unbroken."""
    long, short = [], []
    for text in forms:
        for form in sorted(encoded(text)):
            joined = form.translate(None, IGNORED)
            if len(joined) >= UNBROKEN:
                long.append(joined)
            elif len(joined) >= SHORTEST:
                short += [form, form.replace(b"\n", b"\r\n")]
    return long, short
