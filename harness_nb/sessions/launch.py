"""Starting a session: a shim of its own for each, launched by path and left alone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb.credentials.forms import known_variables, masks_of
from harness_nb.errors import CommandNotFoundError, ShimFailedError, WorkingFolderNotFoundError
from harness_nb.store.layout import SessionFolder
from harness_nb.store.private import make_private_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_nb.protocol.credentials import Service
    from harness_nb.store import Layout

SHIM = Path(__file__).parents[1] / "shim" / "start.py"
START_TIMEOUT = 30.0
WHY_REFUSED = {
    errno.ENOENT: "there is no such command",
    errno.EACCES: "it is not an executable program",
    errno.ENOEXEC: "it is not an executable program",
}


@dataclass(frozen=True)
class Launch:
    """What to start and where; ``credentials`` reach the shim by pipe and are masked in the output.

    So are known variables that the worker inherits or gets by ``env``, and those of ``services`` beside the known ones.

    ``rows`` and ``cols`` are the terminal's size in characters, ``limit`` the bytes of output that are kept, about.
    Without a ``terminal`` the worker reads and writes pipes, and its output is kept as it wrote it. ``life`` counts the
    processes of a session: one that was ruled out before it was there ends at once (see ``proof``).
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    rows: int = 40
    cols: int = 120
    limit: int | None = None
    terminal: bool = True
    life: int = 1
    services: Mapping[str, Service] = field(default_factory=dict)


def launch(layout: Layout, session_id: str, order: Launch) -> dict[str, Any]:
    """Start a worker under a shim that outlives this process, and return where the shim is to be found.

    Raises: CommandNotFoundError, WorkingFolderNotFoundError, ShimFailedError.
    """
    if not order.cwd.is_dir():
        raise WorkingFolderNotFoundError(order.cwd)
    orders = json.dumps(orders_for(layout, session_id, order)).encode()
    try:
        make_private_folder(layout.bells)
        reply, errors = _said_by_shim(orders)
    except subprocess.TimeoutExpired:
        raise ShimFailedError(session_id, f"it did not start within {START_TIMEOUT:.0f} s") from None
    except OSError as error:  # no descriptor, process or memory is left, or the folder cannot be written
        reason = f"no process can be started for it: {error.strerror or error}"
        raise ShimFailedError(session_id, reason) from None
    return _understand(session_id, order, reply, errors)


def _said_by_shim(orders: bytes) -> tuple[bytes, bytes]:
    """Start a shim, and return what it says of its start, and what Python says where it cannot."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", os.fspath(SHIM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    try:
        return process.communicate(orders, START_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        # not read to their end: the shim, which has detached itself, has them too
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        raise


def orders_for(layout: Layout, session_id: str, order: Launch) -> dict[str, Any]:
    """Return what a shim reads on its standard input."""
    folder = layout.session(session_id)
    inherited = {**worker_environment(folder.path, session_id), **order.env}
    # what a worker is given comes first, so that a value of two names has the name that it was given by
    masks = masks_of({**order.credentials, **_without(known_variables(inherited, order.services), order.credentials)})
    return {
        "argv": list(order.argv),
        "cwd": os.fspath(order.cwd),
        "env": {**inherited, **order.credentials},
        "credentials": dict(order.credentials),
        "masks": masks,
        "rows": order.rows,
        "cols": order.cols,
        "limit": order.limit,
        "terminal": order.terminal,
        "life": order.life,
        "log": os.fspath(folder.output),
        "exit": os.fspath(folder.exit),
        "info": os.fspath(folder.shim),
        "lock": os.fspath(folder.lock),
        "socket": os.fspath(layout.socket(session_id)),
        "bells": os.fspath(layout.bells),
    }


def _without(known: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in known.items() if name not in given}


def worker_environment(folder: Path, session_id: str) -> dict[str, str]:
    """Return what a worker finds in its environment: ours, and who it is; of its token only where that lies.

    The folder of this Python comes first on PATH, so that ``python`` and ``harness-nb`` mean the ones in use here.
    """
    environment = tool_environment()
    environment.setdefault("TERM", "xterm-256color")
    return {
        **environment,
        "HARNESS_SESSION_ID": session_id,
        "HARNESS_SESSION_DIR": os.fspath(folder),
        "HARNESS_PROJECT": os.fspath(folder.parents[2]),
        "HARNESS_TOKEN_FILE": os.fspath(SessionFolder(folder).token),
    }


def tool_environment() -> dict[str, str]:
    """Return this process's environment with the folder of this Python first on PATH."""
    own = os.fspath(Path(sys.executable).parent)
    rest = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": rest if rest.split(os.pathsep)[0] == own else f"{own}{os.pathsep}{rest}"}


def _understand(session_id: str, order: Launch, reply: bytes, errors: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(reply)
    except ValueError:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ShimFailedError(session_id, last[0]) from None
    if answer.pop("ok"):
        return answer
    if answer.get("command"):
        raise CommandNotFoundError(order.argv[0], WHY_REFUSED.get(answer["errno"], str(answer["error"])))
    raise ShimFailedError(session_id, f"{answer.get('error')} {answer.get('path') or ''}".strip())
