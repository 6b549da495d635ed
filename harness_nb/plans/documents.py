"""Reading and writing the documents that people edit: every byte that is not meant to change stays.

Text is decoded so that bytes which are not UTF-8 survive a round trip, line endings and a byte order mark
included; a file is replaced as a whole, by a rename in its own folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NEW_FILE_MODE = 0o644  # a temporary file's own mode would hide the document from everybody else


def read_document(path: Path) -> str:
    """Return a file's text with line endings and byte order mark as they are.

    Raises:
        OSError: the file is not there or cannot be read.
    """
    return path.read_bytes().decode("utf-8", errors="surrogateescape")


def printable(text: str) -> tuple[str, int | None]:
    """Return the text without the bytes that were not UTF-8, and the line of the first of them, if any."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace"), line
    return text, None


def edit_document(path: Path, edit: Callable[[str], str], *, missing: str | None = None) -> bool:
    """Replace a file's text by what ``edit`` makes of it, all at once, and return whether that changed it.

    What an editor saves meanwhile is edited instead. A link is followed, and the file's permissions are kept.
    ``missing`` stands for the text of a file that is not there.

    Raises:
        OSError: the file cannot be read or its folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    _sweep(target)
    old = _text_of(target, missing)
    while (new := edit(old)) != old:
        with _written_beside(target, new) as temporary:
            temporary.chmod(target.stat().st_mode & 0o7777 if target.exists() else _NEW_FILE_MODE)
            # No rename asks first whether the file is still the old one: to look just before is the best there is.
            if (now := _text_of(target, missing)) == old:
                temporary.replace(target)
                _flush_folder(target.parent)
                return True
        old = now
    return False


def _text_of(path: Path, missing: str | None) -> str:
    try:
        return read_document(path)
    except FileNotFoundError:
        if missing is None:
            raise
        return missing


def create_document(path: Path, text: str) -> bool:
    """Put a new file there, all at once, unless there is one: then return ``False`` and leave it alone.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    with _written_beside(path, text) as temporary:
        temporary.chmod(_NEW_FILE_MODE)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links: exclusive, if not all at once
            return _create_exclusively(path, text)
    _flush_folder(path.parent)
    return True


def _create_exclusively(path: Path, text: str) -> bool:
    try:
        with path.open("xb") as file:
            file.write(text.encode("utf-8", errors="surrogateescape"))
    except FileExistsError:
        return False
    return True


def _sweep(path: Path) -> None:
    """Remove what a process left beside a document that was killed while it wrote."""
    draft = re.compile(rf"\.{re.escape(path.name)}\.(\d+)-\w+\.tmp")
    with contextlib.suppress(OSError), os.scandir(path.parent) as beside:
        for one in beside:
            if (found := draft.fullmatch(one.name)) and _is_dead(int(found[1])):
                Path(one.path).unlink(missing_ok=True)


def _is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@contextlib.contextmanager
def _written_beside(path: Path, text: str) -> Iterator[Path]:
    prefix = f".{path.name}.{os.getpid()}-"
    descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    # Some file systems refuse to sync a folder; the rename is then as durable as they make it.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
