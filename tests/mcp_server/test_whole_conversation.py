"""The document's whole conversation, with nothing but the ten tools on one side and the worker's two on the other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb import lookup_credentials
from tests.leaks import files_that_hold
from tests.mcp_server.orchestrating import ToolError, Tools, end_everything, tools_of, yes
from tests.trusting import trust

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

AGENT = [sys.executable, str(Path(__file__).with_name("agent_worker.py")), "talk"]
SECRET = "s3cr3t-pass-phrase"  # pretended
TASK = {
    "phase": "01", "plan": "01-01", "planPath": "planning/plans/01-door/01-01-PLAN.md", "specDir": "",
    "taskType": "execute", "context": "The last one was too small.",
}  # fmt: skip
ORDER = ["verification_needed", "decision_needed", "action_needed", "credentials_needed"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A trusted project, and beside it its credentials; nothing lives there when the test is done."""
    values = tmp_path / "values"
    values.mkdir(mode=0o700)
    (values / "postgres.env").write_text(f"PGPASSWORD={SECRET}\n")
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(values))
    folder = tmp_path / "project"
    (folder / ".orchestration").mkdir(parents=True)
    (folder / "planning" / "plans" / "01-door").mkdir(parents=True)
    (folder / "planning" / "plans" / "01-door" / "01-01-PLAN.md").write_text(PLAN)
    trust(folder)
    yield folder
    end_everything(folder)


def deliver(project: Path, how: str) -> None:
    (project / ".orchestration" / "config.yaml").write_text(f"deliver: {how}\n")


async def told(tools: Tools, session_id: str, count: int) -> list[dict[str, Any]]:
    """Return the messages that a worker got, once it has printed that many."""
    since, text = 0, ""
    while text.count("\n") < count:
        piece = await tools("harness_get_output", sessionId=session_id, since=since)
        text, since = text + piece["output"], piece["nextSince"]
        assert piece["state"] not in ("completed", "failed"), text
        await anyio.sleep(0.01)  # output rings no bell for clients that poll it: they subscribe to it, or look again
    return [json.loads(line) for line in text.splitlines()]


async def assigned(tools: Tools) -> str:
    """Start a worker, wait until it is ready, and give it a task."""
    session_id = await tools.start_session(command=AGENT)
    ready = await tools.question("session_ready")
    assert ready["sessionId"] == session_id
    assert ready["payload"]["capabilities"] == ["execute", "verify"]
    answer = await tools.respond("assign_task", session_id, TASK)
    assert answer["inResponseTo"] == ready["id"]
    return session_id


@pytest.mark.row(3, 12, 13)
async def test_from_spawning_a_worker_to_terminating_it(project: Path) -> None:
    """Spawn, assign, monitor, respond to each kind of request, send the verdict, abort, terminate."""
    async with tools_of(project) as tools:
        session_id = await assigned(tools)

        asked = []
        for kind in ORDER:
            question = await tools.question(kind)
            asked.append(question["payload"])
            change = await tools.wait_for_state(sessionIds=[session_id], states=["checkpoint"])
            assert change["sessions"][0]["taskName"] == "Make a door"
            assert change["sessions"][0]["message"] == "half a door"
            await tools.answer(question, **yes(question))
        assert asked[0]["howToVerify"] == ["Open it", "Close it"]
        assert asked[1]["options"][1]["name"] == "Blue"
        assert asked[2]["instructions"] == "At the corner."
        assert asked[3]["envVars"] == ["PGPASSWORD"]

        verdict = {"verified": False, "issues": ["It squeaks."], "nextSteps": ["Oil it."]}
        await tools.respond("verification_result", session_id, verdict)
        await tools.respond("abort_task", session_id, {"reason": "we have doors enough"})
        task, verified, decided, done, provided, judged, stop = await told(tools, session_id, 7)
        assert (task["type"], task["payload"]["context"]) == ("assign_task", "The last one was too small.")
        assert (verified["type"], verified["payload"]["verified"]) == ("verification_result", True)
        assert (decided["type"], decided["payload"]["selectedOptionId"]) == ("decision_made", "blue")
        assert (done["type"], done["payload"]["completedBy"]) == ("action_completed", "orchestrator")
        assert (provided["type"], provided["payload"]["found"]) == ("credentials_provided", True)
        assert (judged["type"], judged["payload"]["issues"]) == ("verification_result", ["It squeaks."])
        assert (stop["type"], stop["payload"]["reason"]) == ("abort_task", "we have doors enough")

        [living] = (await tools("harness_list_sessions", state="running"))["sessions"]
        assert living["sessionId"] == session_id
        ended = await tools("harness_end_session", sessionId=session_id)
        assert ended["state"] == "failed"
        assert "end_session" in ended["reason"]
        assert ended["message"] == "stopped: we have doors enough"
        assert (await tools("harness_list_sessions", state="running"))["sessions"] == []


async def at_credentials(tools: Tools) -> dict[str, Any]:
    """Bring a worker to the point where it asks for credentials, and return the question."""
    await assigned(tools)
    for kind in ORDER[:-1]:
        question = await tools.question(kind)
        await tools.answer(question, **yes(question))
    return await tools.question("credentials_needed")


