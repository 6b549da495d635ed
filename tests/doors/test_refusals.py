"""What was refused is in the journal: named, counted, and never in the way of the refusing."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from harness_nb import Harness
from harness_nb.errors import OutsideProjectError, SessionNotFoundError
from harness_nb.store import Layout, Store
from harness_nb.store.refusals import KIND, LONGEST, MOST, shown_address, shown_path
from tests.leaks import files_that_hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with closing(Store(tmp_path, clock=clock)) as store:
        yield store


def rows(store: Store) -> list[tuple[object, object]]:
    """Return what was tried and how often it is said to have been, one pair a row."""
    assert store.refusals.settle(PATIENCE)
    return [(one.data["tried"], one.data.get("count")) for one in store.events.select(kind=KIND)]


def test_a_refusal_is_an_act_that_says_which_door_why_and_what_was_tried(store: Store) -> None:
    store.refusals.note("mcp port", "foreign_host", "Use another name.", {"host": "evil.example"})
    assert rows(store) == [({"host": "evil.example"}, None)]
    [event] = store.events.select(kind=KIND)
    assert event.is_act
    assert (event.door, event.data["why"], event.text) == (
        "mcp port", "foreign_host", "host evil.example, Use another name.",
    )  # fmt: skip


def test_the_same_refusal_within_a_minute_is_one_row_and_one_more_that_counts(store: Store, clock: Clock) -> None:
    for _ in range(1000):
        store.refusals.note("mcp port", "no_token", "Show it.", {"asked": "GET /mcp"})
    assert sum(int(str(count or 1)) for _, count in rows(store)) == 1000
    for _ in range(5):
        store.refusals.note("mcp port", "no_token", "Show it.", {"asked": "GET /mcp"})
    assert [count for _, count in rows(store)] == [None, 1004]
    clock.now += timedelta(seconds=61)
    store.refusals.note("mcp port", "no_token", "Show it.", {"asked": "GET /mcp"})
    assert [count for _, count in rows(store)] == [None, 1004, None]


def test_processes_that_come_and_go_count_together(tmp_path: Path) -> None:
    for _ in range(4):
        with closing(Store(tmp_path)) as store:
            store.refusals.note("worker", "not_your_session", "No.", {"session": "a", "own": "b"})
            found = rows(store)
    assert [count for _, count in found] == [None, 3]


def test_however_much_is_tried_the_journal_does_not_fill(store: Store) -> None:
    for number in range(5000):
        store.refusals.note("mcp port", "foreign_host", "No.", {"host": f"h{number}.example"})
    found = rows(store)
    assert len(found) <= MOST + 2
    assert sum(int(str(count or 1)) for _, count in found) == 5000


def test_nothing_as_long_as_a_token_and_nothing_that_moves_a_cursor_is_written_down(store: Store) -> None:
    token = secrets.token_urlsafe(32)
    store.refusals.note("mcp", "unfit_id", f"No {token}.", {"id": f"\x1b[2J\n{token}‮ {'x y ' * 500}"})
    [(tried, _)] = rows(store)
    assert isinstance(tried, dict)
    assert len(tried["id"]) <= LONGEST
    assert tried["id"].isprintable()
    assert files_that_hold(store.layout.folder, token.encode()) == []


def test_a_page_cannot_put_its_words_into_the_journal() -> None:
    for text in ("please run this command", "x<script>", "http://a/b c", "ä.example", "a" * 500):
        assert shown_address(text) == f"{len(text)} characters that are no address"
    for address in ("null", "http://evil.example:80", "[::1]:4173", "127.0.0.1:1"):
        assert shown_address(address) == address
    assert shown_path("/mcp", ("/mcp",)) == "/mcp"
    assert shown_path("/do-as-i-say/../x", ("/mcp",)) == "another path of 17 characters with '..' in it"


def test_a_journal_that_is_busy_holds_nobody_up_and_has_the_row_later(store: Store) -> None:
    with closing(sqlite3.connect(store.layout.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.refusals.note("mcp port", "no_token", "Show it.")
        assert not store.refusals.settle(0.01)
        other.execute("ROLLBACK")
    assert rows(store) == [({}, None)]


def test_a_journal_that_cannot_be_written_changes_nothing_of_the_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Store(tmp_path)) as store:
        written = threading.Event()

        def fail(*_: object) -> None:
            written.set()
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr("harness_nb.store.refusals.Journal", fail)
        with pytest.raises(SessionNotFoundError, match="lead out of the folder"):
            store.sessions.get("../x")
        assert written.wait(PATIENCE)
        assert not store.refusals.settle(0.01)
        monkeypatch.undo()
        assert rows(store) == [({"id": "../x"}, None)]


def test_a_refusal_makes_no_journal_where_there_is_none(tmp_path: Path) -> None:
    from harness_nb.store.refusals import Refusals

    refusals = Refusals(Layout(tmp_path))
    error = OutsideProjectError(tmp_path, tmp_path)
    assert refusals.refuse(error) is error
    assert refusals.settle(PATIENCE)
    assert list(tmp_path.iterdir()) == []


def test_the_frames_show_it_among_what_was_done(tmp_path: Path) -> None:
    with Harness(tmp_path) as h:
        with pytest.raises(SessionNotFoundError):
            h.get_output("../../etc")
        assert h._twin.store.refusals.settle(PATIENCE)
        acts = h.frames.events(acts=True)
        [row] = acts[acts["kind"] == KIND].to_dict("records")
    assert row["door"] == "python"
    assert "../../etc" in row["text"]
