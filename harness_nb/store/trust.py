"""Which projects this user allowed to run commands from their plans; kept outside of any project.

Each trusted folder has a file of its own: one list for all would have to be read and written back, and of two processes
that do so at once, one loses what it said.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from harness_nb.errors import UnwritableFolderError
from harness_nb.store.atomic import write_text
from harness_nb.store.layout import state_folder
from harness_nb.store.private import make_private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.store.store import Store


def is_trusted(project: Path) -> bool:
    """Say whether this very folder is trusted; a folder inside a trusted one is not."""
    try:
        return bool(json.loads(note_of_trust(project).read_text(encoding="utf-8")) == os.fspath(project.resolve()))
    except (OSError, ValueError):
        return False


def set_trusted(project: Path, *, trusted: bool = True) -> None:
    """Trust a folder from now on, or no longer.

    Raises: UnwritableFolderError, where this user's own state cannot be written.
    """
    note = note_of_trust(project)
    try:
        if trusted:
            make_private_folder(note.parent)
            write_text(note, json.dumps(os.fspath(project.resolve())) + "\n", mode=0o600)
        else:
            note.unlink(missing_ok=True)
    except OSError as error:
        reason = f"{error.strerror or error} (HARNESS_STATE_DIR names another place for what is trusted)"
        raise UnwritableFolderError(note.parent, reason) from None


def trust_project(store: Store, *, actor: str, door: str, trusted: bool = True) -> None:
    """Trust a project from now on, or no longer, and journal who said so; what is so already is no act.

    Raises: UnwritableFolderError, where this user's own state cannot be written.
    """
    root = store.layout.root
    if is_trusted(root) == trusted:
        return
    set_trusted(root, trusted=trusted)
    store.events.add("trusted" if trusted else "trust_removed", actor=actor, door=door)
    store.ring()


def note_of_trust(project: Path) -> Path:
    """Return the file that holds the folder's path as JSON while it is trusted."""
    name = hashlib.sha256(os.fsencode(project.resolve())).hexdigest()[:32]
    return state_folder() / "trusted" / f"{name}.json"
