"""Workers that ask for credentials and misbehave with them; each is a session's command, as a program of its own.

``python -m tests.leak_hunt.workers KIND SERVICE…`` asks for the credentials of these services and then runs itself
under ``harness-nb worker exec`` with ``as-KIND``, where the values are in its environment.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb.sessions.worker_side import WorkerSide
from tests.leak_hunt.habits import misbehave
from tests.leak_hunt.planting import BETWEEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OURS = (sys.executable, "-m", "harness_nb.cli")
HERE = Path(__file__).parent
PATIENCE = 60.0


def names_of(services: list[str]) -> list[str]:
    return [name for service in services for name in BETWEEN[service]]


def run_with_credentials(*words: str) -> None:
    """Run this program anew under ``harness-nb worker exec``."""
    subprocess.run([*OURS, "worker", "exec", "--", sys.executable, "-m", "tests.leak_hunt.workers", *words], check=True)


def own_values(services: list[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names_of(services)}


def told(values: Mapping[str, str]) -> str:
    """Return a text with each value in some of the forms that it takes in texts."""
    forms = [form for value in values.values() for form in (value, json.dumps(value), repr(value))]
    coded = [base64.b64encode(value.encode()).decode() for value in values.values()]
    return " and ".join([*forms, *coded])


def reports(values: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a report of each type that has values wherever a text may stand, as keys too."""
    text, first = told(values), next(iter(values.values()))
    where = {"taskNumber": 1, "totalTasks": 1}
    yield "session_ready", {"workingDir": first, "capabilities": ["execute"]}
    yield "task_started", {"taskName": text, "planPath": first, **where}
    yield "progress_update", {"message": text, "percentComplete": 50, first: {first: [first, text]}, **where}
    yield (
        "task_completed",
        {"summary": text, "filesModified": [first], "filesCreated": [text], "commitHash": first, **where},
    )
    yield "task_failed", {"taskNumber": 1, "error": text, "recoverable": True, "suggestion": text}


