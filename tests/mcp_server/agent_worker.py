"""An agent in a session, who has nothing but the worker's two tools and the plan's text; a script stands for it.

It is started as a session's command. ``agent_worker.py plan`` does the plan that it is assigned: runs its ``<run>``
blocks, and asks where it has a checkpoint. ``agent_worker.py talk`` asks one question of each kind, prints each message
that it gets as a line of JSON, and stays until it is told to stop.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import anyio
from mcp import Client, StdioServerParameters

from harness_nb.plans import load_project

if TYPE_CHECKING:
    from harness_nb.protocol.plans import Plan, Task

SERVER = StdioServerParameters(
    command=sys.executable, args=["-m", "harness_nb.cli", "mcp", "--worker"], env=dict(os.environ)
)
QUESTIONS: dict[str, dict[str, Any]] = {
    "verification_needed": {"whatBuilt": "A door", "howToVerify": ["Open it", "Close it"], "artifacts": ["door.md"]},
    "decision_needed": {
        "decision": "Which colour?",
        "options": [{"id": "red", "name": "Red"}, {"id": "blue", "name": "Blue", "recommended": True}],
    },
    "action_needed": {"action": "Buy paint", "instructions": "At the corner.", "reason": "There is none."},
    "credentials_needed": {"service": "postgres", "envVars": ["PGPASSWORD"], "reason": "The door's log."},
}
HAS_IT = 'printf "%s letters" "${#PGPASSWORD}"'


class Agent:
    """One worker with its two tools."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.session = os.environ["HARNESS_SESSION_ID"]
        self.common: dict[str, Any] = {}
        self.env = dict(os.environ)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, {"sessionId": self.session, **arguments})
        if result.is_error:
            sys.exit("\n".join(getattr(part, "text", "") for part in result.content))
        found: dict[str, Any] = result.structured_content
        return found

    async def report(self, kind: str, **payload: Any) -> str:
        """Report something and return the message's id."""
        sent = await self.call("harness_worker_report", messageType=kind, payload={**self.common, **payload})
        return str(sent["id"])

    async def wait(self, message_id: str | None = None) -> dict[str, Any]:
        """Wait for a message, however often the tool says to call again."""
        which = {"messageId": message_id} if message_id else {}
        while not (message := await self.call("harness_worker_await", **which)).get("type"):
            pass
        return message

    async def answer(self, kind: str, **payload: Any) -> dict[str, Any]:
        """Ask, and return what the answer says."""
        message = await self.wait(await self.report(kind, **payload))
        if message["type"] == "abort_task":
            sys.exit(f"aborted: {message['payload']['reason']}")
        found: dict[str, Any] = message["payload"]
        return found

    # --- a plan --------------------------------------------------------------------------------

    async def plan(self) -> None:
        """Say to be ready, and do the plan that comes."""
        task = await self.answer("session_ready", workingDir=".", capabilities=["execute"])
        plan = load_project(os.environ["HARNESS_PROJECT"]).plan(task["plan"])
        assert plan is not None
        self.common = {"phase": task["phase"], "plan": task["plan"]}
        for number, one in enumerate(plan.tasks, 1):
            await self.do(plan, one, taskNumber=number, totalTasks=len(plan.tasks))

    async def do(self, plan: Plan, task: Task, **where: int) -> None:
        """Do one task: ask what it asks, run what it runs."""
        await self.report("task_started", taskName=task.name, planPath=plan.path or "", **where)
        if task.checkpoint is not None:
            await self.ask(task)
        for block in task.runs:
            program = [sys.executable, "-c"] if block.lang == "python" else ["sh", "-euc"]
            done = await anyio.run_process([*program, block.code], env=self.env, stdout=None, stderr=None, check=False)
            if done.returncode:
                await self.report("task_failed", error=f"exit status {done.returncode}", recoverable=False, **where)
                sys.exit(done.returncode)
        await self.report("task_completed", summary=task.name, filesModified=list(task.files), **where)

    async def ask(self, task: Task) -> None:
        """Ask what a checkpoint task asks, and keep the answer for the blocks behind it."""
        match task.checkpoint:
            case "decision":
                options = [option.to_wire() for option in task.options]
                answer = await self.answer("decision_needed", decision=task.decision, options=options)
                self.env["HARNESS_DECISION"] = answer["selectedOptionId"]
            case "credentials":
                need = {"service": task.service, "envVars": list(task.env_vars), "context": task.context}
                self.env |= (await self.answer("credentials_needed", reason=task.reason, **need))["credentials"]
            case "verification":
                built = {"whatBuilt": task.what_built, "howToVerify": list(task.how_to_verify)}
                if not (answer := await self.answer("verification_needed", **built))["verified"]:
                    sys.exit(f"not verified: {answer.get('feedback')}")
            case _:
                await self.answer("action_needed", action=task.action, instructions=task.instructions)

    # --- the whole conversation ----------------------------------------------------------------

    async def talk(self) -> None:
        """Say all that a worker can say, and print all that it is told."""
        tell(await self.wait(await self.report("session_ready", workingDir=".", capabilities=["execute", "verify"])))
        where = {"taskNumber": 1, "totalTasks": 2}
        await self.report("task_started", taskName="Make a door", planPath="door-PLAN.md", **where)
        await self.report("progress_update", message="half a door", percentComplete=50, **where)
        for kind, payload in QUESTIONS.items():
            tell(await self.wait(await self.report(kind, **payload)))
        said = await anyio.run_process(["harness-nb", "worker", "exec", "--", "sh", "-c", HAS_IT], check=False)
        await self.report("task_completed", summary=f"a door, {said.stdout.decode()}", **where)
        tell(await self.wait())
        stop = await self.wait()
        reason = stop["payload"]["reason"]
        await self.report("task_failed", error=f"stopped: {reason}", recoverable=False, taskNumber=2, totalTasks=2)
        tell(stop)  # last: whoever reads it ends this worker
        await anyio.sleep_forever()


def tell(message: dict[str, Any]) -> None:
    """Print a message that came as a line of JSON."""
    print(json.dumps({"type": message["type"], "payload": message["payload"]}), flush=True)


async def main() -> None:
    """Connect as a client's configuration says, and work."""
    async with Client(SERVER) as client:
        agent = Agent(client)
        await {"plan": agent.plan, "talk": agent.talk}[sys.argv[1]]()


if __name__ == "__main__":
    anyio.run(main)
