"""Waiting for a journal that another program locks, or whose disk is full: both pass, and neither is a failure yet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from harness_nb.errors import JournalBusyError, JournalFullError

if TYPE_CHECKING:
    from collections.abc import Callable

TRY_AGAIN = 0.2
T = TypeVar("T")


def patiently(work: Callable[[], T], seconds: float) -> T:
    """Do some work on the journal as soon as that can be written; it must have done nothing where it fails.

    Raises: JournalBusyError, JournalFullError after so many seconds.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            return work()
        except (JournalBusyError, JournalFullError):
            if time.monotonic() > until:
                raise
            time.sleep(TRY_AGAIN)
