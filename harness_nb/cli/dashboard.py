"""``harness-nb dashboard``: the project's board as a page in the browser."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import webbrowser
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

import anyio

from harness_nb import templates
from harness_nb.cli.keyboard import is_interactive
from harness_nb.cli.opening import project_root
from harness_nb.errors import DashboardMissingError
from harness_nb.store import Store
from harness_nb.store.layout import Layout, runtime_folder
from harness_nb.store.tokens import make_token

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED: Final = ("voila", "jupyter_server", "tornado", "ipykernel", "ipywidgets", "anywidget")
PREFIX: Final = "JUPYTERHUB_SERVICE_PREFIX"
READING: Final = 20.0
"""Seconds that a browser has to read where it is led."""


def require_dashboard() -> None:
    """Raise where packages of the dashboard extra are missing.

    Raises: DashboardMissingError.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise DashboardMissingError(missing)


def serve_on_port(project: Path, port: int, token_file: Path | None, *, browser: bool, grace: float) -> None:
    """Serve a project's page on a port of this machine until Ctrl-C.

    Raises: DashboardMissingError, ProjectNotFoundError, PortTakenError, UnsafeTokenFileError, UnwritableFolderError.
    """
    require_dashboard()
    from harness_nb.dashboard.server import bind_loopback, serve

    root = project_root(project)
    with closing(Store(root)):  # what is wrong with the journal is told here, and not in the page
        path = token_file.expanduser() if token_file else Layout(root).door_token("dashboard")
        token = make_token(path)
    sockets = bind_loopback(port)
    address = f"http://localhost:{sockets[0].getsockname()[1]}/"
    with ExitStack() as until_the_end:

        def ready() -> None:
            _announce(root, address, token, path)
            if browser and is_interactive() and _has_browser():
                file = until_the_end.enter_context(_redirection(f"{address}?token={token}"))
                Thread(target=_open_browser, args=[file], daemon=True).start()

        _run(lambda: serve(root, sockets, token=token, grace=grace, ready=ready))


def serve_on_socket(project: Path, path: Path, base_url: str, *, grace: float) -> None:
    """Serve a project's page on a Unix socket, behind a proxy that has let its users in already.

    Raises: DashboardMissingError, ProjectNotFoundError, DashboardSocketError.
    """
    require_dashboard()
    from harness_nb.dashboard.server import bind_private, serve

    root = project_root(project)
    base = f"/{base_url.strip('/')}/" if base_url.strip("/") else "/"
    sockets = bind_private(path)
    _run(lambda: serve(root, sockets, token="", base_url=base, grace=grace))


def _run(serve: object) -> None:
    anyio.run(serve)  # type: ignore[arg-type]


def _announce(root: Path, address: str, token: str, path: Path) -> None:
    """Print where the page is; the token to a terminal only, since anything else may be a log."""
    if sys.stdout.isatty():
        print(f"The board of {root.name}: {address}?token={token}")  # noqa: T201
    else:
        print(f"The board of {root.name}: {address} with ?token=… from {path}")  # noqa: T201
    if prefix := os.environ.get(PREFIX):
        print(f"On this JupyterHub it is reached at {prefix.rstrip('/')}/harness-nb/ instead.")  # noqa: T201
    print("Ctrl-C ends the page; sessions go on.", flush=True)  # noqa: T201


@contextmanager
def _redirection(url: str) -> Iterator[Path]:
    """Make a private file that leads to an address, because a browser's own command line is public."""
    handle, name = tempfile.mkstemp(prefix="open-", suffix=".html", dir=runtime_folder())
    path = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(templates.render("dashboard_open.html", url=url))
        yield path
    finally:
        path.unlink(missing_ok=True)


def _open_browser(file: Path) -> None:
    """Lead a browser there, and remove the file with the token as soon as it was read."""
    webbrowser.open(file.as_uri())
    time.sleep(READING)
    file.unlink(missing_ok=True)


def _has_browser() -> bool:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    with suppress(webbrowser.Error):
        return webbrowser.get() is not None
    return False