async def summary_of(tools: Tools, session_id: str) -> str:
    """Return what the worker said of its finished task."""
    cursor = 0
    while True:
        change = await tools.wait_for_state(sessionIds=[session_id], cursor=cursor)
        if (change["sessions"][0].get("message") or "").startswith("a door"):
            return str(change["sessions"][0]["message"])
        cursor = change["cursor"]


@pytest.mark.row(1, 2, 12, 13)
async def test_credentials_by_reference_reach_the_worker_and_neither_message_nor_file(project: Path) -> None:
    deliver(project, "reference")
    async with tools_of(project) as tools:
        question = await at_credentials(tools)
        answer = await tools.answer(question, found=True)
        assert SECRET not in json.dumps(answer)
        session_id = question["sessionId"]
        assert f"{len(SECRET)} letters" in await summary_of(tools, session_id)
        provided = (await told(tools, session_id, 5))[-1]["payload"]
        assert provided.get("credentials") in (None, {})
        assert "worker exec" in provided["instructions"]
    assert files_that_hold(project, SECRET.encode()) == []


@pytest.mark.row(1, 2, 12, 13)
async def test_the_documents_own_example_with_the_values_inside_the_message(project: Path) -> None:
    """Looked up by the orchestrator, sent in the payload, and with ``deliver: message`` in the answer that is awaited.

    What the worker prints of them is masked, and no file has them, this project's journal neither.
    """
    deliver(project, "message")
    async with tools_of(project) as tools:
        message = await at_credentials(tools)
        result = lookup_credentials(
            message["payload"]["service"], message["payload"]["envVars"], message["payload"].get("context")
        )
        answer = await tools(
            "harness_respond",
            type="credentials_provided",
            sessionId=message["sessionId"],
            inResponseTo=message["id"],
            payload={
                "phase": message["payload"]["phase"],
                "plan": message["payload"]["plan"],
                "service": message["payload"]["service"],
                "credentials": {name: value.get_secret_value() for name, value in result.credentials.items()},
                "found": result.found,
                "error": result.error,
                "instructions": result.instructions,
            },
        )
        assert SECRET not in json.dumps(answer)
        assert f"{len(SECRET)} letters" in await summary_of(tools, message["sessionId"])
        provided = (await told(tools, message["sessionId"], 5))[-1]["payload"]
        assert provided["credentials"] == {"PGPASSWORD": "[credential:PGPASSWORD]"}
    assert files_that_hold(project, SECRET.encode()) == []


@pytest.mark.row(1, 12)
async def test_credentials_that_are_not_found_are_an_error_that_leaves_the_question_open(project: Path) -> None:
    async with tools_of(project) as tools:
        question = await at_credentials(tools)
        (project.parent / "values" / "postgres.env").unlink()
        with pytest.raises(ToolError, match="postgres"):
            await tools.answer(question, found=True)
        assert [one["id"] for one in await tools.pending()] == [question["id"]]
        await tools.answer(question, found=False, error="nobody knows it")
        provided = (await told(tools, question["sessionId"], 5))[-1]["payload"]
        assert (provided["found"], provided["error"]) == (False, "nobody knows it")


@pytest.mark.row(12, 13)
async def test_an_abort_answers_any_question(project: Path) -> None:
    async with tools_of(project) as tools:
        question = await at_credentials(tools)
        reason = {"reason": "no need any more", "shouldRetry": False}
        await tools.respond("abort_task", question["sessionId"], reason, inResponseTo=question["id"])
        assert await tools.pending() == []
        stopped = (await told(tools, question["sessionId"], 5))[-1]
        assert (stopped["type"], stopped["payload"]["reason"]) == ("abort_task", "no need any more")


PLAN = """---
phase: "01"
plan: "01"
must_pass:
  - {id: door-is-there, type: file_exists, path: door.md}
---
<objective>Make a door</objective>
"""
TRY = """
id=$(harness-nb worker report session_ready)
harness-nb worker await "$id"
test "$1" = first || echo "A door" > door.md
"""


@pytest.mark.row(5, 9, 12)
async def test_a_second_try_is_told_what_failed_and_what_was_missing(project: Path) -> None:
    """Whoever holds the lease judges, without being asked; what failed goes into the next task, with a word to it."""
    async with tools_of(project) as tools:
        first = await tools.start_session(plan="01-01", command=["sh", "-eu", "-c", TRY, "sh", "first"])
        assert (await tools.judged(first))["verdict"] == "failed"
        [plan] = (await tools.state())["plans"]
        assert plan["state"] == "failed"
        assert "door-is-there" in plan["reason"]

        again = ["sh", "-eu", "-c", TRY, "sh", "second"]
        second = await tools.start_session(plan="01-01", command=again, prompt="Wood is in the shed.")
        judged = await tools.judged(second)
        assert (judged["verdict"], judged["attempt"]) == ("passed", 2)
        task = json.loads((await tools("harness_get_output", sessionId=second))["output"].splitlines()[0])
        assert "door-is-there" in task["payload"]["context"]
        assert "Wood is in the shed." in task["payload"]["context"]
        [plan] = (await tools.state())["plans"]
        assert (plan["state"], plan["verified"]) == ("complete", True)
