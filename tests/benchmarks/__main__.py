"""``python -m tests.benchmarks``: the table of all figures; ``--quick`` measures less often.

The exit status is 0 whatever the figures are: a benchmark on a busy machine is no test.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from rich.console import Console
from rich.table import Table

from tests.benchmarks import (
    browser,
    crowd,
    doors,
    masking,
    mcp,
    opening,
    projects,
    starting,
    tail,
    taking_over,
    talking,
    terminal,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.benchmarks.figures import Figure


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """Yield each figure as soon as it is known."""
    for room in (measure_sessions, measure_what_is_large, measure_projects):
        async for figure in room(quick=quick):
            yield figure
    for in_a_browser in (browser.in_a_browser, doors.at_every_door):
        for figure in await anyio.to_thread.run_sync(partial(in_a_browser, quick=quick)):
            yield figure


async def measure_sessions(*, quick: bool) -> AsyncIterator[Figure]:
    """Yield the figures of starting, printing, reporting and answering."""
    yield await starting.start_of_a_session(15 if quick else 41)
    for figure in terminal.output_to_disk(20 if quick else 100, 3):
        yield figure
    for figure in masking.masking(20 if quick else 100, 3, 100 if quick else 400):
        yield figure
    for figure in await talking.reports_and_answers(1 if quick else 4):
        yield figure
    if not quick:
        for figure in await talking.a_long_talk(500):
            yield figure


async def measure_projects(*, quick: bool) -> AsyncIterator[Figure]:
    """Yield the figures of runs, of their doors and of waiting for them."""
    for figure in await taking_over.runs_of_their_own(2 if quick else 7):
        yield figure
    for figure in await mcp.through_mcp(50 if quick else 200, 3 if quick else 20):
        yield figure
    yield starting.import_of_the_harness(5 if quick else 11)
    yield await projects.many_plans(300, 1 if quick else 3)
    yield await projects.many_checks(3 if quick else 9)
    for figure in await waiting.waits(2 if quick else 5):
        yield figure


async def measure_what_is_large(*, quick: bool) -> AsyncIterator[Figure]:
    """Yield the figures of a long log, of a project of many years, and of many sessions at once."""
    blocking = partial(tail.end_of_a_long_log, 100 if quick else 1000, 50 if quick else 200)
    for figure in await anyio.to_thread.run_sync(blocking):
        yield figure
    for figure in await anyio.to_thread.run_sync(opening.opening, 1000 if quick else 10_000, 3):
        yield figure
    for figure in await crowd.idle_sessions(20 if quick else 200, 3 if quick else 10):
        yield figure
    for figure in await crowd.messages_among_printers(5 if quick else 50, 20, 50 if quick else 200):
        yield figure


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure harness_nb.")
    parser.add_argument("--quick", action="store_true", help="measure less often")
    console = Console() if sys.stdout.isatty() else Console(width=120)
    load, cores = os.getloadavg()[0], os.cpu_count()
    caption = (
        f"{cores} cores, load {load:.1f} at the start{' — too busy to judge by' if load > 0.5 * (cores or 1) else ''}"
    )
    table = Table("", "what", "figure", "yardstick", "goal", caption=caption)
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as state:
        os.environ["HARNESS_STATE_DIR"] = state
        async for figure in measure(quick=quick):
            sign = "[green]✓[/]" if figure.met else "[red]✕[/]"
            table.add_row(sign, figure.what, figure.ours, figure.yardstick, figure.goal)
            if console.is_terminal:  # a plain line, since something that turns would take time of its own
                console.print(f"{figure.what}: {figure.ours}", style="dim")
    console.print(table)


if __name__ == "__main__":
    anyio.run(main)
