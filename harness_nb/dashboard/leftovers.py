"""What a server that was killed has left in the runtime folder, and how it is told from what another still uses."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from harness_nb.store.locks import acquire, is_held, release

if TYPE_CHECKING:
    from pathlib import Path

CONNECTIONS = "voila_*"
LOCK = "lock"
OPENING = "open-*.html"
SETTLED = 60.0
"""Seconds after which a folder whose server lives is locked, and a file that opens a browser was read."""


def claim(folder: Path) -> None:
    """Hold a server's folder of connections for as long as this process lives."""
    acquire(folder / LOCK)


def give_up(folder: Path) -> None:
    """Remove a folder that was claimed."""
    release(folder / LOCK)
    shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what is left of servers that are gone."""
    for one in folder.glob(CONNECTIONS):
        if _is_old(one) and not is_held(one / LOCK):
            shutil.rmtree(one, ignore_errors=True)
    for one in folder.glob(OPENING):
        if _is_old(one):
            one.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > SETTLED
    except FileNotFoundError:
        return False
