"""A worker without a terminal: its bytes as it wrote them, its input until that ends, and its end like any other's."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import ShimFailedError
from tests.sessions.living import opened

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sessions.workers import Workers

pytestmark = pytest.mark.row(3)


def sent(data: bytes, *, end: bool = False) -> dict[str, object]:
    return {"do": "input", "data": base64.b64encode(data).decode(), "end": end}


def test_what_it_prints_in_either_way_is_kept_byte_for_byte_and_in_its_order(workers: Workers) -> None:
    worker = workers.sh("echo one; echo two >&2; printf '\\0\\r\\n\\377'; echo three", terminal=False)
    assert worker.ends()["exitCode"] == 0
    assert worker.output == b"one\ntwo\n\0\r\n\xffthree\n"


def test_many_megabytes_arrive_whole(workers: Workers) -> None:
    data = random.Random(3).randbytes(1 << 20) * 20
    (workers.layout.root / "data.bin").write_bytes(data)
    worker = workers.sh("cat data.bin", terminal=False)
    worker.ends()
    assert worker.output == data


def test_it_has_no_terminal_and_is_told_the_end_of_its_input(workers: Workers) -> None:
    worker = workers.sh("test -t 0 || test -t 1 || echo none; cat; echo over", terminal=False)
    worker.ask(**sent(b"a line\n"))
    worker.prints("a line\n")
    worker.ask(**sent(b"the last", end=True))
    assert worker.ends()["exitCode"] == 0
    assert worker.output == b"none\na line\nthe lastover\n"


def test_after_the_end_of_its_input_nothing_more_is_taken(workers: Workers) -> None:
    worker = workers.sh("cat; while ! test -e go; do sleep 0.02; done", terminal=False)
    worker.ask(**sent(b"all\n", end=True))
    worker.prints("all\n")
    with pytest.raises(ShimFailedError, match="no more input comes"):
        worker.ask(**sent(b"more\n"))
    (workers.layout.root / "go").touch()
    assert worker.ends()["exitCode"] == 0


def test_input_that_it_does_not_read_is_no_harm(workers: Workers) -> None:
    worker = workers.sh("exec <&-; echo closed; while ! test -e go; do sleep 0.02; done; echo on", terminal=False)
    worker.prints("closed")
    worker.ask(**sent(b"x" * 200_000))
    worker.ask(**sent(b"x" * 200_000))
    (workers.layout.root / "go").touch()
    assert worker.ends()["exitCode"] == 0
    assert worker.output == b"closed\non\n"


def test_much_input_waits_until_it_is_read(workers: Workers) -> None:
    worker = workers.sh("while ! test -e go; do sleep 0.02; done; wc -c", terminal=False)
    for _ in range(3):
        worker.ask(**sent(b"x" * 300_000))
    worker.ask(**sent(b"", end=True))
    (workers.layout.root / "go").touch()
    assert worker.ends()["exitCode"] == 0
    assert worker.text.strip() == "900000"


def test_the_end_of_typing_reaches_a_worker_on_a_terminal_too(workers: Workers) -> None:
    worker = workers.sh("stty -echo; echo ready; cat; echo over")
    worker.prints("ready")
    worker.ask(**sent(b"a line\n", end=True))
    assert worker.ends()["exitCode"] == 0
    assert worker.text == "ready\na line\nover\n"


def test_it_is_ended_with_all_that_it_started(workers: Workers) -> None:
    worker = workers.sh("trap '' TERM HUP; sleep 600 & echo ready; wait; wait", terminal=False)
    worker.prints("ready")
    worker.ask(do="stop", by="test", grace=0.1)
    assert worker.ends()["stoppedBy"] == "test"


def test_a_process_that_keeps_the_pipe_open_does_not_keep_the_session(workers: Workers) -> None:
    worker = workers.sh("setsid sh -c 'while ! test -e go; do sleep 0.02; done' & echo last", terminal=False)
    assert worker.ends()["exitCode"] == 0
    assert worker.output == b"last\n"
    (workers.layout.root / "go").touch()


@pytest.mark.anyio
async def test_a_session_without_a_terminal_is_sent_input_and_ends(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sort"], terminal=False)
        await session.send("b\r\na\n", end=True)
        record = await session.wait()
        assert record.state == "completed"
        assert h.store.layout.session(session.id).output.read_bytes() == b"a\nb\r\n"
