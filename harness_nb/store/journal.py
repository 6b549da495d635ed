"""The journal: one SQLite file that several processes have open at once.

WAL lets readers go on while one writes; every change is one ``BEGIN IMMEDIATE`` … ``COMMIT``, so that two doors
never act on the same old state. ``synchronous=NORMAL`` survives the death of any process; a power cut may take the
last moments. WAL does not work across a network file system: there the journal lives in this user's local state.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sqlite3
import stat
import threading
import time
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb.errors import (
    HarnessClosedError,
    JournalBusyError,
    JournalDamagedError,
    JournalFullError,
    OutOfDescriptorsError,
    UnwritableFolderError,
)
from harness_nb.store.layout import state_folder
from harness_nb.store.private import make_private_file, make_private_folder, tighten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SCHEMAS = ("schema.sql", "schema-2.sql", "schema-3.sql")
"""What makes each version of the journal from the one before."""
SCHEMA_VERSION = len(SCHEMAS)
BUSY_TIMEOUT = 10.0
LEAST_ROOM = 65536
"""Bytes of a disk below which an error of input or output is for want of room."""
NETWORK_FILE_SYSTEMS = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone",
    "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "smb3", "smbfs",
})  # fmt: skip


_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")
"""How the list of mounts writes a blank and the like in a path."""


class Journal:
    """A connection to the journal, safe to use from several threads of one process.

    ``guard`` is called inside of each change before anything else, and by an error keeps it from happening.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._afterwards: list[Callable[[], object]] = []
        self.guard: Callable[[sqlite3.Connection], object] = lambda _: None
        try:
            make_private_folder(path.parent)
            if not _is_plain(path):
                raise JournalDamagedError(
                    path, "it is a link or no file at all, so put it away and open the project anew"
                )
            make_private_file(path)  # SQLite gives its other files the mode of this one
            tighten(path)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
        except OSError as error:
            raise UnwritableFolderError(path.parent, error.strerror or str(error)) from None
        except sqlite3.Error as error:
            raise self._explain(error) from None
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._explain(error) from None
            raise
        self._identity = _identity_of(path)

    @property
    def is_gone(self) -> bool:
        """Whether the file was deleted or replaced: what is written is then lost with this process."""
        return _identity_of(self.path) != self._identity

    def _prepare(self) -> None:
        run = self._connection.execute
        version = run("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise JournalDamagedError(self.path, f"a newer harness_nb wrote it (version {version}), so update this one")
        if version < SCHEMA_VERSION:
            self._switch_to_wal()
            self._migrate()
        run("PRAGMA synchronous = NORMAL")

    def _switch_to_wal(self) -> None:
        # SQLite does not wait for this one lock by itself, and several processes may open a new project at once.
        until = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)
            else:
                return

    def _migrate(self) -> None:
        with self.write() as connection:  # a second process waits here, then finds the work done
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            for name in SCHEMAS[version:]:
                schema = files("harness_nb.store").joinpath(name).read_text(encoding="utf-8")
                for statement in schema.split(";"):
                    connection.execute(statement)
            if version < SCHEMA_VERSION:
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold the journal's write lock; all is kept at the end, or nothing after an exception.

        Nests: what an inner block did is kept with the outer one, and undone alone when the inner one raises.

        Raises: JournalBusyError, JournalDamagedError; RunTakenOverError for a task that does a run which another one
        has taken over.
        """
        due: list[Callable[[], object]] = []
        with self._lock:
            kept = len(self._afterwards)
            try:
                nested = self._connection.in_transaction
                self._connection.execute("SAVEPOINT inner" if nested else "BEGIN IMMEDIATE")
                try:
                    if not nested:
                        self.guard(self._connection)
                    yield self._connection
                    self._connection.execute("RELEASE inner" if nested else "COMMIT")
                except BaseException:
                    del self._afterwards[kept:]
                    self._undo(nested=nested)
                    raise
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                raise self._explain(error) from None
            if not nested:
                due, self._afterwards = self._afterwards, []
        failures = [failure for work in due if (failure := _failure_of(work))]
        if failures:
            raise failures[0]

    def afterwards(self, work: Callable[[], object]) -> None:
        """Do something as soon as what is being written is kept, without the lock; never if it is undone.

        Of several works each is done, whatever goes wrong with another.
        """
        with self._lock:
            assert self._connection.in_transaction
            self._afterwards.append(work)

    def _undo(self, *, nested: bool) -> None:
        if not self._connection.in_transaction:  # some failures, such as a full disk, undo everything by themselves
            return
        if nested:
            self._connection.execute("ROLLBACK TO inner")
            self._connection.execute("RELEASE inner")
        else:
            self._connection.execute("ROLLBACK")

    def read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of one query.

        Raises: JournalBusyError, JournalDamagedError.
        """
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._explain(error) from None

    def close(self) -> None:
        """Close the connection; what was written is already safe."""
        with self._lock:
            self._connection.close()

    def _explain(self, error: sqlite3.Error) -> Exception:
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
            return HarnessClosedError()
        if "locked" in str(error) or "busy" in str(error):
            return JournalBusyError(self.path)
        if "full" in str(error) or ("I/O" in str(error) and is_full(self.path.parent)):
            return JournalFullError(self.path)
        if "unable to open" in str(error) and not _may_open_more():
            return OutOfDescriptorsError()
        if "readonly" in str(error) or "unable to open" in str(error):
            return UnwritableFolderError(self.path.parent, str(error))
        return JournalDamagedError(self.path, str(error))


def _failure_of(work: Callable[[], object]) -> Exception | None:
    try:
        work()
    except Exception as error:
        return error
    return None


def is_full(folder: Path) -> bool:
    """Say whether the disk of a folder has no room left."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < LEAST_ROOM


def _may_open_more() -> bool:
    try:
        os.close(os.dup(0))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    return True


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def journal_location(database: Path) -> tuple[Path, str | None]:
    """Return where a project's journal goes, and a sentence when that is not beside its other files."""
    kind = file_system_of(database.parent)
    if kind not in NETWORK_FILE_SYSTEMS:
        return database, None
    digest = hashlib.sha256(os.fsencode(database)).hexdigest()[:16]
    local = state_folder() / "journals" / digest / database.name
    return local, f"{database.parent} lies on a network file system ({kind}), so the journal is kept in {local}."


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the type of the file system that holds a folder, or None where the system does not say."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return None
    target, best, kind = os.fsencode(folder.resolve()).rstrip(b"/") + b"/", 0, None
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or not kinds:
            continue
        # as bytes: a Path for each of hundreds of mounts takes longer than all else that opening does
        point = _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), fields[4]).rstrip(b"/") + b"/"
        if target.startswith(point) and len(point) >= best:  # of two at one place, the later is on top
            best, kind = len(point), os.fsdecode(kinds[0])
    return kind
