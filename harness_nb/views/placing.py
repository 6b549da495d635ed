"""Which column and which row of the picture a plan gets, so that few lines cross and no plan hides another."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING

from harness_nb.plans.names import phase_order, plan_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness_nb.plans.project import Project
    from harness_nb.views.chains import Chains

Columns = tuple[tuple[str, tuple[str, ...]], ...]
"""Each column's heading and the ids of its plans."""


def columns_of(project: Project, chains: Chains) -> Columns:
    """Return a column a phase, in the project's order; plans written in Python have one a step of their longest chain.

    A phase without plans keeps its column.
    """
    members: dict[str, list[str]] = {phase.number: [] for phase in project.phases}
    for plan in project.plans:
        found = members.setdefault(plan.phase, [])
        if plan.id not in found:
            found.append(plan.id)
    if not project.phases and len(members) < 2:
        return tuple(("", tuple(ids)) for ids in _steps(chains))
    names = {phase.number: phase.name for phase in project.phases}
    numbers = [*names, *sorted(members.keys() - names.keys(), key=phase_order)]
    return tuple((_heading(number, names.get(number, "")), tuple(members[number])) for number in numbers)


def _heading(number: str, name: str) -> str:
    own_name = "" if name in ("", f"Phase {number}") else name
    return " · ".join(filter(None, (f"Phase {number}" if number else "", own_name)))


def _steps(chains: Chains) -> list[list[str]]:
    step: dict[str, int] = {}
    for name in chains.order:
        step[name] = 1 + max((step[before] for before in chains.before[name]), default=-1)
    columns: list[list[str]] = [[] for _ in range(max(step.values(), default=-1) + 1)]
    for name in sorted(step, key=plan_order):
        columns[step[name]].append(name)
    return columns


def rows_of(columns: Columns, chains: Chains) -> dict[str, int]:
    """Return each plan's row; inside a column nobody stands above what it waits for.

    Of the order by id and of sweeps over the columns, to and fro, the first with the fewest crossings is taken.
    """
    column_of = {name: number for number, (_, ids) in enumerate(columns) for name in ids}
    order = [_topological(ids, chains, {name: float(row) for row, name in enumerate(ids)}) for _, ids in columns]
    orders = [order]
    for neighbours in (chains.before, chains.after, chains.before):
        order = _swept(order, chains, neighbours, column_of)
        orders.append(order)
    return min((_spread(one, chains, column_of) for one in orders), key=lambda rows: crossings(rows, chains, column_of))


def _swept(
    order: list[list[str]], chains: Chains, neighbours: Mapping[str, Sequence[str]], column_of: Mapping[str, int]
) -> list[list[str]]:
    """Order each column by where its neighbours stand, beginning at the side where those are."""
    found = [list(ids) for ids in order]
    rows = {name: row for ids in found for row, name in enumerate(ids)}
    for number in range(len(found))[:: -1 if neighbours is chains.after else 1]:
        wanted = {name: _wanted(name, neighbours, column_of, rows) for name in found[number]}
        found[number] = _topological(found[number], chains, wanted)
        rows |= {name: row for row, name in enumerate(found[number])}
    return found


def crossings(rows: Mapping[str, int], chains: Chains, column_of: Mapping[str, int]) -> int:
    """Return how many pairs of lines between the same two columns cross."""
    between: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for after, befores in chains.before.items():
        for before in befores:
            if column_of[before] != column_of[after]:
                between[column_of[before], column_of[after]].append((rows[before], rows[after]))
    count = 0
    for lines in between.values():
        seen: list[int] = []
        for _, several in groupby(sorted(lines), key=lambda line: line[0]):
            ends = [end for _, end in several]
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def _wanted(
    name: str, neighbours: Mapping[str, Sequence[str]], column_of: Mapping[str, int], rows: Mapping[str, int]
) -> float:
    """Return the mean row of a plan's neighbours in other columns: the barycentre."""
    others = [rows[other] for other in neighbours[name] if column_of[other] != column_of[name]]
    return sum(others) / len(others) if others else float(rows[name])


def _topological(ids: Sequence[str], chains: Chains, wanted: Mapping[str, float]) -> list[str]:
    """Return the plans by the rows they want, but each below those of the column that it waits for."""
    inside = set(ids)
    left = sorted(ids, key=lambda name: (wanted[name], plan_order(name)))
    placed: dict[str, None] = {}
    while left:
        name = next(one for one in left if all(before in placed for before in chains.before[one] if before in inside))
        placed[name] = None
        left.remove(name)
    return list(placed)


def _spread(order: list[list[str]], chains: Chains, column_of: Mapping[str, int]) -> dict[str, int]:
    """Leave rows free where that lets a plan stand level with what it waits for."""
    height = max((len(ids) for ids in order), default=0)
    rows: dict[str, int] = {}
    for ids in order:
        row = 0
        for number, name in enumerate(ids):
            befores = [rows[one] for one in chains.before[name] if one in rows and column_of[one] != column_of[name]]
            level = round(sum(befores) / len(befores)) if befores else row
            row = max(row, min(level, height - (len(ids) - number)))
            rows[name] = row
            row += 1
    return rows
