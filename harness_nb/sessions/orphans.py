"""Ends the worker of a session whose shim is gone, so that it does not work on beside the next attempt.

A process number is given out again in time, so nothing is signalled unless the boot of the machine, the number and the
moment of its start are all those that the shim wrote down.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness_nb.errors import UnreadableFileError
from harness_nb.sessions.shim.tree import boot_id, groups_of_session, start_time
from harness_nb.store.atomic import read_json

if TYPE_CHECKING:
    from harness_nb.store import SessionFolder

POLITE = 2.0
HARD = 2.0
"""Seconds to wait for the end after SIGTERM and after SIGKILL."""
LOOK_AGAIN = 0.02


@dataclass(frozen=True)
class Orphan:
    """A worker without a shim; ``started`` is in clock ticks since boot."""

    pid: int
    started: int

    @property
    def runs(self) -> bool:
        """Say whether this very process is there and not merely waiting to be reaped."""
        return start_time(self.pid) == self.started and not _is_zombie(self.pid)

    def signal(self, *numbers: int) -> None:
        """Signal every process group of its session, for as long as it is this very process."""
        for group in groups_of_session(self.pid) if self.runs else ():
            for number in numbers:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, number)

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, but no longer than that."""
        until = time.monotonic() + seconds
        while self.runs:
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_AGAIN)
        return True


def end_orphan(folder: SessionFolder) -> None:
    """End what is left of a worker whose shim is gone; with the least doubt about who it is, do nothing."""
    orphan = orphan_of(folder)
    if orphan is None:
        return
    orphan.signal(signal.SIGTERM, signal.SIGCONT)
    if not orphan.ends_within(POLITE):
        orphan.signal(signal.SIGKILL)
        orphan.ends_within(HARD)


def orphan_of(folder: SessionFolder) -> Orphan | None:
    """Return the worker that a shim wrote down, if that very process still runs."""
    try:
        info = read_json(folder.shim)
    except (FileNotFoundError, UnreadableFileError):
        return None
    pid, started, boot = info.get("workerPid"), info.get("workerStartTime"), info.get("bootId")
    if type(pid) is not int or type(started) is not int or pid <= 1 or boot is None or boot != boot_id():
        return None
    orphan = Orphan(pid, started)
    return orphan if orphan.runs and os.getsid(0) != pid else None


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return True
