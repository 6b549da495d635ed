"""Showing a person what commands a project's plans hold, and saying whether those may run."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from harness_nb.cli.keyboard import is_interactive
from harness_nb.cli.opening import DOOR, opened_unseen, project_root, read_documents
from harness_nb.errors import UnconfirmedTrustError, UntrustedProjectError, UnwritableFolderError
from harness_nb.harness import current_user
from harness_nb.protocol.commands import PlanCommands, commands_of, differences
from harness_nb.store.layout import Layout
from harness_nb.store.trust import read_trust, require_trusted, set_trusted, trust_project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness_nb.plans import Project
    from harness_nb.protocol.commands import PlanDifference

TRUSTED, REFUSED = 0, 1
STYLES = {"+": "green", "-": "red", "@": "cyan"}
"""How the lines of a difference look, by their first sign."""


def trust_commands(folder: Path, *, show: bool, yes: bool) -> int:
    """Show what is to be trusted and is not yet, ask whether it may run, and return the exit status.

    What is trusted then is what was shown, also where somebody changed a plan meanwhile.

    Raises: UnconfirmedTrustError where nobody can be asked.
    """
    project = read_documents(project_root(folder))
    root, now = project.root, _commands(project)
    trust = read_trust(root)
    found = differences(trust, now)
    show_differences(found)
    if show:
        if not found:
            print(f"{'Nothing' if trust is None else 'Nothing new'} is there to be trusted in {root}.")  # noqa: T201
        return TRUSTED
    if found and not yes:
        if not is_interactive():
            raise UnconfirmedTrustError(root)
        if not _says_yes():
            print("Nothing was trusted.")  # noqa: T201
            return REFUSED
    say_trusted(project, now)
    print(f"Trusted: {root} ({commands_in(project)}).")  # noqa: T201
    return TRUSTED


def trust_no_longer(folder: Path) -> None:
    """Let no command from a project's plans run any more, and say so."""
    project = read_documents(project_root(folder))
    say_trusted(project, (), trusted=False)
    print(f"No longer trusted: {project.root}.")  # noqa: T201


def say_trusted(project: Project, commands: Sequence[PlanCommands] | None = None, *, trusted: bool = True) -> None:
    """Trust a project's commands from now on, or no longer; what is no project yet, or is read-only, has no journal.

    Raises: UnwritableFolderError, where this user's own state cannot be written.
    """
    plans = _commands(project) if commands is None else commands
    if project.plans or Layout(project.root).database.exists():
        with suppress(UnwritableFolderError), opened_unseen(project.root) as store:
            trust_project(store, plans, actor=current_user(), door=DOOR, trusted=trusted)
            return
    set_trusted(project.root, plans, trusted=trusted)


def require_trust(project: Project, *, interactive: bool) -> None:
    """Ask whether the project's commands may run, where somebody can be asked; what changed is shown.

    Raises: UntrustedProjectError; which plans must be trusted is left to the run where nobody can be asked.
    """
    trust, now = read_trust(project.root), _commands(project)
    if not interactive:
        if trust is None:
            raise UntrustedProjectError(project.root)
        return
    found = differences(trust, now)
    if trust is not None and not found:
        return
    if trust is None:
        print(f"{project.root} is not trusted yet; `harness-nb trust --show` prints its commands.")  # noqa: T201
        print(f"It has {commands_in(project)}.")  # noqa: T201
    else:
        show_differences(found)
    if not _says_yes():
        require_trusted(project.root, now)
    say_trusted(project, now)


def _says_yes() -> bool:
    print("Trust the commands in these plans? [y/N] ", end="", flush=True)  # noqa: T201
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def show_differences(found: Sequence[PlanDifference]) -> None:
    """Print how plans differ from what is trusted, in colours at a terminal."""
    from rich.text import Text

    from harness_nb.cli.views import make_console

    console = make_console()
    for one in found:
        console.print(Text(one.heading, style="bold"), soft_wrap=True)
        for line in one.lines:
            console.print(Text(line, style=STYLES.get(line[:1], "")), soft_wrap=True)
        console.print()


def _commands(project: Project) -> tuple[PlanCommands, ...]:
    return tuple(commands_of(plan) for plan in project.plans)


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
