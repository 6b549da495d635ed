"""Runs the notebooks as a program would, and saves them with what they show: ``python -m tests.notebooks.save [name]``.

A cell tagged ``open-question`` is saved as it stood when it had run, with the question open: after the next cell it
would only say what was answered. The notebooks run in an empty folder, so they leave nothing beside them.
"""

from __future__ import annotations

import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def save(path: Path) -> None:
    """Run a notebook and write it back, without what differs from machine to machine."""
    notebook = nbformat.read(path, as_version=4)
    asking: dict[int, Any] = {}

    def keep(cell: Any, cell_index: int, **_: Any) -> None:
        if "open-question" in cell.metadata.get("tags", []):
            asking[cell_index] = deepcopy(cell.outputs)

    with tempfile.TemporaryDirectory() as folder:
        run = NotebookClient(
            notebook,
            timeout=240,
            record_timing=False,
            resources={"metadata": {"path": folder}},
            on_cell_executed=keep,
        )
        run.execute()
    notebook.metadata = METADATA
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number + 1:02}"
        cell["outputs"] = asking.get(number, cell.get("outputs", []))
        if cell.cell_type == "markdown":
            del cell["outputs"]
    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or sorted(one.stem for one in NOTEBOOKS.glob("*.ipynb")):
        save(NOTEBOOKS / f"{chosen}.ipynb")
