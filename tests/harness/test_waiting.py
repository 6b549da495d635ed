"""Waiting: woken and not late, with a cursor or without, across processes, threads, loops and interrupts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import AsyncHarness, Harness
from harness_nb.errors import AlreadyAnsweredError, InvalidMessageError, QuestionExpiredError, UnknownMessageKindError
from harness_nb.harness.loop_thread import loop_thread
from tests.orchestrator.written_plans import plan, until, write_plan

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.protocol.records import SessionRecord

LIMIT = 30
Opened = Callable[..., Harness]


def in_another_process(code: str, root: Path, **more: Any) -> subprocess.Popen[str]:
    """Run Python code on the project in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True, **more)


# --- wait_for_state ---------------------------------------------------------------------------


@pytest.mark.row(3)
def test_waiting_for_a_state_returns_at_once_where_it_is_so_already(harness: Harness) -> None:
    """Also when there is no time at all."""
    session = harness.start_session(command=["true"])
    session.wait(timeout=LIMIT)
    change = harness.wait_for_state(states=["completed"], timeout=0)
    assert [one.id for one in change.sessions] == [session.id]
    assert session.wait(timeout=0).state == "completed"
    with pytest.raises(TimeoutError, match=r"not within 0\.05 s"):
        harness.wait_for_state(states=["failed"], timeout=0.05)


@pytest.mark.row(3)
def test_whoever_waits_again_and_again_misses_nothing_and_never_gets_an_error_for_the_time(harness: Harness) -> None:
    """At time-out there is an empty change, whose cursor leads on to what happens before the next call."""
    nothing = harness.next_change(timeout=0)
    assert not nothing.sessions
    session = harness.start_session(command=["true"])
    session.wait(timeout=LIMIT)
    change = harness.next_change(cursor=nothing.cursor, timeout=LIMIT)
    assert [(one.id, one.state) for one in change.sessions] == [(session.id, "completed")]
    after = harness.next_change(states=["failed"], cursor=nothing.cursor, timeout=0.05)
    assert not after.sessions
    assert after.cursor == change.cursor, "what did not fit is behind, too"
    assert not harness.next_change(cursor=after.cursor, timeout=0).sessions
    assert not harness.next_change(cursor=10**9, timeout=0).sessions
    future = harness.next_change(cursor=10**9, timeout=0).cursor
    assert future == change.cursor, "a cursor of another journal is brought back"


@pytest.mark.row(3)
def test_without_states_or_cursor_the_next_change_is_awaited(harness: Harness) -> None:
    """What happened before does not count."""
    harness.start_session(command=["true"]).wait(timeout=LIMIT)
    with pytest.raises(TimeoutError):
        harness.wait_for_state(timeout=0.05)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(harness.wait_for_state, timeout=LIMIT)
        started = []
        while not waiting.done():  # the first may have ended before the waiting began
            started.append(harness.start_session(command=["true"]))
            started[-1].wait(timeout=LIMIT)
        changed = {one.id for one in waiting.result().sessions}
        assert changed
        assert changed <= {one.id for one in started}


@pytest.mark.row(3)
def test_a_cursor_loses_no_change(harness: Harness) -> None:
    """From cursor to cursor each session's end is seen, also of those that ended between two calls."""
    sessions = {harness.start_session(command=["true"]).id for _ in range(4)}
    seen: set[str] = set()
    cursor = 0
    while seen != sessions:
        change = harness.wait_for_state(session_ids=sessions, states=["completed"], cursor=cursor, timeout=LIMIT)
        assert change.cursor > cursor
        seen |= {one.id for one in change.sessions}
        cursor = change.cursor
    with pytest.raises(TimeoutError):
        harness.wait_for_state(session_ids=sessions, cursor=cursor, timeout=0.05)


