"""Reading what a worker printed: the tail, or all since a place; the whole stays on disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness_nb.protocol.base import WireModel

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 65536
LIMIT = 1 << 20
"""Bytes that one call returns at most."""


class Output(WireModel):
    """A piece of a session's output; ``start`` and ``end`` are its places in bytes, ``end`` the next ``since``."""

    text: str
    start: int
    end: int

    def __str__(self) -> str:
        return self.text

    def __contains__(self, part: str) -> bool:
        return part in self.text


def read_output(path: Path, *, lines: int | None = 100, since: int | None = None) -> Output:
    """Return the last ``lines`` lines, or with ``since`` what came after that place; 1 MiB at the most.

    Reads only as much of the file as it returns, however long the file is.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = _start_of_tail(file.fileno(), size, lines) if since is None else min(max(since, 0), size)
            start = max(start, size - LIMIT) if since is None else start
            file.seek(start)
            data = file.read(min(size - start, LIMIT))
    except FileNotFoundError:
        return Output(text="", start=0, end=0)
    return Output(text=data.decode("utf-8", errors="replace").replace("\r\n", "\n"), start=start, end=start + len(data))


def _start_of_tail(descriptor: int, size: int, lines: int | None) -> int:
    if lines is None:
        return 0
    if lines <= 0:
        return size
    position, missing = size, lines + 1
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        missing = lines
    while position > 0 and size - position < LIMIT:
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
