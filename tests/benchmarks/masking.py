"""What masking costs: output to disk and the delay of a line, with twenty values in all their forms and with none."""

from __future__ import annotations

import os
import random
import string
import sys
import time
from typing import TYPE_CHECKING

from harness_nb.credentials.forms import masks_of
from harness_nb.sessions import Launch, launch
from harness_nb.shim.masker import Masker
from harness_nb.store import Layout
from tests.benchmarks.figures import Figure, median, milliseconds, project, quantile
from tests.benchmarks.terminal import LINE, through_a_shim

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNS = string.ascii_letters + string.digits
SPECIAL = SIGNS + "!@#$%^&*()'\"\\/ +=é~"
COLOURED = LINE.replace(b"the ", b"\x1b[32mthe\x1b[0m ").replace(b"\n", b"\r\n")
GAP = 0.004
"""Seconds between two lines of the slow worker, far below 1 MB/s."""
SLOW = """
import sys, time
lines, gap, ending = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
for number in range(lines):
    time.sleep(gap)
    print(f"{time.monotonic_ns():020d} and its end is {ending}", end="\\n" * (number % 2), flush=True)
"""


def values() -> dict[str, str]:
    """Return seven tokens, seven passwords with special characters, and six addresses, the same ones each time."""
    chance = random.Random(5)

    def word(signs: str, size: int) -> str:
        return "".join(chance.choices(signs, k=size))

    tokens = {f"TOKEN_{number}": word(SIGNS, chance.randint(20, 48)) for number in range(7)}
    passwords = {f"PASSWORD_{number}": word(SPECIAL, chance.randint(20, 48)) for number in range(7)}
    urls = {f"URL_{number}": f"postgresql://app:{word(SPECIAL, 16)}@db{number}.example/app" for number in range(6)}
    return {**tokens, **passwords, **urls}


def masking(megabytes: int, rounds: int, lines: int) -> list[Figure]:
    """Measure by turns with masking and without."""
    with project() as root:
        source = root / "source.txt"
        source.write_bytes((LINE * (megabytes * 1_000_000 // len(LINE) + 1))[: megabytes * 1_000_000])
        layout = Layout(root)
        layout.create()
        speeds: dict[bool, list[float]] = {True: [], False: []}
        for number in range(rounds):
            for on in (True, False):
                name = f"m{number}{on}"
                took = through_a_shim(layout, source, name, terminal=True, credentials=values() if on else {})
                speeds[on].append(megabytes / took)
                layout.session(name).output.unlink()
        delays = {on: _delays(layout, f"slow{on}", values() if on else {}, lines) for on in (True, False)}
    forms = sum(map(len, masks_of(values()).values()))
    slowest = min(_speed(LINE), _speed(COLOURED))
    more = quantile(delays[True], 0.95) - quantile(delays[False], 0.95)
    return [
        Figure(
            f"{megabytes} MB of terminal output, 20 values masked in {forms} forms (median of {rounds})",
            f"{median(speeds[True]):.0f} MB/s",
            f"{median(speeds[False]):.0f} MB/s with nothing granted",
            "≥ 10 MB/s",
            median(speeds[True]) >= 10,
        ),
        Figure(
            "the same by itself, plain and coloured, per second of processor time (the slower)",
            f"{slowest:.0f} MB/s",
            "-",
            "≥ 10 MB/s",
            slowest >= 10,
        ),
        Figure(
            f"delay of output that ends in a value's first letters, 95 % of {lines}",
            milliseconds(quantile(delays[True], 0.95)),
            f"{milliseconds(quantile(delays[False], 0.95))} with nothing granted",
            f"≤ 5 ms more: {milliseconds(more)}",
            more <= 0.005,
        ),
    ]


def _speed(line: bytes) -> float:
    """Return the megabytes that a masker takes in one second of processor time, so that a busy machine matters less."""
    masker = Masker()
    masker.add(masks_of(values()))
    data = (line * (65536 // len(line) + 1))[:65536]
    began = time.process_time()
    for _ in range(60):
        masker.feed(data)
    return 60 * len(data) / (time.process_time() - began) / 1e6


def _delays(layout: Layout, name: str, credentials: Mapping[str, str], lines: int) -> list[float]:
    """Return how long after it was printed the end of each piece was in the log."""
    folder = layout.session(name)
    folder.create()
    ending = values()["TOKEN_0"][:2]
    command = (sys.executable, "-I", "-S", "-c", SLOW, str(lines), str(GAP), ending)
    launch(layout, name, Launch(command, layout.root, credentials=credentials))
    found: list[float] = []
    mark = f"is {ending}".encode()
    searched = 0
    with folder.output.open("rb", buffering=0) as log:
        text = b""
        while len(found) < lines:
            text += log.read() or b""
            now = time.monotonic_ns()
            while (at := text.find(mark, searched)) >= 0:
                searched = at + len(mark)
                stamp = text[:at].rpartition(b" and its end")[0][-20:]
                found.append((now - int(stamp)) / 1e9)
            time.sleep(0.0002)
    while not folder.exit.exists():
        time.sleep(0.001)
    return found


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for figure in masking(100, 3, 400):
        print(figure)
