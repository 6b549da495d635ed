"""A worker goes on whatever its shim lacks or meets: room on the disk, descriptors, or clients that behave."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import socket
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import ShimFailedError
from harness_nb.sessions import ask_shim, read_output
from harness_nb.store.locks import is_held
from tests.sessions.workers import Worker, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness_nb.store import Layout
    from tests.hardship.conftest import Disks
    from tests.sessions.workers import Workers

pytestmark = [
    pytest.mark.row(3, 11),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="what a process takes is read from /proc"),
]

MEGABYTE = 1 << 20
MEMORY = 40 * MEGABYTE
"""What a shim may take at most, far more than it does."""

LIMITED = """
import json, resource, sys
from pathlib import Path
from harness_nb.sessions import Launch, launch
from harness_nb.store import Layout
layout = Layout(Path(sys.argv[1]))
layout.session("s").create()
resource.setrlimit(getattr(resource, sys.argv[2]), (int(sys.argv[3]), int(sys.argv[3])))
launch(layout, "s", Launch(("sh", "-c", sys.argv[4]), layout.root))
"""


def limited(workers: Workers, what: str, limit: int, script: str) -> Worker:
    """Start a worker under a shim that has only so much of something."""
    layout: Layout = workers.layout
    arguments = [os.fspath(layout.root), what, str(limit), script]
    subprocess.run([sys.executable, "-c", LIMITED, *arguments], check=True)
    worker = Worker(layout.session("s"), json.loads(layout.session("s").shim.read_text()))
    workers.started.append(worker)
    return worker


def memory_of(worker: Worker) -> int:
    """Return the most memory that a worker's shim ever had, in bytes."""
    for line in Path(f"/proc/{worker.shim}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the system does not say")


def descriptors_of(worker: Worker) -> int:
    return len(list(Path(f"/proc/{worker.shim}/fd").iterdir()))


def connected(worker: Worker) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(worker.socket)
    return connection


def pushed(connection: socket.socket, data: bytes, most: int) -> int:
    """Send the same again and again, until nobody takes it any more or it was enough; return how much that was."""
    connection.settimeout(1.0)
    sent = 0
    try:
        while sent < most:
            sent += connection.send(data)
    except (TimeoutError, ConnectionError):
        pass
    return sent


# --- clients -----------------------------------------------------------------------------------


def test_a_watcher_that_never_reads_holds_up_neither_the_worker_nor_its_shim(workers: Workers) -> None:
    worker = workers.sh("read go; yes | head -c 20000000; echo end; read line")
    with connected(worker) as watcher, connected(worker) as other:
        for one in (watcher, other):
            one.sendall(b'{"do": "watch"}\n')
        worker.ask(do="input", data="Cg==")
        eventually(lambda: worker.folder.output.stat().st_size > 30_000_000, "all of it, each line with its return")
        assert memory_of(worker) < MEMORY
        worker.ask(do="input", data="Cg==")
        assert worker.ends()["exitCode"] == 0


