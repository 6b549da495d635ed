"""The lines between the plans of a picture, as SVG paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BEND = 0.5
"""How much of the way between two columns a curve takes to bend."""

WIDEST_BOW = 0.5
"""How far a bow beside a column reaches, in gutters."""


@dataclass(frozen=True)
class Box:
    """A plan's place: its column and row, the left upper corner and the size in pixels."""

    column: int
    row: int
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Where lines to the right begin."""
        return self.x + self.width

    @property
    def middle(self) -> float:
        """The height at which lines begin and end."""
        return self.y + self.height / 2


class Router:
    """Finds the way of each line, and none behind a plan that it does not belong to."""

    def __init__(self, boxes: Iterable[Box], pitch: tuple[float, float]) -> None:
        self._boxes: Mapping[tuple[int, int], Box] = {(box.column, box.row): box for box in boxes}
        self._left = {box.column: box.x for box in self._boxes.values()}
        self._gutter, self._row_pitch = pitch

    def path(self, a: Box, b: Box) -> str:
        """Return the line from a plan to one that waits for it."""
        if b.column > a.column:
            return self._onward(a, b)
        return self._downward(a, b) if b.column == a.column else self._backward(a, b)

    def _onward(self, a: Box, b: Box) -> str:
        points = [(a.right, a.middle)]
        for column in range(a.column + 1, b.column):
            if column in self._left:
                y = self._gap(a, b, column)
                points += [(self._left[column], y), (self._left[column] + a.width, y)]
        points.append((b.x, b.middle))
        parts = [_move(*points[0])]
        for number in range(0, len(points) - 1, 2):
            parts.append(_curve(points[number], points[number + 1]))
            if number + 2 < len(points):
                parts.append(f"L{_pair(*points[number + 2])}")
        return "".join(parts)

    def _gap(self, a: Box, b: Box, column: int) -> float:
        """Return where a line crosses a column: straight on where nobody stands, else between two rows."""
        share = (column - a.column) / (b.column - a.column)
        row = round(a.row + (b.row - a.row) * share)
        y = a.middle + (row - a.row) * self._row_pitch
        if (column, row) not in self._boxes:
            return y
        return y + (self._row_pitch / 2 if b.row > a.row or not row else -self._row_pitch / 2)

    def _downward(self, a: Box, b: Box) -> str:
        if b.row > a.row and not any((a.column, row) in self._boxes for row in range(a.row + 1, b.row)):
            x = a.x + min(16, a.width / 2)
            return f"{_move(x, a.y + a.height)}L{_pair(x, b.y)}"
        return self._arc(a, b, self._gutter)

    def _arc(self, a: Box, b: Box, gutter: float) -> str:
        """Return a bow beside a column: at its right, or at its left for a negative gutter."""
        bow = gutter * min(WIDEST_BOW / 0.75, 0.2 + 0.1 * abs(b.row - a.row))  # a curve reaches 3/4 of its handles
        x = a.right if gutter > 0 else a.x
        return f"{_move(x, a.middle)}C{_pair(x + bow, a.middle)} {_pair(x + bow, b.middle)} {_pair(x, b.middle)}"

    @staticmethod
    def _backward(a: Box, b: Box) -> str:
        x, y = b.right, b.middle
        head = f"{_move(x + 6, y - 3)}L{_pair(x, y)}L{_pair(x + 6, y + 3)}"
        return f"{_move(a.x, a.middle)}{_curve((a.x, a.middle), (x, y))}{head}"

    def beside(self, a: Box, b: Box) -> str:
        """Return the line between two plans of which neither waits for the other."""
        if a.column == b.column:
            return self._arc(a, b, -self._gutter)
        return self._onward(*sorted((a, b), key=lambda box: box.column))

    def bundle(self, froms: list[Box], tos: list[Box]) -> str:
        """Return lines from all to all that meet in one knot, so that a crowd needs a line each and no more."""
        knot = (tos[0].x - self._gutter * 0.4, sum(box.middle for box in tos) / len(tos))
        entries = [_move(box.right, box.middle) + _curve((box.right, box.middle), knot) for box in froms]
        return "".join(entries + [_move(*knot) + _curve(knot, (box.x, box.middle)) for box in tos])


def _curve(a: tuple[float, float], b: tuple[float, float]) -> str:
    bend = (b[0] - a[0]) * BEND
    if a[1] == b[1]:
        return f"L{_pair(*b)}"
    return f"C{_pair(a[0] + bend, a[1])} {_pair(b[0] - bend, b[1])} {_pair(*b)}"


def _move(x: float, y: float) -> str:
    return f"M{_pair(x, y)}"


def _pair(x: float, y: float) -> str:
    return f"{x:.4g},{y:.4g}" if max(abs(x), abs(y)) < 1000 else f"{x:.1f},{y:.1f}"
