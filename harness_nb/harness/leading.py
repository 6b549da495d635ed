"""Doing a run in this process, and what becomes of that."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import HarnessError, JournalTroubleError, RunTakenOverError
from harness_nb.harness.patience import only
from harness_nb.harness.runs import take_up_run
from harness_nb.store.locks import release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.harness.asynchronous import AsyncHarness
    from harness_nb.orchestrator import Runner

DOOR = "run"
"""Through what a detached run acts, as the journal names it."""

LOOK_AGAIN = 1.0
"""Seconds until the next try while another program keeps the journal locked."""


class Leading:
    """A run that this process does; ``error`` is what broke it off."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.ended = anyio.Event()
        self.error: BaseException | None = None

    async def drive(self, closed_by: Callable[[], Exception], on_end: Callable[[], None]) -> None:
        """Do the run; ``closed_by`` says why nothing goes on here when this is cancelled."""
        try:
            await self.runner.run()
        except Exception as error:
            self.error = RunTakenOverError(self.runner.record.id) if _is_taken_over(error) else only(error)
        except BaseException:
            self.error = closed_by()
            raise
        finally:
            on_end()
            self.ended.set()
            self.runner.host.changes.happened()


async def hold(root: Path, run_id: str) -> None:
    """Do a detached run to its end, unless another process is at it; what keeps it from going on is written down."""
    from harness_nb.harness.asynchronous import AsyncHarness

    async with AsyncHarness(root, door=DOOR, judges=False) as harness:
        while True:
            try:
                await _hold(harness, run_id)
            except JournalTroubleError:  # it may pass, and nobody else may be there to try again
                await anyio.sleep(LOOK_AGAIN)
                continue
            except RunTakenOverError:
                return
            except (HarnessError, OSError) as error:
                await harness.announced(partial(harness.store.runs.pause, run_id, str(error)))
            return


async def _hold(harness: AsyncHarness, run_id: str) -> None:
    runner = await anyio.to_thread.run_sync(lambda: take_up_run(harness.host, harness.desk, run_id, door=DOOR))
    if runner is not None:
        leading = Leading(runner)
        await leading.drive(harness.closed_by, lambda: release(harness.store.layout.lease))
        if leading.error is not None:
            raise leading.error


def _is_taken_over(error: Exception) -> bool:
    """Say whether another process does the run now, if that is among what went wrong: the rest follows from it."""
    group = isinstance(error, ExceptionGroup) and error.subgroup(RunTakenOverError) is not None
    return group or isinstance(error, RunTakenOverError)
