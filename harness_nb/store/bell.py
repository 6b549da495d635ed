"""A datagram that says "look again": how processes of one project wake each other within a millisecond or two.

Nothing is carried by it; whoever is woken reads the journal. A lost one costs nothing but the wait for the next, since
everyone looks once after starting to listen.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from harness_nb.errors import OutOfDescriptorsError, UnwritableFolderError
from harness_nb.store.private import make_private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.store.layout import Layout


class Bell:
    """One process's ear: a Unix datagram socket in the project's folder of bells."""

    def __init__(self, layout: Layout) -> None:
        self.path: Path = layout.bells / f"{os.getpid()}-{os.urandom(4).hex()}"
        try:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError:
            raise OutOfDescriptorsError from None
        self.socket.setblocking(False)
        try:
            # systems clear their folders for temporary things now and then, whoever still uses one
            make_private_folder(self.path.parent)
            with contextlib.suppress(OSError):  # where the system has it, the name is private from its first moment
                os.fchmod(self.socket.fileno(), 0o600)
            self.socket.bind(os.fspath(self.path))
            self.path.chmod(0o600)
        except OSError as error:
            self.socket.close()
            raise UnwritableFolderError(self.path.parent, error.strerror or str(error)) from None

    def drain(self) -> None:
        """Forget the rings that have come so far: one look serves them all."""
        try:
            while True:
                self.socket.recv(64)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()
        self.path.unlink(missing_ok=True)


def ring(layout: Layout) -> None:
    """Wake everyone who listens for changes of this project, as far as that can be done now.

    Whoever rings has stored something that counts, so nothing that hinders it is an error: not a process that may open
    nothing more, and not a folder that went away.
    """
    try:
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError:
        return
    with bell:
        bell.setblocking(False)
        for name in _bells(layout):
            path = os.fspath(layout.bells / name)
            try:
                bell.sendto(b"look", path)
            except ConnectionRefusedError:  # its owner died without taking it down
                _take_down(layout.bells / name)
            except OSError:  # a full queue: its owner has rings enough to wake from
                continue


def _take_down(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _bells(layout: Layout) -> list[str]:
    try:
        return os.listdir(layout.bells)  # noqa: PTH208 — names alone, and as quick as can be
    except OSError:
        return []