@pytest.mark.anyio
async def test_a_change_between_two_looks_is_not_behind_the_cursor(root: Path) -> None:
    """The sessions are read and then something changes: the cursor must not count that as seen."""
    async with AsyncHarness(root, judges=False) as harness:  # judging reads the sessions by cursor too
        first = await harness.start_session(command=["true"])
        await first
        select = harness.store.sessions.select
        late: list[SessionRecord] = []

        def select_and_then_something_happens(**more: Any) -> Any:
            found = select(**more)
            if not late and "since" in more:
                late.append(harness.store.sessions.update(first.id, "renamed", message="changed late"))
            return found

        harness.store.sessions.select = select_and_then_something_happens  # type: ignore[method-assign]
        change = await harness.wait_for_state(states=["completed"], timeout=LIMIT)
        harness.store.sessions.select = select  # type: ignore[method-assign]
        again = await harness.wait_for_state(cursor=change.cursor, timeout=LIMIT)
        assert [one.message for one in again.sessions] == ["changed late"]


@pytest.mark.row(3)
def test_another_process_wakes_whoever_waits(harness: Harness, root: Path) -> None:
    """A session started elsewhere is seen here, from its beginning to its end."""
    code = """
import sys
from harness_nb import Harness
with Harness(sys.argv[1]) as h:
    print(h.start_session(command=["true"]).id)
"""
    other = in_another_process(code, root)
    change = harness.wait_for_state(states=["completed"], timeout=LIMIT)
    output, _ = other.communicate(timeout=LIMIT)
    assert [one.id for one in change.sessions] == [output.strip()]


# --- asking -----------------------------------------------------------------------------------

KINDS: list[tuple[str, dict[str, Any], Callable[[Any], Any], str, dict[str, Any]]] = [
    (
        "verification", {"what_built": "A page", "how_to_verify": ["open it"]},
        lambda one: one.approve("fine"), "verification_result", {"verified": True, "feedback": "fine"},
    ),
    (
        "decision", {"decision": "Which?", "options": [{"id": "a"}, {"id": "b"}]},
        lambda one: one.answer("b", rationale="newer"), "decision_made",
        {"selectedOptionId": "b", "rationale": "newer"},
    ),
    (
        "action", {"action": "Plug it in", "instructions": "blue cable"},
        lambda one: one.answer("done"), "action_completed", {"action": "Plug it in"},
    ),
    (
        "credentials", {"service": "redis", "env_vars": ["REDIS_URL"]},
        lambda one: one.reject("not here"), "credentials_provided", {"found": False, "error": "not here"},
    ),
    (
        "action_needed", {"action": "Plug it in"},
        lambda one: one.abort("no cable"), "abort_task", {"reason": "no cable"},
    ),
]  # fmt: skip


@pytest.mark.row(10)
@pytest.mark.parametrize(("kind", "payload", "answer", "type_", "expected"), KINDS)
def test_any_checkpoint_can_be_asked_from_python(
    harness: Harness, kind: str, payload: dict[str, Any], answer: Callable[[Any], Any], type_: str, expected: Any
) -> None:
    """``ask`` blocks one thread while another answers, and returns the answer."""
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(lambda: harness.ask(kind, **payload))
        harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
        [question] = harness.get_pending()
        answer(question)
        got = asking.result(timeout=LIMIT)
    assert got.type == type_
    assert {key: got.payload[key] for key in expected} == expected
    assert harness.get_pending() == []
    assert [one.state for one in harness.list_sessions()] == ["completed"]
    with pytest.raises(AlreadyAnsweredError, match=f"Message {question.id} was already answered"):
        question.reject("second thoughts")


def test_what_cannot_be_asked_and_what_nobody_answers(harness: Harness) -> None:
    """A kind that there is not, a payload that lacks something, and a question whose session somebody ends."""
    with pytest.raises(UnknownMessageKindError, match="verification, decision, action, credentials"):
        harness.ask("riddle")
    with pytest.raises(InvalidMessageError):
        harness.ask("decision", options=[])
    assert harness.list_sessions() == []
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(lambda: harness.ask("action", action="Wait"))
        harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
        harness.end_session(harness.get_pending()[0].session_id)
        with pytest.raises(QuestionExpiredError):
            asking.result(timeout=LIMIT)


# --- threads, loops, interrupts, the end ------------------------------------------------------


