"""The worker's MCP server, by the ``mcp`` package's own client: two tools, one session, sentences for what is wrong."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb import AsyncHarness
from harness_nb.protocol.messages import WORKER_TYPES
from tests.mcp_server.working import OURS, PATIENCE, agent, environment_of, idle_session, in_this_process, worker_client
from tests.sessions.living import opened, question

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [pytest.mark.anyio, pytest.mark.row(13)]

REPORT, AWAIT = "harness_worker_report", "harness_worker_await"
DECISION = {"decision": "Which?", "options": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


async def test_an_agent_finds_two_tools_that_say_what_they_take(project: Path) -> None:
    async with agent(project) as (_, tools, folder):
        found = {tool.name: tool for tool in (await tools.client.list_tools()).tools}
        assert sorted(found) == [AWAIT, REPORT]
        for tool in found.values():
            assert tool.input_schema["additionalProperties"] is False
            assert tool.output_schema is not None
            assert len(tool.description or "") > 100
            for name, field in tool.input_schema["properties"].items():
                assert field["description"], name
        report = found[REPORT].input_schema
        assert report["properties"]["messageType"]["enum"] == list(WORKER_TYPES)
        assert report["required"] == ["messageType"]
        fields = report["properties"]["payload"]["description"]
        assert "task_failed {error, recoverable, suggestion?}" in fields
        assert folder.path.name in str(tools.client.instructions)


async def test_the_guide_comes_as_instructions_and_as_a_prompt(project: Path) -> None:
    async with agent(project) as (_, tools, folder):
        [prompt] = (await tools.client.list_prompts()).prompts
        assert prompt.name == "worker"
        got = await tools.client.get_prompt("worker")
        text = getattr(got.messages[0].content, "text", "")
        assert text == tools.client.instructions
        for said in (
            folder.path.name,
            "session_ready",
            "call again",
            "abort_task",
            "worker exec --",
            "checkpoint.json",
        ):
            assert said in text, said


async def test_an_agent_gets_its_task_reports_and_is_answered(project: Path) -> None:
    async with agent(project) as (h, tools, folder):
        name = folder.path.name
        ready = await tools.report("session_ready")
        await h.respond("assign_task", name, {"context": "paint it"})
        task = await tools.wait(ready)
        assert (task["waiting"], task["type"], task["payload"]["context"]) == (False, "assign_task", "paint it")
        assert "task_started" in task["advice"]
        await tools.report("task_started", {"taskNumber": 2, "totalTasks": 3, "taskName": "painting"})
        await tools.report("progress_update", {"message": "half way", "percentComplete": 50})
        [session] = await h.list_sessions()
        assert (session.record.current_task, session.record.total_tasks) == (2, 3)
        assert session.record.message == "half way"
        asked = await tools.report("decision_needed", DECISION)
        await (await question(h)).answer("b", rationale="it is later")
        answer = await tools.wait(asked)
        assert (answer["inResponseTo"], answer["sessionId"]) == (asked, name)
        assert answer["payload"]["selectedOptionId"] == "b"
        assert await tools.wait(asked) == answer  # after a crash it may be fetched again


async def test_an_abort_reaches_an_agent_that_waits_for_something_else(project: Path) -> None:
    async with agent(project) as (h, tools, folder):
        asked = await tools.report("decision_needed", DECISION)
        await h.respond("abort_task", folder.path.name, {"reason": "the paint is out", "shouldRetry": False})
        told = await tools.wait(asked)
        assert (told["type"], told["payload"]["reason"]) == ("abort_task", "the paint is out")
        assert "Stop this task now" in told["advice"]


BAD: tuple[tuple[str, dict[str, Any], str], ...] = (
    (REPORT, {"messageType": "task_dreamt"}, "Unknown message type 'task_dreamt'. Use one of: session_ready"),
    (REPORT, {}, "messageType: field required. Its fields are: sessionId, messageType, payload"),
    (REPORT, {"messageType": 7}, "messageType: input should be a valid string"),
    (
        REPORT,
        {"messageType": "session_ready", "mesage": "x"},
        "mesage: there is no such field. Its fields are: session",
    ),
    (REPORT, {"messageType": "progress_update", "payload": '{"message": '}, "payload: this is not JSON"),
    (REPORT, {"messageType": "progress_update", "payload": "[1]"}, "payload: input should be a valid dictionary"),
    (REPORT, {"messageType": "progress_update", "payload": [1]}, "payload: input should be a valid dictionary"),
    (REPORT, {"messageType": "task_failed", "payload": {"error": "x"}}, "recoverable: field required. Correct these"),
    (REPORT, {"messageType": "session_ready", "sessionId": "other"}, "You cannot speak for session 'other'"),
    (AWAIT, {"sessionId": "other"}, "You cannot speak for session 'other'"),
    (AWAIT, {"messageId": "never-asked"}, "There is no message 'never-asked' in session"),
    (AWAIT, {"timeoutMs": -1}, "timeoutMs: input should be greater than or equal to 0"),
    (AWAIT, {"timeoutMs": "soon"}, "timeoutMs: input should be a valid integer"),
    (AWAIT, {"timeout": 1}, "timeout: there is no such field. Its fields are: sessionId, messageId, timeoutMs"),
    ("harness_end_session", {}, "There is no tool 'harness_end_session'. The tools are: harness_worker_report, harn"),
)


async def test_what_is_wrong_is_a_tool_error_with_a_sentence_and_nothing_is_written(project: Path) -> None:
    async with agent(project) as (h, tools, _):
        for tool, arguments, sentence in BAD:
            said = await tools.refusal(tool, arguments)
            assert sentence in said, (tool, arguments, said)
            assert "\n" not in said
            assert "Traceback" not in said
        assert h.store.messages.select() == []
        assert (await tools.wait(timeoutMs=0))["waiting"]  # and the server goes on


async def test_waiting_for_an_answer_to_what_asks_nothing_is_refused(project: Path) -> None:
    async with agent(project) as (_, tools, _folder):
        said = await tools.report("progress_update", {"message": "on it"})
        refused = await tools.refusal(AWAIT, {"messageId": said})
        assert "is a progress_update: nobody answers that" in refused


async def test_fields_that_nobody_reads_are_kept_and_named(project: Path) -> None:
    async with agent(project) as (h, tools, folder):
        result = await tools.call(
            REPORT, {"messageType": "progress_update", "payload": '{"message": "on it", "percent": 5}'}
        )
        assert "Nobody reads percent: " in dict(result.structured_content or {})["advice"]
        [message] = h.store.messages.select(folder.path.name)
        assert message.payload["percent"] == 5


async def test_a_project_that_was_deleted_is_an_error_and_does_not_come_back(project: Path) -> None:
    async with in_this_process(project) as (h, tools, side):
        await h.end_session(side.session_id)
        away = project.with_name("away")
        h.store.layout.folder.rename(away)
        for tool, arguments in ((REPORT, {"messageType": "session_ready"}), (AWAIT, {"timeoutMs": 0})):
            assert "was deleted while it was open" in await tools.refusal(tool, arguments)
        assert not h.store.layout.folder.exists()
        away.rename(h.store.layout.folder)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_a_burst_of_reports_is_stored_whole_and_in_its_order(project: Path, count: int) -> None:
    async with AsyncHarness(project) as h:
        folder = await idle_session(h)
        async with worker_client(folder) as tools, anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(tools.report, "progress_update", {"message": f"line {number}"})
        stored = h.store.messages.select(folder.path.name)
        assert [one.payload["message"] for one in stored] == [f"line {number}" for number in range(count)]
        assert h.store.sessions.get(folder.path.name).message == f"line {count - 1}"
        await h.end_session(folder.path.name)


async def test_what_an_agent_sent_before_it_went_is_stored(project: Path) -> None:
    count = 200
    report = {"jsonrpc": "2.0", "method": "tools/call"}
    lines = [*LINES[3:5]]
    for number in range(count):
        arguments = {"messageType": "progress_update", "payload": {"message": f"line {number}"}}
        lines.append(
            json.dumps({**report, "id": 10 + number, "params": {"name": REPORT, "arguments": arguments}}) + "\n"
        )
    async with opened(project) as h:
        folder = await idle_session(h)
        await anyio.run_process([*OURS, "mcp", "--worker"], input="".join(lines).encode(), env=environment_of(folder))
        stored = [one.payload["message"] for one in h.store.messages.select(folder.path.name)]
        assert stored == [f"line {number}" for number in range(count)]


LINES = (
    "this is no JSON\n",
    "[1, 2\n",
    '{"jsonrpc": "2.0"}\n',
    '{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", '
    '"capabilities": {}, "clientInfo": {"name": "by hand", "version": "1"}}}\n',
    '{"jsonrpc": "2.0", "method": "notifications/initialized"}\n',
    '{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "harness_worker_report", '
    '"arguments": {"messageType": "nonsense"}}}\n',
    '{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "harness_worker_await", '
    '"arguments": {"timeoutMs": 0}}}\n',
)
ANSWERED = 6
"""The notification alone gets no answer."""


async def test_standard_output_carries_protocol_alone(project: Path) -> None:
    async with opened(project) as h:
        folder = await idle_session(h)
        async with await anyio.open_process([*OURS, "mcp", "--worker"], env=environment_of(folder)) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdin.send("".join(LINES).encode())
            received = b""
            with anyio.fail_after(PATIENCE):
                while received.count(b"\n") < ANSWERED:
                    received += await process.stdout.receive()
                await process.stdin.aclose()
                async for rest in process.stdout:
                    received += rest
                assert await process.wait() == 0
        answers = [json.loads(line) for line in received.decode().splitlines()]
        assert all(answer["jsonrpc"] == "2.0" for answer in answers)
        assert sorted(str(answer["id"]) for answer in answers) == ["1", "2", "3", "None", "None", "None"]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "This is not inside a session"),
        ({"HARNESS_SESSION_DIR": "/p/.orchestration/sessions/s"}, "HARNESS_TOKEN_FILE is not set"),
    ],
)
def test_outside_of_a_session_there_is_a_sentence_and_exit_status_2(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    done = subprocess.run(
        [*OURS, "mcp", "--worker"], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


async def test_anothers_token_opens_no_server(project: Path) -> None:
    async with opened(project) as h:
        mine, theirs = await idle_session(h), await idle_session(h)
        environment = {**environment_of(mine), "HARNESS_SESSION_DIR": str(theirs.path)}
        done = await anyio.run_process([*OURS, "mcp", "--worker"], input=b"", env=environment, check=False)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"is another session's" in done.stderr


async def test_what_an_agent_reports_is_made_whole_and_the_project_goes_on(project: Path) -> None:
    half = '{"decision": "x\\ud800?", "options": [{"id": "a", "name": "A"}], "n": 1}'
    async with agent(project) as (h, tools, _):
        asked = await tools.report("decision_needed", half)
        [stored] = await h.get_pending()
        assert (stored.id, stored.payload["decision"]) == (asked, "x??")
        nan = {"messageType": "progress_update", "payload": '{"message": "x", "n": NaN}'}
        assert "n: NaN is no JSON" in await tools.refusal(REPORT, nan)
        await stored.answer("a")
        assert (await tools.wait(asked))["payload"]["selectedOptionId"] == "a"
    async with opened(project) as again:
        assert await again.get_pending() == []


async def test_the_schemas_have_no_titles_that_say_nothing(project: Path) -> None:
    async with agent(project) as (_, tools, _folder):
        for tool in (await tools.client.list_tools()).tools:
            assert '"title": "' not in json.dumps([tool.input_schema, tool.output_schema])


async def test_what_is_no_whole_character_reaches_the_agent_as_a_question_mark(project: Path) -> None:
    async with in_this_process(project) as (h, tools, side):
        await h.respond("abort_task", side.session_id, {"reason": "half \ud83d of a smile"})
        assert (await tools.wait())["payload"]["reason"] == "half ? of a smile"
