"""How handles show themselves in a notebook.

The notebook's room is above this one and is loaded by its name when a cell shows something: so scripts and doors
without Jupyter never load it, and imports still point down only.
"""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness_nb.harness.attendance import attended

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness_nb.harness.asynchronous import AsyncHarness

NOTEBOOK = "harness_nb.notebook"


class Displayed:
    """Something that a cell can show."""

    def _ipython_display_(self) -> None:
        _notebook().show(self)

    def _repr_html_(self) -> str:
        html: str = _notebook().html_of(self)
        return html


class Board(Displayed):
    """A project's control room: what waits for you, the plans, the sessions and their output."""

    def __init__(self, twin: AsyncHarness) -> None:
        self._twin = twin

    def __repr__(self) -> str:
        text: str = _notebook().text_of(self)
        return text


def waiting(harness: AsyncHarness) -> AbstractContextManager[object]:
    """While this holds, whoever looks at the cell that blocks learns how to answer, where clicks cannot get through."""
    if not attended():  # nor outside of a kernel, where nothing tells
        return nullcontext()
    context: AbstractContextManager[object] = _notebook().telling(harness)
    return context


def show_to_reader(handle: Displayed) -> None:
    """Show something in the cell that runs, where this is a notebook's kernel and somebody is there."""
    if attended():
        handle._ipython_display_()


def _notebook() -> Any:
    return import_module(NOTEBOOK)
