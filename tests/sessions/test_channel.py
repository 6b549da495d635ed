"""Talking to a shim: what comes back when it answers, when it is gone, and when something else answers."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb.errors import ShimFailedError
from harness_nb.sessions import ask_shim, watch_shim

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sessions.workers import Workers


@pytest.mark.anyio
async def test_watching_yields_sizes_and_at_last_the_end(workers: Workers) -> None:
    worker = workers.sh("read line; echo $line; exit 4")
    news: list[dict[str, Any]] = []
    with anyio.fail_after(30):
        async for one in watch_shim(worker.folder):
            if not news:
                worker.ask(do="input", data="aGkK")
            news.append(one)
    assert news[0] == {"ok": True, "output": 0}
    assert news[-1]["exit"]["exitCode"] == 4
    sizes = [one["output"] for one in news]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(worker.output)


@pytest.mark.anyio
async def test_there_is_nothing_to_watch_once_it_is_gone(workers: Workers) -> None:
    worker = workers.sh("true")
    worker.ends()
    with pytest.raises(OSError, match="No such file"):
        await anext(watch_shim(worker.folder))


def test_a_session_without_a_shim_cannot_be_asked(workers: Workers) -> None:
    folder = workers.layout.session("never")
    with pytest.raises(ShimFailedError, match="Session never cannot be reached: it has no terminal"):
        ask_shim(folder, do="watch")


def test_a_session_that_has_ended_says_so(workers: Workers) -> None:
    worker = workers.sh("true")
    worker.ends()
    with pytest.raises(ShimFailedError, match=r"Session s1 cannot be reached: it has ended\."):
        worker.ask(do="input", data="Cg==")
    worker.folder.exit.unlink()
    with pytest.raises(ShimFailedError, match="it has ended, and its shim left no exit status"):
        worker.ask(do="input", data="Cg==")


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [(b"", "it has ended"), (b"{what\n", "its shim is gone"), (b'{"ok": false, "error": "no"}\n', "reached: no")],
)
def test_a_reply_that_is_none_is_an_error_of_that_session(workers: Workers, reply: bytes, sentence: str) -> None:
    folder = workers.layout.session("s1")
    folder.create()
    path: Path = workers.layout.socket("s1")
    folder.shim.write_text(json.dumps({"socket": str(path)}))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ShimFailedError, match=sentence):
            ask_shim(folder, do="watch")
        thread.join()
