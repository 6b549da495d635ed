"""Rows as columns in a terminal: as wide as their words, and never broken up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


def print_columns(console: Console, rows: Sequence[tuple[str, ...]], *, last: str = "") -> None:
    """Print rows below the names of their columns; ``last`` is the style of the last one."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = Text(style="dim" if number == 0 else "")
        for word, width in zip(row[:-1], widths, strict=False):
            line.append(f"{word:<{width}}  ")
        line.append(row[-1], style=last if number else "").rstrip()
        console.print(line, soft_wrap=True)
