"""A copy of what a worker printed, to be read elsewhere: as long and with the same places, however large it is.

What was dropped from the beginning stays a hole that takes no space. Values that must not leave are blotted out, each
byte of them by a sign, so that whatever stands behind them keeps its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from harness_nb.shim.log import first_kept, punch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness_nb.credentials import Redactor

PIECE = 1 << 20
BLOT = b"*"
SPREAD = 16
"""How many times as long as itself a value may be that was wrapped or has each of its letters coloured."""


def data_in(path: Path) -> int:
    """Return about how many bytes of a file are there and not dropped, 0 where there is none."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return min(found.st_size, found.st_blocks * 512)


def copy_output(
    source: Path, target: Path, *, blot: Redactor | None = None, tell: Callable[[int], object] = lambda _: None
) -> bool:
    """Copy a log as long as it is now; false where there is none. ``tell`` is told how many bytes were copied just now.

    Raises: OSError.
    """
    try:
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return False
        raise
    try:
        found = os.fstat(reading)
        if not stat.S_ISREG(found.st_mode):
            return False
        writing = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _copy(reading, writing, found.st_size, blot, tell)
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return True


def _copy(reading: int, writing: int, size: int, blot: Redactor | None, tell: Callable[[int], object]) -> None:
    reach = blot.longest * SPREAD if blot else 0
    for start, end in _extents(reading, size):
        place, read, shown = start, b"", b""
        while place < end and (piece := os.pread(reading, min(PIECE, end - place), place)):
            place += len(piece)
            read += piece
            shown = blot.blotted(read, shown + piece, BLOT) if blot else piece
            held = min(reach, len(read)) if place < end else 0  # a value may go on in the next piece
            _write(writing, shown[: len(shown) - held], place - len(shown))
            read, shown = read[len(read) - held :], shown[len(shown) - held :]
            tell(len(piece))
    os.ftruncate(writing, size)
    dropped = min(first_kept(reading), size)
    if dropped > first_kept(writing):  # more was dropped meanwhile, and read as zeros
        with contextlib.suppress(OSError):
            punch(writing, dropped)


def _write(descriptor: int, data: bytes, place: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, place)
        place, view = place + written, view[written:]


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield from where to where a file has data, leaving its holes out."""
    place = 0
    while place < size:
        try:
            start = os.lseek(descriptor, place, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except (AttributeError, OSError) as error:
            if getattr(error, "errno", None) != errno.ENXIO:  # no such thing here: then all of it is data
                yield place, size
            return
        if start < size:
            yield start, min(end, size)
        place = end
