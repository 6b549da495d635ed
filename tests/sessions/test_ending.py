"""How a session ended, from what it left behind; whoever says so first has said it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import conclude, ending, proof, result_of
from harness_nb.sessions.starting import NEVER_STARTED, this_process
from harness_nb.store import Store
from harness_nb.store.locks import acquire, release
from tests.store.conftest import says

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def store(project: Path) -> Iterator[Store]:
    store = Store(project, clock=lambda: NOW)
    yield store
    store.close()


def session(store: Store, **fields: Any) -> SessionRecord:
    record = SessionRecord(
        **{
            "id": "s1", "worker": "command", "state": "running", "plan_id": "01-01", "phase": "1",
            "working_dir": ".", "created_at": NOW - timedelta(hours=1), **fields,
        }
    )  # fmt: skip
    return store.sessions.create(record)


def left(store: Store, *, exit: dict[str, Any] | str | None, result: dict[str, Any] | str | None = None) -> None:  # noqa: A002
    folder = store.layout.session("s1")
    for path, content in ((folder.exit, exit), (folder.result, result)):
        if content is not None:
            path.write_text(content if isinstance(content, str) else json.dumps(content))


def exited(code: int, **more: Any) -> dict[str, Any]:
    return {"exitCode": code, "endedAt": NOW.timestamp() - 60, **more}


def said(success: bool, **more: Any) -> dict[str, Any]:
    return {"sessionId": "s1", "timestamp": "2026-01-02T03:04:05Z", "success": success, "phase": "1",
            "plan": "01-01", **more}  # fmt: skip


@pytest.mark.row(3)
def test_a_shim_that_goes_between_two_looks_is_not_taken_for_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes how the session ended, and only then lets go of its lock."""
    session(store)

    def goes(*_: object) -> bool:
        left(store, exit=exited(0))
        return False

    monkeypatch.setattr(proof, "is_alive", goes)
    ended = conclude(store, "s1")
    assert ended is not None
    assert (ended.state, ended.reason, ended.exit_code) == ("completed", None, 0)


@pytest.mark.row(3)
@pytest.mark.row(6)
@pytest.mark.parametrize(
    ("exit_file", "result_file", "state", "reason"),
    [
        (exited(0), None, "completed", None),
        (exited(0), said(True, summary="all done"), "completed", None),
        (exited(3), None, "failed", "exit status 3"),
        (exited(3), said(True), "failed", "exit status 3"),
        (exited(0), said(False, error="no disk"), "failed", "no disk"),
        (exited(0), said(False), "failed", "its result says that it failed"),
        (exited(1), said(False, error="no disk", recoverable=True), "failed", "no disk"),
        (exited(-9), None, "failed", "ended by signal SIGKILL"),
        (exited(-9), said(True), "failed", "ended by signal SIGKILL"),
        (exited(-45), None, "failed", "ended by signal 45"),
        (exited(0, stoppedBy="end_session"), None, "failed", "ended by end_session"),
        (exited(-15, stoppedBy="stop"), said(True), "failed", "ended by stop"),
        (exited(0), "{half a fi", "completed", None),
        (exited(0), '{"success": "perhaps"}', "completed", None),
        (None, None, "failed", "lost: its processes are gone and left no exit status"),
        (None, said(True), "failed", "lost: its processes are gone and left no exit status"),
        ("{", None, "failed", "lost: its processes are gone and left no exit status"),
        ("{}", None, "failed", "lost: its processes are gone and left no exit status"),
    ],
)
def test_what_was_left_behind_says_how_it_ended(
    store: Store, exit_file: Any, result_file: Any, state: str, reason: str | None
) -> None:
    session(store)
    left(store, exit=exit_file, result=result_file)
    record = conclude(store, "s1")
    assert record is not None
    assert (record.state, record.reason) == (state, reason)
    status = json.loads(store.layout.session("s1").status.read_text())
    assert status["state"] == state
    assert status.get("reason") == reason
    if isinstance(exit_file, dict):
        assert record.exit_code == exit_file["exitCode"]
        assert record.ended_at == NOW - timedelta(seconds=60)


def test_output_that_a_full_disk_lost_is_in_the_journal(store: Store) -> None:
    session(store)
    left(store, exit=exited(0, logError="7 bytes of output were not stored: No space left on device"))
    conclude(store, "s1")
    [event] = store.events.select(kind="output_lost")
    assert event.session_id == "s1"
    assert event.data == {"error": "7 bytes of output were not stored: No space left on device"}


@pytest.mark.row(11)
def test_an_end_is_told_once(store: Store) -> None:
    session(store)
    left(store, exit=exited(0))
    assert conclude(store, "s1") is not None
    assert conclude(store, "s1") is None
    ends = [one for one in store.events.select() if one.kind == "session_ended"]
    assert len(ends) == 1


@pytest.mark.row(11)
def test_of_two_processes_one_tells_the_end(store: Store) -> None:
    session(store)
    left(store, exit=exited(0))
    other = Store(store.layout.root)
    try:
        assert [conclude(one, "s1") is None for one in (store, other)] == [False, True]
    finally:
        other.close()


def test_a_session_whose_lock_is_held_goes_on(store: Store) -> None:
    session(store)
    lock = store.layout.session("s1").lock
    assert acquire(lock)
    try:
        assert conclude(store, "s1") is None
        left(store, exit=exited(0))  # the shim's last word: it may take a moment to go
        assert conclude(store, "s1") is not None
    finally:
        release(lock)


