"""Keyrings and sources of the tests' own, where the system's keyring and somebody else's package would be."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, ClassVar

from keyring.backend import KeyringBackend

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-hunter2-hunter2"


class ShelfKeyring(KeyringBackend):
    """A keyring that keeps values in memory; it may be shut, refuse, or wait for somebody to open it."""

    priority: ClassVar[float] = -5  # never chosen unless it is set

    def __init__(self, values: dict[tuple[str, str], str] | None = None, failure: BaseException | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.values = values or {}
        self.failure = failure
        self.asked: list[tuple[str, str]] = []
        self.entered, self.open = Event(), Event()
        self.open.set()

    def get_password(self, service: str, username: str) -> str | None:
        """Return a value as the keyring's own interface does."""
        self.asked.append((service, username))
        self.entered.set()
        self.open.wait()
        if self.failure is not None:
            raise self.failure
        return self.values.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a value."""
        self.values[service, username] = password


FILE_KEYRING = """
import json, os
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = -5

    def get_password(self, service, username):
        return self._read().get(service + "/" + username)

    def set_password(self, service, username, password):
        values = {**self._read(), service + "/" + username: password}
        with open(os.environ["SHELF_FILE"], "w") as file:
            json.dump(values, file)

    def _read(self):
        try:
            with open(os.environ["SHELF_FILE"]) as file:
                return json.load(file)
        except FileNotFoundError:
            return {}
"""


def file_keyring(folder: Path) -> dict[str, str]:
    """Write a keyring that keeps its values in a file, and return the environment in which processes use it."""
    folder.mkdir()
    (folder / "shelf_keyring.py").write_text(FILE_KEYRING)
    return {
        "PYTHONPATH": str(folder),
        "PYTHON_KEYRING_BACKEND": "shelf_keyring.Keyring",
        "SHELF_FILE": str(folder / "values.json"),
    }


def install(folder: Path, module: str, code: str, **points: str) -> None:
    """Put a distribution into a folder: one module, and what it registers as sources of credentials."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {module}:{target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[harness_nb.credential_sources]\n{lines}")
