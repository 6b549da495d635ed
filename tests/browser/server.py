"""A real JupyterLab of our own: nothing of the user's leaks in or out, and nothing is alive when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil
from watchfiles import watch

from harness_nb.errors import ShimFailedError
from harness_nb.sessions import ask_shim
from harness_nb.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

STARTING = 60
ENDING = 20
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "checkForUpdates": False,
        "doNotDisturbMode": True,
        "fetchNews": "false",
    },
    # a cell out of view would not be laid out otherwise
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none", "scrollPastEnd": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


@dataclass(frozen=True)
class JupyterServer:
    """A running JupyterLab: its process, address, and the folder that it serves."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    root: Path
    log: Path
    environment: dict[str, str]

    @property
    def settings(self) -> Path:
        """Where it keeps what is changed in its pages, for example the theme."""
        return Path(self.environment["JUPYTERLAB_SETTINGS_DIR"])


def start_jupyter(folder: Path, *, token: str, options: Sequence[str] = ()) -> JupyterServer:
    """Start JupyterLab on an empty folder below this one, and return once it says where it listens.

    Raises:
        AssertionError: it ended, or did not listen in time; with its log.
    """
    root, runtime, log = folder / "notebooks", folder / "runtime", folder / "jupyter.log"
    root.mkdir(parents=True)
    runtime.mkdir(mode=0o700)
    environment = _environment(folder)
    labconfig = folder / "config" / "labconfig"
    labconfig.mkdir(parents=True)
    (labconfig / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    with log.open("wb") as output:
        process = _launch(root, token, environment, output, options)
    try:
        url = _wait_for_url(process, runtime, log)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return JupyterServer(process, url, token, root, log, environment)


def stop_jupyter(server: JupyterServer) -> None:
    """End the sessions that notebooks left alive, the kernels and the server, each by its id.

    Raises:
        AssertionError: something had to be killed.
    """
    _end_sessions(server.root)
    family = psutil.Process(server.process.pid).children(recursive=True)
    server.process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(ENDING)
    _, alive = psutil.wait_procs(family, timeout=ENDING)
    stubborn = [*alive, *([psutil.Process(server.process.pid)] if server.process.poll() is None else [])]
    names = []
    for one in stubborn:
        with suppress(psutil.Error):  # it may end while one looks
            names.append(f"{one.pid} {' '.join(one.cmdline())}")
        with suppress(psutil.NoSuchProcess):
            one.kill()
    server.process.wait(ENDING)
    assert not names, f"these outlived their server and were killed: {names}"


def _environment(folder: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
    ours.pop("HARNESS_UNATTENDED", None)
    (folder / "home").mkdir()
    return ours | {
        "HOME": os.fspath(folder / "home"),
        "IPYTHONDIR": os.fspath(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": os.fspath(folder / "config"),
        "JUPYTER_DATA_DIR": os.fspath(folder / "data"),
        "JUPYTER_RUNTIME_DIR": os.fspath(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": os.fspath(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": os.fspath(folder / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "HARNESS_STATE_DIR": os.fspath(folder / "state"),
        "PATH": os.pathsep.join((os.fspath(Path(sys.executable).parent), os.environ["PATH"])),
    }


def _launch(
    root: Path, token: str, environment: dict[str, str], output: IO[bytes], more: Sequence[str]
) -> subprocess.Popen[bytes]:
    options = [
        "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1", "--expose-app-in-browser",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}",
        "--LabApp.news_url=None", "--LabApp.extension_manager=readonly",
        *more,
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip


def _wait_for_url(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    deadline = time.monotonic() + STARTING
    info = runtime / f"jpserver-{process.pid}.json"
    for _ in watch(runtime, step=20, debounce=50, rust_timeout=1000, yield_on_timeout=True):
        with suppress(FileNotFoundError, json.JSONDecodeError):  # not there yet, or not whole yet
            return str(json.loads(info.read_text())["url"])
        assert process.poll() is None, f"JupyterLab ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"JupyterLab did not listen in {STARTING} s:\n{log.read_text()}"
    raise AssertionError("the watching of JupyterLab's runtime folder was stopped")


def _end_sessions(root: Path) -> None:
    # unlike rglob, os.walk passes over what goes while workers still write there
    for folder in [Path(parent) for parent, names, _ in os.walk(root) if ".orchestration" in names]:
        with closing(Store(folder)) as store:
            for session in store.sessions.select(live=True):
                with suppress(ShimFailedError):
                    ask_shim(store.layout.session(session.id), do="stop", by="test", grace=1.0)
