"""One process's view of all sessions: started here or elsewhere, adopted, followed, ended once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from harness_nb.errors import CommandNotFoundError, JournalBusyError, SessionNotFoundError, WorkingFolderNotFoundError
from harness_nb.sessions.file_watch import _relay
from tests.sessions.living import happens, opened, printed, question, questions
from tests.sessions.workers import alive, eventually, kill_session, kill_shim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

STARTER = """
import sys, anyio
from harness_nb import AsyncHarness
async def main():
    async with AsyncHarness(sys.argv[1]) as h:
        session = await h.start_session(command=["sh", "-c", sys.argv[2]])
        print(session.id, flush=True)
        if "stay" in sys.argv: await anyio.sleep_forever()
anyio.run(main)
"""

SHELL_WORKER = """
cd "$HARNESS_SESSION_DIR"
printf '%s' "$QUESTION" > question.tmp
mv question.tmp checkpoint.json
until mv checkpoint_response.json answered/q1.json 2>/dev/null; do sleep 0.01; done
cat answered/q1.json
"""

DECISION = json.dumps({
    "id": "q1", "type": "decision", "phase": "1", "plan": "01-01", "decision": "Which store?", "context": "",
    "options": [{"id": "sqlite", "name": "SQLite"}, {"id": "files", "name": "Files"}],
})  # fmt: skip


def elsewhere(project: Path, script: str, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, os.fspath(project), script, *more],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


@pytest.mark.row(3)
async def test_a_session_from_its_start_to_its_end(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", 'echo "$WHO"; read line; echo "$line"'], env={"WHO": "me"})
        assert session.state == "running"
        await printed(h, session.id, "me\n")
        await session.send("hello\n")
        record = await session.wait()
        assert (record.state, record.exit_code, record.reason) == ("completed", 0, None)
        assert session.output().text == "me\nhello\nhello\n"
        assert record.command[0] == "sh"
        assert record.ended_at >= record.started_at >= record.created_at  # type: ignore[operator]


@pytest.mark.row(3)
async def test_a_session_is_resized_interrupted_and_stopped(project: Path) -> None:
    script = "trap 'stty size' WINCH; trap 'echo interrupted' INT; echo ready; while :; do sleep 0.01; done"
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", script])
        await printed(h, session.id, "ready")
        await session.resize(30, 90)
        await printed(h, session.id, "30 90")
        await session.interrupt()
        await printed(h, session.id, "interrupted")
        record = await session.stop(grace=20)
        assert (record.state, record.reason) == ("failed", "ended by stop")
        assert await session.stop() == record


@pytest.mark.row(3)
async def test_a_session_that_is_ended_as_soon_as_it_is_known_does_end(project: Path) -> None:
    """Its shim may not listen yet."""
    async with opened(project) as h, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: h.start_session(command=["sleep", "600"]))
        known = await anyio.to_thread.run_sync(eventually, h.store.sessions.select, "the session is in the journal")
        record = await h.end_session(known[0].id)
        assert record.reason == "ended by end_session"


@pytest.mark.row(11)
async def test_a_session_outlives_a_killed_harness_and_is_adopted_by_the_next(project: Path) -> None:
    first = elsewhere(project, "echo one; read line; echo two; exit 5", "stay")
    session_id = await anyio.to_thread.run_sync(line_of, first)
    os.killpg(first.pid, signal.SIGKILL)
    await anyio.to_thread.run_sync(first.communicate)
    async with opened(project) as h:
        session = await h.session(session_id)
        assert session.state == "running"
        await printed(h, session_id, "one")
        await session.send("\n")
        record = await session.wait()
        assert (record.state, record.exit_code) == ("failed", 5)
        assert session.output().text.endswith("two\n")


@pytest.mark.row(11)
async def test_an_end_that_nobody_saw_is_found_at_the_next_opening(project: Path) -> None:
    first = elsewhere(project, "sleep 0.05; echo done")
    session_id = line_of(first)
    await anyio.to_thread.run_sync(first.communicate)
    layout_exit = project / ".orchestration" / "sessions" / session_id / "exit.json"
    await anyio.to_thread.run_sync(eventually, layout_exit.exists, "the end")
    async with opened(project) as h:
        record = await (await h.session(session_id)).wait()
        assert record.state == "completed"
        assert record.ended_at is not None
        assert abs(record.ended_at.timestamp() - json.loads(layout_exit.read_text())["endedAt"]) < 0.01


@pytest.mark.row(11)
@pytest.mark.row(3)
async def test_a_session_that_another_process_started_is_followed_and_its_end_told_once(project: Path) -> None:
    async with opened(project) as h:
        other = elsewhere(project, "read line; exit 0", "stay")
        try:
            change = await h.wait_for_state(states=["running"])
            session = await h.session(change.sessions[0].id)
            await session.send("\n")
            assert (await session.wait()).state == "completed"
        finally:
            os.killpg(other.pid, signal.SIGKILL)
            await anyio.to_thread.run_sync(other.communicate)
        ends = [one for one in h.store.events.select() if one.kind == "session_ended"]
        assert [one.session_id for one in ends] == [session.id]


@pytest.mark.row(11)
async def test_a_question_by_file_is_taken_in_as_soon_as_its_shim_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness_nb.sessions.channel.REPLY_TIMEOUT", 0.1)
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", f"read line{SHELL_WORKER}"], env={"QUESTION": DECISION})
        folder, looks = h.store.layout.session(session.id), asyncio.Event()
        shim = json.loads(folder.shim.read_text())["pid"]
        settle, loop = h.store.questions.settle, asyncio.get_running_loop()

        def noticed(session_id: str, *more: Any) -> bool:
            whole = settle(session_id, *more)
            if not whole:
                loop.call_soon_threadsafe(looks.set)
            return whole

        monkeypatch.setattr(h.store.questions, "settle", noticed)
        os.kill(shim, signal.SIGSTOP)
        try:
            (folder.path / "question.tmp").write_text(DECISION)
            (folder.path / "question.tmp").rename(folder.checkpoint)
            await looks.wait()
        finally:
            os.kill(shim, signal.SIGCONT)
        assert (await question(h)).id == "q1"
        await session.stop(grace=0)


@pytest.mark.row(11)
async def test_a_session_whose_shim_was_killed_is_lost(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", "echo up; exec sleep 600"])
        await printed(h, session.id, "up")
        info = kill_shim(h.store.layout.session(session.id))
        record = await session.wait()
        assert record.state == "failed"
        assert str(record.reason).startswith("lost")
        await anyio.to_thread.run_sync(eventually, lambda: not alive(info["workerPid"]), "the worker's hang-up")


STUBBORN = "trap '' HUP TERM; echo up; while :; do sleep 0.05 2>/dev/null; done"


@pytest.mark.row(11)
async def test_the_worker_of_a_lost_session_is_ended_before_the_loss_is_told(project: Path) -> None:
    """It ignores the hang-up, and must not work on beside the next attempt."""
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", STUBBORN])
        await printed(h, session.id, "up")
        info = kill_shim(h.store.layout.session(session.id))
        record = await session.wait()
        assert str(record.reason).startswith("lost")
        assert not alive(info["workerPid"])


@pytest.mark.row(11)
@pytest.mark.parametrize("key", ["bootId", "workerPid", "workerStartTime"])
@pytest.mark.parametrize("missing", [False, True])
async def test_a_process_that_may_be_somebody_elses_is_not_touched(project: Path, key: str, missing: bool) -> None:
    bystander = await anyio.open_process(["sleep", "600"], start_new_session=True)
    try:
        async with opened(project) as h:
            session = await h.start_session(command=["sh", "-c", STUBBORN])
            await printed(h, session.id, "up")
            path = h.store.layout.session(session.id).shim
            info = json.loads(path.read_text())
            other = {"bootId": "another", "workerPid": bystander.pid, "workerStartTime": info["workerStartTime"] - 1}
            path.write_text(json.dumps({**info, key: None if missing else other[key]}))
            os.kill(info["pid"], signal.SIGKILL)
            assert str((await session.wait()).reason).startswith("lost")
            assert bystander.returncode is None
            assert alive(info["workerPid"])
            kill_session(info["workerPid"])
            path.write_text(json.dumps(info))
    finally:
        bystander.kill()
        await bystander.aclose()


@pytest.mark.row(11)
async def test_a_journal_that_another_program_locks_for_long_does_not_end_the_harness(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hardly any patience for the lock, every look at the files fails while it is held."""
    monkeypatch.setattr("harness_nb.store.journal.BUSY_TIMEOUT", 0.01)
    refused = anyio.Event()
    async with opened(project) as h:
        asks = await h.start_session(command=["sh", "-c", f"read line{SHELL_WORKER}"], env={"QUESTION": DECISION})
        settle, loop = h.store.questions.settle, asyncio.get_running_loop()

        def noticed(session_id: str, *more: Any) -> bool:
            try:
                return settle(session_id, *more)
            except JournalBusyError:
                loop.call_soon_threadsafe(refused.set)
                raise

        monkeypatch.setattr(h.store.questions, "settle", noticed)
        other = sqlite3.connect(h.store.journal.path, isolation_level=None, timeout=30)
        try:
            other.execute("BEGIN IMMEDIATE")
            await asks.send("\n")
            await refused.wait()
            other.execute("ROLLBACK")
        finally:
            other.close()
        await (await question(h)).answer("files")
        assert (await asks.wait()).state == "completed"
        await happens(h, lambda: [one.data for one in h.store.events.select(kind="typed")] == [{"characters": 1}])


