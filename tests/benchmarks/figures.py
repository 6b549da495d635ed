"""A figure, its yardstick and its goal; and the few sums that all of them need."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness_nb.store import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    ours: str
    yardstick: str
    goal: str
    met: bool


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return quantile(values, 0.5)


def milliseconds(seconds: float) -> str:
    """Return a time as people read it in a table."""
    value = seconds * 1000
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def cpu_of(pid: int) -> float:
    """Return the processor time of a process in seconds, with that of threads which have ended.

    It is read from the clock that Linux keeps for each process, to the nanosecond; see clock_getcpuclockid(3).
    """
    return time.clock_gettime((~pid << 3) | 2)


@contextmanager
def project() -> Iterator[Path]:
    """Give an empty project that is gone afterwards, with its sockets."""
    with tempfile.TemporaryDirectory(prefix="harness-nb-benchmark-") as folder:
        root = Path(folder).resolve()
        yield root
        shutil.rmtree(Layout(root).sockets, ignore_errors=True)
