"""What nobody should send: each is one sentence that says what to do, and the server goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from harness_nb.mcp_server.server import ProjectServer
from harness_nb.store import Store
from tests.leaks import files_that_hold
from tests.mcp_server.conftest import PATIENCE, SERVER, both_transports, connect, on_port, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.row(12)

SECRET = "hunter2-is-no-password"
SESSION = "SESSION"
"""Stands for the id of a session that lives."""

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("harness_start_session", {}, "workingDir: field required"),
    ("harness_start_session", {"workingDir": ""}, "workingDir: string should have at least 1 character"),
    ("harness_start_session", {"workingDir": "."}, "needs a command: harness_start_session(command: ["),
    ("harness_start_session", {"workingDir": "..", "command": ["true"]}, "lies outside of the project"),
    ("harness_start_session", {"workingDir": "/", "command": ["true"]}, "lies outside of the project"),
    ("harness_start_session", {"workingDir": "~", "command": ["true"]}, "lies outside of the project"),
    ("harness_start_session", {"workingDir": "way-out", "command": ["true"]}, "lies outside of the project"),
    ("harness_start_session", {"workingDir": "a\0b", "command": ["true"]}, "workingDir cannot be used"),
    ("harness_start_session", {"workingDir": "~nobody-at-all", "command": ["true"]}, "workingDir cannot be used"),
    ("harness_start_session", {"workingDir": ".", "command": ["a\0b"]}, "null"),
    ("harness_start_session", {"workingDir": "nowhere", "command": ["true"]}, "or give another workingDir."),
    ("harness_start_session", {"workingDir": "x" * 5000, "command": ["true"]}, "workingDir cannot be used"),
    ("harness_start_session", {"workingDir": ".", "worker": "runbook"}, "harness_start_session(plan: '03-02')"),
    ("harness_start_session", {"workingDir": ".", "command": ["no-such-program"]}, "Cannot start 'no-such-program'"),
    ("harness_start_session", {"workingDir": ".", "command": "echo 'open"}, "no closing quotation"),
    ("harness_start_session", {"workingDir": ".", "command": []}, "command"),
    (
        "harness_start_session",
        {"workingDir": ".", "command": ["true"], "taskType": "play"},
        "taskType: input should be",
    ),
    ("harness_start_session", {"workingDir": ".", "command": ["true"], "worker": "elf"}, "no worker 'elf'"),
    ("harness_start_session", {"workingDir": ".", "plan": "09-09"}, "harness-nb trust"),
    ("harness_start_session", {"workingDir": ".", "resume": "nobody"}, "no session 'nobody'"),
    ("harness_start_session", {"working_dir": "."}, "working_dir: there is no such field"),
    ("harness_list_sessions", {"state": "asleep"}, "state: input should be 'initializing'"),
    ("harness_get_output", {"sessionId": "nobody"}, "no session 'nobody'. harness_list_sessions shows the ids"),
    ("harness_get_output", {"sessionId": "../../etc"}, "'../../etc' cannot be a session's id"),
    ("harness_get_output", {"sessionId": SESSION, "lines": -1}, "lines: input should be greater than or equal to 0"),
    ("harness_get_output", {"sessionId": SESSION, "since": -1}, "since: input should be greater than or equal to 0"),
    ("harness_wait_for_state", {"sessionIds": ["nobody"]}, "no session 'nobody'"),
    ("harness_wait_for_state", {"sessionIds": []}, "sessionIds: list should have at least 1 item"),
    ("harness_wait_for_state", {"states": []}, "states: list should have at least 1 item"),
    ("harness_wait_for_state", {"states": ["asleep"]}, "states.0: input should be"),
    ("harness_wait_for_state", {"timeoutMs": 10**9}, "timeoutMs: input should be less than or equal to"),
    ("harness_wait_for_state", {"cursor": "yesterday"}, "cursor: input should be a valid integer"),
    ("harness_respond", {"type": "nod", "sessionId": SESSION, "payload": {}}, "type: input should be 'assign_task'"),
    ("harness_respond", {"type": "abort_task", "sessionId": SESSION, "payload": {}}, "payload.reason: field required"),
    ("harness_respond", {"type": "abort_task", "sessionId": SESSION, "payload": 7}, "payload: input should be"),
    (
        "harness_respond",
        {"type": "abort_task", "sessionId": "nobody", "payload": {"reason": "x"}},
        "no session 'nobody'",
    ),
    (
        "harness_respond",
        {"type": "decision_made", "sessionId": SESSION, "payload": {"selectedOptionId": "a"}},
        "harness_get_pending",
    ),
    (
        "harness_respond",
        {
            "type": "decision_made",
            "sessionId": SESSION,
            "inResponseTo": "nothing",
            "payload": {"selectedOptionId": "a"},
        },
        "no message 'nothing' in session",
    ),
    ("harness_get_pending", {"sessionId": "nobody"}, "no session 'nobody'"),
    ("harness_get_pending", {"messageTypes": ["gossip"]}, "messageTypes.0: input should be 'verification_needed'"),
    ("harness_get_state", {"projectPath": "/"}, "harness-nb mcp --project /"),
    ("harness_get_project_state", {"projectPath": ".."}, "This server serves"),
    ("harness_end_session", {"sessionId": "nobody"}, "no session 'nobody'"),
    ("harness_sync_state", {}, "projectPath: field required"),
    ("harness_sync_state", {"projectPath": "elsewhere"}, "This server serves"),
    ("harness_set_state", {"projectPath": "."}, "nothing is given"),
    ("harness_set_state", {"projectPath": ".", "status": "bored"}, "status: input should be 'planning'"),
    ("harness_set_state", {"projectPath": ".", "completedPlans": -1}, "completedPlans: input should be"),
    ("harness_set_state", {"projectPath": ".", "status": "executing"}, "has no frontmatter"),
    ("harness_do_magic", {}, "There is no tool 'harness_do_magic'. The tools are: harness_start_session"),
]


@pytest.mark.anyio
@both_transports
async def test_each_bad_argument_is_one_sentence_and_the_server_goes_on(root: Path, way: str) -> None:
    (root / "way-out").symlink_to("/")
    write_plan(root, "01-01")
    async with connect(root, way) as agent:
        living = await agent.start("sleep", "600")
        for tool, arguments, sentence in REFUSED:
            given = json.loads(json.dumps(arguments).replace(SESSION, living))
            refusal = await agent.refused(tool, **given)
            assert sentence in refusal, (tool, arguments, refusal)
            assert "Traceback" not in refusal
        refusal = await agent.refused("harness_wait_for_state", nonsense=SECRET, timeoutMs=SECRET)
        assert "Its fields are: sessionIds, states, timeoutMs, cursor." in refusal
        assert SECRET not in refusal
        sessions = (await agent.call("harness_list_sessions", state="running"))["sessions"]
    assert [one["sessionId"] for one in sessions] == [living]
    assert not files_that_hold(root.parent, SECRET.encode())


@pytest.mark.anyio
@both_transports
async def test_questions_take_their_own_answers_only(root: Path, way: str, say: Callable[..., Any]) -> None:
    async with connect(root, way) as agent:
        mine, other = await agent.start("sleep", "600"), await agent.start("sleep", "600")
        options = [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]
        question = say(mine, "decision_needed", decision="Which?", options=options)
        said = {"inResponseTo": question.id, "payload": {"selectedOptionId": "c"}}
        assert "Choose one of: a, b" in await agent.refused(
            "harness_respond", type="decision_made", sessionId=mine, **said
        )
        assert "no message" in await agent.refused("harness_respond", type="decision_made", sessionId=other, **said)
        assert "'decision_made' or 'abort_task'" in await agent.refused(
            "harness_respond", type="verification_result", sessionId=mine, inResponseTo=question.id,
            payload={"verified": True},
        )  # fmt: skip
        await agent.call("harness_end_session", sessionId=mine)
        said["payload"] = {"selectedOptionId": "a"}
        assert "has expired" in await agent.refused("harness_respond", type="decision_made", sessionId=mine, **said)


@pytest.mark.anyio
async def test_what_is_no_tool_is_a_protocol_error_with_a_sentence(root: Path, way: str) -> None:
    async with connect(root, way) as agent:
        with pytest.raises(MCPError, match=r"There is no prompt 'poem'\. The prompts are: orchestrator, worker\."):
            await agent.client.get_prompt("poem")
        for uri in ("harness://gossip", "harness://sessions/../../etc/passwd", "file:///etc/passwd"):
            with pytest.raises(MCPError, match="There is no resource"):
                await agent.client.read_resource(uri)
        with pytest.raises(MCPError, match="no session 'nobody'"):
            await agent.client.read_resource("harness://sessions/nobody/output")
        assert (await agent.call("harness_list_sessions"))["sessions"] == []


@pytest.mark.anyio
async def test_what_nobody_foresaw_is_told_without_its_text(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mcp.client import Client

    from harness_nb.harness import AsyncHarness

    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(AsyncHarness, "get_state", fail)
    async with Client(ProjectServer(root)) as client:
        result = await client.call_tool("harness_get_state", {})
        with pytest.raises(MCPError, match=r"harness://state failed \(RuntimeError\)"):
            await client.read_resource("harness://state")
        assert not (await client.call_tool("harness_list_sessions", {})).is_error
    assert result.is_error
    assert "harness_get_state failed (RuntimeError); the server's standard error says where" in str(result.content)
    assert SECRET not in caplog.text + str(result.content)
    assert "RuntimeError at " in caplog.text


@pytest.mark.anyio
async def test_a_project_that_was_deleted_meanwhile_is_one_sentence(root: Path) -> None:
    async with connect(root, "stdio auto") as agent:
        await agent.ended(await agent.start("true"))
        shutil.rmtree((root / ".orchestration").rename(root / "deleted"))  # at one stroke: the server still writes
        for tool, arguments in (
            ("harness_get_state", {}),
            ("harness_sync_state", {"projectPath": "."}),
            ("harness_wait_for_state", {"timeoutMs": 0}),
        ):
            refusal = await agent.refused(tool, **arguments)
            assert "was deleted while it was open. Start this server again." in refusal
    assert not (root / ".orchestration").exists()


# --- bytes on standard input -----------------------------------------------------------------


class Raw:
    """A server on pipes, and a client that may send any bytes."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [*SERVER, "--project", str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ),
        )  # fmt: skip

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, number: int, method: str, **params: Any) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        message: dict[str, Any] = {}
        while "id" not in message:  # a notification
            message = json.loads(self.process.stdout.readline())
        return message

    def greet(self) -> None:
        self.ask(
            0, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "raw", "version": "1"}
        )
        assert self.receive()["result"]["protocolVersion"] == "2025-06-18"
        self.send(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')

    def end(self) -> tuple[int, bytes, bytes]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.fixture
def raw(root: Path) -> Iterator[Raw]:
    server = Raw(root)
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.communicate()


def test_lines_that_are_no_messages_are_answered_each_and_the_next_is_served(raw: Raw) -> None:
    for line, code, sentence in (
        (b"nonsense\n", -32700, "This line is not JSON."),
        (b'{"jsonrpc": "2.0", "id": 1, "meth\n', -32700, "This line is not JSON."),
        (b"\xff\xfe\x00\n", -32700, "This line is not JSON."),
        (b"[1, 2]\n", -32600, "This line is no JSON-RPC message."),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}\n', -32600, "This line is no JSON-RPC message."),
        (SECRET.encode() + b"\n", -32700, "This line is not JSON."),
    ):
        raw.send(line)
        answer = raw.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, code)
        assert sentence in answer["error"]["message"]
    raw.greet()
    raw.send(b"nonsense\n")
    assert raw.receive()["error"]["code"] == -32700
    raw.ask(1, "tools/call", name="harness_list_sessions", arguments={})
    assert raw.receive()["result"]["structuredContent"] == {"sessions": []}
    raw.ask(2, "tools/call", name="harness_list_sessions", arguments=[SECRET])
    assert raw.receive()["error"]["code"] == -32602
    raw.ask(3, "harness/dance")
    assert raw.receive()["error"]["code"] == -32601
    code, out, err = raw.end()
    assert (code, out) == (0, b"")
    assert SECRET.encode() not in err


