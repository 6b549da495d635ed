"""Which projects this user allowed to run commands from their plans; kept outside of any project."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from harness_nb.store.atomic import write_text
from harness_nb.store.layout import state_folder

if TYPE_CHECKING:
    from pathlib import Path


def trusted_projects() -> list[str]:
    """Return the folders that are trusted."""
    try:
        content = json.loads(_list_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return [str(path) for path in content] if isinstance(content, list) else []


def is_trusted(project: Path) -> bool:
    """Say whether this very folder is trusted; a folder inside a trusted one is not."""
    return os.fspath(project.resolve()) in trusted_projects()


def set_trusted(project: Path, *, trusted: bool = True) -> None:
    """Trust a folder from now on, or no longer."""
    path = os.fspath(project.resolve())
    others = [one for one in trusted_projects() if one != path]
    _list_file().parent.mkdir(parents=True, exist_ok=True)
    write_text(_list_file(), json.dumps(others + [path] * trusted, indent=2) + "\n", mode=0o600)


def _list_file() -> Path:
    return state_folder() / "trusted.json"
