"""What builds, tests, types and lints a project, when its check does not say.

Looked at in this order, and the first that has an answer is taken: pyproject.toml/setup.cfg/setup.py,
package.json, Cargo.toml, go.mod, Makefile. Nothing is downloaded to answer a check: package managers are told
to stay offline, and a tool that is not installed is not fetched.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness_nb.errors import CheckCouldNotRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Purpose = Literal["build", "test", "type", "lint"]

OFFLINE = {
    "CARGO_NET_OFFLINE": "true",
    "COREPACK_ENABLE_NETWORK": "0",
    "GOFLAGS": "-mod=readonly",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "npm_config_offline": "true",
    "npm_config_update_notifier": "false",
    "npm_config_yes": "false",
}
"""Variables that keep the tools of a default command from downloading anything."""


@dataclass(frozen=True)
class DefaultCommand:
    """A command and what in the project it was taken from; ``nothing_ran`` matches output of a run of nothing."""

    command: str
    reason: str
    nothing_ran: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What is asked for, in which folder: ``selection`` are files or a pattern of tests, ``tsconfig`` a path."""

    purpose: Purpose
    folder: Path
    selection: Sequence[str] = ()
    tsconfig: str | None = None


@dataclass
class Search:
    """The kinds of project that were found on the way, and why each had no answer."""

    misses: list[str] = field(default_factory=list)

    def miss(self, sentence: str) -> None:
        """Note why one kind of project has no command for this purpose."""
        self.misses.append(sentence)


_NAMES = {"build": "build", "test": "test", "type": "type check", "lint": "lint"}


def default_command(wanted: Wanted) -> DefaultCommand:
    """Return the command that a project of this kind is built, tested, typed or linted with.

    Raises:
        CheckCouldNotRunError: the project has none, or the one it has cannot pick files or tests.

    """
    search = Search()
    kinds: tuple[Callable[[Wanted, Search], DefaultCommand | None], ...] = (_python, _node, _cargo, _go, _make)
    for kind in kinds:
        found = kind(wanted, search)
        if found:
            return found
    why = "; ".join(search.misses) or (
        "there is no pyproject.toml, setup.cfg, package.json, Cargo.toml, go.mod or Makefile"
    )
    raise CheckCouldNotRunError(
        f"No {_NAMES[wanted.purpose]} command is known for {wanted.folder}: {why}. Give the check a command."
    )


def _words(*words: str) -> str:
    return shlex.join(words)


# --- Python ---------------------------------------------------------------------------------


def _python(wanted: Wanted, search: Search) -> DefaultCommand | None:
    present = [name for name in ("pyproject.toml", "setup.cfg", "setup.py") if (wanted.folder / name).is_file()]
    if not present or wanted.tsconfig:
        return None
    python = _interpreter(wanted.folder)
    find = {"build": _python_build, "test": _python_test, "type": _python_type, "lint": _python_lint}
    found = find[wanted.purpose](wanted, python)
    if found is None:
        tools = {"type": "neither mypy nor pyright", "lint": "none of ruff, flake8 and pylint"}
        search.miss(f"{present[0]} is there and {tools[wanted.purpose]} is installed for {python}")
        return None
    return DefaultCommand(found.command, f"{present[0]}, {found.reason}", found.nothing_ran)


def _interpreter(folder: Path) -> str:
    for name in (".venv", "venv"):
        python = folder / name / "bin" / "python"
        if python.exists():
            return str(python)
    return sys.executable


def _has(python: str, module: str) -> bool:
    """Say whether a module is installed for an interpreter, without starting it."""
    if python == sys.executable:
        return importlib.util.find_spec(module) is not None
    library = Path(python).parent.parent / "lib"
    return any(library.glob(f"python*/site-packages/{module}")) or any(
        library.glob(f"python*/site-packages/{module}.py")
    )


def _python_build(wanted: Wanted, python: str) -> DefaultCommand:
    if "build-system" in _pyproject(wanted.folder) and _has(python, "build"):
        # Into a folder of its own: a check leaves no dist/ behind.
        build = _words(python, "-m", "build", "--no-isolation", "--outdir")
        script = f'out=$(mktemp -d) && trap \'rm -rf "$out"\' EXIT && {build} "$out"'
        return DefaultCommand(script, "the build package is installed")
    skipped = r"(^|/)(\.[^/]+|venv|node_modules|build|dist)/"
    compile_all = _words(python, "-m", "compileall", "-q", "-x", skipped, ".")
    return DefaultCommand(compile_all, "every Python file is compiled")


def _python_test(wanted: Wanted, python: str) -> DefaultCommand:
    if not _has(python, "pytest"):
        pattern = [word for text in wanted.selection for word in ("-k", text)]
        words = _words(python, "-m", "unittest", *(pattern or ["discover"]))
        return DefaultCommand(words, "pytest is not installed", r"^Ran 0 tests")
    picked: list[str] = []
    for text in wanted.selection:
        picked += [text] if "/" in text or ".py" in text or "::" in text else ["-k", text]
    return DefaultCommand(_words(python, "-m", "pytest", "-q", *picked), "pytest is installed")


def _python_type(wanted: Wanted, python: str) -> DefaultCommand | None:
    folder, tools = wanted.folder, _pyproject(wanted.folder).get("tool", {})
    pyright_first = "pyright" in tools or (folder / "pyrightconfig.json").is_file()
    for tool in ("pyright", "mypy") if pyright_first else ("mypy", "pyright"):
        if _has(python, tool):
            own = tools.get("mypy", {})
            where = [] if tool == "pyright" or {"files", "packages", "modules"} & set(own) else ["."]
            return DefaultCommand(_words(python, "-m", tool, *where), f"{tool} is installed")
    return None


