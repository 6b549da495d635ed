"""Ends the worker of a session whose shim is gone, so that it does not work on beside the next attempt.

A process number is given out again in time, so nothing is signalled unless the boot of the machine, the number and the
moment of its start are all those that the shim wrote down. And what is written in a file may be wrong or a lie: some
process at that terminal must have been started as this session's worker, by the environment that it began with.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb.errors import UnreadableFileError
from harness_nb.shim.tree import boot_id, groups_of_session, process, processes
from harness_nb.store.atomic import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        return _is_this(self.pid, self.started)

    def works_for(self, session_id: str) -> bool:
        """Say whether one of its processes was started with the environment of this session's worker."""
        said = f"HARNESS_SESSION_ID={session_id}".encode()
        return any(said in _environment_of(one.pid) for one in processes() if one.session == self.pid)

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


def end_orphan(folder: SessionFolder, *, unless: Callable[[], bool]) -> None:
    """End what is left of a worker whose shim is gone; with the least doubt about who it is, do nothing.

    ``unless`` says whether the session lives, and is asked once it is known whom its files name: somebody may just have
    started it again.
    """
    orphan = orphan_of(folder)
    if orphan is None or unless():
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
    pid, started = info.get("workerPid"), info.get("workerStartTime")
    if not runs({"pid": pid, "startTime": started, "bootId": info.get("bootId")}) or os.getsid(0) == pid:
        return None
    orphan = Orphan(int(str(pid)), int(str(started)))
    return orphan if orphan.works_for(folder.path.name) else None


def runs(written_down: Mapping[str, Any]) -> bool:
    """Say whether the very process with this ``pid``, ``startTime`` and ``bootId`` runs; without doubt, or not."""
    pid, started, boot = (written_down.get(key) for key in ("pid", "startTime", "bootId"))
    if type(pid) is not int or type(started) is not int or pid <= 1 or boot is None or boot != boot_id():
        return False
    return _is_this(pid, started)


def _environment_of(pid: int) -> list[bytes]:
    """Return what a process was given at its start; nothing where that is hidden or gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _is_this(pid: int, started: int) -> bool:
    found = process(pid)
    return found is not None and found.started == started and not found.zombie
