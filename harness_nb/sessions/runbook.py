"""The runbook worker: runs a plan's tasks one after the other, inside a session of its own.

Each ``<run>`` block becomes a file in the session's folder and is run with the project as its working folder, so that a
traceback names a file and a line. Decisions arrive in later blocks as ``HARNESS_DECISION`` and
``HARNESS_DECISION_<task>``, credentials as the variables that were asked for. A block that ends with exit status 75
(``EX_TEMPFAIL``) failed in a way that another try may mend; any other failure is final, since running a half-done
step again can do harm.

What it says has ids that follow from the session and the place in its plan, and a message with an id that is known is
stored once. So one that died is resumed by starting it again: tasks that it completed are passed over, questions that
it asked are found with their answers, and the task that it was at begins anew.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from harness_nb.errors import CredentialsNotDeliveredError, HarnessError
from harness_nb.protocol.files import SessionResult
from harness_nb.sessions.drivers.base import Assignment
from harness_nb.sessions.worker_side import WorkerSide
from harness_nb.store.atomic import read_model, write_model, write_text

if TYPE_CHECKING:
    from harness_nb.protocol.plans import Plan, RunBlock, Task
    from harness_nb.protocol.records import MessageRecord

TRY_AGAIN = 75
SUFFIX = {"sh": "sh", "python": "py"}


class TaskFailed(Exception):  # noqa: N818 — the protocol's own word
    """A task could not be done."""

    def __init__(self, error: str, *, recoverable: bool = False, suggestion: str | None = None) -> None:
        super().__init__(error)
        self.recoverable = recoverable
        self.suggestion = suggestion


class Runbook:
    """One plan on its way."""

    def __init__(self, side: WorkerSide, assignment: Assignment) -> None:
        assert assignment.plan is not None
        self.side = side
        self.plan: Plan = assignment.plan
        self.env = dict(os.environ)
        self.number = 0
        self.resumed = side.has_said(self._id("session_ready"))
        self._said: Counter[str] = Counter()

    def run(self) -> SessionResult:
        """Do every task and say how it went."""
        try:
            self._greet()
            self._ask_credentials_ahead()
            for number, task in enumerate(self.plan.tasks, 1):
                self.number = number
                self._do(task)
        except TaskFailed as failure:
            self._report(
                "task_failed", error=str(failure), recoverable=failure.recoverable, suggestion=failure.suggestion
            )
            print(f"✕ {failure}", flush=True)  # noqa: T201 — this is the worker's own terminal
            return self._result(success=False, error=str(failure), recoverable=failure.recoverable,
                                suggestion=failure.suggestion)  # fmt: skip
        files = tuple(dict.fromkeys(path for task in self.plan.tasks for path in task.files))
        return self._result(success=True, summary=f"{len(self.plan.tasks)} tasks done", files_modified=files)

    def _greet(self) -> None:
        ready = {"workingDir": os.getcwd(), "capabilities": ["execute"]}  # noqa: PTH109
        self.side.report("session_ready", ready, message_id=self._id("session_ready"))
        answer = self.side.assigned() or self.side.wait()
        if answer.type == "abort_task":
            raise self._abort(answer)
        if answer.payload.get("context"):
            print(answer.payload["context"], flush=True)  # noqa: T201

    def _ask_credentials_ahead(self) -> None:
        asked_by_tasks = {task.service for task in self.plan.tasks if task.checkpoint == "credentials"}
        for need in self.plan.frontmatter.credentials_needed:
            if need.service not in asked_by_tasks:
                self._credentials(need.service, need.env_vars, need.reason, need.context)

    def _do(self, task: Task) -> None:
        done = self.side.has_said(self._id(f"task_completed-{self.number}"))
        self._heading(task, " · done before" if done else "")
        total = len(self.plan.tasks)
        self._report("task_started", total_tasks=total, task_name=task.name, plan_path=self.plan.path or "")
        if task.checkpoint is not None:
            self._ask(task)  # also what was answered before: later tasks go by it
        for position, block in enumerate(task.runs if not done else (), 1):
            self._run(task, block, position)
        self._report("task_completed", total_tasks=total, summary=task.name, files_modified=task.files)

    def _heading(self, task: Task, more: str = "") -> None:
        print(f"\033[1m── {self.number}/{len(self.plan.tasks)} {task.name}\033[0m{more}", flush=True)  # noqa: T201

    def _run(self, task: Task, block: RunBlock, position: int) -> None:
        folder = self.side.folder.scripts
        folder.mkdir(mode=0o700, exist_ok=True)
        script = folder / f"{self.plan.id}-task{self.number}-{position}.{SUFFIX[block.lang]}"
        write_text(script, block.code)
        argv = [sys.executable, os.fspath(script)] if block.lang == "python" else [_shell(), "-eu", os.fspath(script)]
        code = subprocess.run(argv, env=self._environment(block), check=False).returncode
        if code:
            where = f"{self.plan.path or self.plan.id}:{block.line}" if block.line else f"{self.plan.id}, {script.name}"
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            raise TaskFailed(
                f"task {self.number} ({task.name}) ended with {how}; see {where}", recoverable=code == TRY_AGAIN
            )

    def _environment(self, block: RunBlock) -> dict[str, str]:
        if block.lang == "sh":
            return self.env
        paths = [os.getcwd(), *filter(None, [self.env.get("PYTHONPATH")])]  # noqa: PTH109 — the project's own modules
        return {**self.env, "PYTHONPATH": os.pathsep.join(paths)}

    # --- questions -----------------------------------------------------------------------------

    def _ask(self, task: Task) -> None:
        match task.checkpoint:
            case "verification":
                self._verification(task)
            case "decision":
                self._decision(task)
            case "credentials":
                self._credentials(task.service, task.env_vars, task.reason, task.context or None)
            case _:
                self._question("action_needed", action=task.action or task.name, instructions=task.instructions,
                               reason=task.reason or task.resume_signal)  # fmt: skip

    def _verification(self, task: Task) -> None:
        answer = self._question(
            "verification_needed",
            what_built=task.what_built or task.name, how_to_verify=task.how_to_verify, artifacts=task.files,
        )  # fmt: skip
        if not answer.payload.get("verified"):
            raise TaskFailed(f"not verified: {answer.payload.get('feedback') or 'no reason given'}")

    def _decision(self, task: Task) -> None:
        options = [option.to_wire() for option in task.options]
        answer = self._question(
            "decision_needed", decision=task.decision or task.name, context=task.context, options=options
        )
        chosen = str(answer.payload["selectedOptionId"])
        self.env |= {"HARNESS_DECISION": chosen, f"HARNESS_DECISION_{self.number}": chosen}

    def _credentials(self, service: str, env_vars: list[str], reason: str, context: str | None) -> None:
        answer = self._question(
            "credentials_needed", service=service, env_vars=env_vars, reason=reason, context=context
        )
        if not answer.payload.get("found"):
            raise TaskFailed(
                f"no credentials for {service}: {answer.payload.get('error') or 'refused'}",
                recoverable=bool(answer.payload.get("instructions")),  # looked for and not there, and not refused
                suggestion=answer.payload.get("instructions"),
            )
        try:
            self.env |= self.side.take_credentials(answer)
        except CredentialsNotDeliveredError:
            if not self.resumed:
                raise
            self._credentials(service, env_vars, reason, context)  # they were in the memory of a shim that has gone

    def _question(self, kind: str, **payload: Any) -> MessageRecord:
        record = self._report(kind, **payload)
        if record.status == "pending":
            print(f"? waiting for an answer: {kind.removesuffix('_needed')}", flush=True)  # noqa: T201
        answer = self.side.wait(record.id)
        if answer.type == "abort_task":
            raise self._abort(answer)
        return answer

    def _abort(self, answer: MessageRecord) -> TaskFailed:
        return TaskFailed(
            f"aborted: {answer.payload.get('reason')}",
            recoverable=bool(answer.payload.get("shouldRetry")),
            suggestion=answer.payload.get("retryInstructions"),
        )

    def _report(self, kind: str, **payload: Any) -> MessageRecord:
        common = {"phase": self.plan.phase, "plan": self.plan.id, "task_number": self.number}
        if kind.endswith("_needed"):
            common.pop("task_number")
        name = f"{kind}-{self.number}"
        self._said[name] += 1
        more = f"-{self._said[name]}" if self._said[name] > 1 else ""
        return self.side.report(kind, {**common, **payload}, message_id=self._id(f"{name}{more}"))

    def _id(self, name: str) -> str:
        """Return the id of a message: the same in each life of this session, and no other session's."""
        return hashlib.sha256(f"{self.side.session_id}/{name}".encode()).hexdigest()[:16]

    def _result(self, **fields: Any) -> SessionResult:
        return SessionResult(
            session_id=self.side.session_id,
            timestamp=self.side.store.clock(),
            phase=self.plan.phase,
            plan=self.plan.id,
            **fields,
        )


def _shell() -> str:
    return shutil.which("sh") or "/bin/sh"


def _result_of(side: WorkerSide) -> SessionResult:
    """Do the plan; what goes wrong around it is a failed result with its sentence too."""
    assignment = None
    try:
        assignment = read_model(side.folder.assignment, Assignment)
        return Runbook(side, assignment).run()
    except HarnessError as error:
        print(f"✕ {error}", file=sys.stderr, flush=True)  # noqa: T201
        plan = assignment.plan if assignment else None
        return SessionResult(
            session_id=side.session_id,
            timestamp=side.store.clock(),
            success=False,
            phase=plan.phase if plan else "",
            plan=plan.id if plan else "",
            error=str(error),
        )


def main() -> int:
    """Run the plan that this session was started for; the exit status is 0 when all of it was done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character must not end the plan
    try:
        with WorkerSide() as side:
            result = _result_of(side)
            write_model(side.folder.result, SessionResult.model_validate(side.mask(result.to_wire())))
    except HarnessError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())
