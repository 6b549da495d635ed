"""``harness-nb credentials``: what is there and where from, never a value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness_nb.cli.columns import print_columns
from harness_nb.cli.opening import project_root
from harness_nb.cli.views import make_console
from harness_nb.credentials import configured_provider
from harness_nb.protocol.shown import one_line
from harness_nb.store.layout import Layout
from harness_nb.store.settings import read_config

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.credentials import CredentialEntry

COLUMNS = ("service", "context", "variable", "source", "note")


def list_credentials(folder: Path, *, as_json: bool) -> None:
    """Print which variables the sources of a project's settings have; nothing is written.

    Raises: ProjectNotFoundError, NotAFolderError, UnreadableFileError.
    """
    root = project_root(folder)
    provider = configured_provider(root, read_config(Layout(root)))
    found = provider.entries()
    if as_json:
        print(json.dumps([one.to_wire() for one in found], indent=2, ensure_ascii=False))  # noqa: T201
        return
    console = make_console()
    if not found:
        console.print(f"No credentials are in {', '.join(provider.sources)}.", soft_wrap=True, markup=False)
        return
    print_columns(console, [COLUMNS, *map(_words, found)], last="yellow")


def _words(one: CredentialEntry) -> tuple[str, ...]:
    return tuple(one_line(getattr(one, name) or "") for name in COLUMNS)
