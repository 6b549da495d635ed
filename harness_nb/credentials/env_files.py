"""Reading one folder of ``.env`` files, so that whatever is wrong becomes a sentence that holds no value."""

from __future__ import annotations

import os
import re
import shlex
import stat
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 1024 * 1024
"""Bytes; anything larger is no file of variables."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class EnvFile:
    """The variables of one file (hidden from ``repr``), or in ``problem`` why there are none."""

    name: str
    values: dict[str, str] = field(default_factory=dict, repr=False)
    empty: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    problem: str | None = None


class FolderNames(NamedTuple):
    """The names of a folder's files in order; a sentence if it cannot be listed, and whether it is not there at all."""

    names: list[str]
    problem: str | None = None
    missing: bool = False


def file_names_in(directory: Path) -> FolderNames:
    """Return the names of a folder's files."""
    try:
        with os.scandir(directory) as entries:
            return FolderNames(sorted(entry.name for entry in entries if not _is_folder(entry)))
    except FileNotFoundError:
        return FolderNames([], f"The credentials directory {directory} does not exist.", missing=True)
    except NotADirectoryError:
        return FolderNames([], f"The credentials directory {directory} is not a directory.")
    except OSError as error:
        return FolderNames([], f"The credentials directory {directory} cannot be read: {_reason(error)}.")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself or into a closed place: reading it says so, if it is wanted at all
        return False


def read_env_file(directory: Path, name: str) -> EnvFile:
    """Read one file of a folder: UTF-8, ``export`` and quotes understood, ``${…}`` left as it stands.

    A variable that is there twice has its last value; one without a value counts as empty.
    """
    path = directory / name
    try:
        info = path.stat()
        if not path.resolve().is_relative_to(directory.resolve()):
            return EnvFile(name, problem=f"{path} is a link to a file outside the directory and was not read.")
        if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST:
            return EnvFile(name, problem=f"{path} is not a file of variables (a regular file of up to 1 MiB).")
        content = path.read_bytes()
    except OSError as error:
        return EnvFile(name, problem=f"{path} cannot be read: {_reason(error)}.")
    return _parsed(path, content, (_too_open(path, info.st_mode),))


def _parsed(path: Path, content: bytes, warnings: tuple[str | None, ...]) -> EnvFile:
    from dotenv.parser import parse_stream

    text = _decoded(content)
    if text is None:
        return EnvFile(path.name, problem=f"{path} is not UTF-8 text; save it as UTF-8.")
    values: dict[str, str] = {}
    broken: list[str] = []
    # dotenv_values would only log that a line is broken; its parser says which one it is.
    for binding in parse_stream(StringIO(text, newline=None)):
        if binding.error or (binding.key and not _NAME.fullmatch(binding.key)):
            original = binding.original.string
            blank = len(original) - len(original.lstrip())
            line = binding.original.line + original.count("\n", 0, blank)
            broken.append(f"{path}:{line} is not a line NAME=value and was passed over.")
        elif binding.key:
            values[binding.key] = binding.value or ""
    return EnvFile(
        path.name,
        values={name: value for name, value in values.items() if value},
        empty=frozenset(name for name, value in values.items() if not value),
        warnings=tuple(warning for warning in (*warnings, *broken) if warning),
    )


def _decoded(content: bytes) -> str | None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _too_open(path: Path, mode: int) -> str | None:
    if not mode & 0o077:
        return None
    remedy = shlex.join(["chmod", "600", str(path)])
    return f"{path} is open to other users (mode {stat.S_IMODE(mode):03o}); close it with: {remedy}"


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