@pytest.mark.parametrize("how", ["stdin closed", "SIGTERM", "SIGINT"])
def test_the_server_ends_at_once_with_a_wait_open_and_sessions_live_on(raw: Raw, root: Path, how: str) -> None:
    raw.greet()
    raw.ask(1, "tools/call", name="harness_start_session", arguments={"workingDir": ".", "command": ["sleep", "600"]})
    session_id = raw.receive()["result"]["structuredContent"]["sessionId"]
    raw.ask(2, "tools/call", name="harness_wait_for_state", arguments={"states": ["completed"], "timeoutMs": 600_000})
    raw.ask(3, "ping")
    assert raw.receive() == {"jsonrpc": "2.0", "id": 3, "result": {}}
    if how != "stdin closed":
        raw.process.send_signal(getattr(signal, how))
        assert raw.process.wait(PATIENCE) == 0
    code, out, err = raw.end()
    assert (code, err) == (0, b"")
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in out.splitlines())
    with closing(Store(root)) as store:
        assert store.sessions.get(session_id).live


@pytest.mark.anyio
async def test_a_client_that_goes_away_in_mid_wait_loses_nothing(root: Path) -> None:
    async with on_port(root, root.parent / "server.log") as streams:
        from mcp.client import Client

        async with Client(streams) as leaving:
            started = await leaving.call_tool(
                "harness_start_session", {"workingDir": ".", "command": ["sh", "-c", "read line"]}
            )
            assert isinstance(started.structured_content, dict)
            session_id = started.structured_content["sessionId"]
            first = await leaving.call_tool("harness_wait_for_state", {"timeoutMs": 0})
            assert isinstance(first.structured_content, dict)
            async with anyio.create_task_group() as tasks:
                waiting = {"timeoutMs": 600_000, "states": ["failed"], "cursor": first.structured_content["cursor"]}
                tasks.start_soon(leaving.call_tool, "harness_wait_for_state", waiting)
                await leaving.call_tool("harness_list_sessions", {})
                tasks.cancel_scope.cancel()
            await leaving.call_tool("harness_end_session", {"sessionId": session_id})
            found = await leaving.call_tool("harness_wait_for_state", waiting)
    assert isinstance(found.structured_content, dict)
    assert [one["sessionId"] for one in found.structured_content["sessions"]] == [session_id]
