"""A starter project: files that lie in ``starter/``, copied where nothing is overwritten."""

from __future__ import annotations

from contextlib import closing
from importlib.resources import as_file, files
from pathlib import Path
from shlex import quote

from harness_nb.errors import FileInTheWayError, NotAFolderError, UnwritableFolderError
from harness_nb.sample import shown
from harness_nb.store import Store


def make_project(folder: Path) -> None:
    """Write the starter project into a folder and say what to do next.

    Raises: NotAFolderError, FileInTheWayError, UnwritableFolderError.
    """
    root = folder.expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise NotAFolderError(root)
    with as_file(files("harness_nb.cli").joinpath("starter")) as starter:
        pieces = {path.relative_to(starter): path.read_bytes() for path in starter.rglob("*.md")}
    for place in (root / "planning", *(root / name for name in sorted(pieces))):
        if place.exists():
            raise FileInTheWayError(place, "init")
    try:
        for name, content in pieces.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    except OSError as error:
        raise UnwritableFolderError(root, error.strerror or str(error)) from None
    with closing(Store(root)) as store:
        store.write_default_config()
    _say(root, sorted(pieces))


def _say(root: Path, names: list[Path]) -> None:
    place = shown(root) if root != Path.cwd() else "."
    lines = [
        f"Made a starter project in {root}:",
        *(f"  {name}" for name in names),
        "  .orchestration/config.yaml",
        "",
        "Read the plans, then run them:",
        f"  harness-nb run {quote(place)} --trust",
    ]
    print("\n".join(lines))  # noqa: T201
