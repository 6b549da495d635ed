"""Files and folders for their owner alone: 0600 and 0700 from the moment they are there, whatever the umask says.

A mode is given where something is made, since the umask belongs to the whole process and other threads write meanwhile.
What was made wider before, by an earlier version, is tightened where a project is opened: its ``.orchestration`` folder
and its journal. Nobody else gets past that folder, so what lies deeper may keep the mode it has.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = 0o600
FOLDER = 0o700


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, with mode 0700; one that is there stays as it is.

    Raises: OSError.
    """
    missing = []
    while not path.exists():
        missing.append(path)
        if path.parent == path:
            break
        path = path.parent
    if not missing and not path.is_dir():
        path.mkdir(mode=FOLDER)  # fails, and says why
    for one in reversed(missing):
        one.mkdir(mode=FOLDER, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Make an empty file with mode 0600, unless there is something of that name.

    Raises: OSError.
    """
    # never opened where it is there: by closing it this process would lose its locks on it
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE))


def private_opener(path: str, flags: int) -> int:
    """Open a file for ``open(…, opener=…)``; one that is made by it has mode 0600."""
    return os.open(path, flags | os.O_CLOEXEC, FILE)


def write_private(path: Path, text: str, errors: str = "strict") -> None:
    """Write a text into a file that is made with mode 0600.

    Raises: OSError.
    """
    with open(path, "w", encoding="utf-8", errors=errors, opener=private_opener) as file:
        file.write(text)


def tighten(path: Path) -> None:
    """Take from others what they may do with a file or folder of ours, where that can be done; never through a link."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_uid == os.getuid() and found.st_mode & 0o077:
            path.chmod(stat.S_IMODE(found.st_mode) & ~0o077)
