"""``harness-nb export``: a run as a folder that opens elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness_nb.cli.opening import DOOR, opened_unseen, used_root
from harness_nb.cli.views import make_console
from harness_nb.errors import NothingToExportError
from harness_nb.harness import current_user
from harness_nb.harness.exporting import export, run_named
from harness_nb.orchestrator import Desk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def export_run(folder: Path, run: str | None, output: Path | None) -> None:
    """Write a run, or where there is none the whole project, and say where it lies.

    Raises: NothingToExportError, FileInTheWayError, UnknownRunError, UnwritableFolderError.
    """
    root, used = used_root(folder)
    if not used:
        raise NothingToExportError(root)
    with opened_unseen(root) as store:
        record = run_named(store, run)
        target = output or Path(f"{root.name}-{record.id if record else 'export'}")
        with _progress() as tell:
            written = export(store, Desk(store), target, run=run, actor=current_user(), door=DOOR, tell=tell)
    print(f"{record.id if record else 'The whole project'} is in {written} (open report.html, or README.txt)")  # noqa: T201


@contextmanager
def _progress() -> Iterator[Callable[[int, int], object]]:
    """Show at a terminal how much is written."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = make_console()
    columns = (TextColumn("writing output"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("export", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
