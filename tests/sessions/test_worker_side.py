"""The worker's side of the protocol: reporting, waiting for answers, and taking credentials."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import anyio.to_thread
import pytest

from harness_nb import AsyncHarness
from harness_nb.errors import (
    CredentialsNotDeliveredError,
    InvalidMessageError,
    MessageNotFoundError,
    NotAWorkerError,
    SessionEndedError,
    ShimFailedError,
    UnknownMessageTypeError,
)
from harness_nb.protocol.messages import parse_orchestrator_message
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import ask_shim, channel, worker_side
from harness_nb.sessions.worker_side import WorkerSide
from harness_nb.store import Layout, Store
from harness_nb.store.atomic import read_json
from harness_nb.store.tokens import make_token
from tests.leaks import files_that_hold
from tests.sessions.living import opened, question
from tests.sessions.workers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord

pytestmark = [pytest.mark.anyio, pytest.mark.row(13)]

DECISION = {
    "phase": "1", "plan": "01-01", "decision": "Which?", "context": "",
    "options": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}],
}  # fmt: skip

ASKS = """
import json
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    side.report("progress_update", {"phase": "1", "plan": "p", "taskNumber": 1, "totalTasks": 2, "message": "on it"})
    asked = side.report("decision_needed", %r)
    answer = side.wait(asked.id, timeout=60)
    print(json.dumps(answer.to_wire()))
"""

TAKES = """
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    need = {"service": "github", "envVars": ["GITHUB_TOKEN"], "reason": "to push"}
    asked = side.report("credentials_needed", {"phase": "1", "plan": "p", **need})
    values = side.take_credentials(side.wait(asked.id))
    print("one", sorted(values), len(values["GITHUB_TOKEN"]), values["GITHUB_TOKEN"])
    print("all", sorted(side.all_credentials()[0]))
"""

TELLS = """
import os
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    asked = side.report("credentials_needed", {"service": "github", "envVars": ["GITHUB_TOKEN"]})
    token, start = side.take_credentials(side.wait(asked.id))["GITHUB_TOKEN"], os.environ["START_KEY"]
    side.report("task_failed", {
        "taskNumber": 1, "error": f"no way to {token}@{start}", "recoverable": True, "more": {"list": [start, 7, None]},
    })
"""


@pytest.fixture
def store(project: Path) -> Iterator[Store]:
    store = Store(project)
    for name in ("mine", "other"):
        store.sessions.create(
            SessionRecord(id=name, worker="command", state="running", working_dir=".", created_at=store.clock())
        )
    yield store
    store.close()


@pytest.fixture
def side(store: Store) -> Iterator[WorkerSide]:
    with WorkerSide(environment_of(store, "mine")) as side:
        yield side


def environment_of(store: Store, session_id: str) -> dict[str, str]:
    """What a session's own worker finds in its environment."""
    folder = store.layout.session(session_id)
    make_token(folder.token)
    return {"HARNESS_SESSION_DIR": str(folder.path), "HARNESS_TOKEN_FILE": str(folder.token)}


def decide(store: Store, asked: MessageRecord, option: str) -> None:
    answer = {
        "id": store.new_id(), "sessionId": asked.session_id, "type": "decision_made", "timestamp": store.clock(),
        "inResponseTo": asked.id,
        "payload": {"phase": "1", "plan": "01-01", "decision": "Which?", "selectedOptionId": option,
                    "selectedOptionName": option.upper()},
    }  # fmt: skip
    store.questions.answer(parse_orchestrator_message(answer), actor="test", door="test")
    store.ring()


async def test_a_worker_reports_asks_and_is_answered(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=[sys.executable, "-c", ASKS % DECISION])
        asked = await question(h)
        assert (session.state, session.record.reason) == ("checkpoint", "decision")
        assert session.record.message == "on it"
        await asked.answer("B", rationale="because")
        record = await session.wait()
        assert record.state == "completed", session.output().text
        answer = json.loads(session.output().text)
        assert answer["payload"]["selectedOptionId"] == "b"
        assert answer["inResponseTo"] == asked.id


