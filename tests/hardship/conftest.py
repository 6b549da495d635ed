"""What is short here: a small disk, one that becomes read-only, and processes that may open hardly anything."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.sessions.conftest import project, workers
from tests.store.conftest import store, stores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["project", "store", "stores", "workers"]


class Disk:
    """A file system of its own below a folder, of very few bytes."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "none", os.fspath(folder))

    def fill(self) -> Path:
        """Leave not a byte, and return the file that takes the room."""
        path = self.folder / "filler"
        with path.open("ab") as file, contextlib.suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(4096))
        return path

    def take_away(self) -> None:
        """Take it away, whoever still has files of it open."""
        _run("umount", "--lazy", os.fspath(self.folder))


class Frozen:
    """A folder in which nobody can write any more, whoever has files of it open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mode = folder.stat().st_mode
        if os.getuid():
            folder.chmod(0o555)
            return
        _run("mount", "--bind", os.fspath(folder), os.fspath(folder))  # root may write whatever the mode says
        _run("mount", "-o", "remount,bind,ro", os.fspath(folder))

    def thaw(self) -> None:
        """Let it be written again."""
        if os.getuid():
            self.folder.chmod(self._mode)
        else:
            _run("umount", os.fspath(self.folder))


class Disks:
    """Makes small disks and read-only folders, and undoes it all."""

    def __init__(self) -> None:
        self._made: list[Disk] = []
        self._frozen: list[Frozen] = []

    def make(self, folder: Path, size: int) -> Disk:
        """Return a folder that is a disk of its own."""
        try:
            disk = Disk(folder, size)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no file systems can be mounted here")
        self._made.append(disk)
        return disk

    def freeze(self, folder: Path) -> Frozen:
        """Make a folder read-only, as a system does with a disk that fails."""
        try:
            frozen = Frozen(folder)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no folder can be made read-only here")
        self._frozen.append(frozen)
        return frozen

    def thaw(self) -> None:
        """Let everything be written again."""
        while self._frozen:
            self._frozen.pop().thaw()

    def clear(self) -> None:
        self.thaw()
        for disk in reversed(self._made):
            disk.take_away()


@pytest.fixture
def disks() -> Iterator[Disks]:
    """Makes small disks; asked for before ``workers`` they go after those."""
    disks = Disks()
    yield disks
    disks.clear()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