async def test_values_at_the_start_that_are_too_short_to_mask_are_told_by_name(project: Path) -> None:
    async with opened(project) as h:
        credentials = {"API_KEY": "very-s3cret-value", "PIN": "7q"}
        session = await h.start_session(command=["true"], env_credentials=credentials)
        await session.wait()
        [event] = h.store.events.select(kind="mask_refused")
        assert (event.session_id, event.data) == (session.id, {"names": ["PIN"]})


@pytest.mark.row(6)
@pytest.mark.row(13)
@pytest.mark.row(10)
async def test_a_shell_worker_asks_and_is_answered_by_files_alone(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", SHELL_WORKER], env={"QUESTION": DECISION})
        asked = await question(h)
        assert (asked.type, asked.session_id, asked.record.asked_by) == ("decision_needed", session.id, "file")
        assert session.state == "checkpoint"
        shown = json.loads(h.store.layout.session(session.id).checkpoint.read_text())
        assert (shown["type"], shown["decision"]) == ("decision", "Which store?")
        await asked.answer("files", rationale="simple")
        record = await session.wait()
        assert record.state == "completed"
        answer = json.loads(session.output().text)
        assert (answer["checkpointType"], answer["selectedOptionId"]) == ("decision", "files")
        assert (answer["rationale"], answer["inResponseTo"]) == ("simple", asked.id)
        assert await h.get_pending() == []


@pytest.mark.row(6)
@pytest.mark.row(10)
async def test_a_person_may_answer_a_shell_worker_with_a_file(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", SHELL_WORKER], env={"QUESTION": DECISION})
        asked = await question(h)
        folder = h.store.layout.session(session.id)
        draft = folder.path / "draft.json"
        draft.write_text(json.dumps({"checkpointType": "decision", "selectedOptionId": "sqlite"}))
        draft.rename(folder.response)
        assert (await session.wait()).state == "completed"
        assert asked.id == "q1"
        answer = h.store.messages.answer_to("q1")
        assert answer is not None
        assert answer.payload["selectedOptionId"] == "sqlite"
        assert answer.door == "file"


@pytest.mark.row(6)
async def test_no_question_is_missed_while_other_sessions_start(project: Path) -> None:
    """Each start makes the watcher of files begin anew; what comes just then is found all the same."""
    async with opened(project) as h:

        async def start(number: int) -> None:
            asks = DECISION.replace("Which store?", f"Which store for {number}?").replace('"q1"', f'"q1-{number}"')
            await h.start_session(command=["sh", "-c", SHELL_WORKER], env={"QUESTION": asks})

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(start, number)
        asked = await questions(h, 8)
        assert {one.payload["decision"] for one in asked} == {f"Which store for {number}?" for number in range(8)}
        for one in asked:
            await one.approve()
        for session in await h.list_sessions():
            assert (await session.wait()).state == "completed"


@pytest.mark.row(6)
async def test_what_came_while_nothing_watched_is_found_when_the_watcher_begins_anew(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between two watchers is too short to be met on purpose: here the watcher is blind all the time."""

    async def blind(*_: Path, stop_event: anyio.Event, **__: object) -> AsyncIterator[set[tuple[int, str]]]:
        await stop_event.wait()
        for found in list[set[tuple[int, str]]]():
            yield found

    monkeypatch.setattr("watchfiles.awatch", blind)
    async with opened(project) as h:
        asks = await h.start_session(command=["sh", "-c", f"read line{SHELL_WORKER}"], env={"QUESTION": DECISION})
        await asks.send("\n")
        shown = h.store.layout.session(asks.id).checkpoint
        await anyio.to_thread.run_sync(eventually, shown.exists, "the question is there")
        await h.start_session(command=["sleep", "600"])
        assert (await question(h)).session_id == asks.id


@pytest.mark.row(6)
async def test_where_the_system_has_no_watches_left_files_are_looked_at_from_time_to_time(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Path, **__: object) -> AsyncIterator[set[tuple[int, str]]]:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr("watchfiles.awatch", refused)
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", SHELL_WORKER], env={"QUESTION": DECISION})
        await (await question(h)).answer("sqlite")
        assert (await session.wait()).state == "completed"


@pytest.mark.row(6)
async def test_a_result_that_a_shell_worker_wrote_is_heeded(project: Path) -> None:
    script = (
        'cd "$HARNESS_SESSION_DIR"; echo \'{"success": false, "phase": "1", "plan": "01-01", "error": "no ink",'
        ' "sessionId": "x", "timestamp": "2026-01-01T00:00:00Z"}\' > r.tmp; mv r.tmp result.json'
    )
    async with opened(project) as h:
        record = await (await h.start_session(command=["sh", "-c", script])).wait()
        assert (record.state, record.reason, record.exit_code) == ("failed", "no ink", 0)


async def test_a_question_file_that_cannot_be_read_is_set_aside_and_harms_nothing(project: Path) -> None:
    script = 'cd "$HARNESS_SESSION_DIR"; echo "{oh no" > c.tmp; mv c.tmp checkpoint.json; read line'
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", script])
        await happens(h, lambda: h.store.events.select(kind="file_rejected"))
        assert session.state == "running"
        await session.send("\n")
        assert (await session.wait()).state == "completed"


@pytest.mark.row(2)
async def test_credentials_given_at_the_start_are_masked_and_in_no_file(project: Path) -> None:
    from tests.leaks import files_that_hold

    async with opened(project) as h:
        session = await h.start_session(
            command=["sh", "-c", 'echo "key=$API_KEY"'], env_credentials={"API_KEY": "very-s3cret-value"}
        )
        assert (await session.wait()).state == "completed"
        assert session.output().text == "key=[credential:API_KEY]\n"
    assert files_that_hold(project, b"very-s3cret-value") == []


@pytest.mark.row(2)
async def test_credentials_in_a_command_reach_the_worker_and_no_file(project: Path) -> None:
    """Neither where the session is told of, nor in what a command that cannot be started leaves behind."""
    from tests.leaks import files_that_hold

    address = "postgres://u:very-s3cret-value@h"
    given = {"PGPASSWORD": "very-s3cret-value"}
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", 'expr length "$0"', address], env_credentials=given)
        assert (await session.wait()).state == "completed"
        assert session.output().text == f"{len(address)}\n"
        assert session.record.command[-1] == "postgres://u:[credential:PGPASSWORD]@h"
        assert (h.store.layout.session(session.id).assignment).exists()
        with pytest.raises(CommandNotFoundError):
            await h.start_session(command=[address], env_credentials=given)
    assert files_that_hold(project, b"very-s3cret-value") == []


async def test_a_command_that_is_not_there_is_an_error_and_a_failed_session(project: Path) -> None:
    async with opened(project) as h:
        with pytest.raises(CommandNotFoundError, match="no-such-thing"):
            await h.start_session(command=["no-such-thing"])
        [session] = await h.list_sessions("failed")
        assert "no such command" in str(session.record.reason)
        with pytest.raises(WorkingFolderNotFoundError):
            await h.start_session(command=["true"], working_dir="nowhere")
        with pytest.raises(SessionNotFoundError):
            await h.end_session("never-was")


async def test_whoever_waits_too_long_is_told_and_the_session_goes_on(project: Path) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sleep", "600"])
        with pytest.raises(TimeoutError, match="goes on"):
            await session.wait(timeout=0.05)
        assert session.state == "running"


async def test_many_sessions_at_once_all_come_to_their_end(project: Path) -> None:
    async with opened(project) as h:
        sessions = [
            await h.start_session(command=["sh", "-c", f"echo {number}; exit {number}"]) for number in range(15)
        ]
        codes = [(await session.wait()).exit_code for session in sessions]
        assert codes == list(range(15))
        assert [session.output().text for session in sessions] == [f"{number}\n" for number in range(15)]


async def test_the_file_watcher_is_told_to_stop_when_its_host_is_cancelled() -> None:
    """Its thread would otherwise keep a closing harness waiting for seconds."""
    never, stop = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_relay, never, stop)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert stop.is_set()
