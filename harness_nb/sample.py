"""The user's own copy of the sample project: made once, worked on ever after, so that the original stays clean."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from harness_nb.errors import FileInTheWayError, SampleMissingError, UnwritableFolderError
from harness_nb.harness.attendance import attended
from harness_nb.plans import load_project
from harness_nb.protocol.commands import commands_of
from harness_nb.sessions import is_alive
from harness_nb.store import Store
from harness_nb.store.trust import set_trusted

DEFAULT_FOLDER: Final = Path("harness-nb-sample")
PORT: Final = "8765"
"""The port that the sample's files name; each copy gets one of its own."""
TRIES: Final = 50
"""Tries at deleting a temporary copy, 20 ms apart."""
LEFTOVERS: Final = shutil.ignore_patterns(".orchestration", "__pycache__", "*.pyc", ".ipynb_checkpoints")


def prepare_sample(folder: Path) -> tuple[Path, bool]:
    """Return a trusted copy of the sample in ``folder``, and whether it was made just now.

    Of a copy that was there before only what was trusted stays so: somebody may have changed it since.

    Raises: SampleMissingError, FileInTheWayError, UnwritableFolderError.
    """
    source = _source()
    if find_spec("vega_datasets") is None:
        raise SampleMissingError("its data is missing", "Install it with: pip install 'harness-nb[sample]'")
    target = folder.expanduser().resolve()
    fresh = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if fresh:
        try:
            _copy(source, target)
        except OSError as error:
            raise UnwritableFolderError(target.parent, error.strerror or str(error)) from None
    elif not _is_copy(source, target):
        raise FileInTheWayError(target, "the sample")
    if fresh:
        set_trusted(target, [commands_of(plan) for plan in load_project(target).plans])
    return target, fresh


def sample_for_notebook() -> Path:
    """Return the copy that a notebook works on: where it lies if that is one, else ``harness-nb-sample`` beside it.

    Where a program runs the notebook it is a new temporary folder: a test starts afresh. That folder goes when the
    process ends, unless a session goes on in it, or the process is killed, as nbval does with its kernel.

    Raises: SampleMissingError, FileInTheWayError, UnwritableFolderError.
    """
    folder = Path.cwd()
    if _is_copy(_source(), folder):
        return prepare_sample(folder)[0]
    if attended() is not False:
        return prepare_sample(folder / DEFAULT_FOLDER)[0]
    around = Path(tempfile.mkdtemp()).resolve()
    atexit.register(_tidy_up, around)
    return prepare_sample(around / DEFAULT_FOLDER)[0]


def _tidy_up(around: Path) -> None:
    """Delete a temporary copy and the note that it is trusted, unless a worker goes on in it."""
    folder = around / DEFAULT_FOLDER
    if folder.is_dir():
        with closing(Store(folder)) as store:
            live = store.sessions.select(live=True)
            if any(is_alive(store, one.id) for one in live if one.worker != "python"):
                return
        shutil.rmtree(store.layout.sockets, ignore_errors=True)
        set_trusted(folder, trusted=False)
    for _ in range(TRIES):  # a harness of this process may be writing its last in there
        shutil.rmtree(around, ignore_errors=True)
        if not around.exists():
            return
        time.sleep(0.02)


def _source() -> Path:
    package = Path(__file__).resolve().parent
    for place in (package / "_sample", package.parent / "notebooks" / "sample"):
        if (place / "ROADMAP.md").is_file():
            return place
    raise SampleMissingError("this installation lacks its files", "Install harness-nb again.")


def _is_copy(source: Path, target: Path) -> bool:
    return all((target / plan.relative_to(source)).is_file() for plan in source.rglob("*-PLAN.md"))


def _copy(source: Path, target: Path) -> None:
    """Make the copy beside its place and move it there when it is whole: an interrupted one is never taken for it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".harness-nb-sample-", dir=target.parent) as around:
        draft = Path(around) / target.name
        shutil.copytree(source, draft, ignore=LEFTOVERS)
        _replace_port(draft, _free_port())
        for secret in draft.glob("credentials/*.env"):
            secret.chmod(0o600)
        _write_settings(draft)
        if target.exists():
            target.rmdir()
        draft.rename(target)


def _replace_port(folder: Path, port: int) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if PORT.encode() in content:
                path.write_bytes(content.replace(PORT.encode(), str(port).encode()))


def _write_settings(folder: Path) -> None:
    with closing(Store(folder)) as store:
        store.write_default_config()
        sockets = store.layout.sockets
        with store.layout.config.open("a", encoding="utf-8") as file:
            file.write("\ncredentialsDir: credentials  # where values are looked up: pretended ones, in this copy\n")
    shutil.rmtree(sockets, ignore_errors=True)  # those of the draft's place, where nobody will ever listen


def _free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shown(path: Path) -> str:
    """Return a path as a person in this folder would write it."""
    here = Path.cwd()
    return os.fspath(path.relative_to(here)) if path != here and path.is_relative_to(here) else os.fspath(path)