def _python_lint(wanted: Wanted, python: str) -> DefaultCommand | None:
    tools = _pyproject(wanted.folder).get("tool", {})
    flake8_first = (wanted.folder / ".flake8").is_file() and "ruff" not in tools
    order = ["flake8", "ruff", "pylint"] if flake8_first else ["ruff", "flake8", "pylint"]
    if "pylint" in tools and "ruff" not in tools:
        order = ["pylint", "ruff", "flake8"]
    words = {"ruff": ["ruff", "check"], "flake8": ["flake8"], "pylint": ["pylint", "--recursive=y"]}
    for tool in order:
        if _has(python, tool):
            command = _words(python, "-m", *words[tool], *(wanted.selection or ["."]))
            return DefaultCommand(command, f"{tool} is installed")
    return None


def _pyproject(folder: Path) -> dict[str, Any]:
    path = folder / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CheckCouldNotRunError(f"{path} cannot be read: {error}.") from error


# --- JavaScript and TypeScript --------------------------------------------------------------

_SCRIPTS = {
    "build": ("build",),
    "test": ("test",),
    "type": ("typecheck", "type-check", "check-types", "check:types", "tsc"),
    "lint": ("lint",),
}


def _node(wanted: Wanted, search: Search) -> DefaultCommand | None:
    path = wanted.folder / "package.json"
    if wanted.purpose == "type" and wanted.tsconfig:
        return _tsc(wanted)
    if not path.is_file():
        return None
    try:
        package = json.loads(path.read_bytes())
        scripts = set(package.get("scripts") or {})
    except (ValueError, AttributeError) as error:
        raise CheckCouldNotRunError(f"{path} cannot be read: {error}.") from error
    for name in _SCRIPTS[wanted.purpose]:
        if name in scripts:
            manager = _package_manager(wanted.folder, str(package.get("packageManager", "")))
            more = [*(["--"] if manager == "npm" else []), *wanted.selection] if wanted.selection else []
            return DefaultCommand(_words(manager, "run", name, *more), f"package.json, script {name!r}")
    if wanted.purpose == "type" and (wanted.folder / "tsconfig.json").is_file():
        return _tsc(wanted)
    if wanted.purpose == "lint" and any(wanted.folder.glob("*eslint*")):
        words = _words("npx", "--no-install", "eslint", *(wanted.selection or ["."]))
        return DefaultCommand(words, "package.json, with a configuration of eslint")
    search.miss(f"package.json has no script {' or '.join(map(repr, _SCRIPTS[wanted.purpose]))}")
    return None


def _tsc(wanted: Wanted) -> DefaultCommand:
    config = wanted.tsconfig or "tsconfig.json"
    return DefaultCommand(_words("npx", "--no-install", "tsc", "--noEmit", "-p", config), config)


def _package_manager(folder: Path, named: str) -> str:
    locks = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
    by_lock = next((manager for lock, manager in locks.items() if (folder / lock).is_file()), "npm")
    by_name = named.partition("@")[0]
    return by_name if by_name in {"npm", "pnpm", "yarn", "bun"} else by_lock


# --- Rust, Go, make -------------------------------------------------------------------------


def _cargo(wanted: Wanted, _search: Search) -> DefaultCommand | None:
    if not (wanted.folder / "Cargo.toml").is_file():
        return None
    words = {
        "build": ["cargo", "build", "--offline"],
        "test": ["cargo", "test", "--offline", *wanted.selection],
        "type": ["cargo", "check", "--offline"],
        "lint": ["cargo", "clippy", "--offline", "--", "-D", "warnings"],
    }
    if wanted.purpose == "lint":
        _refuse_selection(wanted, "cargo clippy")
    # Each kind of test has a section of its own; only all of them empty means that nothing ran.
    nothing = r"\A(?![\s\S]*^running [1-9])" if wanted.purpose == "test" else None
    return DefaultCommand(_words(*words[wanted.purpose]), "Cargo.toml", nothing)


def _go(wanted: Wanted, _search: Search) -> DefaultCommand | None:
    if not (wanted.folder / "go.mod").is_file():
        return None
    picked = [word for text in wanted.selection for word in ("-run", text)]
    words = {
        "build": ["go", "build", "./..."],
        "test": ["go", "test", *picked, "./..."],
        "type": ["go", "vet", "./..."],
        "lint": ["go", "vet", *(wanted.selection or ["./..."])],
    }
    nothing = r"\A(?![\s\S]*^ok\s(?!.*\[no tests to run\]))" if wanted.purpose == "test" else None
    return DefaultCommand(_words(*words[wanted.purpose]), "go.mod", nothing)


_TARGETS = {
    "build": ("build", "all"),
    "test": ("test", "tests", "check"),
    "type": ("typecheck", "type-check", "types", "mypy"),
    "lint": ("lint",),
}


def _make(wanted: Wanted, search: Search) -> DefaultCommand | None:
    names = ("GNUmakefile", "makefile", "Makefile")
    path = next((wanted.folder / name for name in names if (wanted.folder / name).is_file()), None)
    if path is None:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    targets = {name for line in re.findall(r"^([\w.\- ]+):(?!=)", text, re.MULTILINE) for name in line.split()}
    for name in _TARGETS[wanted.purpose]:
        if name in targets:
            _refuse_selection(wanted, f"make {name}")
            return DefaultCommand(_words("make", name), f"{path.name}, target {name!r}")
    search.miss(f"{path.name} has no target {' or '.join(map(repr, _TARGETS[wanted.purpose]))}")
    return None


def _refuse_selection(wanted: Wanted, command: str) -> None:
    if wanted.selection:
        raise CheckCouldNotRunError(
            f"{command} cannot be limited to {', '.join(wanted.selection)}. Give the check a command."
        )
