"""``harness-nb doctor``: whether all that is needed is there, and what to do where it is not."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from harness_nb.cli.opening import project_root, read_documents
from harness_nb.cli.views import make_console
from harness_nb.credentials import configured_provider
from harness_nb.credentials.folder import folder_warning
from harness_nb.credentials.keyring_source import keyring_trouble
from harness_nb.credentials.sources import Found, registered_source
from harness_nb.errors import HarnessError
from harness_nb.protocol.credentials import FILES, KEYRING, SOURCES
from harness_nb.sessions import DRIVERS
from harness_nb.store.journal import NETWORK_FILE_SYSTEMS, file_system_of
from harness_nb.store.layout import Layout, runtime_folder
from harness_nb.store.settings import read_config, unknown_settings
from harness_nb.store.trust import is_trusted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness_nb.credentials import CredentialProvider

Level = Literal["fine", "note", "broken"]
SIGN: dict[Level, str] = {"fine": "✓", "note": "!", "broken": "✕"}
STYLE: dict[Level, str] = {"fine": "green", "note": "yellow", "broken": "bold red"}
OLDEST = (3, 11)
LONGEST_SOCKET_PATH = 100
KERNEL_THAT_HEARS_CLICKS = 7


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    level: Level
    what: str
    found: str
    remedy: str = ""


def examine(folder: Path) -> int:
    """Print what was found and return the exit status: 1 where something that is needed is broken.

    Raises: ProjectNotFoundError.
    """
    root = project_root(folder)
    findings = [*_machine(), *_workers(), *_project(root), *_extras()]
    width = max(len(one.what) for one in findings)
    console = make_console()
    for one in findings:
        line = Text(f"{SIGN[one.level]} ", style=STYLE[one.level]).append(f"{one.what:<{width}}  ", style="default")
        console.print(line.append(one.found, style="default"), soft_wrap=True)
        if one.remedy:
            console.print(Text(f"  {'':<{width}}  → {one.remedy}", style=STYLE[one.level]), soft_wrap=True)
    return 1 if any(one.level == "broken" for one in findings) else 0


def _machine() -> Iterator[Finding]:
    found = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info >= OLDEST:
        yield Finding("fine", "Python", found)
    else:
        yield Finding("broken", "Python", found, f"Install Python {'.'.join(map(str, OLDEST))} or newer.")
    yield Finding("fine", "system", platform.platform(terse=True))
    try:
        yield Finding("fine", "sockets", f"in {runtime_folder()}")
    except (HarnessError, OSError) as error:
        yield Finding("broken", "sockets", str(error), "Set XDG_RUNTIME_DIR to a short folder of your own, mode 0700.")


def _workers() -> Iterator[Finding]:
    for driver in DRIVERS.values():
        how = f"goes on {driver.resumes}" if driver.resumes else "is not resumed; a run tries its plan anew"
        yield Finding("fine", f"worker {driver.name}", f"one whose processes die {how}")


def _project(root: Path) -> Iterator[Finding]:
    kind = file_system_of(root)
    if kind in NETWORK_FILE_SYSTEMS:
        yield Finding("note", "file system", f"{kind}, over the network",
                      "The journal is kept on this machine; run the project from here only.")  # fmt: skip
    else:
        yield Finding("fine", "file system", kind or "unknown to this system")
    yield _journal(root)
    yield _sockets_fit(root)
    layout = Layout(root)
    try:
        config = read_config(layout)
    except HarnessError as error:
        yield Finding("broken", "settings", str(error))
        return
    place = str(layout.config.relative_to(root))
    yield Finding("fine", "settings", place if layout.config.exists() else f"defaults; {place} is written by a run")
    for text in unknown_settings(layout):
        yield Finding("note", "settings", text)
    if config.notify:
        yield _packages("notify", ("apprise",), "notify")
    yield from _plans(root)
    yield from _credentials(configured_provider(root, config))


def _journal(root: Path) -> Finding:
    what = "journal"
    try:
        own = Layout(root).folder
        with (
            tempfile.TemporaryDirectory(prefix=".doctor-", dir=own if own.is_dir() else root) as folder,
            closing(sqlite3.connect(Path(folder) / "journal.db")) as connection,
        ):
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    except (OSError, sqlite3.Error) as error:
        return Finding("broken", what, f"cannot be written in {root}: {error}", "Give yourself write permission there.")
    found = f"SQLite {sqlite3.sqlite_version}, journal mode {mode}"
    return Finding("fine", what, found) if mode == "wal" else Finding("note", what, found, "It works, more slowly.")


def _sockets_fit(root: Path) -> Finding:
    length = len(os.fsencode(Layout(root).sockets)) + 46
    if length <= LONGEST_SOCKET_PATH:
        return Finding("fine", "socket paths", f"{length} bytes, short enough")
    return Finding("broken", "socket paths", f"{length} bytes are too long", "Set XDG_RUNTIME_DIR to a shorter folder.")


def _plans(root: Path) -> Iterator[Finding]:
    project = read_documents(root)
    if not project.plans:
        yield Finding("note", "plans", f"none in {root}", "`harness-nb init` makes a starter project.")
        return
    trusted = "trusted" if is_trusted(root) else "not trusted yet"
    yield Finding("fine", "plans", f"{len(project.plans)} in {len(project.phases)} phases, {trusted}")
    for problem in project.problems:
        yield Finding("note", "plans", str(problem))


def _credentials(provider: CredentialProvider) -> Iterator[Finding]:
    if FILES in provider.sources:
        yield from _credentials_folder(provider.directory)
    for name in provider.sources:
        if name != FILES:
            trouble = _trouble_of(name)
            found = f"asked in turn: {', '.join(provider.sources)}" if trouble is None else str(trouble.problem)
            yield Finding("note" if trouble else "fine", f"{name} source", found, (trouble and trouble.remedy) or "")


def _trouble_of(source: str) -> Found | None:
    if source == KEYRING:
        return keyring_trouble()
    loaded = registered_source(source) if source not in SOURCES else None
    return loaded if isinstance(loaded, Found) else None


def _credentials_folder(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        yield Finding("note", "credentials", f"no folder {folder}",
                      "Needed for plans that ask for credentials: set HARNESS_CREDENTIALS_DIR.")  # fmt: skip
        return
    try:
        files = sorted(folder.glob("*.env"))
        loose = [path.name for path in files if path.stat().st_mode & 0o077]
    except OSError as error:
        yield Finding("note", "credentials", f"{folder}: {error.strerror}", "Give yourself read permission there.")
        return
    if loose:
        yield Finding("note", "credentials", f"others can read {_some(loose)} in {folder}", f"chmod 600 {folder}/*.env")
    elif folder_warning(folder):
        yield Finding("note", "credentials", f"others can replace files in {folder}", f"chmod go-w {folder}")
    else:
        yield Finding("fine", "credentials", f"{len(files)} files in {folder}, readable by you alone")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _extras() -> Iterator[Finding]:
    notebook = _packages("notebook", ("jupyterlab", "ipykernel", "ipywidgets", "anywidget"), "lab")
    yield _kernel(version("ipykernel"), version("jupyterlab")) if notebook.level == "fine" else notebook
    yield _packages("sample", ("vega_datasets",), "sample")
    yield _packages("page", ("voila", "jupyter_server_proxy"), "dashboard")
    yield _packages("agents", ("mcp",), "mcp")


def _kernel(ipykernel: str, jupyterlab: str) -> Finding:
    """Say whether a click gets through while a cell runs, which older kernels cannot do."""
    found = f"JupyterLab {jupyterlab}, ipykernel {ipykernel}"
    if int(ipykernel.partition(".")[0]) >= KERNEL_THAT_HEARS_CLICKS:
        return Finding("fine", "notebook", f"{found}: clicks get through while a cell runs")
    return Finding("note", "notebook", f"{found}: a click waits until the running cell has ended",
                   "pip install --upgrade 'harness-nb[lab]', or answer with harness-nb respond.")  # fmt: skip


def _packages(what: str, modules: Iterable[str], extra: str) -> Finding:
    missing = [name for name in modules if find_spec(name) is None]
    if not missing:
        return Finding("fine", what, "installed")
    return Finding("note", what, f"without {', '.join(missing)}", f"Where wanted: pip install 'harness-nb[{extra}]'")
