"""Jupyter's stop button and a kernel's restart interrupt its whole group of processes: no check fails of that."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import psutil
import pytest

from harness_nb.verification.patterns import Match, find_in_file

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(5, 11)]

LIMIT = 30


async def search_process() -> psutil.Process:
    """Wait for the process that searches for this one, and return it."""
    while True:
        for child in psutil.Process().children():
            with_arguments = await anyio.to_thread.run_sync(child.cmdline)
            if any("search_process" in one for one in with_arguments):
                return child
        await anyio.sleep(0.01)


async def test_a_search_that_an_interrupt_hit_is_made_again(tmp_path: Path) -> None:
    """The text is a pipe, so that the search lasts until there is something to read."""
    slow = tmp_path / "slow"
    os.mkfifo(slow)
    found: list[Match | None] = []

    async def search() -> None:
        found.append(await find_in_file(slow, "a+b+", regex=True))

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(search)
            process = await search_process()
            process.send_signal(signal.SIGINT)
            await anyio.to_thread.run_sync(process.wait)
            await anyio.to_thread.run_sync(slow.write_text, "x\naabb\n", abandon_on_cancel=True)
    assert found == [Match(2, "aabb")]
