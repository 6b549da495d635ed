"""Saying whether commands from a project's plans may run."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from harness_nb.cli.opening import DOOR, opened_unseen, project_root, read_documents
from harness_nb.errors import UntrustedProjectError, UnwritableFolderError
from harness_nb.harness import current_user
from harness_nb.store.layout import Layout
from harness_nb.store.trust import is_trusted, set_trusted, trust_project

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.plans import Project


def set_trust(folder: Path, *, trusted: bool) -> None:
    """Trust a project from now on, or no longer, and say so."""
    root = project_root(folder)
    project = read_documents(root)
    say_trusted(project, trusted=trusted)
    if trusted:
        print(f"Trusted: {root} ({commands_in(project)}).")  # noqa: T201
    else:
        print(f"No longer trusted: {root}.")  # noqa: T201


def say_trusted(project: Project, *, trusted: bool = True) -> None:
    """Trust a project from now on, or no longer; a folder that is no project yet, or cannot be written, has no journal.

    Raises: UnwritableFolderError, where this user's own state cannot be written.
    """
    if project.plans or Layout(project.root).database.exists():
        with suppress(UnwritableFolderError), opened_unseen(project.root) as store:
            trust_project(store, actor=current_user(), door=DOOR, trusted=trusted)
            return
    set_trusted(project.root, trusted=trusted)


def require_trust(project: Project, *, interactive: bool) -> None:
    """Ask whether the project's commands may run, where somebody can be asked.

    Raises: UntrustedProjectError.
    """
    if is_trusted(project.root):
        return
    if interactive:
        print(f"{project.root} is not trusted yet.\nIt has {commands_in(project)}.")  # noqa: T201
        print("Trust the commands in these plans? [y/N] ", end="", flush=True)  # noqa: T201
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            say_trusted(project)
            return
    raise UntrustedProjectError(project.root)


def commands_in(project: Project) -> str:
    """Say how many commands the plans of a project hold, and in how many plans."""
    blocks = sum(len(task.runs) for plan in project.plans for task in plan.tasks)
    checks = sum(
        len(plan.automated) + sum("command" in check for check in (*plan.must_pass, *plan.should_pass))
        for plan in project.plans
    )
    return (
        f"{_count(len(project.plans), 'plan')} with {_count(blocks, 'block')} to run "
        f"and {_count(checks, 'check')} that run a command"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
