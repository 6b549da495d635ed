"""A session's token: made at its start, told to nobody, and wanted of whoever speaks for the session."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import HarnessError, NotAWorkerError, NotYourSessionError, UnsafeTokenFileError
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import Assignment
from harness_nb.sessions.worker_side import WorkerSide
from harness_nb.store import Layout, Store
from harness_nb.store.layout import FOLDER
from harness_nb.store.tokens import make_token, read_token
from tests.leaks import files_that_hold
from tests.sessions.living import opened, printed

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.anyio, pytest.mark.row(13)]

Environment = dict[str, str]
OURS = f'"{sys.executable}" -m harness_nb.cli worker'


def add_session(store: Store, name: str) -> None:
    store.sessions.create(
        SessionRecord(id=name, worker="command", state="running", working_dir=".", created_at=store.clock())
    )


@pytest.fixture
def own(project: Path) -> Environment:
    """What the worker of session "mine" finds in its environment; "other" is another session beside it."""
    with closing(Store(project)) as store:
        for name in ("mine", "other"):
            add_session(store, name)
            make_token(store.layout.session(name).token)
    folder = Layout(project).session("mine")
    return {"HARNESS_SESSION_DIR": str(folder.path), "HARNESS_TOKEN_FILE": str(folder.token)}


def other(own: Environment) -> Path:
    return Path(own["HARNESS_SESSION_DIR"]).with_name("other")


def without_token(own: Environment) -> Environment:
    return {"HARNESS_SESSION_DIR": own["HARNESS_SESSION_DIR"]}


def with_token_that_is_not_there(own: Environment) -> Environment:
    return {**own, "HARNESS_TOKEN_FILE": "/nowhere/token"}


def with_a_folder_as_token(own: Environment) -> Environment:
    return {**own, "HARNESS_TOKEN_FILE": own["HARNESS_SESSION_DIR"]}


def for_another_session(own: Environment) -> Environment:
    return {**own, "HARNESS_SESSION_DIR": str(other(own))}


def with_anothers_token(own: Environment) -> Environment:
    return {**own, "HARNESS_TOKEN_FILE": str(other(own) / "token")}


def round_the_corner(own: Environment) -> Environment:
    return {**own, "HARNESS_SESSION_DIR": f"{own['HARNESS_SESSION_DIR']}/../other/."}


def for_a_session_without_token(own: Environment) -> Environment:
    (other(own) / "token").unlink()
    return for_another_session(own)


def for_a_session_that_never_was(own: Environment) -> Environment:
    return {**own, "HARNESS_SESSION_DIR": str(other(own).with_name("never"))}


def for_no_session_at_all(own: Environment) -> Environment:
    return {**own, "HARNESS_SESSION_DIR": str(other(own).parents[2])}


def for_the_root_of_all(own: Environment) -> Environment:
    return {**own, "HARNESS_SESSION_DIR": "/"}


REFUSED = (
    (without_token, "HARNESS_TOKEN_FILE is not set"),
    (with_token_that_is_not_there, "there is no token in /nowhere/token"),
    (with_a_folder_as_token, "there is no token in"),
    (for_another_session, "'other'.* is another session's"),
    (with_anothers_token, "'mine'.* is another session's"),
    (round_the_corner, "'other'.* is another session's"),
    (for_a_session_without_token, "'other'.*it has no token"),
    (for_a_session_that_never_was, "'never'.*it has no token"),
    (for_no_session_at_all, "is no session's folder"),
    (for_the_root_of_all, "is no session's folder"),
)


@pytest.mark.parametrize(("change", "sentence"), REFUSED, ids=[change.__name__ for change, _ in REFUSED])
def test_a_worker_speaks_for_its_own_session_only(
    project: Path, own: Environment, change: Callable[[Environment], Environment], sentence: str
) -> None:
    environment = change(own)
    before = tree(project)
    with pytest.raises(NotYourSessionError, match=sentence):
        WorkerSide(environment)
    assert tree(project) == before
    with closing(Store(project)) as store:
        [row] = store.events.select(kind="door_refused")
    assert (row.door, row.data["why"]) == ("worker", "not_your_session")


def tree(folder: Path) -> dict[str, int]:
    """Return what is there and when it changed, but for the journal, which says who was refused."""
    found = {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if "harness.db" not in path.name}
    return {path: time for path, time in found.items() if not path.endswith(FOLDER)}


def test_with_its_own_token_it_is_heard(own: Environment) -> None:
    with WorkerSide(own) as side:
        assert side.report("progress_update", {"message": "here"}).session_id == "mine"


def test_a_token_that_others_can_read_is_no_token(project: Path, own: Environment) -> None:
    Path(own["HARNESS_TOKEN_FILE"]).chmod(0o644)
    with pytest.raises(UnsafeTokenFileError, match="chmod 600"):
        WorkerSide(own)
    with closing(Store(project)) as store:
        assert store.messages.select() == []


def test_a_deleted_project_does_not_come_back(tmp_path: Path, own: Environment) -> None:
    gone = {**own, "HARNESS_SESSION_DIR": str(tmp_path / "gone" / ".orchestration" / "sessions" / "mine")}
    with pytest.raises(HarnessError):
        WorkerSide(gone)
    assert not (tmp_path / "gone").exists()


def test_outside_of_a_session_the_token_is_not_even_asked_for() -> None:
    with pytest.raises(NotAWorkerError):
        WorkerSide({"HARNESS_TOKEN_FILE": "/nowhere/token"})


def public_of(pid: int) -> bytes:
    """A process's command line and environment."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_each_session_starts_with_a_token_of_its_own_that_stands_nowhere_else(project: Path) -> None:
    script = 'stat -c %a "$HARNESS_TOKEN_FILE"; echo "path $HARNESS_TOKEN_FILE"; read line'
    async with opened(project) as h:
        sessions = [await h.start_session(command=["sh", "-c", script]) for _ in range(2)]
        tokens = []
        for session in sessions:
            path = h.store.layout.session(session.id).token
            await printed(h, session.id, f"path {path}")
            assert session.output().text.startswith("600\n")
            tokens.append(read_token(path))
            shim = json.loads(h.store.layout.session(session.id).shim.read_text())
            for pid in (shim["pid"], shim["workerPid"], os.getpid()):
                assert tokens[-1].encode() not in public_of(pid)
        assert len(set(tokens)) == 2
    wanted = {h.store.layout.session(session.id).token for session in sessions}
    assert set(files_that_hold(project, *(token.encode() for token in tokens))) == wanted


