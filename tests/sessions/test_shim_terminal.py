"""What goes through a shim: output byte for byte, input, sizes and signals."""

from __future__ import annotations

import base64
import json
import os
import random
import socket
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import ShimFailedError
from tests.sessions.workers import alive, eventually

if TYPE_CHECKING:
    from tests.sessions.workers import Workers

pytestmark = pytest.mark.row(3)

STUBBORN = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, lambda *_: os.write(1, b"no\\n"))
print("ready", flush=True)
while True: time.sleep(600)
"""


def typed(text: str) -> dict[str, str]:
    return {"do": "input", "data": base64.b64encode(text.encode()).decode()}


SEVERAL = 10
"""Short processes at a time."""


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipes"])
@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_the_last_line_of_every_short_process_is_there(workers: Workers, count: int, terminal: bool) -> None:
    """What a worker prints just before its end is still on its way when the shim is told of the end."""
    for first in range(0, count, SEVERAL):
        numbers = range(first, min(first + SEVERAL, count))
        started = [workers.sh(f"echo first; printf 'last-{number}'", terminal=terminal) for number in numbers]
        for number, worker in zip(numbers, started, strict=True):
            assert worker.ends()["exitCode"] == 0
            assert worker.text == f"first\nlast-{number}"


def test_twenty_megabytes_arrive_byte_for_byte(workers: Workers) -> None:
    script = "import os, random\nlines = random.Random(7)\n" + (
        "text = b''.join(b'%016x\\n' % lines.getrandbits(64) for _ in range(1 << 16))\n"
        "file = os.fdopen(1, 'wb')\n"
        "for _ in range(20): file.write(text[: 1 << 20])\nfile.flush()"
    )
    worker = workers.python(script)
    worker.ends()
    numbers = random.Random(7)
    text = b"".join(b"%016x\n" % numbers.getrandbits(64) for _ in range(1 << 16))[: 1 << 20] * 20
    assert worker.output.replace(b"\r\n", b"\n") == text


def test_binary_output_arrives_as_it_is_on_a_raw_terminal(workers: Workers) -> None:
    data = random.Random(3).randbytes(200_000)
    source = workers.layout.root / "data.bin"
    source.write_bytes(data)
    worker = workers.sh("stty raw; cat data.bin")
    worker.ends()
    assert worker.output == data


def test_input_reaches_the_worker(workers: Workers) -> None:
    worker = workers.sh('echo ready; read line; echo "got <$line>"')
    worker.prints("ready")
    worker.ask(**typed("grüße\n"))
    worker.ends()
    assert "got <grüße>" in worker.text


def test_a_resize_reaches_the_worker(workers: Workers) -> None:
    worker = workers.sh("trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.01; done")
    worker.prints("40 120")
    worker.ask(do="resize", rows=33, cols=77)
    worker.ends()
    assert worker.text.splitlines()[-1] == "33 77"


def test_an_interrupt_is_what_ctrl_c_sends(workers: Workers) -> None:
    worker = workers.python(
        "import time\ntry:\n  print('ready', flush=True)\n  time.sleep(600)\nexcept KeyboardInterrupt: print('ouch')"
    )
    worker.prints("ready")
    worker.ask(do="signal", number=2)
    assert worker.ends()["exitCode"] == 0
    assert worker.text == "ready\nouch\n"


def test_a_stop_asks_first_and_says_who_stopped(workers: Workers) -> None:
    worker = workers.sh("trap 'echo bye; exit 9' TERM; echo ready; while :; do read line; done")
    worker.prints("ready")
    worker.ask(do="stop", by="somebody", grace=20)
    ended = worker.ends()
    assert worker.text == "ready\nbye\n"
    assert ended["exitCode"] == 9
    assert ended["stoppedBy"] == "somebody"


def test_a_worker_that_does_not_heed_a_stop_is_killed(workers: Workers) -> None:
    worker = workers.python(STUBBORN)
    worker.prints("ready")
    worker.ask(do="stop", grace=2)
    ended = worker.ends()
    assert ended["exitCode"] == -9
    assert "no" in worker.text
    assert not alive(worker.pid)


def test_a_second_stop_does_not_grant_more_time(workers: Workers) -> None:
    worker = workers.python(STUBBORN)
    worker.prints("ready")
    worker.ask(do="stop", grace=0.3)
    worker.ask(do="stop", grace=600)
    assert worker.ends()["exitCode"] == -9


def test_a_second_stop_can_be_more_urgent(workers: Workers) -> None:
    worker = workers.python(STUBBORN)
    worker.prints("ready")
    worker.ask(do="stop", grace=600)
    worker.ask(do="stop", grace=0)
    assert worker.ends()["exitCode"] == -9


def test_a_stop_ends_the_background_groups_of_the_workers_session(workers: Workers) -> None:
    """Job control puts each background job into a process group of its own."""
    script = "set -m; (trap '' TERM HUP; while :; do sleep 0.05; done) & echo bg $!; exec sleep 600"
    worker = workers.sh(script)
    eventually(lambda: "bg " in worker.text and worker.text.endswith("\n"), "the background job's number")
    background = int(worker.text.split()[1])
    assert os.getpgid(background) != os.getpgid(worker.pid)
    worker.ask(do="stop", grace=0.2)
    worker.ends()
    eventually(lambda: not alive(background), "the end of the background job")


def test_a_stopped_job_is_ended_too(workers: Workers) -> None:
    worker = workers.sh("echo ready; kill -STOP $$")
    worker.prints("ready")
    worker.ask(do="stop", grace=20)
    assert worker.ends()["exitCode"] in (-1, -15)


def test_what_a_worker_left_behind_does_not_keep_the_session_open(workers: Workers) -> None:
    """A daemon that still holds the terminal is no reason to wait for ever."""
    worker = workers.sh("trap '' HUP; sleep 600 & echo $!; exit 0")
    ended = worker.ends()
    left = int(worker.text)
    try:
        assert ended["exitCode"] == 0
        assert alive(left)
    finally:
        os.kill(left, 9)


def test_a_full_disk_does_not_stop_the_worker(workers: Workers) -> None:
    done = workers.layout.root / "done"
    worker = workers.sh(f"seq 1 20000; touch '{done}'", prepare=lambda folder: folder.output.symlink_to("/dev/full"))
    ended = worker.ends()
    assert done.exists()
    assert ended["exitCode"] == 0
    assert "were not stored: No space left on device" in ended["logError"]


def test_a_worker_that_never_reads_takes_no_more_than_its_share(workers: Workers) -> None:
    """Input waits in memory up to a limit; the shim still serves, and the worker still prints and ends."""
    worker = workers.sh("stty raw -echo; echo ready; sleep 600")
    worker.prints("ready")
    half = "x" * 600_000
    worker.ask(**typed(half))
    with pytest.raises(ShimFailedError, match="does not read its input"):
        worker.ask(**typed(half))
    assert worker.ask(do="watch")["output"] == len(worker.output)
    worker.ask(do="stop", grace=20)
    assert worker.ends()["stoppedBy"] == "stop"


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        ({"do": "dance"}, "nothing is known to do for 'dance'"),
        ({}, "KeyError"),
        ({"do": "resize", "rows": "many", "cols": 3}, "error"),
        ({"do": "input", "data": 7}, "TypeError"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_and_harms_nothing(
    workers: Workers, order: dict[str, object], sentence: str
) -> None:
    worker = workers.sh("read line; echo $line")
    with pytest.raises(ShimFailedError, match=sentence):
        worker.ask(**order)
    worker.ask(**typed("still here\n"))
    worker.ends()
    assert "still here" in worker.text


def test_a_worker_may_close_its_terminal_and_go_on(workers: Workers) -> None:
    gate = workers.layout.root / "go"
    worker = workers.sh(
        "echo before; exec </dev/null >/dev/null 2>&1; touch closed\n"
        f"while [ ! -e '{gate}' ]; do sleep 0.01; done; exit 5"
    )
    eventually((workers.layout.root / "closed").exists, "the terminal is closed")
    gate.touch()
    assert worker.ends()["exitCode"] == 5
    assert worker.text == "before\n"


def test_watchers_are_told_of_output_and_of_the_end(workers: Workers) -> None:
    worker = workers.sh("read line; echo answer; exit 6")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(worker.socket)
        connection.sendall(b'{"do": "watch"}\n')
        reader = connection.makefile("rb")
        assert json.loads(reader.readline())["ok"]
        worker.ask(**typed("\n"))
        news = [json.loads(line) for line in reader]
        reader.close()
    assert news[-1]["exit"]["exitCode"] == 6
    assert news[-1]["output"] == len(worker.output)


def test_a_watcher_that_never_reads_does_not_hold_up_the_worker(workers: Workers) -> None:
    worker = workers.sh("read line; seq 1 300000")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        connection.connect(worker.socket)
        connection.sendall(b'{"do": "watch"}\n')
        worker.ask(**typed("\n"))
        assert worker.ends()["exitCode"] == 0
    assert worker.text.endswith("\n300000\n")


def test_several_talk_to_one_shim_at_once(workers: Workers) -> None:
    worker = workers.sh("read line; echo $line")
    connections = [socket.socket(socket.AF_UNIX) for _ in range(12)]
    try:
        for connection in connections:
            connection.connect(worker.socket)
            connection.sendall(b'{"do": "wat')
        for connection in connections:
            connection.sendall(b'ch"}\n{"do": "watch"}\n')
        for connection in connections:
            with connection.makefile("rb") as reader:
                assert json.loads(reader.readline())["ok"]
                assert json.loads(reader.readline())["ok"]
    finally:
        for connection in connections:
            connection.close()
    worker.ask(**typed("done\n"))
    assert worker.ends()["exitCode"] == 0


def test_a_worker_may_let_go_of_its_terminal_and_come_back_to_it(workers: Workers) -> None:
    """As a program does that logs into a file, and then asks for a password."""
    worker = workers.sh(
        "exec </dev/null >/dev/null 2>&1; sleep 0.3; exec >/dev/tty </dev/tty; seq 1 5000; read line; echo got $line"
    )
    worker.prints("\n5000\n")
    worker.ask(**typed("it\n"))
    worker.prints("got it")
    assert worker.ends()["exitCode"] == 0
