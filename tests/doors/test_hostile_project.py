"""A project's folder may come from anywhere, with lies in it: they lead nobody out of it, and no one waits for ever."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import (
    ForeignSocketError,
    JournalDamagedError,
    LinkedFolderError,
    UnfitNameError,
    UnsafeTokenFileError,
)
from harness_nb.harness.state import open_project
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import ask_shim, catch_up, read_output
from harness_nb.sessions.proof import proof_of
from harness_nb.store import Layout, Store
from harness_nb.store.locks import is_held, note_of
from harness_nb.store.refusals import KIND
from harness_nb.store.tokens import read_token
from tests.orchestrator.written_plans import configure, write_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = '{"text": "what lies outside"}'


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text(SECRET)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "project").mkdir()
    with closing(Store(tmp_path / "project")) as store:
        yield store


def add(store: Store, name: str = "s1") -> SessionRecord:
    record = SessionRecord(id=name, worker="command", state="running", working_dir=".", created_at=store.clock())
    return store.sessions.create(record)


def reasons(store: Store) -> list[object]:
    assert store.refusals.settle(30)
    return [event.data["why"] for event in store.events.select(kind=KIND)]


@pytest.mark.parametrize("name", ["..", ".", "", "../../x", "/etc", "a/b", "a\0b", "a\nb", "n" * 300, "n" * 10_000])
def test_no_id_leads_out_of_the_folder_of_sessions(tmp_path: Path, name: str) -> None:
    for place in (Layout(tmp_path).session, Layout(tmp_path).socket):
        with pytest.raises(UnfitNameError, match="cannot be a session's id"):
            place(name)


def test_a_journal_that_names_a_session_elsewhere_is_not_followed(store: Store, outside: Path) -> None:
    add(store)
    with store.journal.write() as connection:
        bad = "../../../outside"
        connection.execute("UPDATE sessions SET id = ?, data = json_set(data, '$.id', ?)", (bad, bad))
    [session] = store.sessions.select()
    with pytest.raises(UnfitNameError):
        catch_up(store, session.id, unwatched=True)
    assert [path.name for path in outside.iterdir()] == ["file"]


@pytest.mark.parametrize("where", ["another folder", "another session", "another program"])
def test_nothing_is_sent_to_a_socket_that_the_sessions_own_shim_did_not_make(
    store: Store, tmp_path: Path, where: str
) -> None:
    add(store)
    folder = store.layout.session("s1")
    path = {
        "another folder": tmp_path / "s1.sock",
        "another session": store.layout.socket("other"),
        "another program": tmp_path / "harness-nb" / "x" / "s1.sock",
    }[where]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if where == "another program":
        path.parents[1].chmod(0o755)
    folder.shim.write_text(json.dumps({"socket": str(path)}))
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        try:
            listener.bind(os.path.relpath(path))
        except OSError:  # a path that is too long for a socket; nobody listens there
            listener.bind("")
        listener.listen()
        listener.settimeout(0)
        with pytest.raises(ForeignSocketError, match="nothing is sent there"):
            ask_shim(folder, do="grant", id="x", values={"KEY": "value"})
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not proof_of(store, store.sessions.get("s1")).goes_on
    assert reasons(store) == ["foreign_socket"]
    path.unlink(missing_ok=True)


def test_a_link_in_place_of_a_session_is_refused(store: Store, outside: Path) -> None:
    add(store)
    folder = store.layout.sessions / "s2"
    folder.symlink_to(outside)
    with pytest.raises(LinkedFolderError):
        store.layout.session("s2")
    with pytest.raises(LinkedFolderError):
        add(store, "s2")
    assert [path.name for path in outside.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["link", "pipe", "device", "folder"])
def test_a_question_that_is_no_file_is_set_aside_and_named(store: Store, outside: Path, kind: str) -> None:
    add(store)
    place = store.layout.session("s1").checkpoint
    _put(place, kind, outside / "file")
    catch_up(store, "s1", unwatched=True)
    [event] = store.events.select(kind="file_rejected")
    assert (event.door, event.is_act) == ("file", True)
    assert not store.messages.pending()
    assert "what lies outside" not in event.data["reason"]
    assert (outside / "file").read_text() == SECRET


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_neither_output_nor_locks_nor_tokens_are_read_from_what_is_no_file(
    store: Store, outside: Path, kind: str
) -> None:
    add(store)
    folder = store.layout.session("s1")
    _put(folder.output, kind, outside / "file")
    assert read_output(folder.output).text == ""
    _put(folder.lock, kind, outside / "file")
    assert not is_held(folder.lock)
    assert not note_of(folder.lock).get("pid")
    if kind != "link":
        _put(folder.token, kind, outside / "file")
        with pytest.raises(UnsafeTokenFileError):
            read_token(folder.token)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_journal_that_is_no_file_is_not_opened(tmp_path: Path, outside: Path, kind: str) -> None:
    layout = Layout(tmp_path)
    layout.create()
    _put(layout.database, kind, outside / "file")
    with pytest.raises(JournalDamagedError, match="link or no file"):
        Store(tmp_path)
    assert (outside / "file").read_text() == SECRET


@pytest.mark.parametrize("by", ["a setting", "a link", "a link to a spec"])
def test_plans_that_lie_outside_of_the_project_are_not_used(store: Store, outside: Path, by: str) -> None:
    write_plan(outside, "01-01")
    root = store.layout.root
    if by == "a setting":
        configure(root, specDir="../outside")
    elif by == "a link":
        (root / "planning").symlink_to(outside / "planning")
    else:
        (root / "specs").mkdir()
        (root / "specs" / "one").symlink_to(outside)
    project = open_project(store)
    assert not project.plans
    assert any("leads out of the project" in str(problem) for problem in project.problems)


def _put(place: Path, kind: str, target: Path) -> None:
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero" if kind == "device" else target)
