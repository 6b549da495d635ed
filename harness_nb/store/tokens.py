"""Tokens in private files: what whoever may use a door has to show.

A token is made where it is first wanted and lives in a file that only its owner may read, because a command line is
public and an environment is inherited by every child.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from hmac import compare_digest
from shlex import quote
from typing import TYPE_CHECKING

from harness_nb.errors import UnsafeTokenFileError, UnwritableFolderError

if TYPE_CHECKING:
    from pathlib import Path

BYTES = 32
LONGEST = 4096
"""Bytes that are read of a token's file: no token is as long."""


def make_token(path: Path) -> str:
    """Return the token in a file, which is made with mode 0600 where there is none yet.

    Of two processes that make it at once, both return the same.

    Raises: UnsafeTokenFileError, UnwritableFolderError.
    """
    try:
        if not path.exists():
            _place(path, secrets.token_urlsafe(BYTES))
        return read_token(path)
    except OSError as error:
        raise _no_token_in(path, error) from None


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises: FileNotFoundError; UnsafeTokenFileError where others may read it, or where it is empty.
    """
    # a pipe would wait for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise UnsafeTokenFileError(path, "it is no file", "Name another one.")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            problem, remedy = "others than you may read or write it", f"Run: chmod 600 {quote(str(path))}"
            raise UnsafeTokenFileError(path, problem, remedy)
        token = file.read(LONGEST).decode(errors="replace").strip()
    if not token:
        raise UnsafeTokenFileError(path, "it is empty", f"Run: rm {quote(str(path))}")
    return token


def _no_token_in(path: Path, error: OSError) -> UnsafeTokenFileError:
    if isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP:  # there is a name, and no file behind it
        return UnsafeTokenFileError(path, "it is a link that leads nowhere", f"Remove it: rm {quote(str(path))}")
    return UnsafeTokenFileError(path, error.strerror or str(error), "Name another file.")


def same_token(given: str | None, wanted: str) -> bool:
    """Say whether a token is the one that is wanted, in a time that tells nothing of where they differ."""
    return given is not None and compare_digest(given.encode(errors="replace"), wanted.encode(errors="replace"))


def _place(path: Path, token: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{token}\n")
        os.link(temporary, path)  # unlike a rename it leaves what another process has made meanwhile
    except FileExistsError:
        return
    except OSError as error:
        raise UnwritableFolderError(path.parent, error.strerror or str(error)) from None
    finally:
        temporary.unlink(missing_ok=True)
