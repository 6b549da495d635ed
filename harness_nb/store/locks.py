"""Locks that die with their holder: who leads a project's run, and whether a session's shim lives.

POSIX locks (``lockf``) and not ``flock``: those pass to forked children and outlive their holder. Their trap is that a
process loses a lock when it closes *any* descriptor of that file, so the locks that this process holds are remembered
and never probed by opening the file again. Others are asked for with ``F_GETLK``: to try a lock for a moment would turn
away whoever really wants it in that moment.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_NOTE = 4096

_held: dict[str, int] = {}
_guard = threading.RLock()


def acquire(path: Path, note: dict[str, Any] | None = None) -> bool:
    """Take the lock, unless somebody has it; ``note`` is written into the file for those who come later."""
    with _guard:
        descriptor = _locked(path)
        if descriptor is None:
            return False
        _held[os.path.realpath(path)] = descriptor
        if note is not None:
            _write_note(descriptor, note)
        return True


def leave_number(path: Path, name: str, number: int) -> bool:
    """Write down a number for whoever takes the lock next, unless somebody has it already: then false, and nothing.

    A higher one that is there stays: whoever left that has looked later.
    """
    with _guard:
        descriptor = _locked(path)
        if descriptor is None:
            return False
        try:
            if _number_in(descriptor, name) < number:
                _write_note(descriptor, {name: number})
        finally:
            os.close(descriptor)
        return True


def release(path: Path) -> None:
    """Give the lock back; nothing happens where this process does not hold it."""
    with _guard:
        descriptor = _held.pop(os.path.realpath(path), None)
        if descriptor is not None:
            os.close(descriptor)


def held_here(path: Path) -> bool:
    """Say whether this process holds the lock."""
    return os.path.realpath(path) in _held


def is_held(path: Path) -> bool:
    """Say whether any process holds the lock."""
    with _guard:
        if held_here(path):
            return True
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for ever
        except FileNotFoundError:
            return False
        try:
            return _is_locked(descriptor)
        finally:
            os.close(descriptor)


def note_of(path: Path) -> dict[str, Any]:
    """Return what the lock's holder wrote down about itself."""
    with _guard:
        descriptor = _held.get(os.path.realpath(path))
        try:
            content = json.loads(_beginning_of(path) if descriptor is None else os.pread(descriptor, LONGEST_NOTE, 0))
        except (OSError, ValueError):
            return {}
    return content if isinstance(content, dict) else {}


def _beginning_of(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(descriptor, LONGEST_NOTE)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """Open the file with its lock taken; None where this process or another one has it."""
    if held_here(path):
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return None
        raise
    return descriptor


def _write_note(descriptor: int, note: dict[str, Any]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(note).encode(), 0)


def _number_in(descriptor: int, name: str) -> int:
    try:
        return int(json.loads(os.pread(descriptor, 4096, 0))[name])
    except (ValueError, TypeError, KeyError):  # nothing is there yet
        return 0


def _is_locked(descriptor: int) -> bool:
    """Ask whether another process has the file locked, in the system's own ``struct flock``."""
    if sys.platform == "darwin":  # start, length, process, type, whence
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack("qqihh", 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET))
        kind = struct.unpack("qqihh", answer)[3]
    else:  # type, whence, start, length, process
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        kind = struct.unpack("hhqqi4x", answer)[0]
    return bool(kind != fcntl.F_UNLCK)


def _forget_in_child() -> None:
    """A forked child has none of its parent's locks."""
    global _guard  # another thread of the parent may have held it
    _guard = threading.RLock()
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
