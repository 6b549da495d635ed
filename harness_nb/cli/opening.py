"""Opening a project from a command: its documents without writing anything, its journal, and who is asking."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from harness_nb.errors import (
    HarnessError,
    NoPlansError,
    NotAFolderError,
    ProjectNotFoundError,
)
from harness_nb.plans import load_project
from harness_nb.sessions import catch_up
from harness_nb.store import Store
from harness_nb.store.layout import Layout
from harness_nb.store.settings import read_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.plans import Project

DOOR = "cli"


def project_root(folder: Path) -> Path:
    """Return a project's folder as a full path.

    Raises: ProjectNotFoundError, NotAFolderError.
    """
    root = folder.expanduser().resolve()
    if not root.is_dir():
        raise NotAFolderError(root) if root.exists() else ProjectNotFoundError(root)
    return root


def used_root(folder: Path) -> tuple[Path, bool]:
    """Return a project's folder as a full path, and whether anything ever happened there.

    Raises: ProjectNotFoundError, NotAFolderError.
    """
    root = project_root(folder)
    return root, Layout(root).database.exists()


def read_documents(root: Path) -> Project:
    """Read a project's plans as its settings say; nothing is written.

    Raises: UnreadableFileError for its settings, UnwritableFolderError.
    """
    layout = Layout(root)
    config = read_config(layout)
    return load_project(root, config.spec_dir, config.phase_order)


@contextmanager
def opened_unseen(folder: Path) -> Iterator[Store]:
    """Open a project's journal and leave it as it is.

    Raises: UnwritableFolderError, JournalDamagedError.
    """
    with closing(Store(project_root(folder))) as store:
        store.refusals.door = DOOR
        yield store


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """Open a project's journal, with what happened while nobody looked taken in.

    A folder without plans that was never used is left as it is.

    Raises: ProjectNotFoundError, NoPlansError, UnwritableFolderError, UnreadableFileError.
    """
    root = project_root(folder)
    if not Layout(root).database.exists() and not read_documents(root).plans:
        raise NoPlansError(root)
    with opened_unseen(root) as store:
        for session in store.sessions.select(live=True):
            catch_up(store, session.id, unwatched=True)
        yield store


@contextmanager
def plain_errors() -> Iterator[None]:
    """Bring an error that task groups wrapped out as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        raise next((one for one in leaves if isinstance(one, HarnessError)), leaves[0]) from None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one
