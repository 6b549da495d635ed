"""What a worker printed, on disk: appended as it comes, within a limit, and whatever was not kept is counted.

Past its limit the oldest part of the file is given back to the disk where it lies (a hole), so that every place in the
file stays what it was for whoever reads; the first byte that is kept is where the data begins. A file system that
cannot do so keeps the beginning instead.
"""

from __future__ import annotations

import os

BLOCK = 4096
PUNCH_HOLE = 0x02 | 0x01
"""fallocate(2): give the space back and leave the size as it is."""


class Log:
    """One worker's output file; ``size`` is where its next byte goes, ``dropped`` how many of the first are gone."""

    def __init__(self, path: str, limit: int | None) -> None:
        self._limit = limit
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._file).st_size
        self.dropped = first_kept(self._file)
        self.lost = 0
        self._reason = ""
        self._full = False

    @property
    def trouble(self) -> str | None:
        """What could not be stored and why, as a sentence."""
        return f"{self.lost:,} bytes of output were not stored: {self._reason}" if self.lost else None

    def append(self, data: bytes) -> None:
        """Store what was printed; what cannot be stored must not stop the worker, so it is counted."""
        view = memoryview(data)
        try:
            while view and not self._full:
                size = os.write(self._file, view)
                self.size += size
                view = view[size:]
        except OSError as error:
            self._reason = error.strerror or str(error)
        self.lost += len(view)
        if self._limit is not None and self.size - self.dropped > self._limit:
            self._drop(self._limit)

    def _drop(self, limit: int) -> None:
        # a quarter more than needed, so that this is done rarely
        keep_from = (self.size - limit * 3 // 4) // BLOCK * BLOCK
        if keep_from > self.dropped:
            try:
                punch(self._file, keep_from)
                self.dropped = keep_from
            except OSError as error:
                self._full = True
                self._reason = (
                    f"the limit of {limit:,} bytes is reached, and the oldest cannot be dropped here ({error})"
                )


def first_kept(descriptor: int) -> int:
    """Return the place of a file's first byte that was not dropped."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA)
    except (AttributeError, OSError):  # no such thing on this system, or the file is empty
        return 0


def punch(descriptor: int, size: int) -> None:
    """Give the first bytes of a file back to the disk; every place in it stays what it was.

    Raises: OSError, where the system or the file system cannot.
    """
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except AttributeError:
        raise OSError("this system has no fallocate") from None
    if call(descriptor, PUNCH_HOLE, ctypes.c_longlong(0), ctypes.c_longlong(size)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
