"""One project in which every kind of worker misbehaves, and everything that can be looked at of it afterwards."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest
import yaml

from harness_nb import Harness
from harness_nb.errors import QuestionExpiredError
from harness_nb.store import Layout
from tests.leak_hunt.planting import BETWEEN, Plant, sow, write_env_files
from tests.leak_hunt.recording import http_tools, stdio_tools
from tests.leak_hunt.searching import Hit, Search
from tests.leak_hunt.workers import HERE, OURS, told
from tests.orchestrator.written_plans import end_everything, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness_nb import Question, Session
    from harness_nb.protocol.records import MessageRecord

REPOSITORY = HERE.parents[1]
LIMIT = 200
SERVICES = {
    "terminal": ["postgres", "github"],
    "pipes": ["aws", "openai"],
    "crash": ["sendgrid"],
    "forged": ["redis"],
    "message": ["redis", "twilio"],
    "file": ["sendgrid", "cloudflare"],
    "mcp": ["supabase", "anthropic"],
    "runbook": ["stripe", "vercel"],
    "broken": ["openai"],
    "python": ["github"],
}
"""Which worker gets which services' values; together that is all of them."""
RUN = """\
---
phase: 01-phase
plan: {number}
type: execute
must_pass: {must_pass}
credentials_needed: {needed}
---

<objective>
Misbehave
</objective>

<tasks>
{tasks}
</tasks>
"""
TASK = """\
<task type="auto">
<name>Misbehave</name>
<run lang="{lang}">
{code}
</run>
</task>
"""
ASKING = """\
<task type="checkpoint:credentials">
<name>Ask</name>
<service>{service}</service>
<env-vars>{names}</env-vars>
<reason>to log in</reason>
</task>
"""


