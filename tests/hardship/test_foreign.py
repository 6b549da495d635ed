"""Nothing that is not ours is ever signalled, and no end is taken for a better one than it was."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from harness_nb.sessions import conclude
from harness_nb.shim.tree import boot_id, start_time
from harness_nb.store import Store
from tests.sessions.living import opened, printed
from tests.sessions.workers import alive, eventually, kill_shim
from tests.store.conftest import new_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(3, 11)]


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that somebody else started, at the head of a session of its own, as workers are."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("lie", ["startTime", "bootId", "none"])
def test_a_shims_file_that_names_a_stranger_ends_nobody(
    project: Path, stranger: subprocess.Popen[bytes], lie: str
) -> None:
    """Whoever can write in the session's folder may name any process: it must be a worker of this very session."""
    store = Store(project)
    folder = new_session(store, state="running")
    info = {
        "pid": stranger.pid,
        "workerPid": stranger.pid,
        "startTime": start_time(stranger.pid),
        "workerStartTime": (start_time(stranger.pid) or 0) - (lie == "startTime"),
        "bootId": "another" if lie == "bootId" else boot_id(),
        "socket": str(store.layout.socket("s1")),
    }
    folder.shim.write_text(json.dumps(info))
    record = conclude(store, "s1")
    assert record is not None
    assert str(record.reason).startswith("lost")
    assert stranger.poll() is None
    assert alive(stranger.pid)
    store.close()


async def test_the_worker_of_a_shim_that_was_killed_is_known_by_its_session_and_ended(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", "trap '' HUP TERM; echo up; while :; do sleep 9; done"])
        await printed(h, session.id, "up")
        info = kill_shim(h.store.layout.session(session.id))
        assert str((await session.wait()).reason).startswith("lost")
        await anyio.to_thread.run_sync(eventually, lambda: not alive(info["workerPid"]), "its end")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -KILL $$", "ended by signal SIGKILL"),
        ("sh -c 'kill -KILL $$'; exit $?", "exit status 137 (a shell says so of what SIGKILL ended)"),
        ("sh -c 'kill -TERM $$'; exit $?", "exit status 143 (a shell says so of what SIGTERM ended)"),
        ("exit 3", "exit status 3"),
        ("exit 255", "exit status 255"),
    ],
)
async def test_what_a_signal_ended_is_never_called_completed(project: Path, script: str, reason: str) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", script])
        record = await session.wait()
        assert (record.state, record.reason) == ("failed", reason)
