"""The files that a shim leaves for others, and the bell that wakes them."""

from __future__ import annotations

import json
import os
import socket
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def write_json(path: str, content: dict[str, Any], *, durable: bool = True) -> None:
    """Write a file whole: a reader sees all of it or none; ``durable`` also waits for the disk."""
    temporary = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(temporary, path)


class LastWord:
    """A file that can be written when the disk has become full: its place is taken from the start."""

    SIZE = 4096

    def __init__(self, path: str) -> None:
        self._path = path
        self._kept = f"{path}.kept"
        descriptor = self._open()
        try:
            os.write(descriptor, b" " * self.SIZE)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, content: dict[str, Any]) -> None:
        """Write the file whole, and wait for the disk.

        Raises: OSError.
        """
        text = json.dumps(content).encode()
        descriptor = self._open()
        try:
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self._kept, self._path)


def json_changed(text: str, change: Callable[[str], str]) -> str:
    """Return a text changed as it is, and in each text of its JSON: the escapes there may be anybody's."""
    text = change(text)
    try:
        content = json.loads(text)
        changed = _texts_changed(content, change)
    except (ValueError, RecursionError):
        return text
    return text if changed == content else json.dumps(changed, indent=2, ensure_ascii=False) + "\n"


def _texts_changed(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, dict):
        return {change(key): _texts_changed(part, change) for key, part in content.items()}
    return [_texts_changed(part, change) for part in content] if isinstance(content, list) else content


def rewrite(path: str, change: Callable[[str], str]) -> None:
    """Change a file's text where it lies, so that it stays the same file wherever somebody moves it meanwhile.

    One that is missing, a link or no text is left alone.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        data = file.read()
        changed = change(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        if changed != data:
            os.pwrite(descriptor, changed, 0)
            os.ftruncate(descriptor, len(changed))


def remove(path: str) -> None:
    """Delete a file; somebody may have tidied up before."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def ring(bells: str) -> None:
    """Wake every process that listens for changes of this project."""
    try:
        names = os.listdir(bells)
    except OSError:
        return
    try:
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError:  # no descriptor is left: who listens looks by itself in a while
        return
    with bell:
        bell.setblocking(False)
        for name in names:
            try:
                bell.sendto(b"exit", os.path.join(bells, name))
            except OSError:  # its owner went without taking it down, or its queue is full: it is awake anyway
                continue
