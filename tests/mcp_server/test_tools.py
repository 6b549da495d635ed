"""Every tool with good arguments, through the mcp package's own client on both transports and in both eras."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mcp_types import TextContent

from tests.leaks import files_that_hold
from tests.mcp_server.conftest import WAYS, both_transports, connect, write_plan
from tests.trusting import trust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.mcp_server.conftest import Agent

pytestmark = [pytest.mark.anyio, pytest.mark.row(12)]

NAMES = {
    "harness_start_session", "harness_list_sessions", "harness_get_output", "harness_wait_for_state",
    "harness_respond", "harness_get_pending", "harness_get_state", "harness_get_project_state",
    "harness_end_session", "harness_sync_state", "harness_set_state",
}  # fmt: skip
SECRET = "hunter2-is-no-password"


@pytest.fixture(scope="module", params=WAYS)
async def unused(request: pytest.FixtureRequest, shared_root: Path) -> AsyncIterator[Agent]:
    """A client of a server whose tools nobody calls: what it says of itself is the same for all who ask."""
    async with connect(shared_root, str(request.param)) as agent:
        yield agent


async def test_each_tool_says_what_it_takes_and_gives_and_does(unused: Agent) -> None:
    tools = {tool.name: tool for tool in (await unused.client.list_tools()).tools}
    assert set(tools) == NAMES
    for tool in tools.values():
        assert tool.description
        assert len(tool.description) > 100
        assert tool.input_schema["additionalProperties"] is False
        assert all(one["description"] for one in tool.input_schema["properties"].values())
        assert tool.output_schema is not None
        assert tool.output_schema["properties"]
        assert tool.annotations is not None
    assert tools["harness_wait_for_state"].input_schema["properties"]["states"]["anyOf"][0]["items"]["enum"]
    reads = {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint}
    assert reads == NAMES - {"harness_start_session", "harness_respond", "harness_end_session"} - {
        "harness_sync_state", "harness_set_state",
    }  # fmt: skip
    ends = tools["harness_end_session"].annotations
    assert ends is not None
    assert ends.destructive_hint


async def test_a_session_from_its_start_to_its_end(root: Path, way: str) -> None:
    async with connect(root, way) as agent:
        session_id = await agent.start("sh", "-c", "echo first; read line; echo $line")
        listed = await agent.call("harness_list_sessions", state="running")
        assert [one["sessionId"] for one in listed["sessions"]] == [session_id]
        while not (await agent.call("harness_get_output", sessionId=session_id))["output"]:
            pass
        ended = await agent.call("harness_end_session", sessionId=session_id)
        assert (ended["state"], ended["reason"]) == ("failed", "ended by end_session")
        assert (await agent.call("harness_end_session", sessionId=session_id))["endedAt"] == ended["endedAt"]
        output = await agent.call("harness_get_output", sessionId=session_id)
        assert output["output"] == "first\n"
        assert output["state"] == "failed"
        assert not output["more"]


async def test_a_command_may_be_one_string_that_no_shell_sees(root: Path) -> None:
    async with connect(root, "stdio auto") as agent:
        session = await agent.call("harness_start_session", workingDir=".", command="echo 'two words' $HOME")
        await agent.ended(session["sessionId"])
        output = await agent.call("harness_get_output", sessionId=session["sessionId"])
    assert session["command"] == ["echo", "two words", "$HOME"]
    assert output["output"] == "two words $HOME\n"


async def test_output_is_followed_in_pieces_that_add_up(root: Path) -> None:
    line = "0123456789abcdef" * 64
    async with connect(root, "stdio auto") as agent:
        session_id = await agent.start("sh", "-c", f"for n in $(seq 300); do echo $n {line}; done")
        await agent.ended(session_id)
        last = await agent.call("harness_get_output", sessionId=session_id, lines=2)
        assert last["output"] == f"299 {line}\n300 {line}\n"
        since, pieces, more = 0, [], True
        while more:
            piece = await agent.call("harness_get_output", sessionId=session_id, since=since)
            since, more = piece["nextSince"], piece["more"]
            pieces.append(piece["output"])
            assert len(piece["output"]) <= 1 << 16
        none_left = await agent.call("harness_get_output", sessionId=session_id, since=since)
    assert "".join(pieces) == "".join(f"{n} {line}\n" for n in range(1, 301))
    assert none_left["output"] == ""


@both_transports
async def test_the_project_and_its_plans_from_state_to_a_completed_session(root: Path, way: str) -> None:
    write_plan(root, "01-01")
    write_plan(root, "01-02", depends_on="['01-01']")
    roadmap = root / "ROADMAP.md"
    roadmap.write_text("---\nstatus: planning\n---\n\n# Roadmap\n")
    async with connect(root, way) as agent:
        state = await agent.call("harness_get_state")
        assert state == await agent.call("harness_get_project_state", projectPath=str(root)) | {
            "graph": state["graph"]
        }  # the graph has a time stamp
        assert state["graph"]["available"] == ["01-01"]
        assert [plan["id"] for plan in state["plans"]] == ["01-01", "01-02"]
        assert "harness-nb trust" in await agent.refused("harness_start_session", workingDir=".", plan="01-01")
        trust(root)
        session = await agent.call("harness_start_session", workingDir=".", plan="01-01", worker="runbook")
        assert session["plan"] == "01-01"
        wanted = ["completed", "failed"]
        ended: dict[str, Any] = {}
        cursor = 0
        while ended.get("verdict") is None:  # told of its end first, and once more when its checks have judged it
            change = await agent.call("harness_wait_for_state", states=wanted, cursor=cursor)
            cursor, ended = change["cursor"], (*change["sessions"], ended)[0]
        assert (ended["state"], ended["verdict"]) == ("completed", "passed")
        assert (await agent.call("harness_get_state"))["graph"]["available"] == ["01-02"]
        write_plan(root, "01-03")
        synced = await agent.call("harness_sync_state", projectPath=".")
        assert len(synced["plans"]) == 3
        known = json.loads((root / ".orchestration" / "dependency-graph.json").read_text())
        assert len(known["plans"]) == 3
        changed = await agent.call(
            "harness_set_state", projectPath=str(root), phase=1, plan="02", status="executing", completedPlans=1
        )
    assert changed["roadmap"]["status"] == "executing"
    assert changed["roadmap"]["completedPlans"] == 1
    assert roadmap.read_text().endswith("---\n\n# Roadmap\n")
    assert "current_phase: 1" in roadmap.read_text()


QUESTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "verification_needed": (
        {"whatBuilt": "a door", "howToVerify": ["open it"]},
        {"verified": False, "feedback": "it squeaks", "issues": ["hinge"]},
    ),
    "decision_needed": (
        {"decision": "Which colour?", "options": [{"id": "red", "name": "Red"}, {"id": "blue", "name": "Blue"}]},
        {"selectedOptionId": "blue", "rationale": "calm"},
    ),
    "action_needed": (
        {"action": "Plug it in", "instructions": "the socket is left"},
        {"completedBy": "Ada", "notes": "done"},
    ),
}


@both_transports
async def test_each_kind_of_question_is_answered_as_the_question_says(
    root: Path, way: str, say: Callable[..., Any]
) -> None:
    async with connect(root, way) as agent:
        session_id = await agent.start("sleep", "600")
        for asked_type, (asked, answer) in QUESTIONS.items():
            question = say(session_id, asked_type, **asked)
            change = await agent.call("harness_wait_for_state", states=["checkpoint"])
            assert change["sessions"][0]["reason"] == asked_type.removesuffix("_needed")
            pending = (await agent.call("harness_get_pending", sessionId=session_id))["questions"]
            assert [one["id"] for one in pending] == [question.id]
            assert pending[0]["payload"]["phase"] == ""
            assert asked.keys() <= pending[0]["payload"].keys()
            respond = pending[0]["respondWith"]
            given = {**respond, "payload": {**respond["payload"], **answer}}
            sent = await agent.call("harness_respond", **given)
            assert sent["inResponseTo"] == question.id
            assert {**sent["payload"], **answer} == sent["payload"]
            assert "was already answered by" in await agent.refused("harness_respond", **given)
            assert (await agent.call("harness_get_pending"))["questions"] == []


async def test_the_answer_is_written_down_under_the_clients_name(root: Path, way: str, say: Callable[..., Any]) -> None:
    from contextlib import closing

    from mcp_types import Implementation

    from harness_nb.store import Store

    async with connect(root, way, client_info=Implementation(name="some-agent", version="1")) as agent:
        session_id = await agent.start("sleep", "600")
        question = say(session_id, "action_needed", action="look")
        await agent.call(
            "harness_respond", type="action_completed", sessionId=session_id, inResponseTo=question.id,
            payload={"completedBy": "some-agent"},
        )  # fmt: skip
    with closing(Store(root)) as store:
        answer = store.messages.answer_to(question.id, session_id)
    assert answer is not None
    assert (answer.actor, answer.door) == ("some-agent", "mcp")


@both_transports
async def test_credentials_are_looked_up_and_no_value_is_seen_anywhere(
    root: Path, way: str, say: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "postgres.env").write_text(f"PGPASSWORD={SECRET}\n")
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(vault))
    async with connect(root, way) as agent:
        session_id = await agent.start("sleep", "600")
        question = say(session_id, "credentials_needed", service="postgres", envVars=["PGPASSWORD"], reason="tests")
        respond = (await agent.call("harness_get_pending"))["questions"][0]["respondWith"]
        sent = await agent.call("harness_respond", **respond)
        assert sent["inResponseTo"] == question.id
        assert sent["payload"]["found"] is True
        assert sent["payload"]["envVars"] == ["PGPASSWORD"]
        say(session_id, "credentials_needed", service="stripe", envVars=["STRIPE_API_KEY"], reason="tests")
        respond = (await agent.call("harness_get_pending"))["questions"][0]["respondWith"]
        literal = {"found": True, "credentials": {"STRIPE_API_KEY": SECRET}}
        wrong = await agent.refused("harness_respond", **{**respond, "payload": {"found": SECRET}})
        stray = await agent.refused("harness_respond", **{**respond, "payload": {**literal, "extra": SECRET}})
        given = await agent.call("harness_respond", **{**respond, "payload": literal})
        shown = [sent, wrong, stray, given, await agent.read("harness://pending"), await agent.read("harness://state")]
    assert SECRET not in json.dumps(shown)
    assert files_that_hold(tmp_path, SECRET.encode()) == [vault / "postgres.env"]


@both_transports
async def test_a_worker_without_a_plan_is_given_a_task_and_told_to_stop(
    root: Path, way: str, say: Callable[..., Any]
) -> None:
    async with connect(root, way) as agent:
        session_id = await agent.start("sleep", "600")
        ready = say(session_id, "session_ready", workingDir=".", capabilities=["execute"])
        pending = await agent.call("harness_get_pending", messageTypes=["session_ready"])
        assert [one["id"] for one in pending["questions"]] == [ready.id]
        task = {"taskType": "execute", "context": "be quick"}
        for nothing in ({}, {"plan": "99-99"}):
            refused = {"type": "assign_task", "sessionId": session_id, "payload": nothing}
            assert "plan" in await agent.refused("harness_respond", **refused)
        sent = await agent.call("harness_respond", type="assign_task", sessionId=session_id, payload=task)
        assert sent["inResponseTo"] == ready.id
        stop = {"reason": "not needed", "shouldRetry": False}
        sent = await agent.call("harness_respond", type="abort_task", sessionId=session_id, payload=stop)
        assert sent["type"] == "abort_task"
        verdict = await agent.call(
            "harness_respond", type="verification_result", sessionId=session_id, payload={"verified": True}
        )
    assert verdict["type"] == "verification_result"


async def test_a_client_that_reads_text_alone_gets_the_same(root: Path) -> None:
    async with connect(root, "stdio auto") as agent:
        session_id = await agent.start("echo", "hello")
        await agent.ended(session_id)
        for tool in ("harness_list_sessions", "harness_get_state"):
            result = await agent.client.call_tool(tool, {})
            assert isinstance(result.content[0], TextContent)
            shown = json.loads(result.content[0].text)
            assert shown == result.structured_content
        result = await agent.client.call_tool("harness_get_output", {"sessionId": session_id})
        assert isinstance(result.content[0], TextContent)
        assert result.content[0].text.startswith("hello\n\n[The session is completed; ")


async def test_the_guides_are_prompts_and_the_short_one_is_the_instructions(unused: Agent) -> None:
    prompts = {one.name for one in (await unused.client.list_prompts()).prompts}
    guide = await unused.client.get_prompt("orchestrator")
    worker = await unused.client.get_prompt("worker")
    instructions = unused.client.instructions
    assert prompts == {"orchestrator", "worker"}
    text = guide.messages[0].content
    assert isinstance(text, TextContent)
    assert instructions
    assert instructions in text.text
    assert len(instructions) < 2000
    assert isinstance(worker.messages[0].content, TextContent)
    assert all(name in text.text for name in NAMES - {"harness_get_project_state", "harness_list_sessions"} - {
        "harness_set_state",
    })  # fmt: skip
