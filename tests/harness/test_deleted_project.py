"""A project whose folder is deleted while it is open: nothing is written into nowhere, and nothing lives on unseen."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Harness
from harness_nb.errors import HarnessClosedError, ProjectNotFoundError, UnusableArgumentError
from harness_nb.store.layout import state_folder
from harness_nb.store.locks import is_held
from tests.sessions.workers import alive, eventually, kill_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness_nb.harness.blocking_handles import Session

LIMIT = 30


@pytest.fixture(autouse=True)
def made_again(root: Path, opened: object) -> Iterator[None]:
    """Have a folder there again for what ends the harnesses after a test."""
    yield
    root.mkdir(exist_ok=True)


def delete(folder: Path) -> None:
    """Delete a folder at once, also while somebody writes there."""
    shutil.rmtree(folder.rename(folder.with_name("deleted")))


@pytest.fixture
def worker(harness: Harness) -> Iterator[tuple[Session, int]]:
    """A session that waits for ever, and the number of its process, which is gone when the test is."""
    session = harness.start_session(command=["sh", "-c", "trap '' HUP; echo $$; exec sleep 60"])
    pid = int(eventually(lambda: session.output().text.strip(), "it says its number"))
    yield session, pid
    kill_session(pid)


def test_a_project_made_again_is_opened_anew(harness: Harness, opened: Callable[..., Harness], root: Path) -> None:
    harness.start_session(command=["true"]).wait(LIMIT)
    delete(root)
    root.mkdir()
    again = opened()
    assert again is not harness
    assert again.list_sessions() == []
    again.start_session(command=["true"]).wait(LIMIT)
    again.close()
    assert len(opened().list_sessions()) == 1, "what was done since then is in a journal that is there"
    with pytest.raises(HarnessClosedError):
        harness.list_sessions()


def test_a_journal_deleted_by_itself_is_noticed_too(
    harness: Harness, opened: Callable[..., Harness], root: Path
) -> None:
    for path in (root / ".orchestration").glob("harness.db*"):
        path.unlink()
    with pytest.raises(ProjectNotFoundError, match=r"was deleted while it was open\. Open the project again"):
        harness.start_session(command=["true"])
    assert opened() is not harness
    opened().start_session(command=["true"]).wait(LIMIT)


def test_a_project_made_again_is_opened_anew_while_a_run_of_the_old_one_goes_on(
    harness: Harness, opened: Callable[..., Harness], root: Path, worker: tuple[Session, int]
) -> None:
    delete(root)
    root.mkdir()
    assert opened() is not harness
    assert not is_held(root / ".orchestration" / "lease.lock")


def test_a_journal_that_is_kept_elsewhere_does_not_hide_that_the_project_is_gone(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Harness], root: Path
) -> None:
    """As on a network file system, where the journal outlives the project's folder."""
    elsewhere = state_folder() / "journals" / "x" / "harness.db"
    monkeypatch.setattr("harness_nb.store.store.journal_location", lambda _: (elsewhere, None))
    first = opened()
    delete(root)
    root.mkdir()
    second = opened()
    assert second is not first
    second.start_session(command=["true"]).wait(LIMIT)
    assert opened() is second


@pytest.mark.parametrize(
    "use",
    [
        lambda h: h.start_session(command=["true"]),
        lambda h: h.run(),
        lambda h: h.ask("action", action="Turn it on", instructions="by hand"),
    ],
    ids=["start_session", "run", "ask"],
)
def test_nothing_new_is_begun_in_a_project_that_is_gone(
    harness: Harness, root: Path, use: Callable[[Harness], Any]
) -> None:
    delete(root)
    with pytest.raises(ProjectNotFoundError, match="There is no folder"):
        use(harness)
    assert not root.exists()


def test_a_session_can_be_stopped_although_its_folder_is_gone(
    harness: Harness, root: Path, worker: tuple[Session, int]
) -> None:
    session, pid = worker
    delete(root)
    assert alive(pid)
    record = session.stop(grace=0.2)
    assert not alive(pid)
    assert (record.state, record.reason) == ("failed", "lost: its project was deleted; its processes are gone")
    assert not root.exists(), "it does not come back by itself"
    assert list(harness._twin.store.layout.sockets.glob("*.sock")) == [], "its shim has tidied up"


def test_a_session_whose_folder_is_gone_goes_on_until_it_is_stopped(
    harness: Harness, root: Path, worker: tuple[Session, int]
) -> None:
    session, pid = worker
    delete(root)
    with pytest.raises(TimeoutError):
        session.wait(timeout=0.5)
    assert session.record.live
    assert alive(pid)


def test_a_session_without_folder_and_shim_is_not_said_to_be_gone(
    harness: Harness, root: Path, worker: tuple[Session, int]
) -> None:
    """Only its shim knew the process, and the shim was killed: nobody can tell."""
    session, pid = worker
    shim = json.loads(harness._twin.store.layout.session(session.id).shim.read_text())["pid"]
    delete(root)
    os.kill(shim, signal.SIGKILL)
    record = session.wait(LIMIT)
    assert record.reason == "lost: its project was deleted and its shim is gone; end what it may have left by hand"
    assert alive(pid)


def test_a_class_made_from_harness_on_a_project_that_is_open_already(harness: Harness, root: Path) -> None:
    class Mine(Harness):
        pass

    with pytest.raises(UnusableArgumentError, match=r"it is open already, as a Harness and not as a Mine\. Close"):
        Mine(root)
    harness.close()
    mine = Mine(root)
    assert Harness(root) is mine
