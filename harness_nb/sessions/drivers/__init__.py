"""The kinds of worker there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.errors import UnknownWorkerError
from harness_nb.sessions.drivers.base import Assignment, Driver, Start
from harness_nb.sessions.drivers.command import CommandDriver
from harness_nb.sessions.drivers.runbook import RunbookDriver

if TYPE_CHECKING:
    from collections.abc import Mapping

DRIVERS: Mapping[str, Driver] = {driver.name: driver for driver in (CommandDriver(), RunbookDriver())}


def driver_named(name: str) -> Driver:
    """Return a kind of worker.

    Raises: UnknownWorkerError.
    """
    if name not in DRIVERS:
        raise UnknownWorkerError(name, DRIVERS)
    return DRIVERS[name]


__all__ = ["DRIVERS", "Assignment", "Driver", "Start", "driver_named"]