@dataclass
class Scene:
    """What was planted, where it went, and what came out by which door."""

    folder: Path
    plant: Plant
    search: Search
    project: Path
    traffic: Path
    sessions: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    processes: list[Hit] = field(default_factory=list)
    doors: list[str] = field(default_factory=list)
    granted: dict[str, dict[str, str]] = field(default_factory=dict)

    def values(self, who: str) -> dict[str, str]:
        return {name: value for service in SERVICES[who] for name, value in self.plant.values[service].items()}

    def output(self, who: str) -> bytes:
        """Return what a session printed, as it is on the disk."""
        return Layout(self.project).session(self.sessions[who]).output.read_bytes()

    def scan(self) -> None:
        """Look at all processes, and keep what is found outside of the workers and what they started."""
        for hit in self.search.in_processes():
            pid = int(hit.place.rpartition(" ")[2])
            if hit.place.startswith("the cmdline") or self._is_stranger(pid):
                self.processes.append(hit)

    def _is_stranger(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            family = {pid, *(one.pid for one in process.parents())}
        except psutil.NoSuchProcess:  # it ended before one could ask whose it was
            return False
        return not family & self._workers()

    def _workers(self) -> set[int]:
        """Return the processes of all workers; their shims are none of them."""
        found = set()
        for path in (self.project / ".orchestration" / "sessions").glob("*/shim.json"):
            with suppress(FileNotFoundError):
                found.add(int(json.loads(path.read_text())["workerPid"]))
        return found

    def look(self, name: str, text: object) -> None:
        """Keep what a door showed."""
        self.shown[name] = str(text)

    def fail(self, name: str, error: BaseException) -> None:
        """Keep all that a traceback can show of an error, the values of our functions' variables included."""
        whole = traceback.TracebackException.from_exception(error, capture_locals=True)
        for frame in whole.stack:
            if "/tests/" in frame.filename:  # the caller has the values, of course
                frame.locals = None
        self.look(name, "".join(whole.format()))


@contextmanager
def scene(folder: Path, **settings: Any) -> Iterator[Scene]:
    """Make a project with nothing in it, and a home of its own for all that is started."""
    plant = sow()
    project = folder / "project"
    (project / ".orchestration").mkdir(parents=True)
    write_env_files(folder / "credentials", plant)
    config = {"credentialsDir": os.fspath(folder / "credentials"), "retryDelay": 0.01, "maxRetries": 0, **settings}
    (project / ".orchestration" / "config.yaml").write_text(yaml.safe_dump(config))
    made = Scene(folder, plant, Search(plant), project, folder / "traffic")
    for name in ("home", "state", "traffic", "elsewhere"):
        (folder / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", os.fspath(folder / "home"))
        patch.setenv("HARNESS_STATE_DIR", os.fspath(folder / "state"))
        patch.delenv("HARNESS_DETACH", raising=False)
        patch.delenv("HARNESS_CREDENTIALS_DIR", raising=False)
        patch.setenv("PYTHONPATH", os.fspath(REPOSITORY))
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield made


def play(made: Scene) -> None:
    """Start every kind of worker, answer what they ask by every door, and look at all of it."""
    _write_plans(made)
    harness = Harness(made.project, trust=True)
    try:
        _start(made, harness)
        run = harness.run()
        asking = threading.Thread(target=_ask_from_python, args=(made, harness))
        asking.start()
        _answer_until_done(made, harness, lambda: run.ended and not asking.is_alive())
        made.sessions["runbook"], made.sessions["broken"] = (str(one.session_id) for one in run.report.plans)
        made.look("the run's report", f"{run.report.to_frame().to_string()}\n{run.report._repr_html_()}")
        _provoke_errors(made, harness)
        _look_around(made, harness)
    finally:
        end_everything(harness)


def _start(made: Scene, harness: Harness) -> None:
    more = {"HUNT_TRAFFIC": os.fspath(made.traffic)}

    def start(who: str, *command: str, terminal: bool = True, given: bool = False) -> Session:
        credentials = made.values(who) if given else None
        session = harness.start_session(
            command=[sys.executable, *command, *SERVICES[who]], env=more, env_credentials=credentials, terminal=terminal
        )
        made.sessions[who] = session.id
        return session

    module = ("-m", "tests.leak_hunt.workers")
    names = list(made.values("crash"))
    held = [start("terminal", *module, "hold", given=True), start("pipes", *module, "hold", terminal=False, given=True)]
    crashed = harness.start_session(
        command=[sys.executable, str(HERE / "habits.py"), *names, "crash"], env_credentials=made.values("crash")
    )
    made.sessions["crash"] = crashed.id
    start("forged", *module, "forging-an-end", given=True)
    start("message", *module, "by-message")
    start("file", *module, "by-file")
    start("mcp", *module, "by-mcp", terminal=False)
    for session in held:
        until(lambda session=session: "<<holding>>" in session.output())  # type: ignore[misc]
    made.scan()
    for session in held:
        session.send("\n")


# --- plans ---------------------------------------------------------------------------------------


def _write_plans(made: Scene) -> None:
    """Write two plans: one whose checks show values, and one whose block crashes with them."""
    elsewhere, values = made.folder / "elsewhere", made.values("runbook")
    (elsewhere / "leaked.txt").write_text("\n".join(values.values()))
    (elsewhere / "leaked.json").write_text(json.dumps(list(values.values())))
    (elsewhere / "names").mkdir()
    (elsewhere / "names" / values["STRIPE_SECRET_KEY"]).write_text("")
    checks = [
        {"id": "prints", "type": "command_output", "command": f"cat {elsewhere}/leaked.txt", "expects": "never there"},
        {"id": "crashes", "type": "command_succeeds", "command": f"cat {elsewhere}/leaked.json >&2; false"},
        {"id": "lists", "type": "command_output", "command": f"ls {elsewhere}/names", "expects": "never there"},
        {"id": "holds", "type": "file_not_contains", "path": f"{elsewhere}/leaked.txt", "pattern": ".+", "regex": True},
        {"id": "fits", "type": "json_valid", "path": f"{elsewhere}/leaked.json", "schema": {"type": "object"}},
    ]
    first, *others = SERVICES["runbook"]
    code = f"{sys.executable} {HERE / 'habits.py'} {' '.join(values)}"
    tasks = [
        *(ASKING.format(service=one, names=", ".join(BETWEEN[one])) for one in others),
        TASK.format(lang="sh", code=f'set -x\n: "${next(iter(values))}"\n{code}'),
        TASK.format(lang="python", code=f"import os\nprint([os.environ[one] for one in {list(values)!r}])"),
    ]
    needed = [{"service": first, "envVars": list(BETWEEN[first]), "reason": "to log in"}]
    _write_plan(made, "01", checks, needed, tasks)
    [service] = SERVICES["broken"]
    names = list(BETWEEN[service])
    crash = f"import os\nwhat = os.environ[{names[0]!r}]\nraise KeyError(what, f'no {{what}}')"
    needed = [{"service": service, "envVars": names, "reason": "to log in"}]
    _write_plan(made, "02", [{"id": "fine", "type": "command_succeeds", "command": "true"}], needed,
                [TASK.format(lang="python", code=crash)])  # fmt: skip


def _write_plan(made: Scene, number: str, checks: Any, needed: Any, tasks: list[str]) -> None:
    folder = made.project / "planning" / "plans" / "01-phase"
    folder.mkdir(parents=True, exist_ok=True)
    text = RUN.format(number=number, must_pass=json.dumps(checks), needed=json.dumps(needed), tasks="\n".join(tasks))
    (folder / f"01-{number}-PLAN.md").write_text(text)


# --- answers -------------------------------------------------------------------------------------


def _answer_until_done(made: Scene, harness: Harness, done: Any) -> None:
    deadline = time.monotonic() + LIMIT
    number = 0
    while not (done() and all(not one.record.live for one in harness.list_sessions())):
        assert time.monotonic() < deadline, harness.frames.sessions()[["state", "reason"]].to_string()
        pending = harness.get_pending()
        for question in pending:
            with suppress(QuestionExpiredError):  # a worker may end with a question that nobody answers
                _answer(made, harness, question, number)
            number += 1
        if not pending:
            time.sleep(0.1)
            made.scan()


def _answer(made: Scene, harness: Harness, question: Question, number: int) -> None:
    """Answer a question; credentials by one door after the other, and all else with values in the notes."""
    record = question.record
    made.look(f"question {record.id}", f"{question!r}\n{question._repr_html_()}")
    known = _granted(made, record)
    notes = told(known) if known else "nothing to tell"
    if record.type == "credentials_needed":
        doors = ("python", "with values", "shell", "mcp", "mcp with values", "http", "http with values")
        door = next((one for one in doors if one not in made.doors), "python")
        made.doors.append(door)
        _provide(made, harness, question, door, notes)
    elif record.type == "decision_needed" and not record.payload.get("options"):
        question.abort(f"no: {notes}")
    elif record.type == "decision_needed" and number % 2:
        words = ("--option", "yes", "--notes", "as you like", "--session", record.session_id)
        _shell(made, "respond", record.id, *words, may_fail=True)
    elif record.type == "decision_needed":
        question.answer("yes", rationale=notes)
    elif record.type == "session_ready":
        question.answer(notes)
    else:
        question.answer(f"no {notes}" if record.type == "verification_needed" else notes)


def _granted(made: Scene, record: MessageRecord) -> dict[str, str]:
    """Return what a session has when a question of its is answered: nobody can mask what it gets later."""
    who = next((name for name, known in made.sessions.items() if known == record.session_id), None)
    if who in ("terminal", "pipes", "crash", "forged"):
        return made.values(who)
    if record.session_id.startswith("ask"):
        return made.values("python") if record.type != "credentials_needed" else {}
    own = made.granted.setdefault(record.session_id, {})
    if record.type == "credentials_needed":
        own |= {name: made.plant.by_name[name] for name in record.payload["envVars"]}
    return own


def _provide(made: Scene, harness: Harness, question: Question, door: str, notes: str) -> None:
    """Say yes to a question for credentials: by reference, or with the values in the answer."""
    record = question.record
    own = {name: made.plant.by_name[name] for name in record.payload["envVars"]}
    payload = {"found": True, "credentials": own, "notes": f"as {notes}", "instructions": f"use {notes}"}
    by_reference = {"found": True, "notes": "by reference"}
    how = {"type": "credentials_provided", "sessionId": record.session_id, "inResponseTo": record.id}
    if door == "python":
        question.approve(notes)
    elif door == "with values":
        harness.respond("credentials_provided", record.session_id, payload, record.id)
    elif door == "shell":
        _shell(made, "respond", record.id, "--approve", "--session", record.session_id)
    else:
        given = {**how, "payload": payload if "with values" in door else by_reference}
        tools = http_tools if door.startswith("http") else stdio_tools
        anyio.run(_respond, tools, made, f"{'told' if 'with values' in door else 'orchestrator'}-{door[:4]}", given)


async def _respond(tools: Any, made: Scene, name: str, given: Mapping[str, Any]) -> None:
    async with tools(made.project, made.traffic / name) as call:
        await call("harness_respond", **given)
        with pytest.raises(RuntimeError):
            await call("harness_respond", **given)  # it is answered already, and that is said without a value
        await call("harness_get_pending")
        await call("harness_list_sessions")
        await call("harness_get_output", sessionId=given["sessionId"], lines=1000)


def _ask_from_python(made: Scene, harness: Harness) -> None:
    """Be a session oneself: ask for credentials, and use their values in the next questions."""
    values = made.values("python")
    answer = harness.ask("credentials", service="github", env_vars=list(values), reason="to log in")
    made.look("the answer in Python", f"{answer!r} {answer.to_wire()}")
    text = told(values)
    for kind, payload in (
        ("decision", {"decision": text, "options": [{"id": "yes", "name": text}]}),
        ("verification", {"what_built": text, "how_to_verify": [text]}),
        ("action", {"action": text, "instructions": text}),
    ):
        harness.ask(kind, **payload)


# --- looking -------------------------------------------------------------------------------------


def _shell(made: Scene, *words: str, may_fail: bool = False) -> str:
    """Run our command on the project, and keep what it prints."""
    done = subprocess.run([*OURS, *words, "--project", str(made.project)], capture_output=True, text=True, check=False)
    made.look(f"harness-nb {' '.join(words)}", done.stdout + done.stderr)
    assert done.returncode == 0 or may_fail, done.stderr
    return done.stdout


def _provoke_errors(made: Scene, harness: Harness) -> None:
    """Make what is given values fail, in each way that it can."""
    value = next(iter(made.values("python").values()))
    payload = {"found": True, "credentials": {"GITHUB_TOKEN": value}}
    ended = made.sessions["message"]
    asked = harness.frames.messages(session_id=ended, type="credentials_needed")["id"].iloc[0]
    wrongly: dict[str, Any] = {
        "an answer that comes too late": lambda: harness.respond("credentials_provided", ended, payload, asked),
        "an answer to nothing": lambda: harness.respond("credentials_provided", ended, payload, "nothing"),
        "an answer to nobody": lambda: harness.respond("credentials_provided", "nobody", payload, asked),
        "an answer of no type": lambda: harness.respond("credentials_provided", ended, {**payload, "found": []}, asked),
        "a list for a value": lambda: harness.respond(
            "credentials_provided", ended, {"found": True, "credentials": {"GITHUB_TOKEN": [value]}}, asked
        ),
        "no program": lambda: harness.start_session(command=["/no/such/program"], env_credentials={"TOKEN": value}),
        "no folder": lambda: harness.start_session(
            command=["true"], working_dir="no/such/folder", env_credentials={"TOKEN": value}
        ),
        "a value that is none": lambda: harness.start_session(
            command=["true"], env_credentials={"TOKEN": f"{value}\0"}
        ),
    }  # fmt: skip
    for name, do in wrongly.items():
        with pytest.raises(Exception) as raised:
            do()
        made.fail(name, raised.value)


def _look_around(made: Scene, harness: Harness) -> None:
    """Open every door that shows what happened."""
    for name in ("sessions", "messages", "events", "plans"):
        frame = getattr(harness.frames, name)()
        made.look(
            f"frames.{name}", "\n".join((frame.to_html(), frame.to_csv(), frame.to_string(), repr(frame._repr_html_())))
        )
        made.look(f"frames.{name} as JSON", frame.astype(str).to_json(force_ascii=False))
    for session in harness.list_sessions():
        made.look(f"session {session.id}", f"{session!r}\n{session._repr_html_()}\n{session.record!r}")
        made.look(f"output of {session.id}", harness.get_output(session.id, lines=None))
        _shell(made, "output", session.id, "--lines", "100000") if session.id == made.sessions["terminal"] else None
    made.look("the board", harness.board._repr_html_())
    made.look("the state", harness.get_state())
    made.look("the recovery", harness.recover().to_csv())
    made.look("the harness", repr(harness))
    harness.export(made.folder / "exports" / "by-python")
    _shell(made, "export", "-o", str(made.folder / "exports" / "by-shell"))
    done = subprocess.run([*OURS, "status", str(made.project), "--json"], capture_output=True, text=True, check=True)
    made.look("harness-nb status", done.stdout + done.stderr)


def habit_of(output: bytes, habit: str) -> bytes:
    """Return what a habit printed; what stands on standard error may come a little later on pipes."""
    found = re.search(rb"<<%s>>(.*?)<</%s>>" % (habit.encode(), habit.encode()), output, re.DOTALL)
    assert found, f"{habit} printed nothing"
    return found[1]


def rest_of(output: bytes) -> bytes:
    """Return what was printed beside the habits."""
    return re.sub(rb"<<(\w+)>>.*?<</\1>>", b"", output, flags=re.DOTALL)


def whole_project(made: Scene) -> list[Path]:
    """Return the folders in which no value may stand."""
    return [made.project, made.folder / "home", made.folder / "state", made.folder / "exports"]
