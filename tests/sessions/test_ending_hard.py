"""Ending sessions whose process is not there, or does not answer."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb import AsyncHarness
from harness_nb.errors import ShimFailedError
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import host as hosts
from harness_nb.sessions.launch import Launch, launch
from harness_nb.sessions.starting import this_process
from tests.sessions.living import happens, opened
from tests.sessions.workers import alive, eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(3)]

WAIT = ("sh", "-c", "read line")
LONG_AGO = timedelta(minutes=5)


async def test_a_shim_that_stands_still_does_not_keep_whoever_ends_it_waiting_for_ever(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "END_PATIENCE", 0.5)
    monkeypatch.setattr("harness_nb.sessions.channel.REPLY_TIMEOUT", 0.2)
    async with opened(project) as h:
        session = await h.start_session(command=WAIT)
        shim = json.loads(h.store.layout.session(session.id).shim.read_text())["pid"]
        os.kill(shim, signal.SIGSTOP)
        try:
            with anyio.fail_after(20), pytest.raises(ShimFailedError, match="does not answer"):
                await h.host.end(session.id, grace=0)
        finally:
            os.kill(shim, signal.SIGCONT)
        await happens(h, lambda: not h.store.sessions.get(session.id).live)


async def test_a_session_that_never_came_can_be_ended_although_its_launcher_stands_still(project: Path) -> None:
    async with opened(project) as h:
        long_ago = h.store.clock() - LONG_AGO
        h.store.sessions.create(
            SessionRecord(id="s1", worker="command", working_dir=".", created_at=long_ago, launcher=this_process())
        )
        with anyio.fail_after(20):
            ended = await h.host.end("s1", grace=0)
        assert (ended.state, ended.reason) == ("failed", "ended by end_session")


async def test_a_session_that_is_resumed_while_somebody_ends_it_leaves_no_worker(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(project) as h:
        store = h.store
        now = store.clock()
        store.sessions.create(
            SessionRecord(id="s1", worker="command", working_dir=".", created_at=now, state="running", died_at=now)
        )
        write_down = h.host._write_down_wish

        async def meanwhile(session: SessionRecord, how: dict[str, Any], **who: Any) -> None:
            await write_down(session, how, **who)
            store.sessions.update("s1", "session_resumed", lives=2, died_at=None, launcher=this_process())
            launch(store.layout, "s1", Launch(WAIT, project, life=2))

        monkeypatch.setattr(h.host, "_write_down_wish", meanwhile)
        await h.host.end("s1", grace=0)
        monkeypatch.undo()
        worker = json.loads(store.layout.session("s1").shim.read_text())["workerPid"]
        eventually(lambda: not alive(worker), "the end of the worker")


async def test_what_somebody_wrote_into_a_sessions_files_stops_no_other_session(project: Path) -> None:
    async with AsyncHarness(project, trust=True) as h:
        sessions = [await h.start_session(command=WAIT) for _ in range(5)]
    folders = [h.store.layout.session(one.id) for one in sessions]
    true = [one.shim.read_text() for one in folders]
    folders[0].shim.write_text("{}")
    folders[1].shim.write_text(json.dumps({**json.loads(true[1]), "socket": "\0"}))
    folders[2].exit.write_text('{"exitCode": 0, "endedAt": 1e300}')
    folders[3].shim.write_text(json.dumps({**json.loads(true[3]), "socket": 7}))
    async with opened(project) as h:
        with anyio.fail_after(20):
            await h.host.adopt()
            await h.host.end(sessions[4].id, grace=0)
            await anyio.sleep(1)
        for folder, text in zip(folders, true, strict=True):
            folder.shim.write_text(text)
        assert h.host._tasks is not None