def test_a_running_loop_can_await_what_a_notebook_made(harness: Harness) -> None:
    """In a cell: ``await run``, ``await session``; and blocking calls, since the harness has a loop of its own."""
    configured = plan("01-01", "sleep 0.1")

    async def cell() -> tuple[str, str]:
        session = harness.start_session(command=["true"])
        record = await session
        report = await harness.run(plans=[configured])
        return record.state, report.state

    assert asyncio.run(cell()) == ("completed", "passed")


def test_letting_go_of_an_await_leaves_the_session_alone(harness: Harness) -> None:
    """Cancelling the cell ends the waiting."""
    session = harness.start_session(command=["cat"])

    async def cell() -> None:
        await asyncio.wait_for(asyncio.ensure_future(_wait(session)), 0.05)

    async def _wait(one: Any) -> None:
        await one

    with pytest.raises(TimeoutError):
        asyncio.run(cell())
    assert session.state == "running"


def test_blocking_on_the_loops_own_thread_is_an_error_and_no_deadlock(harness: Harness) -> None:
    """Whoever calls from the loop itself is told to use the awaited twin."""

    async def on_the_loop() -> None:
        harness.list_sessions()

    with pytest.raises(RuntimeError, match="AsyncHarness"):
        loop_thread().portal.call(on_the_loop)


def test_a_loop_that_was_ended_is_followed_by_another_one(root: Path) -> None:
    code = """
import sys
from harness_nb import Harness
from harness_nb.errors import HarnessClosedError
from harness_nb.harness.loop_thread import loop_thread

def end():
    raise SystemExit("it ends")

one = Harness(sys.argv[1])
first = loop_thread()
try:
    first.portal.call(end)
except SystemExit as error:
    print(error)
first._thread.join()
try:
    one.list_sessions()
except HarnessClosedError:
    print("closed")
two = Harness(sys.argv[1])
print(two is not one, two.start_session(command=["true"]).wait(timeout=60).state)
"""
    output, _ = in_another_process(code, root, stderr=subprocess.DEVNULL).communicate(timeout=LIMIT)
    assert output.splitlines() == ["it ends", "closed", "True completed"]


def test_an_interrupt_ends_only_the_waiting(harness: Harness) -> None:
    """Jupyter's stop button in ``run.wait()``: the run goes on to its end."""
    run = harness.run(plans=[plan("01-01", "while ! test -e go; do sleep 0.02; done")])
    harness.wait_for_state(states=["running"], timeout=LIMIT)
    main = threading.main_thread().ident
    assert main
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))

    def wait() -> None:
        timer.start()
        run.wait(timeout=LIMIT)

    with pytest.raises(KeyboardInterrupt):
        wait()
    assert not run.ended
    with pytest.raises(TimeoutError, match="goes on"):
        run.wait(timeout=0)
    (harness.root / "go").touch()
    assert run.wait(timeout=LIMIT).passed
    assert run.wait(timeout=0).passed


@pytest.mark.row(11)
def test_a_script_ends_although_its_session_runs_on(opened: Opened, root: Path) -> None:
    """The interpreter waits for nothing, without any ``close()``; the next one adopts the session."""
    code = """
import sys
from harness_nb import Harness
h = Harness(sys.argv[1])
print(h.start_session(command=["cat"]).id)
"""
    other = in_another_process(code, root)
    output, _ = other.communicate(timeout=LIMIT)
    assert other.returncode == 0
    session = opened().session(output.strip())
    assert session.state == "running"
    session.send("still here\n")
    until(lambda: "still here" in session.output().text)


def test_a_script_ends_although_its_run_goes_on(root: Path, opened: Opened) -> None:
    """What is left of the run is done when it is called again."""
    code = """
import os, sys
from harness_nb import Harness, Plan, RunBlock, Task
h = Harness(sys.argv[1], trust=True)
h.run(plans=["01-01"])
h.wait_for_state(states=["running"])
"""
    write_plan(root, "01-01", "while ! test -e go; do sleep 0.02; done")
    other = in_another_process(code, root, env=dict(os.environ))
    other.communicate(timeout=LIMIT)
    assert other.returncode == 0
    (root / "go").touch()
    harness = opened()
    assert harness.get_state().run_id
    assert harness.run(plans=["01-01"]).wait(timeout=LIMIT).passed
    assert harness.get_state().run_id is None
    assert len(harness.list_sessions()) == 1
