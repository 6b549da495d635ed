"""What every notebook keeps to: prose before code, saved with outputs, small, and without a machine's traces."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import nbformat
import pytest

from tests.notebooks.save import METADATA, NOTEBOOKS

NAMES = ("quickstart", "checkpoints", "runbook", "agent", "survival", "credentials")
JARGON = ("plans?", "sessions?", "checkpoints?", "workers?", "polic(y|ies)")


def read(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_these_are_all_notebooks() -> None:
    assert sorted(one.stem for one in NOTEBOOKS.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_begins_with_somebodys_problem_and_has_prose_before_each_code_cell(name: str) -> None:
    cells = read(name).cells
    problem = cells[0].source.split("\n\n")[1]
    assert len(problem.split()) > 30
    assert " you" in problem or "nobody" in problem
    for before, cell in pairwise(cells):
        assert cell.cell_type == "markdown" or before.cell_type == "markdown", cell.source


@pytest.mark.parametrize("name", NAMES)
def test_each_is_saved_small_with_real_outputs_and_no_red_cell(name: str) -> None:
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < 1_000_000
    code = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [one.evalue for cell in code for one in cell.outputs if one.output_type == "error"] == []
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 2
    assert all(one.name == "stdout" for cell in code for one in cell.outputs if one.output_type == "stream")


@pytest.mark.parametrize("name", NAMES)
def test_each_has_stable_ids_and_no_widget_state(name: str) -> None:
    notebook = read(name)
    assert notebook.metadata == METADATA
    assert [cell.id for cell in notebook.cells] == [f"cell-{n:02}" for n in range(1, len(notebook.cells) + 1)]
    mimes = {mime for cell in notebook.cells for one in cell.get("outputs", []) for mime in one.get("data", {})}
    assert not any("widget" in mime for mime in mimes)


@pytest.mark.parametrize("name", NAMES)
def test_our_own_words_stand_in_italics_where_they_are_explained_before_prose_uses_them(name: str) -> None:
    prose = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    told = re.sub(r"`[^`]*`|^#.*", "", prose, flags=re.MULTILINE)
    for word in JARGON:
        first = re.search(rf".?\b{word}\b", told, flags=re.IGNORECASE)
        assert first is None or first[0].startswith("*"), told[max(0, first.start() - 40) : first.end() + 40]


@pytest.mark.parametrize("name", NAMES)
def test_no_saved_output_has_a_terminals_control_codes(name: str) -> None:
    """Readers without a terminal, GitHub among them, would see them as rubbish."""
    outputs = [one for cell in read(name).cells for one in cell.get("outputs", [])]
    assert "\\u001b" not in json.dumps(outputs)
