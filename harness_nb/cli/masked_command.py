"""Running a command whose output goes elsewhere than to its session's terminal, with the values in it masked.

What is printed on the terminal, the session's shim masks. A pipe or a file is another's: an agent reads what the
commands that it runs print, sends it to its model, and keeps it in a transcript at home. So there it is masked here.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from harness_nb.credentials.forms import masks_of
from harness_nb.shim.masker import Masker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType
    from typing import Self

READ_SIZE = 65536
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that come to this process alone; what a terminal sends reaches the command by itself."""
STDOUT, STDERR = 1, 2
SILENCE = 0.1
"""Seconds without output after which a command that has ended counts as silent, though others may still hold its
pipe."""


class Carrier:
    """Carries what a command prints on to where it goes, masked."""

    def __init__(self, source: int, target: int, values: Mapping[str, str]) -> None:
        self.source = source
        self._target = target
        self._masker = Masker()
        self._masker.add(masks_of(values))

    def carry(self) -> bool:
        """Carry what is there; false at the end, also where nobody reads any more."""
        data = os.read(self.source, READ_SIZE)
        goes_on = self._write(self._masker.feed(data) if data else self._masker.flush()) and bool(data)
        if not goes_on:
            os.close(self.source)
        return goes_on

    @property
    def silence(self) -> float | None:
        """Seconds without output after which ``settle`` has something to carry on, or None."""
        return self._masker.silence if self._masker.waiting else None

    def settle(self) -> None:
        """Carry the end of an answer on for which somebody waits; that nobody reads is noticed at the next carry."""
        if self._masker.waiting:
            self._write(self._masker.settle())

    def _write(self, data: bytes) -> bool:
        """Write all of it; false where that cannot be any more, as the command then notices by its own pipe."""
        while data:
            try:
                data = data[os.write(self._target, data) :]
            except BlockingIOError:
                select.select([], [self._target], [])
            except OSError:
                return False
        return True


def goes_elsewhere() -> list[int]:
    """Return which of standard output and error are open and no terminals."""
    return [end for end in (STDOUT, STDERR) if _is_open(end) and not os.isatty(end)]


def _is_open(end: int) -> bool:
    try:
        os.fstat(end)
    except OSError:
        return False
    return True


def run_masked(command: Sequence[str], environment: Mapping[str, str], values: Mapping[str, str]) -> int:
    """Run a command to its end and return its exit status; one that a signal ended ends this process by that, too.

    Raises: OSError where it cannot be run.
    """
    with _Signals() as signals:
        carriers, process = _started(command, environment, values)
        signals.process = process
        _carry_until_the_end(carriers, process, signals.wakeup)
    code = process.returncode
    if code >= 0:
        return code
    with suppress(OSError):  # of two signals nobody can change what they do
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code


def _started(
    command: Sequence[str], environment: Mapping[str, str], values: Mapping[str, str]
) -> tuple[list[Carrier], subprocess.Popen[bytes]]:
    elsewhere = goes_elsewhere()
    together = len(elsewhere) == 2 and os.path.sameopenfile(STDOUT, STDERR)  # so that they keep their order
    pipes = {end: os.pipe() for end in elsewhere[: 1 if together else 2]}
    theirs = {end: writing for end, (_, writing) in pipes.items()}
    if together:
        theirs[STDERR] = theirs[STDOUT]
    try:
        process = subprocess.Popen(command, env=environment, stdout=theirs.get(STDOUT), stderr=theirs.get(STDERR))
    finally:
        for writing in set(theirs.values()):
            os.close(writing)
    return [Carrier(reading, end, values) for end, (reading, _) in pipes.items()], process


def _carry_until_the_end(carriers: list[Carrier], process: subprocess.Popen[bytes], wakeup: int) -> None:
    """Carry until the command has ended and is silent; what others print into its pipe later is carried beside."""
    going = {one.source: one for one in carriers}
    while process.poll() is None or going:
        ended = process.returncode is not None
        ready, _, _ = select.select([*going, wakeup], [], [], SILENCE if ended else _silence(going))
        if not ready:
            _settle(going)
        if ended and not ready:
            break
        for source in ready:
            if source == wakeup:
                os.read(wakeup, 4096)
            elif not going[source].carry():
                del going[source]
    if going:
        _carry_beside(going)


def _carry_beside(going: dict[int, Carrier]) -> None:
    """Leave what programs that the command left behind still print to a process of its own."""
    if os.fork():
        return
    try:
        while going:
            ready = select.select([*going], [], [], _silence(going))[0]
            if not ready:
                _settle(going)
            for source in ready:
                if not going[source].carry():
                    del going[source]
    finally:
        os._exit(0)


def _silence(going: Mapping[int, Carrier]) -> float | None:
    return min((one.silence for one in going.values() if one.silence is not None), default=None)


def _settle(going: Mapping[int, Carrier]) -> None:
    for one in going.values():
        one.settle()


class _Signals:
    """Wakes whoever waits when the command ends, and passes on to it what this process is told."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.wakeup, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGQUIT):
            self._take(number, lambda *_: None)  # the terminal sends it to the command as well
        for number in PASSED_ON:
            self._take(number, self._pass_on)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)

    def _take(self, number: int, handler: Callable[[int, FrameType | None], object]) -> None:
        if signal.getsignal(number) is not signal.SIG_IGN:  # which the command is to inherit, as under nohup
            signal.signal(number, handler)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