async def test_the_shell_refuses_another_session_and_writes_nothing(project: Path) -> None:
    async with opened(project) as h:
        first = await h.start_session(command=["sh", "-c", "read line"])
        theirs = h.store.layout.session(first.id).path
        tries = (
            f'HARNESS_SESSION_DIR="{theirs}" {OURS} report action_needed action=run',
            f'HARNESS_TOKEN_FILE="{theirs}/token" {OURS} report action_needed action=run',
            f"env -u HARNESS_TOKEN_FILE {OURS} await",
            f'HARNESS_SESSION_DIR="{theirs}" {OURS} exec -- echo ran',
        )
        second = await h.start_session(command=["sh", "-c", "; ".join(f'{one}; echo "status $?"' for one in tries)])
        assert (await second.wait()).state == "completed"
        text = second.output().text
        assert text.count("status 2") == text.count("You cannot speak for session") == len(tries)
        assert "ran" not in text.replace("run", "")
        assert "Traceback" not in text
        assert h.store.messages.select() == []


async def test_a_token_in_an_unsafe_file_keeps_a_session_from_starting_and_says_so(project: Path) -> None:
    async with opened(project) as h:
        session = SessionRecord(id="s1", worker="command", working_dir=".", created_at=h.store.clock())
        folder = h.store.layout.session("s1")
        folder.create()
        folder.token.write_text("everybody-knows\n")
        folder.token.chmod(0o644)
        with pytest.raises(UnsafeTokenFileError, match="chmod 600"):
            await h.host.start(session, Assignment(command=("true",)))
        record = h.store.sessions.get("s1")
        assert (record.state, "chmod 600" in str(record.reason)) == ("failed", True)


async def test_a_session_that_is_this_process_needs_no_token(project: Path) -> None:
    async with opened(project) as h:
        h.host.open_python(SessionRecord(id="cell", worker="python", working_dir=".", created_at=h.store.clock()))
        assert not h.store.layout.session("cell").token.exists()
        h.host.close_python("cell", state="completed")
