"""One project's memory: the journal and the files that mirror it, behind one door."""

from __future__ import annotations

import fcntl
import os
import secrets
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness_nb.errors import ExportedProjectError, JournalGoneError, ProjectNotFoundError
from harness_nb.protocol.files import ActiveFile, ActiveFiles, DependencyGraph
from harness_nb.store.atomic import write_model
from harness_nb.store.bell import ring
from harness_nb.store.events import Events
from harness_nb.store.grants import Grants
from harness_nb.store.journal import Journal, journal_location
from harness_nb.store.layout import Layout
from harness_nb.store.messages import Messages
from harness_nb.store.questions import Questions
from harness_nb.store.refusals import Refusals
from harness_nb.store.runs import Runs
from harness_nb.store.sessions import Sessions
from harness_nb.store.settings import read_config, write_default_config
from harness_nb.store.troubles import Troubles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from harness_nb.protocol.files import Config


class JournalOnLocalDiskWarning(UserWarning):
    """The project lies on a network file system, so its journal is kept on this machine."""


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return secrets.token_hex(8)


class Store:
    """Everything that is written down about one project.

    ``clock`` and ``new_id`` can be given, so that outputs are the same each time.

    Raises: UnwritableFolderError, JournalDamagedError.
    """

    def __init__(
        self, root: Path, *, clock: Callable[[], datetime] = _now, new_id: Callable[[], str] = _new_id
    ) -> None:
        self.layout = Layout(root.resolve())
        self.clock = clock
        self.new_id = new_id
        self.layout.create()
        path, sentence = journal_location(self.layout.database)
        if sentence:
            warnings.warn(sentence, JournalOnLocalDiskWarning, stacklevel=2)
        self.journal = Journal(path)
        self.troubles = Troubles()
        self.refusals = Refusals(self.layout, clock)
        self.events = Events(self.journal, clock)
        self.sessions = Sessions(self.journal, self.layout, self.events, clock, self.refusals.refuse)
        self.messages = Messages(self.journal, self.sessions, self.events, self.refusals.refuse)
        self.questions = Questions(
            self.journal, self.layout, self.messages, self.sessions, self.events,
            clock=clock, new_id=new_id, ring=self.ring,
        )  # fmt: skip
        self.grants = Grants(self.journal, self.events, clock)
        self.runs = Runs(self.journal, self.events, clock, ring=self.ring)

    @property
    def is_export(self) -> bool:
        """Whether this folder is a record of what happened elsewhere."""
        return self.layout.export_note.exists()

    def config(self) -> Config:
        """Return the project's settings as they are on disk now.

        Raises: UnreadableFileError.
        """
        return read_config(self.layout)

    def write_default_config(self) -> None:
        """Write ``config.yaml`` with comments, unless it is there."""
        write_default_config(self.layout)

    @contextmanager
    def writing_views(self) -> Iterator[None]:
        """Hold the lock under which views and the roadmap are read, changed and written; it does not nest.

        Other threads and processes wait for as long as it takes.

        Raises: RunTakenOverError for a task that does a run which another one has taken over.
        """
        # Not the journal's write lock: the disk is awaited inside, and workers must be able to report meanwhile.
        descriptor = os.open(self.layout.views_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # unlike ``lockf`` it also keeps threads of one process apart
            try:
                self.runs.require_lead()
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile has the descriptor, too
        finally:
            os.close(descriptor)

    def write_graph(self, graph: DependencyGraph) -> None:
        """Write ``dependency-graph.json``."""
        write_model(self.layout.graph, graph, durable=False)

    def write_active_files(self, files: Iterable[ActiveFile]) -> None:
        """Write ``active-files.json``."""
        content = ActiveFiles(timestamp=self.clock(), files=tuple(files))
        write_model(self.layout.active_files, content, durable=False)

    def ring(self) -> None:
        """Wake every process that listens for changes of this project."""
        ring(self.layout)

    def close(self) -> None:
        """Close the journal; what was refused is written down by itself, soon."""
        self.journal.close()


def require_workplace(store: Store) -> None:
    """Make sure that something can be started in a project: it is there, and no mere record of what happened elsewhere.

    Raises: ProjectNotFoundError, ExportedProjectError.
    """
    require_project(store)
    if store.is_export:
        raise ExportedProjectError(store.layout.root)


def require_project(store: Store) -> None:
    """Make sure that the project is still there: an open journal can be used after its file was deleted.

    Raises: ProjectNotFoundError, and the JournalGoneError among those where the project's folder is there.
    """
    if not store.layout.root.is_dir():
        raise ProjectNotFoundError(store.layout.root)
    if not store.layout.folder.is_dir() or store.journal.is_gone:
        raise JournalGoneError(store.layout.root)
