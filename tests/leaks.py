"""Looks for secrets in every file under a folder, while others still write there."""

from __future__ import annotations

import os
from pathlib import Path


def files_that_hold(folder: Path, *values: bytes) -> list[Path]:
    """Return the files in which one of the values stands.

    A file may go while it is looked at: writers replace files whole, by way of one with a name of its own.

    Raises:
        AssertionError: there was nothing to look at.
    """
    texts: dict[Path, bytes] = {}
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            try:
                texts[path] = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:
                continue
    assert texts, f"there is no file under {folder}"
    return [path for path, text in texts.items() if any(value in text for value in values)]
