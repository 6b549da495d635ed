"""Opening a project that has been used for years: what a person waits for until the board is there."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness_nb import Harness
from harness_nb.notebook.board import ControlRoom
from harness_nb.protocol.messages import parse_orchestrator_message, parse_worker_message
from harness_nb.protocol.records import RunOptions, SessionRecord
from harness_nb.store import Store
from tests.benchmarks.figures import Figure, median, milliseconds, project
from tests.benchmarks.projects import write_plans

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

PLANS = 50
MESSAGES = 100
"""Messages of each session."""
COPIES = (
    "INSERT INTO sessions SELECT replace(s.id, 'first', number), state, run_id, plan, created_at, "
    "  revision + number * (SELECT max(seq) FROM first_events), replace(replace(data, 'first', number), '01-01', plan) "
    "FROM first_session s, copies",
    "INSERT INTO messages SELECT NULL, id, replace(session_id, 'first', number), direction, type, status, "
    "  in_response_to, replace(data, 'first', number) FROM copies, first_messages",
    "INSERT INTO events SELECT NULL, timestamp, kind, replace(session_id, 'first', number), "
    "  replace(replace(data, 'first', number), '01-01', plan) FROM copies, first_events",
)
"""One session that lived through the harness, again and again under another number and for another plan."""


def opening(sessions: int, times: int) -> list[Figure]:
    """Time each thing that a person sees first, and all of them together; blocking, never on an event loop's thread."""
    with project() as root:
        write_plans(root, PLANS)
        _fill(root, sessions)
        _first_look(root)  # what is imported at first use is no matter of the project's size
        ours = [_first_look(root) for _ in range(times)]
        bare = [_bare(root) for _ in range(times)]
    parts = {name: median([one[name] for one in ours]) for name in ours[0]}
    whole = median([sum(one.values()) for one in ours])
    size = f"{sessions:,} ended sessions and {sessions * MESSAGES:,} messages"
    return [
        Figure(
            f"opening a project with {size}",
            f"{milliseconds(whole)}: {', '.join(f'{name} {milliseconds(took)}' for name, took in parts.items())}",
            f"{milliseconds(median(bare))} bare sqlite3 counting the messages and reading the ids of the sessions",
            "≤ 1 s",
            whole <= 1,
        )
    ]


def _first_look(root: Path) -> dict[str, float]:
    took: dict[str, float] = {}
    began = time.perf_counter()

    def done(name: str) -> None:
        nonlocal began
        took[name] = time.perf_counter() - began
        began = time.perf_counter()

    with Harness(root) as harness:
        done("Harness()")
        harness.get_state()
        done("get_state()")
        harness.list_sessions()
        done("list_sessions()")
        assert harness.get_pending() == []
        done("get_pending()")
        ControlRoom(harness._twin).look(live=True)
        done("the board")
    return took


def _bare(root: Path) -> float:
    began = time.perf_counter()
    with closing(sqlite3.connect(root / ".orchestration" / "harness.db")) as connection:
        connection.execute("SELECT count(*) FROM messages").fetchall()
        connection.execute("SELECT id FROM sessions").fetchall()
    return time.perf_counter() - began


def _fill(root: Path, sessions: int) -> None:
    store = Store(root)
    _live_once(store)
    with store.journal.write() as connection:
        for name in ("session", "messages", "events"):
            source = "sessions" if name == "session" else name
            connection.execute(f"CREATE TEMP TABLE first_{name} AS SELECT * FROM {source}")
        numbers = "WITH RECURSIVE n(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < ?)"
        plan = f"printf('%02d-%02d', 1 + number % {PLANS} / 10, 1 + number % 10)"
        connection.execute(f"CREATE TEMP TABLE copies AS {numbers} SELECT number, {plan} AS plan FROM n", (sessions,))
        for copy in COPIES:
            connection.execute(copy)
    for number in range(1, sessions + 1):
        store.layout.session(f"s{number}").create()
    store.close()


def _live_once(store: Store) -> None:
    """Let one session say and ask what sessions do, fail and be judged."""
    run = store.runs.create("run-1", RunOptions())
    now = datetime.now(UTC)
    session = SessionRecord(
        id="sfirst", worker="runbook", run_id=run.id, plan_id="01-01", phase="01", working_dir=".", created_at=now
    )
    store.sessions.create(session)
    where = {"phase": "01", "plan": "01-01"}
    step = {**where, "taskNumber": 1, "totalTasks": 9}
    action = {**where, "action": "Log in", "instructions": "with the key", "reason": "a"}
    for number in range(0, MESSAGES, 5):
        _say(store, number, "task_started", {**step, "taskName": "Write it"})
        _say(
            store,
            number + 1,
            "progress_update",
            {**step, "message": "half of the file", "percentComplete": 50},
        )
        _say(store, number + 2, "task_completed", {**step, "summary": "written", "filesModified": ["src/a.py"]})
        _say(store, number + 3, "action_needed", action)
        answer = {"id": f"a{number}", "sessionId": "sfirst", "type": "action_completed", "timestamp": now}
        answer |= {"inResponseTo": f"m{number + 3}", "payload": {**where, "action": "Log in", "completedBy": "ada"}}
        store.questions.answer(parse_orchestrator_message(answer), actor="ada", door="python")
    store.sessions.end("sfirst", state="failed", reason="exit status 1", exit_code=1)
    store.sessions.update("sfirst", "judged", verdict="failed")
    store.runs.end(run.id, "failed")


def _say(store: Store, number: int, kind: str, payload: dict[str, Any]) -> None:
    envelope = {"id": f"m{number}", "sessionId": "sfirst", "type": kind, "timestamp": datetime.now(UTC)}
    store.questions.ask(parse_worker_message({**envelope, "payload": payload}))


if __name__ == "__main__":
    for figure in opening(10_000, 3):
        print(figure)
