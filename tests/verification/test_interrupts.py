"""What Jupyter does to a kernel's whole group of processes, at its stop button and at a restart, fails no check."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from harness_nb.verification.search_process import LONGEST
from tests.verification.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.row(5, 11)

LIMIT = 30
KERNEL = """
import signal, sys
from functools import partial
from pathlib import Path
import anyio
from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification.patterns import find_in_file
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: print("signalled", flush=True))
try:
    print(anyio.run(partial(find_in_file, Path(sys.argv[1]), "(a+)+b", regex=True)))
except CheckCouldNotRunError as error:
    print(error)
"""
"""Lives on for a moment when it is signalled, as a kernel does, and would write down what its check says then."""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A file whose search lasts until somebody writes into it."""
    pipe = tmp_path / "slow"
    os.mkfifo(pipe)
    return pipe


@pytest.fixture
def kernel(slow: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that searches, in a group of its own."""
    argv = [sys.executable, "-c", KERNEL, str(slow)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as it:
        try:
            yield it
        finally:
            for child in psutil.Process(it.pid).children() if it.poll() is None else ():
                child.kill()
            it.kill()


def search_of(kernel: subprocess.Popen[str]) -> psutil.Process:
    """Wait until the process that searches has begun, and return it."""

    def begun() -> list[psutil.Process]:
        children = psutil.Process(kernel.pid).children()
        return [one for one in children if os.getpgid(one.pid) != kernel.pid]

    assert wait_until(lambda: bool(begun()), LIMIT)
    return begun()[0]


def write_to_reader(pipe: Path, text: str) -> None:
    """Wait until somebody reads a named pipe, and write."""

    def write() -> bool:
        try:
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return False
        os.write(descriptor, text.encode())
        os.close(descriptor)
        return True

    assert wait_until(write, LIMIT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_kernels_group_breaks_off_no_search(
    kernel: subprocess.Popen[str], slow: Path, number: signal.Signals
) -> None:
    search = search_of(kernel)
    os.killpg(kernel.pid, number)
    assert kernel.stdout
    assert kernel.stdout.readline() == "signalled\n"
    assert search.is_running()
    write_to_reader(slow, "x\naab\n")
    assert kernel.communicate(timeout=LIMIT)[0] == "line 2: aab\n"


def test_a_search_without_end_is_ended_by_the_system_once_its_kernel_has_died(
    kernel: subprocess.Popen[str], slow: Path
) -> None:
    """Its limit is made short here, as soon as it has set that."""
    search = search_of(kernel)
    assert wait_until(lambda: search.rlimit(psutil.RLIMIT_CPU)[0] == LONGEST, LIMIT)
    kernel.kill()
    search.rlimit(psutil.RLIMIT_CPU, (1, LONGEST))
    write_to_reader(slow, "a" * 40)
    assert psutil.wait_procs([search], LIMIT)[0] == [search]


def test_a_search_that_somebody_killed_says_so(kernel: subprocess.Popen[str]) -> None:
    search_of(kernel).kill()
    assert "The search for '(a+)+b' broke off: it was ended." in kernel.communicate(timeout=LIMIT)[0]
