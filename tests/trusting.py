"""Saying yes to what a test itself has just written, as the person would whose project it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.plans import load_project
from harness_nb.protocol.commands import commands_of
from harness_nb.store.trust import is_trusted, set_trusted

if TYPE_CHECKING:
    from pathlib import Path


def trust_again(root: Path) -> None:
    """Trust the commands that are there now, where the project is trusted at all."""
    if is_trusted(root):
        trust(root)


def trust(root: Path) -> None:
    """Trust a project and the commands that are there now."""
    set_trusted(root, [commands_of(plan) for plan in load_project(root).plans])
