"""Doing what has to be done although something hinders it, and saying meanwhile what that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from harness_nb.errors import JournalTroubleError, OutOfDescriptorsError, UnwritableFolderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.sessions.changes import Changes
    from harness_nb.store import Store

HINDRANCES = (JournalTroubleError, OutOfDescriptorsError, UnwritableFolderError, OSError)
"""What keeps a process from its journal and files for a while, and is no reason to end."""
TRY_AGAIN = 0.5
LOOK_AGAIN = 0.05
LOOKS_AT_WHAT_GOES = 20

T = TypeVar("T")


class Insisting:
    """Works on a project's journal and files; ``changes`` tells whoever shows the project of a trouble that is new."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self.store = store
        self.changes = changes

    async def insist(
        self, about: str, work: Callable[[], T], waited_for: tuple[type[Exception], ...] = HINDRANCES
    ) -> T:
        """Do some work on journal and files in a thread, again and again while something hinders it.

        That may be another program's lock, a full disk, a process that may open nothing more: all of that passes, and
        whoever follows sessions must not end for it, since nobody would follow them afterwards. Meanwhile it is among
        the project's troubles, and the workers go on. Files that go away below one's hands are no trouble: a project is
        not deleted in one moment, and the next look is at what is left.
        """
        tries = 0
        try:
            while True:
                try:
                    return await anyio.to_thread.run_sync(work)
                except (FileNotFoundError, FileExistsError):
                    tries += 1
                    if tries > LOOKS_AT_WHAT_GOES:
                        raise
                    await anyio.sleep(LOOK_AGAIN)
                except waited_for as error:
                    await self.hindered(about, error)
        finally:
            self.unhindered(about)  # also where nobody wants it any more

    async def hindered(self, about: str, error: Exception) -> None:
        """Tell a trouble to whoever shows the project, and let a moment pass before the next try."""
        if self.store.troubles.met(about, error):
            self.changes.happened()
        await anyio.sleep(TRY_AGAIN)

    def unhindered(self, about: str) -> None:
        """Tell that a trouble has passed."""
        if self.store.troubles.over(about):
            self.changes.happened()
