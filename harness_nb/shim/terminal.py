"""What a worker reads and writes: a terminal of its own, or pipes where its output is wanted byte for byte."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_QUEUED = 1 << 20
END_OF_TYPING = b"\x04"
"""What a person types at a terminal to say that no more comes."""


class Terminal:
    """Where to read what the worker prints, where to write what it is sent, and its own two ends of that.

    The shim holds the worker's end open too: a worker that lets go of it may come back to it as ``/dev/tty``, and
    without anybody there the terminal would be at its end for whoever reads.
    """

    def __init__(self, rows: int, cols: int) -> None:
        self.reads, self._slave = os.openpty()
        self.writes = self.reads
        self.theirs = (self._slave, self._slave)
        self.held: int | None = self._slave
        set_size(self._slave, rows, cols)

    def take(self) -> None:
        """Make it this process's own, in the worker before it becomes itself."""
        fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)


class Pipes:
    """A terminal's stand-in; both kinds of the worker's output go into one pipe, in their order."""

    def __init__(self) -> None:
        self.reads, printed = os.pipe()
        typed, self.writes = os.pipe()
        self.theirs = (typed, printed)
        self.held: int | None = None

    def take(self) -> None:
        """Do nothing: pipes belong to nobody."""


class Keyboard:
    """The worker's input: what waits until the worker takes it."""

    def __init__(self, ends: Terminal | Pipes, poll: Any) -> None:
        self.descriptor = ends.writes
        self._poll = poll
        self._shared = ends.reads == ends.writes
        self._queued = b""
        self._ends = False

    def queue(self, data: bytes, *, end: bool) -> None:
        """Have something written as soon as there is room; ``end`` says that it is the last.

        Raises: ValueError where too much waits already, or nothing more may come.
        """
        if self._ends:
            raise ValueError("the worker was told that no more input comes")
        if len(self._queued) + len(data) > MAX_QUEUED:
            raise ValueError("the worker does not read its input; 1 MiB of it waits already")
        self._queued += data + (END_OF_TYPING if end and self._shared else b"")
        self._ends = end and not self._shared
        if self._shared:
            self._poll.modify(self.descriptor, select.POLLIN | select.POLLOUT)
        else:
            self._poll.register(self.descriptor, select.POLLOUT)

    def type(self) -> None:
        """Write what there is room for; what nobody will read is forgotten."""
        try:
            self._queued = self._queued[os.write(self.descriptor, self._queued) :]
        except BlockingIOError:
            pass
        except OSError:
            self._queued = b""
        if self._queued:
            return
        if self._shared:
            self._poll.modify(self.descriptor, select.POLLIN)
            return
        self._poll.unregister(self.descriptor)
        if self._ends:
            os.close(self.descriptor)
            self.descriptor = -1


def set_size(descriptor: int, rows: int, cols: int) -> None:
    """Set a terminal's size in characters."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