@pytest.mark.row(2)
async def test_a_worker_takes_credentials_that_stand_in_no_file(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "github.env").write_text("GITHUB_TOKEN=ghp-not-for-anyone\n")
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(folder))
    async with opened(project) as h:
        session = await h.start_session(
            command=[sys.executable, "-c", TAKES], env_credentials={"START_KEY": "from-the-start"}
        )
        await (await question(h)).approve()
        record = await session.wait()
        assert record.state == "completed", session.output().text
        assert session.output().text == (
            "one ['GITHUB_TOKEN'] 18 [credential:GITHUB_TOKEN]\nall ['GITHUB_TOKEN', 'START_KEY']\n"
        )
    assert files_that_hold(project, b"ghp-not-for-anyone", b"from-the-start") == []


@pytest.mark.row(2)
async def test_what_a_worker_reports_is_stored_without_the_values_it_was_given(project: Path) -> None:
    """An error message likes to quote an address with its password."""
    async with opened(project) as h:
        session = await h.start_session(
            command=[sys.executable, "-c", TELLS], env_credentials={"START_KEY": "from-the-start"}
        )
        asked = await question(h)
        values = {"GITHUB_TOKEN": "ghp-not-for-anyone"}
        payload = {"service": "github", "found": True, "credentials": values}
        await h.respond("credentials_provided", session.id, payload, asked.id)
        record = await session.wait()
        assert record.state == "completed", session.output().text
        [failed] = [one for one in h.store.messages.select(session.id) if one.type == "task_failed"]
        assert failed.payload["error"] == "no way to [credential:GITHUB_TOKEN]@[credential:START_KEY]"
        assert failed.payload["more"] == {"list": ["[credential:START_KEY]", 7, None]}
        assert (failed.payload["taskNumber"], failed.payload["recoverable"]) == (1, True)
    assert files_that_hold(project, b"ghp-not-for-anyone", b"from-the-start") == []


@pytest.mark.parametrize("environment", [{}, {"HARNESS_SESSION_DIR": ""}])
def test_outside_of_a_session_there_is_no_workers_side(environment: dict[str, str]) -> None:
    with pytest.raises(NotAWorkerError, match="HARNESS_SESSION_DIR is not set"):
        WorkerSide(environment)


def test_a_wait_that_is_too_long_leaves_the_question_open(side: WorkerSide) -> None:
    asked = side.report("decision_needed", DECISION)
    with pytest.raises(TimeoutError, match="the question stays open"):
        side.wait(asked.id, timeout=0.01)
    assert [one.id for one in side.store.messages.pending("mine")] == [asked.id]


