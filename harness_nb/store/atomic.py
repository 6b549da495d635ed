"""Files written whole, and read with patience for what other programs wrote."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from harness_nb.errors import LinkedFolderError, OutOfDescriptorsError, UnreadableFileError
from harness_nb.protocol.base import WireModel, problems_of
from harness_nb.protocol.entrance import require_json
from harness_nb.store.private import FOLDER

M = TypeVar("M", bound=WireModel)


def write_text(path: Path, text: str, *, durable: bool = True, mode: int = 0o600) -> None:
    """Write a file by temporary file and rename, so that a reader sees all of it or none.

    ``durable`` also waits for the disk; views that the journal can rebuild do without.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:  # one bad text must stop nobody
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        _discard(temporary)
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None  # what was meant, not what it was called
    except BaseException:
        _discard(temporary)
        raise
    if durable:
        _sync_folder(path.parent)


def _discard(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # of a folder that cannot be written any more, say
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's new names; without that a power cut can take a rename back."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_model(path: Path, model: WireModel, *, durable: bool = True) -> None:
    """Write a model as indented JSON, whole."""
    write_text(path, json.dumps(model.to_wire(), indent=2, ensure_ascii=False) + "\n", durable=durable)


def read_json(path: Path, *, links: bool = False) -> dict[str, Any]:
    """Return the object in a JSON file; ``links`` lets it be a link to one, which may lie anywhere.

    Raises: FileNotFoundError, UnreadableFileError, OutOfDescriptorsError.
    """
    try:
        text = _text_of(path, links=links)
        content = json.loads(text, parse_constant=_refuse_constant)
        require_json(content)
        if "\\u" in text:
            json.dumps(content, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise
    except UnicodeEncodeError:
        raise UnreadableFileError(path, "it holds half a character (a lone surrogate)") from None
    except RecursionError:
        raise UnreadableFileError(path, "it is nested too deeply") from None
    except ValueError as error:  # both bad JSON and bad UTF-8
        line = getattr(error, "lineno", None)
        raise UnreadableFileError(path, str(error), line) from None
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # that says nothing of the file
            raise OutOfDescriptorsError from None
        raise UnreadableFileError(path, error.strerror or str(error)) from None
    if not isinstance(content, dict):
        raise UnreadableFileError(path, f"it holds a {type(content).__name__} instead of an object")
    return content


def _text_of(path: Path, *, links: bool) -> str:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW)  # a pipe would wait for ever
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, "it is a link that leads nowhere", os.fspath(path)) from None
            raise UnreadableFileError(path, "it is a link, which may lead out of the project") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFileError(path, "it is not a regular file")
    with os.fdopen(descriptor, encoding="utf-8-sig") as file:
        return file.read()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_model(path: Path, model: type[M]) -> M:
    """Return a JSON file as a model.

    Raises: FileNotFoundError, UnreadableFileError.
    """
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise UnreadableFileError(path, problems_of(error)) from None


def same_file(one: Path, other: Path) -> bool:
    """Say whether two names are links to one file; false where either is missing."""
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False


def is_blank(path: Path) -> bool:
    """Say whether a file is empty, so most likely one that somebody is about to write.

    Raises: FileNotFoundError.
    """
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size == 0


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, none where there is no such folder; far quicker than a glob of a thousand."""
    try:
        return os.listdir(folder)  # noqa: PTH208 — names alone
    except FileNotFoundError:
        return []


def link_among(folder: Path, path: Path, but: str = "") -> Path | None:
    """Return the JSON file of a folder, other than ``but``, that is a link to this very file; None for none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if found.st_nlink == 1:
        return None
    with os.scandir(folder) as entries:
        others = [entry for entry in entries if entry.name.endswith(".json") and entry.name != but]
    # the number in the folder's list is nearly always the file's own; some layered file systems show another
    likely = [entry for entry in others if entry.inode() == found.st_ino]
    for entry in (*likely, *others):
        if same_file(path, Path(entry.path)):
            return Path(entry.path)
    return None


def link_if_absent(source: Path, target: Path) -> bool:
    """Give a file a second name unless that name is taken; never overwrites."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def move(path: Path, target: Path) -> bool:
    """Rename a file into a folder that may have to be made; false where somebody else was faster."""
    if path == target:
        return path.exists()
    if target.parent.is_symlink():
        raise LinkedFolderError(target.parent)
    target.parent.mkdir(mode=FOLDER, exist_ok=True)
    try:
        if same_file(path, target):  # a rename between two links to one file would do nothing
            path.unlink()
        else:
            path.rename(target)
    except FileNotFoundError:
        return False
    return True


def identity_of(path: Path) -> str:
    """Return what stays the same while a file is renamed, and differs for the next file in its place."""
    found = path.stat()
    return f"{found.st_ino}:{found.st_mtime_ns}"
