"""How to answer from a shell, printed below a cell that blocks in a kernel whose clicks wait for the cell's end."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import anyio.to_thread

from harness_nb.errors import HarnessClosedError
from harness_nb.harness.loop_thread import loop_thread
from harness_nb.notebook.kernel import clicks_reach_a_busy_kernel
from harness_nb.notebook.pictures import asked_of, question_lines
from harness_nb.protocol.files import CHECKPOINT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness_nb.harness import AsyncHarness


@contextlib.contextmanager
def telling(harness: AsyncHarness) -> Iterator[None]:
    """Print each question that is open, or opens while this holds, once, with the commands that answer it."""
    if clicks_reach_a_busy_kernel():
        yield
        return
    task = loop_thread().portal.start_task_soon(_tell, harness)
    try:
        yield
    finally:
        task.cancel()


async def _tell(harness: AsyncHarness) -> None:
    told: set[int] = set()
    with contextlib.suppress(HarnessClosedError):
        while True:
            changed = harness.changes.next
            await anyio.to_thread.run_sync(_print_new, harness, told)
            await changed.wait()


def _print_new(harness: AsyncHarness, told: set[int]) -> None:
    store = harness.store
    fresh = [one for one in store.messages.pending(None, CHECKPOINT_TYPES) if one.seq not in told]
    told.update(one.seq for one in fresh)
    if fresh:
        how = "This kernel takes no clicks while a cell runs. Answer from any shell:"
        lines = question_lines(asked_of(harness, fresh), store.layout.root)
        sys.stdout.write("\n".join([how, *lines]) + "\n")
        sys.stdout.flush()
