"""Reading what a worker printed: the tail, or all since a place; the whole stays on disk."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from harness_nb.protocol.base import WireModel
from harness_nb.protocol.shown import dropped_text
from harness_nb.shim.log import first_kept

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 65536
LIMIT = 1 << 20
"""Bytes that one call returns at most."""


class Output(WireModel):
    """A piece of a session's output; ``start`` and ``end`` are its places in bytes, ``end`` the next ``since``.

    ``dropped`` is how many bytes of the session's oldest output are not kept any more.
    """

    text: str
    start: int
    end: int
    dropped: int = 0

    @property
    def note(self) -> str:
        """What is to be said of the output before this: how much of it was dropped, or nothing."""
        return f"[… the oldest {dropped_text(self.dropped)} of the output were dropped]" if self.dropped else ""

    def __str__(self) -> str:
        return f"{self.note}\n{self.text}" if self.note else self.text

    def __contains__(self, part: str) -> bool:
        return part in self.text


def read_output(path: Path, *, lines: int | None = 100, since: int | None = None, limit: int = LIMIT) -> Output:
    """Return the last ``lines`` lines, or with ``since`` what came after that place; ``limit`` bytes at the most.

    Reads only as much of the file as it returns, however long the file is. With ``since``, a character or a line end
    that is only half there is left for the next call, so that the pieces add up to the whole.
    """
    try:
        with open(path, "rb", opener=_opener) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Output(text="", start=0, end=0)
            size = file.seek(0, os.SEEK_END)
            dropped = first_kept(file.fileno()) if size else 0
            start = _start_of_tail(file.fileno(), size, lines, limit) if since is None else min(max(since, 0), size)
            start = max(start, dropped, size - limit if since is None else 0)
            data = os.pread(file.fileno(), min(size - start, limit), start)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        return Output(text="", start=0, end=0)
    if since is not None:
        data = data[: len(data) - _unfinished(data)]
    if start and (start == dropped or (since is None and start == size - limit)):  # not at the start of a line
        skipped = _continued(data)
        start, data = start + skipped, data[skipped:]
    text = data.decode("utf-8", errors="replace")
    if "\r" in text:  # looking for one character is a tenth of the work of looking for two
        text = text.replace("\r\n", "\n")
    return Output(text=text, start=start, end=start + len(data), dropped=dropped)


def _opener(path: str, flags: int) -> int:
    # a link may lead to what is no worker's output, and a pipe would wait for ever
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end belong to a line end or a character whose rest is still to come."""
    if data.endswith(b"\r"):
        return 1
    for size in range(1, min(4, len(data) + 1)):
        first = data[-size]
        if first & 0b1100_0000 == 0b1000_0000:
            continue
        length = 4 if first >= 0xF0 else 3 if first >= 0xE0 else 2 if first >= 0xC0 else 1
        return size if length > size else 0
    return 0


def _continued(data: bytes) -> int:
    """Return how many bytes at the start belong to a character that began before."""
    return next((n for n, byte in enumerate(data[:3]) if byte & 0b1100_0000 != 0b1000_0000), min(3, len(data)))


def _start_of_tail(descriptor: int, size: int, lines: int | None, limit: int) -> int:
    if lines is None:
        return 0
    if lines <= 0:
        return size
    position, missing = size, lines + 1
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        missing = lines
    while position > 0 and size - position < limit:
        step = min(BLOCK, position)
        position -= step
        block = os.pread(descriptor, step, position)
        found = block.count(b"\n")
        if found >= missing:
            for _ in range(missing):
                end = block.rfind(b"\n")
                block = block[:end]
            return position + len(block) + 1
        missing -= found
    return position
