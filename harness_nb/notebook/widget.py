"""The one widget of this package: lists of HTML fragments that Python keeps up to date, and what people do with them.

Python renders, the page replaces what changed: so a saved notebook, a page without a kernel and the living view show
the same. The page sends orders (an answer, a line of input, stop); each comes with a number and is told what became
of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from harness_nb import templates

if TYPE_CHECKING:
    from collections.abc import Callable

Lists = Mapping[str, Sequence[tuple[str, str]]]
"""Keys and fragments of HTML in the order they are shown, by the name of their list."""


class View(anywidget.AnyWidget):
    """What is shown in a cell; ``on_order`` gets each order of the page, on whatever thread the kernel uses."""

    _esm = Path(str(files(__package__).joinpath("view.js")))
    _css = templates.style()

    frame = traitlets.Unicode("").tag(sync=True)
    lists = traitlets.Dict({}).tag(sync=True)

    def __init__(self, frame: str, lists: Lists, *, on_order: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(frame=frame, lists=lists)
        self._on_order = on_order
        self.on_msg(self._take_order)
        # A click is to be handled where the page sent it, a subshell, and not behind the cell that runs now.
        self.comm._reply_subshell_for = lambda _data, default: default

    def _take_order(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        self._on_order(content)
