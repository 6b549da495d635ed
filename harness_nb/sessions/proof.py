"""What can be proved of a session that has not ended: that its shim lives, that it has gone, or nothing.

Proof of life is the lock that a shim holds: the system gives it back with the process, so a zombie holds none, and no
other process can be taken for it. The number, start and boot that the shim wrote down only serve to find it. Where the
lock cannot be asked, or was held on another machine, nothing is proved, and then nothing may be done: such a session is
neither ended nor started again.

A session whose process is not there yet is the hard case: whoever starts it may be slow, stand still or be dead. To
wait for long enough proves nothing, so before it is given up its process is *ruled out*: the number of its life is
written into the file of the lock, by whoever gets hold of that. A shim looks there as soon as the lock is its own.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple

from harness_nb.errors import UnreadableFileError
from harness_nb.sessions.channel import is_listening
from harness_nb.sessions.orphans import runs
from harness_nb.shim.tree import boot_id, host_id
from harness_nb.store.atomic import read_json
from harness_nb.store.locks import is_held, leave_number

if TYPE_CHECKING:
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import SessionFolder, Store

LAUNCH_PATIENCE = 2.0
"""Seconds that a shim whose launcher is gone is given to appear; it takes tens of milliseconds."""
NOWHERE_TO_LOCK = (errno.ENOENT, errno.ENOTDIR, errno.EROFS, errno.EACCES, errno.EPERM)


class Proof(NamedTuple):
    """Whether a session goes on; ``doubt`` says why that cannot be known, and then it must be left alone."""

    goes_on: bool
    doubt: str | None = None


def is_alive(store: Store, session_id: str) -> bool:
    """Say whether somebody holds the session's lock, which proves that its shim lives; without one, that it listens.

    Raises: OSError, where the lock cannot be asked.
    """
    folder = store.layout.session(session_id)
    return is_held(folder.lock) or (not folder.lock.exists() and is_listening(folder))


def proof_of(store: Store, session: SessionRecord) -> Proof:
    """Look whether a session's shim lives, or is about to: its launcher is at it, or has only just gone."""
    folder = store.layout.session(session.id)
    try:
        # first, since a shim takes its lock before it writes this: one that is just coming must not look like one gone
        there = folder.shim.exists()
        if is_alive(store, session.id):
            return Proof(goes_on=True)
        if elsewhere := _where_else(folder, session):
            return Proof(goes_on=False, doubt=elsewhere)
        return Proof(goes_on=not there and _is_awaited(store, session) and _has_launcher(store, session))
    except UnreadableFileError as error:  # there is no lock, and what says where it listens is of no use
        store.refusals.refuse(error, door="file")
        return Proof(goes_on=False, doubt=str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return Proof(goes_on=False, doubt=f"its lock cannot be asked: {error.strerror or error}{where}")


def is_to_come(store: Store, session: SessionRecord) -> bool:
    """Say whether a session's process was wanted and has not been there, whoever wanted it and however long ago.

    Raises: OSError, where the lock cannot be asked.
    """
    folder = store.layout.session(session.id)
    if folder.shim.exists() or _where_else(folder, session):
        return False
    return _is_awaited(store, session) and not is_alive(store, session.id)


def rule_out(store: Store, session: SessionRecord) -> bool:
    """See to it that no process can come for this life of a session any more; false where one is there.

    Raises: OSError, where that cannot be written down.
    """
    try:
        return leave_number(store.layout.session(session.id).lock, "ruledOut", session.lives)
    except OSError as error:
        if error.errno in NOWHERE_TO_LOCK:  # where this process finds no lock to take, no shim finds one
            return True
        raise


def _is_awaited(store: Store, session: SessionRecord) -> bool:
    wanted = session.died_at is None and (session.launcher is not None or session.state == "initializing")
    # with its folder deleted, which was there before any shim, nothing would ever tell a launch from an end
    return wanted and store.layout.session(session.id).path.is_dir()


def is_fresh(store: Store, session: SessionRecord) -> bool:
    """Say whether a session's process was wanted so lately that it may still come."""
    since = (store.clock() - (session.launched_at or session.created_at)).total_seconds()
    return abs(since) < LAUNCH_PATIENCE


def _has_launcher(store: Store, session: SessionRecord) -> bool:
    if is_fresh(store, session):
        return True
    return session.worker != "python" and session.launcher is not None and runs(session.launcher)


def _where_else(folder: SessionFolder, session: SessionRecord) -> str | None:
    """Return a sentence where a session was started on another machine, whose locks are not seen here."""
    known = _written_down(folder) or session.launcher or {}
    host, boot = known.get("hostId"), known.get("bootId")
    if host is None or host == host_id() or (boot is not None and boot == boot_id()):
        return None
    return f"it was started on another machine ({str(host).partition('/')[0]}), and only that can tell"


def _written_down(folder: SessionFolder) -> dict[str, Any] | None:
    try:
        return read_json(folder.shim)
    except (FileNotFoundError, UnreadableFileError):
        return None
