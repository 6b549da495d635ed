"""What hinders a process in a project at the moment, as sentences for people.

In memory, because it may be the journal itself that cannot be written; what can be, is an event as well. A trouble is
about something, is told once however often it is met, and goes when that works again.
"""

from __future__ import annotations

import errno
from pathlib import Path

from harness_nb.errors import DiskFullError, OutOfDescriptorsError, UnwritableFolderError

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class Troubles:
    """The troubles of one process with one project."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def met(self, about: str, error: Exception) -> bool:
        """Note what went wrong with something, and say whether that is new."""
        sentence = sentence_of(error)
        if self._now.get(about) == sentence:
            return False
        self._now[about] = sentence
        return True

    def over(self, about: str) -> bool:
        """Note that something works, and say whether it did not before."""
        return self._now.pop(about, None) is not None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is wrong now, each said once."""
        return tuple(dict.fromkeys(list(self._now.values())))


def sentence_of(error: Exception) -> str:
    """Return an error as one sentence that says what to do."""
    if not isinstance(error, OSError):
        return str(error)
    where = error.filename or "a file of the project"
    if error.errno in NO_DESCRIPTORS:
        return str(OutOfDescriptorsError())
    if error.errno in FULL:
        return str(DiskFullError(where))
    if error.errno in FORBIDDEN and error.filename:
        return str(UnwritableFolderError(Path(str(error.filename)).parent, error.strerror or str(error)))
    return f"{where}: {error.strerror}" if error.strerror else str(error)
