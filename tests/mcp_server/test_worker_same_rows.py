"""The same conversation by tools, from a shell and with files leaves the same in the journal."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from harness_nb.protocol.files import CHECKPOINT_TYPES
from tests.mcp_server.conftest import write_plan
from tests.mcp_server.working import Shell, Tools, environment_of, idle_session, worker_client
from tests.sessions.living import opened, question
from tests.sessions.workers import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from harness_nb import AsyncHarness
    from harness_nb.harness import AsyncQuestion
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import SessionFolder

pytestmark = [pytest.mark.anyio, pytest.mark.row(13), pytest.mark.row(10)]

TASK = {
    "phase": "03",
    "plan": "03-02",
    "planPath": "planning/03-02-PLAN.md",
    "specDir": ".",
    "context": "mind the step",
}
OPTIONS = [{"id": "a", "name": "A"}, {"id": "b", "name": "B", "recommended": True}]
QUESTIONS: dict[str, dict[str, Any]] = {
    "verification_needed": {"whatBuilt": "a door", "howToVerify": ["open it"], "artifacts": ["door.txt"]},
    "decision_needed": {"decision": "Which?", "context": "it matters", "options": OPTIONS},
    "action_needed": {"action": "turn the key", "instructions": "to the left", "reason": "it is locked"},
    "credentials_needed": {"service": "demo", "envVars": ["DEMO_TOKEN"], "reason": "to pay", "context": "production"},
}
REPORTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("task_started", {"taskNumber": 1, "totalTasks": 2, "taskName": "painting", "planPath": "planning/03-02-PLAN.md"}),
    ("progress_update", {"message": "half way", "percentComplete": 50}),
    ("task_completed", {"summary": "painted", "filesModified": ["door.txt"], "commitHash": "abc"}),
    ("task_started", {"taskNumber": 2, "totalTasks": 2, "taskName": "drying"}),
    ("task_failed", {"error": "it rains", "recoverable": True, "suggestion": "wait for the sun"}),
)
VARIES = ("id", "seq", "sessionId", "timestamp", "inResponseTo", "createdAt", "startedAt", "command", "askedBy",
          "revision", "pid")  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    write_plan(folder, "03-02")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "demo-production.env").write_text("DEMO_TOKEN=hush-4711\n")
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(credentials))
    return folder


async def settle(asked: AsyncQuestion) -> None:
    """Answer a question of any kind, each in its own words."""
    if asked.type == "decision_needed":
        await asked.answer("a", rationale="because")
    elif asked.type == "verification_needed":
        await asked.reject("it squeaks")
    else:
        await asked.approve()


class Files:
    """The same with files alone; they can ask, and nothing else."""

    def __init__(self, folder: SessionFolder) -> None:
        self.folder = folder

    async def report(self, message_type: str, payload: dict[str, Any]) -> str:
        content = {"id": message_type, "type": CHECKPOINT_TYPES[message_type], "phase": "", "plan": "", **payload}
        draft = self.folder.path / "checkpoint.tmp"
        draft.write_text(json.dumps(content))
        os.rename(draft, self.folder.checkpoint)  # noqa: PTH104
        return message_type

    async def wait(self, message_id: str) -> dict[str, Any]:
        def answered() -> bool:
            try:
                os.rename(self.folder.response, self.folder.answered_copy(message_id))  # noqa: PTH104
            except FileNotFoundError:
                return False
            return True

        await anyio.to_thread.run_sync(lambda: eventually(answered, "the answer's file"))
        return dict(json.loads(self.folder.answered_copy(message_id).read_text()))


async def converse(h: AsyncHarness, folder: SessionFolder, way: Tools | Shell) -> list[Any]:
    """Have the whole conversation, and return what the worker was told."""
    ready = await way.report("session_ready", {"workingDir": "here", "capabilities": ["execute"]})
    await h.respond("assign_task", folder.path.name, TASK, ready)
    told = [await way.wait(ready)]
    for message_type, payload in QUESTIONS.items():
        told.append(await ask(h, way, message_type, payload))
    for message_type, payload in REPORTS:
        await way.report(message_type, payload)
    return [{key: one[key] for key in ("type", "payload")} for one in told]


async def ask(h: AsyncHarness, way: Tools | Shell | Files, message_type: str, payload: dict[str, Any]) -> Any:
    asked = await way.report(message_type, payload)
    await settle(await question(h))
    return await way.wait(asked)


def rows(h: AsyncHarness, folder: SessionFolder) -> list[dict[str, Any]]:
    """The messages of a session, with what differs each time left out; which answer belongs to which is kept."""
    messages = h.store.messages.select(folder.path.name)
    places = {one.id: place for place, one in enumerate(messages)}
    return [{**without(one.to_wire()), "answers": places.get(one.in_response_to or "")} for one in messages]


def without(wire: dict[str, Any]) -> dict[str, Any]:
    payload = {key: value for key, value in (wire.get("payload") or {}).items() if key != "fileIdentity"}
    return {**{key: value for key, value in wire.items() if key not in VARIES}, "payload": payload}


def fields(record: SessionRecord) -> dict[str, Any]:
    return without(record.to_wire())


async def by_tools(h: AsyncHarness, folder: SessionFolder, talk: Callable[..., Awaitable[Any]]) -> Any:
    async with worker_client(folder) as tools:
        return await talk(h, folder, tools)


async def test_tools_and_shell_write_the_same_rows_and_are_told_the_same(project: Path) -> None:
    async with opened(project) as h:
        first, second = await idle_session(h), await idle_session(h)
        told_by_tools = await by_tools(h, first, converse)
        told_by_shell = await converse(h, second, Shell(environment_of(second)))
        assert told_by_tools == told_by_shell
        assert rows(h, first) == rows(h, second)
        assert len(rows(h, first)) == 2 + 2 * len(QUESTIONS) + len(REPORTS)
        records = [h.store.sessions.get(one.path.name) for one in (first, second)]
        assert fields(records[0]) == fields(records[1])
        assert (records[0].task_name, records[0].current_task, records[0].message) == ("drying", 2, "it rains")


async def test_files_ask_the_four_questions_with_the_same_rows(project: Path) -> None:
    async def all_four(h: AsyncHarness, folder: SessionFolder, way: Tools | Files) -> None:
        for message_type, payload in QUESTIONS.items():
            await ask(h, way, message_type, payload)

    async with opened(project) as h:
        first, second = await idle_session(h), await idle_session(h)
        await by_tools(h, first, all_four)
        await all_four(h, second, Files(second))
        assert rows(h, first) == rows(h, second)
        assert len(rows(h, first)) == 2 * len(QUESTIONS)
        records = [h.store.sessions.get(one.path.name) for one in (first, second)]
        assert fields(records[0]) == fields(records[1])


async def test_each_way_goes_on_where_another_left(project: Path) -> None:
    """Asked with a tool, awaited from a shell."""
    async with opened(project) as h:
        folder = await idle_session(h)
        async with worker_client(folder) as tools:
            asked = await tools.report("decision_needed", QUESTIONS["decision_needed"])
        await settle(await question(h))
        assert (await Shell(environment_of(folder)).wait(asked))["payload"]["selectedOptionId"] == "a"
