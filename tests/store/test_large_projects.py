"""A project of many years: what is asked at each look is found without reading all that ever was."""

from __future__ import annotations

import itertools
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from harness_nb.store.journal import SCHEMA_VERSION
from tests.store.conftest import ACTION, new_session, says

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import Store
    from tests.store.conftest import Stores

ASK = {key: ACTION[key] for key in ("phase", "plan", "action")}
KINDS = list(
    itertools.product(
        ("runbook", "command", "python"), ("execute", "research", "verify"), (None, "01-01", "01-02"), (None, "run-1")
    )
)


def of_each_kind(store: Store) -> list[SessionRecord]:
    for number, (worker, task_type, plan_id, run_id) in enumerate(KINDS):
        new_session(store, f"s{number}", worker=worker, taskType=task_type, planId=plan_id, runId=run_id)
        if number % 2:
            store.sessions.end(f"s{number}", state="failed")
        if number % 3 == 0:
            store.sessions.update(f"s{number}", "judged", verdict="failed")
    return store.sessions.select()


class TestWhatTheJournalPicks:
    def test_the_newest_tries_are_those_that_a_look_at_every_session_finds(self, store: Store) -> None:
        every = of_each_kind(store)
        assert store.sessions.newest_attempts() == {one.plan_id: one for one in every if one.is_attempt}

    def test_what_waits_for_a_verdict_is_what_a_look_at_every_session_finds(self, store: Store) -> None:
        every = of_each_kind(store)
        waits = [one for one in every if one.is_attempt and one.run_id is None and one.verdict is None]
        assert store.sessions.unjudged() == waits
        assert waits

    def test_by_state_by_id_and_since_when_each_narrow_what_is_read(self, store: Store) -> None:
        every = of_each_kind(store)
        some = {"s1", "s2", "s3", "nobody"}
        assert [one.id for one in store.sessions.select(ids=some)] == ["s1", "s2", "s3"]
        assert [one.id for one in store.sessions.select(ids=some, states={"failed"})] == ["s1", "s3"]
        assert store.sessions.select(states=set()) == store.sessions.select(ids=set()) == []
        middle = sorted(one.revision for one in every)[len(every) // 2]
        assert store.sessions.select(since=middle) == [one for one in every if one.revision > middle]
        assert store.sessions.ids() == [one.id for one in every]
        assert store.sessions.ids({"initializing"}) == [one.id for one in every if one.live]

    def test_of_sessions_without_a_plan_all_that_live_and_the_last_that_ended_are_shown(self, store: Store) -> None:
        for number in range(6):
            new_session(store, f"done{number}")
            store.sessions.end(f"done{number}", state="failed")
        new_session(store, "lives")
        new_session(store, "cell", worker="python")
        for number in range(2):
            new_session(store, f"try{number}", planId="01-01")
        assert [one.id for one in store.sessions.newest(2)] == ["done4", "done5", "lives", "try1"]

    def test_a_session_is_as_old_as_its_place_whatever_the_clock_said(self, store: Store) -> None:
        new_session(store, "first", planId="01-01", createdAt=datetime(2030, 1, 1, tzinfo=UTC))
        new_session(store, "second", planId="01-01", createdAt=datetime(2020, 1, 1, tzinfo=UTC))
        assert [one.id for one in store.sessions.select()] == ["first", "second"]
        assert store.sessions.newest_attempts()["01-01"].id == "second"

    def test_the_oldest_open_question_and_their_number_are_known_without_reading_them_all(self, store: Store) -> None:
        new_session(store)
        new_session(store, "s2")
        assert store.messages.oldest_pending("s1") is None
        for number in range(3):
            store.questions.ask(says("progress_update", {**ASK, "taskNumber": 1, "totalTasks": 1, "message": "on"}))
            store.questions.ask(says("action_needed", ASK, message_id=f"q{number}"))
        store.questions.ask(says("action_needed", ASK, message_id="other", session="s2"))
        oldest = store.messages.oldest_pending("s1")
        assert oldest is not None
        assert oldest.id == "q0"
        assert store.messages.count_pending() == len(store.messages.pending()) == 4
        assert [one.id for one in store.messages.pending(types=["action_needed"])] == ["q0", "q1", "q2", "other"]
        assert store.messages.pending(types=["decision_needed"]) == []


def plans_of(store: Store, look: Callable[[], object]) -> list[str]:
    """Return how SQLite goes about each query of a look."""
    connection = store.journal._connection
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    look()
    connection.set_trace_callback(None)
    return [row[3] for query in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]


def test_nothing_that_is_asked_at_each_look_reads_a_whole_table(store: Store) -> None:
    looks: dict[str, Callable[[], Any]] = {
        "what lives": lambda: store.sessions.select(live=True),
        "what changed": lambda: store.sessions.select(since=5),
        "a run's sessions": lambda: store.sessions.select(run_id="run-1"),
        "a plan's sessions": lambda: store.sessions.select(plan_id="01-01"),
        "the newest tries": store.sessions.newest_attempts,
        "what waits for a verdict": store.sessions.unjudged,
        "all open questions": store.messages.pending,
        "their number": store.messages.count_pending,
        "a session's oldest": lambda: store.messages.oldest_pending("s1"),
    }
    found = {name: plans_of(store, look) for name, look in looks.items()}
    whole = {
        name: step
        for name, steps in found.items()
        for step in steps
        if step.startswith("SCAN") and "INDEX" not in step and "json_each" not in step
    }
    assert whole == {}
    assert all(found.values())


def journal_of_version_1(root: Path) -> sqlite3.Connection:
    (root / ".orchestration").mkdir()
    connection = sqlite3.connect(root / ".orchestration" / "harness.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(files("harness_nb.store").joinpath("schema.sql").read_text(encoding="utf-8"))
    connection.execute("PRAGMA user_version = 1")
    return connection


def add_try(connection: sqlite3.Connection, name: str) -> None:
    created = "2026-01-01T00:00:00.000Z"
    record = {"id": name, "worker": "runbook", "planId": "01-01", "workingDir": ".", "taskType": "execute"}
    row = (name, "running", None, "01-01", created, 1, json.dumps(record | {"createdAt": created}))
    connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def test_a_journal_of_the_first_version_gets_the_new_indices_and_who_has_it_open_goes_on(stores: Stores) -> None:
    with closing(journal_of_version_1(stores.root)) as earlier:
        add_try(earlier, "s1")
        store = stores.open()
        assert store.sessions.newest_attempts()["01-01"].id == "s1"
        add_try(earlier, "s2")
    assert store.sessions.newest_attempts()["01-01"].id == "s2"
    assert store.journal.read("PRAGMA user_version")[0][0] == SCHEMA_VERSION
    names = {row["name"] for row in store.journal.read("SELECT name FROM sqlite_schema WHERE type = 'index'")}
    assert {"sessions_attempts", "sessions_unjudged", "sessions_by_run", "messages_open"} <= names
    assert stores.open().sessions.ids() == ["s1", "s2"]