def test_a_waiting_worker_is_woken(store: Store, side: WorkerSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the second look put off for ever, only being woken ends the wait."""
    monkeypatch.setattr(worker_side, "LOOK_AGAIN", 1e6)
    asked = side.report("decision_needed", DECISION)
    got: list[MessageRecord] = []
    thread = threading.Thread(target=lambda: got.append(side.wait(asked.id)), daemon=True)
    thread.start()
    while not list(store.layout.bells.iterdir()):
        thread.join(0.002)
    decide(store, asked, "a")
    thread.join(30)
    assert [one.payload["selectedOptionId"] for one in got] == ["a"]
    assert list(store.layout.bells.iterdir()) == []


def test_without_an_id_messages_come_one_by_one_oldest_first(store: Store, side: WorkerSide) -> None:
    for reason in ("first", "second"):
        message = {
            "id": reason, "sessionId": "mine", "type": "abort_task", "timestamp": store.clock(),
            "payload": {"phase": "1", "plan": "p", "reason": reason, "shouldRetry": False},
        }  # fmt: skip
        store.messages.send(parse_orchestrator_message(message), actor="test", door="test")
    assert [side.wait(timeout=5).payload["reason"] for _ in range(2)] == ["first", "second"]
    with pytest.raises(TimeoutError):
        side.wait(timeout=0)


def test_an_answer_can_be_fetched_again_after_a_crash(store: Store, side: WorkerSide) -> None:
    asked = side.report("decision_needed", DECISION)
    decide(store, asked, "b")
    assert side.wait(asked.id, timeout=0) == side.wait(asked.id, timeout=0)


def test_the_same_report_twice_is_one_message(side: WorkerSide) -> None:
    first = side.report("decision_needed", DECISION, message_id="once")
    assert side.report("decision_needed", DECISION, message_id="once").seq == first.seq
    assert len(side.store.messages.pending("mine")) == 1


def test_questions_of_other_sessions_are_none_of_its_business(store: Store, side: WorkerSide) -> None:
    with WorkerSide(environment_of(store, "other")) as other:
        asked = other.report("decision_needed", DECISION)
    with pytest.raises(MessageNotFoundError, match="'mine'"):
        side.wait(asked.id)
    with pytest.raises(MessageNotFoundError):
        side.wait("never-asked")


def test_a_message_of_an_unknown_type_or_shape_is_refused(side: WorkerSide) -> None:
    with pytest.raises(UnknownMessageTypeError, match="task_dreamt"):
        side.report("task_dreamt", {})
    with pytest.raises(InvalidMessageError, match="options"):
        side.report("decision_needed", {**DECISION, "options": "many"})
    assert side.store.messages.select("mine") == []


async def test_a_worker_whose_session_has_ended_is_told_to_stop(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sleep", "600"])
        with WorkerSide(environment_of(h.store, session.id)) as side:
            await session.stop(grace=0)
            for kind, payload in (("progress_update", {"message": "x"}), ("decision_needed", DECISION)):
                with pytest.raises(SessionEndedError, match=f"Session '{session.id}' has ended"):
                    side.report(kind, payload)
            assert side.store.messages.select(session.id) == []


async def test_a_worker_that_outlives_its_session_unseen_is_told_the_same(project: Path) -> None:
    """Nobody who watches is there to note the end; the exit status that the shim left says it."""
    async with AsyncHarness(project) as h:
        session = await h.start_session(command=["sleep", "600"])
        environment = environment_of(h.store, session.id)
    folder = Layout(project).session(session.id)
    ask_shim(folder, do="stop", by="test", grace=0)
    await anyio.to_thread.run_sync(lambda: eventually(folder.exit.exists, "the exit status"))
    with WorkerSide(environment) as side, pytest.raises(SessionEndedError):
        side.report("progress_update", {"message": "x"})


async def test_a_shim_that_is_stopped_is_not_said_to_be_gone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "REPLY_TIMEOUT", 0.05)
    async with opened(project) as h:
        session = await h.start_session(command=["sleep", "600"])
        folder = h.store.layout.session(session.id)
        shim = read_json(folder.shim)["pid"]
        os.kill(shim, signal.SIGSTOP)
        try:
            with pytest.raises(ShimFailedError, match="does not answer") as caught:
                await anyio.to_thread.run_sync(lambda: ask_shim(folder, do="mask", texts=["x"]))
        finally:
            os.kill(shim, signal.SIGCONT)
        assert "gone" not in str(caught.value)
        assert "ended" not in str(caught.value)


async def test_credentials_that_did_not_arrive_are_an_error(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sleep", "600"])
        with WorkerSide(environment_of(h.store, session.id)) as side:
            asked = side.report(
                "credentials_needed",
                {"phase": "", "plan": "", "service": "redis", "envVars": ["REDIS_URL"], "reason": ""},
            )
            yes = {
                "id": "yes", "sessionId": session.id, "type": "credentials_provided", "timestamp": h.store.clock(),
                "inResponseTo": asked.id, "payload": {"service": "redis", "found": True},
            }  # fmt: skip
            h.store.questions.answer(parse_orchestrator_message(yes), actor="test", door="test")
            with pytest.raises(CredentialsNotDeliveredError, match="redis"):
                side.take_credentials(side.wait(asked.id))
