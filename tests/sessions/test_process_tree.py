"""Ending a session ends all that its worker started, however that hid, and nothing else; in bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness_nb.shim.tree import process, processes, signal_exactly
from tests.sessions.workers import alive, eventually

if TYPE_CHECKING:
    from tests.sessions.workers import Worker, Workers

pytestmark = [
    pytest.mark.row(3, 11),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no list of processes to read"),
]

DAEMON = """
import os, signal, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
signal.signal(signal.SIGTERM, {on_term})
print("daemon", os.getpid(), flush=True)
while True: time.sleep(600)
"""
"""Leaves its session, and its parents are gone at once: an orphan in a session of its own."""

STUBBORN = "signal.SIG_IGN"
TIDY = "lambda *_: (time.sleep(0.3), os.write(1, b'tidy'), os._exit(0))"


def with_daemon(workers: Workers, on_term: str, then: str = "exec sleep 600") -> tuple[Worker, int]:
    """Start a worker that leaves a daemon behind, and return the daemon's number too."""
    worker = workers.sh('"$0" -c "$1"; ' + then, sys.executable, DAEMON.format(on_term=on_term))
    eventually(lambda: "daemon " in worker.text and worker.text.endswith("\n"), "the daemon's number")
    return worker, int(worker.text.split()[1])


def test_a_daemon_that_left_the_session_is_ended_with_it(workers: Workers) -> None:
    worker, daemon = with_daemon(workers, STUBBORN)
    assert os.getsid(daemon) != worker.pid
    assert process(daemon).parent == worker.shim  # type: ignore[union-attr]
    worker.ask(do="stop", grace=0.2)
    ended = worker.ends()
    assert "escaped" not in ended
    assert not alive(daemon)


def test_a_daemon_has_as_long_as_its_worker_to_end_by_itself(workers: Workers) -> None:
    """The worker heeds at once; a database that it started needs a moment more."""
    worker, daemon = with_daemon(workers, TIDY)
    worker.ask(do="stop", grace=20)
    worker.ends()
    assert not alive(daemon)
    assert worker.text.endswith("tidy")


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipes"])
def test_what_a_worker_that_died_was_doing_does_not_go_on_beside_its_next_life(
    workers: Workers, *, terminal: bool
) -> None:
    worker = workers.sh('(trap "" HUP; exec sleep 600) & sleep 600 & echo "$! began"; wait', terminal=terminal)
    worker.prints("began")
    children = [one.pid for one in processes() if one.parent == worker.pid]
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.ends() | {"endedAt": 0} == {"exitCode": -signal.SIGKILL, "endedAt": 0}
    assert len(children) == 2
    assert not any(map(alive, children))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_a_worker_set_free_goes_on_when_the_worker_dies(workers: Workers, number: int) -> None:
    """It may be a run that was started there, and the processes of that."""
    worker, daemon = with_daemon(workers, STUBBORN)
    os.kill(worker.pid, number)
    assert worker.ends()["exitCode"] == -number
    assert alive(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_what_a_worker_left_running_on_purpose_goes_on_after_a_good_end(workers: Workers) -> None:
    """A plan may start a service that the next one uses."""
    worker, daemon = with_daemon(workers, STUBBORN, then="read line; exit 0")
    worker.ask(do="input", data="Cg==")
    assert worker.ends()["exitCode"] == 0
    try:
        assert alive(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)
    eventually(lambda: not alive(daemon), "its end")


def test_the_exit_status_is_the_workers_whoever_else_ends(workers: Workers) -> None:
    """The shim reaps orphans too, and each has a status of its own."""
    worker = workers.sh(
        "for n in 1 2 3 4 5; do (setsid sh -c '(sleep 0.05; exit 9) & exit 0'); done; sleep 0.2; exit 5"
    )
    assert worker.ends()["exitCode"] == 5


def test_nothing_is_signalled_that_only_has_the_number_of_somebody_who_was_ours(workers: Workers) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        seen = process(stranger.pid)
        assert seen is not None
        seen.started -= 1
        signal_exactly(seen, signal.SIGKILL)
        assert stranger.poll() is None
        seen.started += 1
        signal_exactly(seen, signal.SIGKILL)
        assert stranger.wait(30) == -signal.SIGKILL
    finally:
        stranger.kill()
        stranger.wait()


def test_a_session_ends_in_bounded_time_whatever_is_left(workers: Workers) -> None:
    """None of them heeds being asked, and each is in a session of its own."""
    deaf = "trap '' TERM HUP; for n in 1 2 3 4 5 6; do setsid sh -c 'echo deaf; while :; do sleep 9; done' & done; wait"
    worker = workers.sh(deaf)
    eventually(lambda: worker.text.count("deaf") == 6, "six")
    worker.ask(do="stop", grace=0.1)
    assert "escaped" not in worker.ends()
