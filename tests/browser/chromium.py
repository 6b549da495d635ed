"""Finds a Chromium, or brings one by the system's package manager."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
PATIENCE = 600
RECIPES = {
    "apt-get": (("update",), ("install", "-y", "--no-install-recommends", "chromium")),
    "dnf": (("install", "-y", "chromium"),),
    "apk": (("add", "--no-cache", "chromium"),),
    "pacman": (("-Sy", "--noconfirm", "chromium"),),
    "brew": (("install", "--cask", "chromium"),),
}
"""What each package manager is told; those that are there are tried in this order."""
REMEDY = "Install Chromium or Google Chrome, so that it is on PATH, and run the browser tests again."


class NoBrowserError(Exception):
    """There is no browser, and none could be brought."""


def bring_chromium(apart: str | None = None) -> str:
    """Return the path of a Chromium, which is installed first where there is none.

    Raises: NoBrowserError, with one sentence that says what to install, and what package managers said.
    """
    if found := find_chromium(apart):
        return found
    with _one_at_a_time():
        return find_chromium(apart) or _bring(apart)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep processes that test side by side from installing side by side."""
    path = Path(tempfile.gettempdir()) / f"harness-nb-chromium-{os.getuid()}.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _bring(apart: str | None) -> str:
    said = [_install(name) for name in RECIPES if shutil.which(name)]
    if found := find_chromium(apart):
        return found
    raise NoBrowserError("\n".join([REMEDY, *(said or ["No package manager that is known here was found."])]))


def find_chromium(apart: str | None = None) -> str | None:
    """Return the path of the system's Chromium, or of ``apart``, the one that Playwright keeps for itself."""
    on_path = (shutil.which(name) for name in NAMES)
    elsewhere = (path for path in (*MAC, apart) if path and Path(path).exists())
    return next((path for path in (*on_path, *elsewhere) if path), None)


def _install(manager: str) -> str:
    """Tell a package manager to install Chromium and return what it said."""
    before = _as_root(manager)
    if before is None:
        return f"{manager} needs root, and there is no sudo that works without a password."
    said = []
    for arguments in RECIPES[manager]:
        command = [*before, manager, *arguments]
        said.append(f"$ {' '.join(command)}")
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=PATIENCE, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            said.append(f"It took longer than {PATIENCE} s.")
            break
        said.append(done.stdout[-2000:] + f"exit status {done.returncode}")
    return "\n".join(said)


def _as_root(manager: str) -> list[str] | None:
    """Return what to put before a command, or nothing where root is out of reach."""
    if manager == "brew" or os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False, timeout=30).returncode == 0:
        return [sudo, "-n"]
    return None