def test_a_client_that_asks_and_never_reads_is_heard_no_more_until_it_reads(workers: Workers) -> None:
    worker = workers.sh("read line")
    with connected(worker) as rude:
        order = json.dumps({"do": "mask", "texts": ["x" * 30_000]}).encode() + b"\n"
        taken = pushed(rude, order, 200 * MEGABYTE)
        assert taken < 20 * MEGABYTE
        assert memory_of(worker) < MEMORY
        assert worker.ask(do="mask", texts=["others are served"])["texts"] == ["others are served"]
        rude.settimeout(10)
        with rude.makefile("rb") as reader:
            answers = [json.loads(reader.readline()) for _ in range(taken // len(order))]
    assert len(answers) > 10
    assert all(answer["ok"] for answer in answers)


def test_a_client_whose_order_has_no_end_is_let_go(workers: Workers) -> None:
    worker = workers.sh("read line")
    with connected(worker) as rude:
        sent = pushed(rude, b"x" * MEGABYTE, 200 * MEGABYTE)
        assert sent < 100 * MEGABYTE
    assert worker.ask(do="mask", texts=["served"])["ok"]
    assert memory_of(worker) < 3 * MEMORY


def test_typing_megabytes_at_a_worker_that_never_reads_is_refused_with_a_sentence(workers: Workers) -> None:
    worker = workers.sh("stty raw -echo; echo up; exec sleep 600")
    worker.prints("up")
    piece = b64encode(b"y" * 300_000).decode()
    with pytest.raises(ShimFailedError, match="the worker does not read its input; 1 MiB of it waits already"):
        [worker.ask(do="input", data=piece) for _ in range(40)]
    assert memory_of(worker) < MEMORY
    worker.ask(do="stop", grace=1)
    assert worker.ends()["stoppedBy"] == "stop"


# --- descriptors -------------------------------------------------------------------------------


def test_more_connections_than_descriptors_take_none_that_the_shim_needs_itself(workers: Workers) -> None:
    worker = limited(workers, "RLIMIT_NOFILE", 48, "echo up; setsid sleep 600 & read line")
    worker.prints("up")
    crowd = [connected(worker) for _ in range(15)]
    for number, one in enumerate(itertools.islice(crowds(worker), 150)):
        crowd.append(one)
        if number % 10 == 0:
            assert worker.ask(do="mask", texts=["still served"])["ok"]
    try:
        assert descriptors_of(worker) < 40
        worker.ask(do="stop", grace=0.2)
        ended = worker.ends()
        assert ended["stoppedBy"] == "stop"
        assert "escaped" not in ended
    finally:
        for one in crowd:
            one.close()


def crowds(worker: Worker) -> Iterator[socket.socket]:
    while True:
        one = connected(worker)
        one.sendall(b'{"do": "watch"}\n')
        yield one


@pytest.mark.parametrize("descriptors", [7, 10])
def test_a_session_for_which_no_descriptors_are_left_is_refused_with_a_sentence(
    workers: Workers, descriptors: int
) -> None:
    arguments = [os.fspath(workers.layout.root), "RLIMIT_NOFILE", str(descriptors), "true"]
    launcher = subprocess.run([sys.executable, "-c", LIMITED, *arguments], check=False, capture_output=True, text=True)
    assert "ShimFailedError: Session s cannot be reached" in launcher.stderr
    assert "Too many open files" in launcher.stderr


# --- the disk ----------------------------------------------------------------------------------


def test_a_worker_prints_on_where_its_output_may_not_grow_and_what_is_lost_is_counted(workers: Workers) -> None:
    worker = limited(workers, "RLIMIT_FSIZE", MEGABYTE, "head -c 5000000 /dev/zero | tr '\\0' x; echo over; exit 3")
    ended = worker.ends()
    assert ended["exitCode"] == 3
    assert worker.folder.output.stat().st_size == MEGABYTE
    assert ended["logError"] == f"{5_000_000 + 6 - MEGABYTE:,} bytes of output were not stored: File too large"


def test_on_a_full_disk_a_worker_goes_on_and_its_end_is_still_written_down(disks: Disks, workers: Workers) -> None:
    disk = disks.make(workers.layout.sessions, 4 * MEGABYTE)
    worker = workers.sh("echo before; read line; yes | head -c 3000000; read line; echo after; exit 5")
    worker.prints("before")
    filler = disk.fill()
    stored = worker.folder.output.stat().st_size
    worker.ask(do="input", data="Cg==")
    lost = eventually(lambda: told(worker).get("trouble"), "the loss is told while the session lives")
    assert "No space left on device" in lost
    worker.ask(do="input", data="Cg==")
    ended = worker.ends()
    assert ended["exitCode"] == 5
    assert "No space left on device" in ended["logError"]
    assert worker.folder.output.stat().st_size <= stored + 4096
    assert worker.text.startswith("before\n")
    filler.unlink()


def test_what_comes_once_there_is_room_again_is_kept(disks: Disks, workers: Workers) -> None:
    disk = disks.make(workers.layout.sessions, 4 * MEGABYTE)
    worker = workers.sh("read line; yes | head -c 300000; read line; echo after")
    filler = disk.fill()
    worker.ask(do="input", data="Cg==")
    eventually(lambda: told(worker).get("trouble"), "the loss")
    filler.unlink()
    worker.ask(do="input", data="Cg==")
    assert "bytes of output were not stored: No space left on device" in worker.ends()["logError"]
    assert worker.text.endswith("after\n")


def told(worker: Worker) -> dict[str, object]:
    """Return what a shim tells whoever begins to watch."""
    return ask_shim(worker.folder, do="watch")


def test_an_end_in_a_read_only_folder_is_written_down_once_that_can_be_written(disks: Disks, workers: Workers) -> None:
    worker = workers.sh("echo up; read line; exit 4")
    worker.prints("up")
    with connected(worker) as watcher, watcher.makefile("rb") as reader:
        watcher.sendall(b'{"do": "watch"}\n')
        disks.freeze(worker.folder.path)
        worker.ask(do="input", data="Cg==")
        last = [json.loads(line) for line in reader][-1]
    assert last["exit"]["exitCode"] == 4
    assert not worker.folder.exit.exists()
    assert is_held(worker.folder.lock)
    disks.thaw()
    assert worker.ends()["exitCode"] == 4


# --- what is printed ---------------------------------------------------------------------------

HUNDRED = 100 * MEGABYTE
ONE_LINE = """
import sys
piece = b"0123456789abcdef" * 65536
for _ in range(100): sys.stdout.buffer.write(piece)
"""


def test_a_hundred_megabytes_without_a_newline_are_stored_whole_and_read_in_pieces(workers: Workers) -> None:
    worker = workers.python(ONE_LINE + "sys.stdout.buffer.flush(); sys.stdin.readline()")
    eventually(lambda: worker.folder.output.stat().st_size == HUNDRED, "all of it")
    assert memory_of(worker) < MEMORY
    worker.ask(do="input", data="Cg==")
    worker.ends()
    with worker.folder.output.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert digest == hashlib.sha256((b"0123456789abcdef" * 65536) * 100 + b"\r\n").hexdigest()
    tail = read_output(worker.folder.output, lines=100)
    assert len(tail.text) <= MEGABYTE
    assert tail.text.endswith("abcdef\n")
    piece = read_output(worker.folder.output, since=50 * MEGABYTE)
    assert (piece.start, piece.end) == (50 * MEGABYTE, 51 * MEGABYTE)


@pytest.mark.parametrize("credentials", [None, {"KEY": "s3cret-value"}], ids=["plain", "masked"])
def test_binary_output_is_stored_byte_for_byte(workers: Workers, credentials: dict[str, str] | None) -> None:
    data = bytes(range(256)) * 8192 + os.urandom(MEGABYTE)
    source = workers.layout.root / "bytes"
    source.write_bytes(data)
    worker = workers.sh("stty raw; cat bytes", credentials=credentials)
    worker.ends()
    assert worker.output == data
    text = read_output(worker.folder.output).text
    assert text
    text.encode()


def test_the_limits_of_whoever_starts_a_session_are_the_workers_too(workers: Workers) -> None:
    """The shim keeps within what it was given, and takes nothing from its worker for itself."""
    worker = workers.sh("ulimit -n")
    worker.ends()
    assert int(worker.text) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