def test_a_session_that_is_just_being_started_is_not_lost(store: Store) -> None:
    session(store, state="initializing", created_at=NOW - timedelta(seconds=1))
    assert conclude(store, "s1") is None


@pytest.mark.row(11)
def test_a_session_is_not_lost_while_whoever_starts_it_lives_however_long_that_takes(store: Store) -> None:
    session(store, state="initializing", created_at=NOW - timedelta(minutes=5), launcher=this_process())
    assert conclude(store, "s1") is None


@pytest.mark.row(11)
def test_a_session_whose_launcher_died_has_never_started_after_a_while(store: Store) -> None:
    """It did nothing, so nothing is resumed: its plan is done from the beginning."""
    session(store, state="initializing", created_at=NOW - timedelta(minutes=5), resumable=True)
    record = conclude(store, "s1")
    assert record is not None
    assert (record.reason, record.died_at) == (NEVER_STARTED, None)


@pytest.mark.row(6)
@pytest.mark.parametrize(
    ("exit_file", "success", "error", "recoverable"),
    [
        (exited(0), True, None, None),
        (exited(3), False, "exit status 3", False),
        (None, False, "lost: its processes are gone and left no exit status", True),
    ],
)
def test_where_the_worker_wrote_no_result_the_harness_does(
    store: Store, exit_file: Any, success: bool, error: str | None, recoverable: bool | None
) -> None:
    session(store)
    left(store, exit=exit_file)
    conclude(store, "s1")
    result = json.loads(store.layout.session("s1").result.read_text())
    assert result["success"] is success
    assert result["plan"] == "01-01"
    assert result.get("error") == error
    assert result.get("recoverable") == recoverable


@pytest.mark.row(6)
def test_the_workers_own_result_is_left_as_it_is(store: Store) -> None:
    session(store)
    content = json.dumps(said(True, summary="mine", commitHash="abc", somethingElse=[1, 2]), indent=7)
    left(store, exit=exited(0), result=content)
    record = conclude(store, "s1")
    assert record is not None
    assert record.message == "mine"
    assert store.layout.session("s1").result.read_text() == content
    result = result_of(store, "s1")
    assert result is not None
    assert result.commit_hash == "abc"


def test_open_questions_of_an_ended_session_expire(store: Store) -> None:
    from harness_nb.protocol.messages import parse_worker_message

    session(store)
    question = {"phase": "1", "plan": "01-01", "action": "plug it in", "instructions": "", "reason": ""}
    store.questions.ask(
        parse_worker_message(
            {"id": "q1", "sessionId": "s1", "type": "action_needed", "timestamp": NOW, "payload": question}
        )
    )
    left(store, exit=exited(1))
    conclude(store, "s1")
    assert store.messages.get("q1").status == "expired"
    assert not store.layout.session("s1").checkpoint.exists()


@pytest.mark.row(9)
@pytest.mark.parametrize(
    ("code", "said_later", "reason", "recoverable", "suggestion"),
    [
        (1, None, "no disk", True, "free some"),
        (1, "task_started", "exit status 1", False, None),
        (-9, None, "ended by signal SIGKILL", True, None),
    ],
    ids=["and ended", "and went on", "and was killed"],
)
def test_a_failure_that_a_worker_told_by_message_is_how_it_ended(
    store: Store, code: int, said_later: str | None, reason: str, recoverable: bool, suggestion: str | None
) -> None:
    """A worker needs no result file to say that another try may help, and what is missing."""
    session(store)
    failed = {"taskNumber": 1, "error": "no disk", "recoverable": True, "suggestion": "free some"}
    store.questions.ask(says("task_failed", failed))
    if said_later:
        store.questions.ask(says(said_later, {"taskNumber": 2, "totalTasks": 2, "taskName": "go on", "planPath": ""}))
    left(store, exit=exited(code))
    record = conclude(store, "s1")
    assert record is not None
    assert (record.state, record.reason) == ("failed", reason)
    result = result_of(store, "s1")
    assert result is not None
    assert (result.success, result.error, result.recoverable) == (False, reason, recoverable)
    assert result.suggestion == suggestion


@pytest.mark.row(11)
def test_a_shim_that_appears_between_two_looks_is_not_taken_for_one_that_died(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is asked just before it takes it, and its file is there just afterwards."""
    session(store, created_at=NOW - timedelta(minutes=5), launcher=this_process(), resumable=True)
    folder = store.layout.session("s1")

    def asked_too_early(*_: object) -> bool:
        folder.shim.write_text(json.dumps({"pid": 1}))
        return False

    monkeypatch.setattr(proof, "is_alive", asked_too_early)
    assert conclude(store, "s1") is None
    assert store.sessions.get("s1").died_at is None


@pytest.mark.row(11)
def test_a_session_that_lives_at_the_second_look_is_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    session(store, resumable=True)
    looks = iter([proof.Proof(goes_on=False), proof.Proof(goes_on=True)])
    monkeypatch.setattr(ending, "proof_of", lambda *_: next(looks))
    assert conclude(store, "s1") is None
    assert (store.sessions.get("s1").state, store.sessions.get("s1").died_at) == ("running", None)
