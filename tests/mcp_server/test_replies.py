"""What replies hold: whole text whatever the journal brings, and no more than an agent can read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from mcp_types import TextContent

from harness_nb.harness import AsyncHarness
from harness_nb.mcp_server.arguments import Respond
from harness_nb.mcp_server.replies import MOST_ENDED, ChangeReply, PendingReply
from harness_nb.mcp_server.sending import LONGEST_TEXT
from harness_nb.protocol.records import MessageRecord, SessionRecord
from harness_nb.store import Layout
from tests.mcp_server.conftest import both_transports, connect, write_history

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(12)]

ENDED = 150


def make_broken(root: Path, question_id: str) -> None:
    """Put into a question that the journal holds what no client can be sent: half a character, and no number."""
    with closing(sqlite3.connect(Layout(root).database)) as journal, journal:
        changed = journal.execute(
            "UPDATE messages SET data = replace(replace(data, 'HALF', '\\udce9'), '\"NONE\"', 'NaN') WHERE id = ?",
            (question_id,),
        )
        assert changed.rowcount == 1


@both_transports
async def test_what_is_no_whole_text_in_the_journal_breaks_no_reply(
    root: Path, way: str, say: Callable[..., Any]
) -> None:
    async with connect(root, way) as agent:
        session_id = await agent.start("sh", "-c", "printf 'caf\\351\\n'; sleep 600")
        options = [{"id": "a", "name": "cafHALF", "weight": "NONE"}]
        question = say(session_id, "decision_needed", decision="cafHALF or not?", options=options)
        make_broken(root, question.id)
        for tool, arguments in (
            ("harness_get_pending", {}),
            ("harness_get_state", {}),
            ("harness_list_sessions", {}),
            ("harness_get_output", {"sessionId": session_id}),
            ("harness_wait_for_state", {"timeoutMs": 0, "cursor": 0}),
        ):
            result = await agent.client.call_tool(tool, arguments)
            assert not result.is_error, (tool, result.content)
            assert isinstance(result.content[0], TextContent)
            assert "NaN" not in result.content[0].text
        for uri in ("pending", "sessions", "state", f"sessions/{session_id}", f"sessions/{session_id}/output"):
            assert await agent.read(f"harness://{uri}")
        asked = (await agent.call("harness_get_pending"))["questions"][0]
        assert asked["payload"]["decision"] == "caf? or not?"
        assert asked["payload"]["options"][0]["name"] == "caf?"
        assert asked["payload"]["options"][0].get("weight") is None
        assert json.loads(await agent.read("harness://pending"))["questions"] == [asked]


@both_transports
async def test_a_long_history_is_told_from_its_end_with_everything_that_lives(root: Path, way: str) -> None:
    async with AsyncHarness(root, judges=False) as harness:
        living = (await harness.start_session(command=["sleep", "600"])).id
    write_history(root, ENDED)
    async with connect(root, way) as agent:
        for tool, arguments in (
            ("harness_list_sessions", {}),
            ("harness_wait_for_state", {"states": ["running", "completed"]}),
        ):
            result = await agent.client.call_tool(tool, arguments)
            assert isinstance(result.content[0], TextContent)
            shown = json.loads(result.content[0].text)
            assert shown == result.structured_content
            told = [one["sessionId"] for one in shown["sessions"]]
            assert told == [living, *(f"s{number}" for number in range(ENDED - MOST_ENDED, ENDED))]
            assert shown["leftOut"] == ENDED - MOST_ENDED
        some = await agent.call("harness_list_sessions", limit=ENDED)
        assert len(some["sessions"]) == ENDED + 1
        assert "leftOut" not in some
        listed = json.loads(await agent.read("harness://sessions"))
        assert listed["leftOut"] == ENDED - MOST_ENDED


async def test_the_cursor_of_the_state_leads_on_from_there(root: Path) -> None:
    write_history(root, 20)
    async with connect(root, "stdio auto") as agent:
        state = await agent.call("harness_get_state")
        session_id = await agent.start("true")
        wanted = {"states": ["completed"], "cursor": state["cursor"]}
        change = await agent.call("harness_wait_for_state", **wanted)
    assert [one["sessionId"] for one in change["sessions"]] == [session_id]


def test_what_a_client_sends_is_made_whole_before_anybody_reads_it() -> None:
    payload = {"reason": "caf\udce9", "caf\ud800": [float("nan"), {"deep": "\udfff!"}]}
    given = Respond.model_validate({"type": "abort_task", "sessionId": "s", "payload": payload})
    assert given.payload == {"reason": "caf?", "caf?": [None, {"deep": "?!"}]}


def ended(number: int, words: int) -> SessionRecord:
    return SessionRecord.model_validate({
        "id": f"s{number}", "worker": "command", "workingDir": ".", "command": ["x" * words], "state": "completed",
        "createdAt": "2026-01-01T00:00:00Z",
    })  # fmt: skip


def test_the_text_of_a_change_is_whole_and_begins_with_its_cursor() -> None:
    reply = ChangeReply.of([ended(number, 3000) for number in range(MOST_ENDED)], 7)
    shown = json.loads(reply.text)
    assert len(reply.text) <= LONGEST_TEXT
    assert list(shown)[:2] == ["cursor", "timedOut"]
    assert (shown["cursor"], shown["timedOut"]) == (7, False)
    assert shown["sessions"][-1]["sessionId"] == f"s{MOST_ENDED - 1}"
    assert shown["leftOut"] == MOST_ENDED - len(shown["sessions"])


def test_the_text_of_a_huge_question_is_shortened_and_still_says_how_to_answer() -> None:
    question = MessageRecord.model_validate({
        "id": "q", "sessionId": "s", "type": "verification_needed", "timestamp": "2026-01-01T00:00:00Z",
        "direction": "in", "status": "pending", "payload": {"whatBuilt": "x" * 5 * LONGEST_TEXT},
    })  # fmt: skip
    reply = PendingReply.of([question])
    shown = json.loads(reply.text)
    assert len(reply.text) <= LONGEST_TEXT
    assert shown["questions"][0]["respondWith"]["inResponseTo"] == "q"
    assert "left out" in shown["questions"][0]["payload"]["whatBuilt"]
    assert len(reply.to_wire()["questions"][0]["payload"]["whatBuilt"]) == 5 * LONGEST_TEXT


@both_transports
async def test_an_agent_is_told_since_when_a_session_is_silent(root: Path, way: str) -> None:
    """One that printed a moment ago is not; nor is one that ended, or waits for an answer."""
    (root / ".orchestration").mkdir(exist_ok=True)
    (root / ".orchestration" / "config.yaml").write_text("version: '1.0'\nquietAfter: 0.5\n")
    async with connect(root, way) as agent:
        silent = await agent.start("sh", "-c", "sleep 600")
        talks = await agent.start("sh", "-c", "while :; do echo .; sleep 0.1; done")
        told: dict[str, Any] = {}
        while "quietSince" not in told.get(silent, {}):
            told = {one["sessionId"]: one for one in (await agent.call("harness_list_sessions"))["sessions"]}
        assert told[silent]["state"] == "running"
        assert "quietSince" not in told[talks]
        state = {one["sessionId"]: one for one in (await agent.call("harness_get_state"))["sessions"]}
        assert state[silent]["quietSince"] == told[silent]["quietSince"]
        for uri in (f"harness://sessions/{silent}", "harness://sessions"):
            assert told[silent]["quietSince"] in await agent.read(uri)
        assert "quietSince" not in await agent.call("harness_end_session", sessionId=silent)
