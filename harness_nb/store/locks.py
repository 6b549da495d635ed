"""Locks that die with their holder: who leads a project's run, and whether a session's shim lives.

POSIX locks (``lockf``) and not ``flock``: those pass to forked children and outlive their holder. Their trap is that a
process loses a lock when it closes *any* descriptor of that file, so the locks that this process holds are remembered
and never probed by opening the file again.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_held: dict[str, int] = {}


def acquire(path: Path, note: dict[str, Any] | None = None) -> bool:
    """Take the lock, unless somebody has it; ``note`` is written into the file for those who come later."""
    key = os.fspath(path)
    if key in _held:
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    _held[key] = descriptor
    if note is not None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(note).encode(), 0)
    return True


def release(path: Path) -> None:
    """Give the lock back; nothing happens where this process does not hold it."""
    descriptor = _held.pop(os.fspath(path), None)
    if descriptor is not None:
        os.close(descriptor)


def held_here(path: Path) -> bool:
    """Say whether this process holds the lock."""
    return os.fspath(path) in _held


def is_held(path: Path) -> bool:
    """Say whether any process holds the lock."""
    if held_here(path):
        return True
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def note_of(path: Path) -> dict[str, Any]:
    """Return what the lock's holder wrote down about itself."""
    try:
        content = json.loads(path.read_bytes() if not held_here(path) else os.pread(_held[os.fspath(path)], 4096, 0))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
