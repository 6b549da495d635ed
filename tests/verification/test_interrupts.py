"""Jupyter's stop button and a kernel's restart interrupt its whole group of processes: no check fails of that."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import psutil
import pytest

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification import patterns
from harness_nb.verification import search_process as search_process_file
from harness_nb.verification.patterns import Match, find_in_file

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(5, 11)]

LIMIT = 30


async def search_process(but: psutil.Process | None = None) -> psutil.Process:
    """Wait for the process that searches for this one, and return it."""
    while True:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):  # another child of this process, which has just ended
                with_arguments = await anyio.to_thread.run_sync(child.cmdline)
                if child != but and any("search_process" in one for one in with_arguments):
                    return child
        await anyio.sleep(0.01)


async def interrupt(process: psutil.Process) -> None:
    """Interrupt a process until it has ended: while Python starts, a single interrupt may be swallowed.

    Its exit status, which can be asked for once, is left to whoever started it.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            process.send_signal(signal.SIGINT)
            await anyio.sleep(0.05)


async def write_to_reader(pipe: Path, text: str) -> None:
    """Wait until somebody reads a named pipe, and write; a writer that waits in a thread would outlive a failure."""
    while True:
        try:
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            await anyio.sleep(0.01)
        else:
            os.write(descriptor, text.encode())
            return os.close(descriptor)


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
            await interrupt(await search_process())
            await write_to_reader(slow, "x\naabb\n")
    assert found == [Match(2, "aabb")]


async def test_a_search_that_an_interrupt_hit_while_python_was_starting_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python exits with 1 then, instead of dying of the signal: one start in about a hundred, so it is played here."""
    started = tmp_path / "started"
    search_file = tmp_path / "search_process.py"
    search_file.write_text(
        f"import pathlib, sys\nstarted = pathlib.Path({str(started)!r})\n"
        "if started.exists():\n    print('[1, \"aabb\"]')\n"
        "else:\n    started.touch()\n    sys.exit('KeyboardInterrupt')\n"
    )
    monkeypatch.setattr(search_process_file, "__file__", str(search_file))
    text = tmp_path / "text"
    text.write_text("aabb\n")
    with anyio.fail_after(LIMIT):
        assert await find_in_file(text, "a+b+", regex=True) == Match(1, "aabb")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_search_that_a_kernel_ended_on_its_way_out_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    """A kernel that shuts down ends its children before itself, and might still journal that the search broke off."""
    monkeypatch.setattr(patterns, "_KERNEL_GOES_IN", 0.0)
    slow = tmp_path / "slow"
    os.mkfifo(slow)
    found: list[Match | None] = []

    async def search() -> None:
        found.append(await find_in_file(slow, "a+b+", regex=True))

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(search)
            first = await search_process()
            first.send_signal(how)
            await search_process(but=first)
            await write_to_reader(slow, "x\naabb\n")
    assert found == [Match(2, "aabb")]


async def test_a_search_that_somebody_kills_again_and_again_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made again for ever, it would use up the machine's memory where the system had killed it for that."""
    monkeypatch.setattr(patterns, "_KERNEL_GOES_IN", 0.0)
    slow = tmp_path / "slow"
    os.mkfifo(slow)
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:

            async def search() -> None:
                with pytest.raises(CheckCouldNotRunError, match="broke off: it was ended"):
                    await find_in_file(slow, "a+b+", regex=True)

            tasks.start_soon(search)
            first = await search_process()
            first.kill()
            (await search_process(but=first)).kill()
