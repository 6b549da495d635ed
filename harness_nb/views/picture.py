"""A plot to look at, to keep and to go on from: an SVG that follows light and dark, and the DataFrame behind it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness_nb.templates import render, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    import pandas as pd

STYLE = "plots.css"


class Plot:
    """A picture of a project or a run, displayed by Jupyter as inline SVG.

    ``draw`` returns the SVG with a style inside it, and ``frame`` what it shows as a DataFrame.
    """

    def __init__(
        self, *, sentence: str, label: str, draw: Callable[[str], str], frame: Callable[[], pd.DataFrame]
    ) -> None:
        self._sentence = sentence
        self._label = label
        self._draw = draw
        self._frame = frame

    @cached_property
    def svg(self) -> str:
        """The picture as a document of its own, for a file or a page."""
        return self._draw(text_of(STYLE)) + "\n"

    @cached_property
    def frame(self) -> pd.DataFrame:
        """What the picture shows, as a DataFrame."""
        return self._frame()

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the SVG to a file that a browser shows by itself, and return its path.

        Raises: OSError.
        """
        target = Path(path)
        target.write_text(self.svg, encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        # not as image/svg+xml: that becomes an <img>, where the page's theme does not reach
        return render("plot.html", label=self._label, style=text_of(STYLE), picture=self._draw(""))

    def __repr__(self) -> str:
        return self._sentence
