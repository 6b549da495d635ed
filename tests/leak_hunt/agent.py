"""The real Claude Code as a session's worker, with a scripted model behind it: it asks, uses, prints and reports."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb import Harness
from tests.leak_hunt.habits import HABITS
from tests.leak_hunt.scripted_model import ScriptedModel, result_in, say, served, use
from tests.leak_hunt.workers import HERE, OURS, names_of
from tests.orchestrator.written_plans import end_everything

if TYPE_CHECKING:
    from tests.leak_hunt.scene import Scene
    from tests.leak_hunt.scripted_model import Request

SERVICES = ["stripe", "sendgrid", "github"]
NAMES = names_of(SERVICES)
LIMIT = 200
HABIT_NAMES = [one.__name__ for one in HABITS]
REPORT, AWAIT = "mcp__harness__harness_worker_report", "mcp__harness__harness_worker_await"
EXEC = f"{shlex.join(OURS)} worker exec --"


def bundled_claude() -> Path | None:
    """Return the program that the ``claude-agent-sdk`` package brings along, where it has one for this platform."""
    found = find_spec("claude_agent_sdk")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "_bundled" / "claude"
    return path if path.exists() else None


class Conversation:
    """What the scripted model has the agent do; it remembers the ids that the tools returned."""

    def __init__(self) -> None:
        self.session_id = ""
        self.told: list[str] = []
        self._numbers = itertools.count()

    def steps(self) -> list[Any]:
        """Return the script: ask for each service, use the values in every bad way, and report."""
        asking = [step for service in SERVICES for step in (self._ask(service), self._wait)]
        groups = [" ".join(HABIT_NAMES[at : at + 3]) for at in range(0, len(HABIT_NAMES), 3)]  # it cuts what is long
        commands = [
            *(f"HABITS='{group}' {EXEC} {sys.executable} {HERE / 'habits.py'} {' '.join(NAMES)}" for group in groups),
            f'{EXEC} sh -c \'echo "$STRIPE_SECRET_KEY" | base64; echo "$GITHUB_TOKEN" >&2; exit 3\'',
            f"{EXEC} {sys.executable} -c 'import os; raise KeyError(os.environ[\"SENDGRID_API_KEY\"])'",
            f"{EXEC} env | sort | tail -40",
        ]
        return [*asking, *(self._run(command) for command in commands), self._report, lambda _: say("Done.")]

    def _ask(self, service: str) -> Any:
        def step(request: Request) -> list[dict[str, Any]]:
            if not self.session_id:
                found = re.search(r"session is (\S+?)[\s\"\\]", json.dumps(request["messages"]))
                assert found, "the prompt names no session"
                self.session_id = found[1]
            need = {"service": service, "envVars": names_of([service]), "reason": "to pay"}
            return use(
                next(self._numbers), REPORT, sessionId=self.session_id, messageType="credentials_needed", payload=need
            )

        return step

    def _wait(self, request: Request) -> list[dict[str, Any]]:
        found = re.search(r'"?id"?\W+([0-9a-f]{16})', self._heard(request))
        assert found, self.told[-1]
        return use(next(self._numbers), AWAIT, sessionId=self.session_id, messageId=found[1])

    def _run(self, command: str) -> Any:
        def step(request: Request) -> list[dict[str, Any]]:
            self._heard(request)
            return use(next(self._numbers), "Bash", command=command, description="Use the credentials")

        return step

    def _report(self, request: Request) -> list[dict[str, Any]]:
        self._heard(request)
        payload = {"summary": "\n".join(self.told)[:20000], "taskNumber": 1, "totalTasks": 1}
        return use(
            next(self._numbers), REPORT, sessionId=self.session_id, messageType="task_completed", payload=payload
        )

    def _heard(self, request: Request) -> str:
        said = result_in(request)
        self.told.append(said)
        return said


def let_it_work(made: Scene, program: Path) -> Conversation:
    """Start Claude Code as a session, approve what it asks for, and see it to its end."""
    talk = Conversation()
    model = ScriptedModel(talk.steps())
    home = made.folder / "agent-home"
    home.mkdir()
    tee = [str(HERE / "tee.py"), str(made.traffic / "claude"), *OURS, "mcp", "--worker"]
    server = {"type": "stdio", "command": sys.executable, "args": tee, "alwaysLoad": True}
    config = made.folder / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"harness": server}}))
    harness = Harness(made.project, trust=True)
    try:
        with served(model) as address:
            session = harness.start_session(
                command=["sh", "-c", _starting(program, config)], env=_environment(home, address), terminal=False
            )
            made.sessions["claude"] = session.id
            deadline = time.monotonic() + LIMIT
            while session.record.live:
                assert time.monotonic() < deadline, str(session.output(lines=40))
                for question in harness.get_pending():
                    question.approve()
                made.scan()
                time.sleep(0.05)
        said = str(session.output(lines=6))[-3000:]
        assert not model.failures, f"{model.failures}\n{said}"
        assert session.record.state == "completed", f"{session.record.reason}\n{said}"
        assert model.done == len(talk.steps()), said
        for number, request in enumerate(model.requests):
            made.look(f"request {number} to the model", request.decode(errors="replace"))
    finally:
        end_everything(harness)
    return talk


def _starting(program: Path, config: Path) -> str:
    options = (
        "--output-format", "stream-json", "--verbose", "--mcp-config", str(config), "--strict-mcp-config",
        "--dangerously-skip-permissions",
    )  # fmt: skip
    return (
        f'exec {shlex.quote(str(program))} -p "Your session is $HARNESS_SESSION_ID ." {shlex.join(options)} </dev/null'
    )


def _environment(home: Path, address: str) -> dict[str, str]:
    return {
        "HOME": os.fspath(home),
        "ANTHROPIC_BASE_URL": address,
        "ANTHROPIC_API_KEY": "scripted",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
    }
