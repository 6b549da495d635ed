"""Runs that are done by a process of their own, so that they outlive the kernel that asked for them.

A cell that computes keeps the interpreter to itself, and a kernel may go at any moment: neither is to hold up a run. So
the run is written down, and a *holder* does it: ``python -m harness_nb.holder PROJECT RUN``, in a session of its own,
with the environment of whoever started it. It has the project's lease while it lives; the system takes that from it
when it dies, whatever it dies of. Every process that keeps a project open for long looks twice a second whether an
unfinished run has lost its holder, and starts another one: of several that do, the lease lets one through.

A journal may come with a folder, from an archive say, so a run that nobody here asked for goes on in trusted projects
alone. Plans that a run was given in Python are in that journal whole, and no file of the project shows them: they go on
by themselves only where all that they execute was trusted, else when whoever gave them calls ``run`` again.

What is written as a Python function lives in one process alone, so a run that may need such a check stays there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import HarnessError, HolderFailedError, UnusableArgumentError
from harness_nb.store.locks import is_held
from harness_nb.store.private import private_opener
from harness_nb.store.trust import trusts_run
from harness_nb.verification.registry import own_checks

if TYPE_CHECKING:
    from harness_nb.protocol.records import RunRecord
    from harness_nb.sessions.changes import Changes
    from harness_nb.store import Store

DETACH = "HARNESS_DETACH"
"""The variable that, set to 0, false or no, keeps runs in the process that asks for them."""

LOOK = 0.5
"""Seconds between two looks at whether a run still has somebody who does it."""
FIRST_PAUSE = 2.0
"""Seconds until another try to start a holder; it doubles with each that comes to nothing."""
SETTLED_LOOKS = 20
"""After so many looks at a holder that lives, what went wrong before is forgotten."""
MOST_TRIES = 5


def is_detached(*, asked: bool | None, bound: str | None) -> bool:
    """Return whether a run gets a process of its own: as asked, else unless something ties it to this one.

    ``bound`` says what else than a check does that.

    Raises: UnusableArgumentError where it is asked for and cannot be.
    """
    checks = own_checks()
    tie = f"the check {checks[0]!r} is a function of this process" if checks else bound
    if asked is None:
        return tie is None and os.environ.get(DETACH, "").strip().lower() not in ("0", "false", "no")
    if asked and tie is not None:
        raise UnusableArgumentError("detach", tie, "Leave detach out, so that the run is done here")
    return asked


def start_holder(store: Store, run_id: str) -> None:
    """Start a process that does a run, in a session of its own; it has no ties to this one.

    Raises: HolderFailedError.
    """
    command = [sys.executable, "-P", "-m", "harness_nb.holder", os.fspath(store.layout.root), run_id]
    try:
        with open(store.layout.holder_log, "ab", opener=private_opener) as log:
            started = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False
            )
    except OSError as error:
        raise HolderFailedError(store.layout.holder_log, error.strerror or str(error)) from None
    if started.returncode:
        raise HolderFailedError(store.layout.holder_log, f"exit status {started.returncode}")


class TakeOver:
    """Sees to it that an unfinished detached run has a process that does it, and one that is to stop.

    Without ``any_run`` that is for runs alone that somebody wanted to be done here.
    """

    def __init__(self, store: Store, changes: Changes, *, any_run: bool = True) -> None:
        self._store = store
        self._changes = changes
        self._any_run = any_run
        self._wanted: set[str] = set()
        self._tries = 0
        self._calm = 0
        self._awaited = 0
        self._awaited_until = 0.0

    async def serve(self) -> None:
        """Look until cancelled: woken by changes while there is no such run, else twice a second."""
        while True:
            changed = self._changes.next
            try:
                record = await anyio.to_thread.run_sync(self._unfinished)
                if record is not None:
                    await anyio.to_thread.run_sync(self._see_to, record)
                    await self._while_held()
            except (HarnessError, OSError):  # it passes without a word, and meanwhile the run may have lost its process
                await anyio.sleep(LOOK)
                continue
            if record is None:
                await changed.wait()
            await anyio.sleep(LOOK)

    async def _while_held(self) -> None:
        """Let time pass while somebody does the run: that is asked of its lock alone, which costs next to nothing."""
        for _ in range(SETTLED_LOOKS):
            if not is_held(self._store.layout.lease):
                self._changes.happened()  # who died after it wrote down the end, say, has told nobody
                return
            self._calm += 1
            await anyio.sleep(LOOK)

    def start(self, record: RunRecord) -> None:
        """Start a process that does a run because somebody wants that now, unless one does it already.

        Raises: HolderFailedError.
        """
        self._tries = 0
        self._wanted.add(record.id)
        if not is_held(self._store.layout.lease):
            self._try(record)

    def _try(self, record: RunRecord) -> None:
        self._tries += 1
        self._awaited = record.generation + 1
        self._awaited_until = time.monotonic() + FIRST_PAUSE * 2 ** (self._tries - 1)
        start_holder(self._store, record.id)

    def _unfinished(self) -> RunRecord | None:
        record = self._store.runs.unfinished()
        if record is None or record.trouble is not None or not (record.detached or record.stopping):
            return None
        return record if record.id in self._wanted or self._is_everybodys(record) else None

    def _is_everybodys(self, record: RunRecord) -> bool:
        return self._any_run and trusts_run(self._store.layout.root, record)

    def _see_to(self, record: RunRecord) -> None:
        """Start a holder where there is none, and none that was started is still about to be."""
        if is_held(self._store.layout.lease):
            self._tries = 0 if self._calm > SETTLED_LOOKS else self._tries
            return
        self._calm = 0
        if record.generation < self._awaited and time.monotonic() < self._awaited_until:
            return
        if self._tries >= MOST_TRIES:
            self._pause(record, f"its process ended {MOST_TRIES} times, see {self._store.layout.holder_log}.")
            return
        try:
            self._try(record)
        except HarnessError as error:
            self._pause(record, str(error))

    def _pause(self, record: RunRecord, trouble: str) -> None:
        self._tries = 0
        self._store.runs.pause(record.id, trouble)
