"""A worker's processes: finding all of them, telling one from another that got its number, and ending them.

A process may leave its worker's session, and its parent may end before it: then it belongs to nobody, unless somebody
above has asked the system for such orphans. The shim does, where that can be had (Linux), so that whatever a worker
started, and however that hid, stays below its shim. What left the session is signalled through a descriptor that stands
for the very process that was seen, so never another one that got its number.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36
LOOK_AGAIN = 0.01
WISHES = (-signal.SIGINT, -signal.SIGQUIT)
"""How a worker ends whose terminal somebody typed Ctrl-C or Ctrl-\\ at."""


class Process:
    """A line of the system's table; ``started`` is in clock ticks since boot."""

    __slots__ = ("group", "parent", "pid", "session", "started", "zombie")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.zombie = fields[0] in (b"Z", b"X")
        self.parent, self.group, self.session = (int(field) for field in fields[1:4])
        self.started = int(fields[19])


def become_subreaper() -> bool:
    """Have orphans of the worker's processes handed to this one; false where the system cannot."""
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def processes() -> Iterator[Process]:
    """Yield every process of this machine, from /proc; none where that is missing."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit() and (found := process(int(name))) is not None:
            yield found


def process(pid: int) -> Process | None:
    """Return a process as it is now, or None where there is none or the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return Process(pid, file.read().rpartition(b")")[2].split())
    except (OSError, ValueError, IndexError):
        return None


def start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot (field 22 of /proc/PID/stat), or None elsewhere."""
    found = process(pid)
    return found.started if found else None


def boot_id() -> str | None:
    """Return what names this boot of the machine, or None where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def host_id() -> str:
    """Return what names this machine, also after it started anew: its name, and its own id if it has one."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            own = file.read().strip()
    except (OSError, ValueError):
        own = ""
    return f"{os.uname().nodename}/{own}"


def groups_of_session(leader: int) -> list[int]:
    """Return the process groups of a session, its leader's first; where /proc is missing, that one alone."""
    others = {one.group for one in processes() if one.session == leader}
    return [leader, *sorted(others - {leader})]


def tree(leader: int) -> list[Process]:
    """Return the living processes of a worker's session, and those below this process that have left it."""
    found = list(processes())
    below: set[int] = set()
    more = {os.getpid()}
    while more:
        below |= more
        more = {one.pid for one in found if one.parent in more} - below
    return [
        one
        for one in found
        if (one.session == leader or one.pid in below) and one.pid != os.getpid() and not one.zombie
    ]


def signal_tree(leader: int, number: int, *, escaped: bool = True) -> None:
    """Signal a worker's session and whatever of it has escaped; where /proc is missing, the leader's group alone."""
    members = tree(leader)
    groups = {one.group for one in members if one.session == leader}
    for group in groups if os.path.exists("/proc/self/stat") else {leader}:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            continue
    for one in members:
        if escaped and one.session != leader:
            signal_exactly(one, number)


def signal_exactly(target: Process, number: int) -> None:
    """Signal a process that was seen before, unless it has gone; never another one with its number."""
    try:
        descriptor = os.pidfd_open(target.pid)
    except OSError:
        return
    try:
        if start_time(target.pid) == target.started:
            signal.pidfd_send_signal(descriptor, number)
    except OSError:  # it has ended, or became somebody else's
        return
    finally:
        os.close(descriptor)


def kill_tree(leader: int, limit: float, *, escaped: bool = True) -> list[int]:
    """End what is left of a worker's tree, and return what still lives after ``limit`` seconds.

    Without ``escaped``, what has left the worker's session is left alone.
    """
    until = time.monotonic() + limit
    while left := [one for one in tree(leader) if escaped or one.session == leader]:
        if time.monotonic() > until:
            break
        signal_tree(leader, signal.SIGKILL, escaped=escaped)
        time.sleep(LOOK_AGAIN)
        reap()
    return [one.pid for one in left]


def reap() -> dict[int, int]:
    """Return the exit statuses of all children that have ended, by their numbers."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)
