"""``harness-nb run --sample --lab``: JupyterLab on the user's own copy of the quickstart."""

from __future__ import annotations

import os
import shutil
import sys
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Final

import harness_nb
from harness_nb.cli.keyboard import is_interactive
from harness_nb.errors import FileInTheWayError, LabMissingError, SampleMissingError, UnwritableFolderError
from harness_nb.sample import DEFAULT_FOLDER, prepare_sample

QUICKSTART: Final = "quickstart.ipynb"
NEEDED: Final = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget")


def require_lab() -> None:
    """Raise where packages of the lab extra are missing.

    Raises: LabMissingError.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise LabMissingError(missing)


def open_lab(project: Path | None, *, unless_alone: bool = False) -> None:
    """Become JupyterLab on the quickstart, which lies in the user's copy of the sample.

    JupyterLab takes this process over: the terminal, signals and the exit status are its own. ``unless_alone`` opens
    nothing where nobody is at a terminal: a server that nobody looks at would never end.

    Raises: LabMissingError, and what preparing the sample does.
    """
    require_lab()
    folder, _ = prepare_sample(project or DEFAULT_FOLDER)
    copy_notebooks(folder)
    if unless_alone and not is_interactive():
        again = f"harness-nb run {quote(os.fspath(folder))} --sample --lab"
        print(f"Nobody is at a terminal here, so JupyterLab is not opened. To open the quickstart: {again}")  # noqa: T201
        return
    print(f"Opening {folder / QUICKSTART} in JupyterLab; Ctrl-C ends it.", flush=True)  # noqa: T201
    os.chdir(folder)
    # a terminal or a `!` in there finds the same harness-nb
    own_first = os.pathsep.join((os.fspath(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    os.execve(sys.executable, lab_command(), {**os.environ, "PATH": own_first})


def copy_notebooks(folder: Path) -> None:
    """Copy the notebooks into a folder, except those that lie there already: they are the user's.

    Raises: SampleMissingError, UnwritableFolderError, FileInTheWayError.
    """
    for notebook in sorted(_source().glob("*.ipynb")):
        target = folder / notebook.name
        if target.is_dir():
            raise FileInTheWayError(target, "the quickstart")
        if not target.exists():
            try:
                shutil.copyfile(notebook, target)
            except OSError as error:
                raise UnwritableFolderError(folder, error.strerror or str(error)) from None


def lab_command() -> list[str]:
    """Return the command that opens JupyterLab here, in the browser where there is one and somebody to look at it."""
    command = [sys.executable, "-m", "jupyterlab", f"--LabApp.default_url=/lab/tree/{QUICKSTART}"]
    if not is_interactive() or not _has_browser():
        command.append("--no-browser")
    if os.geteuid() == 0:
        command.append("--allow-root")  # JupyterLab refuses to start otherwise, as in most containers
    return command


def _has_browser() -> bool:
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _source() -> Path:
    package = Path(harness_nb.__file__).resolve().parent
    for place in (package / "_notebooks", package.parent / "notebooks"):
        if (place / QUICKSTART).is_file():
            return place
    raise SampleMissingError("this installation lacks its notebooks", "Install harness-nb again.")
