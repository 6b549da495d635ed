"""Which function runs which type of check, and what such a function is given and gives back."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness_nb.errors import CheckCouldNotRunError


@dataclass(frozen=True)
class Outcome:
    """What a check found: ``error`` is one sentence, ``output`` the evidence, ``notes`` how it was found."""

    passed: bool
    error: str | None = None
    output: str | None = None
    notes: str | None = None

    @classmethod
    def of(cls, passed: object, error: str, *, output: str | None = None, notes: str | None = None) -> Outcome:
        """Return an outcome that carries the error only where it did not pass."""
        return cls(bool(passed), None if passed else error, output, notes)


@dataclass(frozen=True)
class CheckContext:
    """Where checks run: the project's root, its base URLs and the variables beside this process's own."""

    project_root: Path
    api_base_url: str | None = None
    ui_base_url: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return this process's environment with the engine's and a check's own variables on top."""
        return {**os.environ, **self.environment, **(more or {})}

    def path(self, name: str) -> Path:
        """Return where a check's path leads.

        A relative path starts at the project's root and may not leave it: a check that was moved with its
        plan must not look at another project by accident. An absolute path, or one that begins with ``~``,
        was meant and is taken as it is. Links inside the project may lead anywhere.

        Raises:
            CheckCouldNotRunError: a relative path leaves the project.

        """
        given = Path(name).expanduser()
        if given.is_absolute():
            return Path(os.path.normpath(given))
        root = Path(os.path.abspath(self.project_root))  # noqa: PTH100 - resolve() would follow links
        wanted = Path(os.path.normpath(root / given))
        if not wanted.is_relative_to(root):
            raise CheckCouldNotRunError(
                f"The path {name!r} leaves the project {root}. Give an absolute path if that is meant."
            )
        return wanted

    def folder(self, name: str | None) -> Path:
        """Return the folder that a check works in: the project's root where it names none.

        Raises:
            CheckCouldNotRunError: it is not there, or a relative path leaves the project.

        """
        folder = self.path(name or ".")
        if not folder.is_dir():
            raise CheckCouldNotRunError(f"The folder {folder} to work in does not exist. Correct cwd.")
        return folder


CheckFunction = Callable[[Any, CheckContext], Awaitable[Outcome]]
Resources = Callable[[Any, CheckContext], Iterable[str]]


def no_resources(_spec: Any, _context: CheckContext) -> tuple[str, ...]:
    """Return nothing: the check can run beside any other."""
    return ()


@dataclass(frozen=True)
class RegisteredCheck:
    """A check's function, and the names of what it must have for itself while it runs."""

    function: CheckFunction
    resources: Resources = no_resources


REGISTERED: dict[str, RegisteredCheck] = {}


def check(name: str, *, resources: Resources = no_resources) -> Callable[[CheckFunction], CheckFunction]:
    """Make an async function ``(spec, context) -> Outcome`` the one that runs a type of check.

    ``resources`` names what two checks may not use at once, for example ``port:8000`` or ``folder:/x``; a
    folder also clashes with the folders inside it.
    """

    def register(function: CheckFunction) -> CheckFunction:
        REGISTERED[name] = RegisteredCheck(function, resources)
        return function

    return register


def own_checks() -> list[str]:
    """Return the types of checks that functions of this process run, and not ones that every process has."""
    return [name for name, one in REGISTERED.items() if not one.function.__module__.startswith("harness_nb.")]


def clash(mine: Iterable[str], others: Iterable[str]) -> bool:
    """Say whether two sets of resources have something in common."""
    return any(_same(one, other) for one in mine for other in others)


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    kinds, names = zip(one.split(":", 1), other.split(":", 1), strict=True)
    if kinds != ("folder", "folder"):
        return False
    first, second = map(Path, names)
    return first.is_relative_to(second) or second.is_relative_to(first)