def questions(values: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a question of each type that has values wherever a text may stand."""
    text, first = told(values), next(iter(values.values()))
    option = {"id": "yes", "name": first, "description": text, "pros": [text], "cons": text, "recommended": True}
    yield (
        "decision_needed",
        {"decision": f"Is it {text}?", "context": text, "options": [option, {"id": first, "name": text}]},
    )
    yield (
        "decision_needed",
        {"decision": "May I?", "permission": {"tool": "Bash", "input": {"command": text, first: text}}},
    )
    yield "verification_needed", {"whatBuilt": text, "howToVerify": [text, first], "artifacts": [first]}
    yield "action_needed", {"action": text, "instructions": text, "reason": first}
    yield "credentials_needed", {"service": "vercel", "envVars": ["VERCEL_TOKEN"], "reason": text, "context": None}


# --- by message ---------------------------------------------------------------------------------


def by_message(services: list[str]) -> None:
    """Ask with ``harness-nb worker``, and say the values in every kind of message."""
    for service in services:
        payload = json.dumps({"service": service, "envVars": names_of([service]), "reason": "to log in"})
        report = [*OURS, "worker", "report", "credentials_needed", "--payload", "-"]
        asked = subprocess.run(report, input=payload, text=True, stdout=subprocess.PIPE, check=True).stdout.strip()
        waiting = [*OURS, "worker", "await", asked]
        sys.stdout.write(subprocess.run(waiting, text=True, stdout=subprocess.PIPE, check=True).stdout)
        sys.stdout.flush()
    run_with_credentials("as-by-message", *services)


def as_by_message(services: list[str]) -> None:
    values = own_values(services)
    misbehave(values)
    with WorkerSide() as side:
        for kind, payload in reports(values):
            side.report(kind, payload)
        for kind, payload in questions(values):
            answer = side.wait(side.report(kind, payload).id, PATIENCE)
            sys.stdout.write(f"{json.dumps(side.answer_of(answer))}\n")
    report = [*OURS, "worker", "report", "task_failed", "--payload", "-"]
    payload = {"error": told(values), "recoverable": False, "suggestion": told(values)}
    subprocess.run(report, input=json.dumps(payload), text=True, check=True)
    sys.exit(told(values))


# --- by file ------------------------------------------------------------------------------------


def put(path: Path, content: str) -> None:
    """Write a file as a worker does: whole, by rename."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(content, encoding="utf-8")
    part.rename(path)


def ask_by_file(folder: Path, number: int, content: dict[str, Any]) -> None:
    """Ask a question by file, wait for the file that answers it, and put that away."""
    put(folder / "checkpoint.json", json.dumps({"id": f"q{number}", **content}, ensure_ascii=number % 2 == 0))
    answered = folder / "checkpoint_response.json"
    until = time.monotonic() + PATIENCE
    while not answered.exists() or json.loads(answered.read_text())["inResponseTo"] != f"q{number}":
        assert time.monotonic() < until, f"nobody answered q{number}"
        time.sleep(0.01)
    (folder / "answered").mkdir(exist_ok=True)
    sys.stdout.write(answered.read_text() + "\n")
    sys.stdout.flush()
    answered.rename(folder / "answered" / f"q{number}.json")


def by_file(services: list[str]) -> None:
    """Ask with files alone, and leave values in everything that is written by hand."""
    folder = Path(os.environ["HARNESS_SESSION_DIR"])
    for number, service in enumerate(services):
        need = {"type": "credentials", "service": service, "envVars": names_of([service]), "reason": "to log in"}
        ask_by_file(folder, number, need)
    run_with_credentials("as-by-file", *services)


def as_by_file(services: list[str]) -> None:
    values = own_values(services)
    folder, text = Path(os.environ["HARNESS_SESSION_DIR"]), told(values)
    kinds = {"decision_needed": "decision", "verification_needed": "verification", "action_needed": "action"}
    for number, (kind, payload) in enumerate(questions(values), 10):
        if kind in kinds:
            ask_by_file(folder, number, {"type": kinds[kind], **payload})
    half = json.dumps(" ".join(values.values()))  # of more in half a file nobody can say how it is written
    for broken in (f'{{"type": "decision", "decision": {half}', json.dumps({"type": text, "decision": text})):
        put(folder / "checkpoint.json", broken)
        until = time.monotonic() + PATIENCE
        while (folder / "checkpoint.json").exists():
            assert time.monotonic() < until, "nobody took in what is no question"
            time.sleep(0.01)
    files = next(iter(values.values()))
    result = {
        "success": False,
        "summary": text,
        "error": text,
        "suggestion": text,
        "filesModified": [files],
        files: text,
    }
    put(folder / "result.json", json.dumps(result, ensure_ascii=False))
    last = {"type": "decision", "decision": f"and {text}?", "options": [{"id": "a", "name": text}]}
    put(folder / "checkpoint.json", json.dumps(last))


def forging_an_end(services: list[str]) -> None:
    """Fail, and say why in a result by hand alone: what is journalled of the end comes from it."""
    text = told(own_values(services))
    folder = Path(os.environ["HARNESS_SESSION_DIR"])
    put(folder / "result.json", json.dumps({"success": True, "summary": text, "commitHash": text}))


# --- by MCP -------------------------------------------------------------------------------------


def mcp_log(name: str) -> str:
    return str(Path(os.environ["HUNT_TRAFFIC"]) / f"{name}-{os.getpid()}")


async def with_tools(name: str, say: list[tuple[str, dict[str, Any]]]) -> None:
    """Report by the worker's MCP server, whose traffic is written down, and await each answer that is to come."""
    from mcp import Client, StdioServerParameters

    tee = [str(HERE / "tee.py"), mcp_log(name), *OURS, "mcp", "--worker"]
    session = os.environ["HARNESS_SESSION_ID"]
    async with Client(StdioServerParameters(command=sys.executable, args=tee, env=dict(os.environ))) as client:
        for kind, payload in say:
            sent = {"sessionId": session, "messageType": kind, "payload": payload}
            result = await client.call_tool("harness_worker_report", sent)
            assert not result.is_error, result.content
            if kind.endswith("_needed"):
                asked = {"sessionId": session, "messageId": (result.structured_content or {})["id"]}
                print((await client.call_tool("harness_worker_await", asked)).structured_content, flush=True)


def by_mcp(services: list[str]) -> None:
    """Ask with the worker's MCP server, and say the values to it."""
    import anyio

    need = [
        ("credentials_needed", {"service": service, "envVars": names_of([service]), "reason": "to log in"})
        for service in services
    ]
    anyio.run(with_tools, "asking", need)
    run_with_credentials("as-by-mcp", *services)


def as_by_mcp(services: list[str]) -> None:
    import anyio

    values = own_values(services)
    anyio.run(with_tools, "misbehaving", [*reports(values), *questions(values)])


def hold(services: list[str]) -> None:
    """Misbehave with what was there from the start, and stay until somebody types a line."""
    misbehave(own_values(services))
    sys.stdout.write("<<holding>>\n")
    sys.stdout.flush()
    with suppress(EOFError):
        input()


KINDS = {
    "by-message": by_message, "as-by-message": as_by_message, "by-file": by_file, "as-by-file": as_by_file,
    "by-mcp": by_mcp, "as-by-mcp": as_by_mcp, "forging-an-end": forging_an_end, "hold": hold,
}  # fmt: skip

if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.argv[2:])
