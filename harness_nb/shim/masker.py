"""Masks credentials in a byte stream before it reaches the disk; loaded by the shim, so standard library only."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HIDDEN = b"[credential:%s]"
SHORTEST = 4


class Masker:
    """Replaces granted values in a byte stream, also where a value is split over two reads.

    A tail that could be the start of a value is held back until the next bytes decide, so that where the reads were
    split makes no difference; of values that start at one place the longest is taken.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, bytes] = {}
        self._held = b""
        self._pattern: Any = None

    def add(self, values: dict[str, str]) -> list[str]:
        """Mask these values from now on, and return the names of those that are not.

        A value shorter than four bytes would shred the output.
        """
        refused = []
        for name, value in values.items():
            raw = value.encode()
            if len(raw) < SHORTEST:
                refused.append(name)
                continue
            for form in {raw, raw.replace(b"\n", b"\r\n")}:
                self._names.setdefault(form, name.encode())
        forms = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, forms))) if forms else None
        return refused

    def feed(self, data: bytes) -> bytes:
        """Return what may be written of everything that has come so far."""
        if self._pattern is None:
            return data
        data = self._held + data
        undecided = self._undecided(data)
        written: list[bytes] = []
        position = 0
        while True:
            while undecided and undecided[0] < position:
                undecided.pop(0)
            hold = undecided[0] if undecided else len(data)
            hit = self._pattern.search(data, position)
            if hit is None or hit.start() >= hold:
                self._held = data[hold:]
                return b"".join([*written, data[position:hold]])
            written += [data[position : hit.start()], self._hidden(hit)]
            position = hit.end()

    def flush(self) -> bytes:
        """Return what is still held back, once nothing more can come."""
        held, self._held = self._held, b""
        return self._pattern.sub(self._hidden, held) if held else held

    def mask(self, text: str) -> str:
        """Return a text that stands for itself with its values replaced; the stream is not touched."""
        if self._pattern is None:
            return text
        masked: bytes = self._pattern.sub(self._hidden, text.encode(errors="surrogatepass"))
        return masked.decode(errors="surrogatepass")

    def _hidden(self, hit: Any) -> bytes:
        return HIDDEN % self._names[hit.group()]

    def _undecided(self, data: bytes) -> list[int]:
        """Return the places where a value may have begun that is not complete yet."""
        longest = max(map(len, self._names)) - 1
        return [
            start
            for start in range(max(0, len(data) - longest), len(data))
            if any(len(form) > len(data) - start and form.startswith(data[start:]) for form in self._names)
        ]
