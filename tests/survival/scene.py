"""A project with six sessions that ask the four kinds of question, and the processes around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from harness_nb.sessions.orphans import runs
from harness_nb.store import Store
from harness_nb.store.atomic import read_json
from harness_nb.store.locks import is_held, note_of
from tests.orchestrator.written_plans import configure, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).resolve().parents[2]
LIMIT = 150.0
"""Seconds that any process here may take; on an idle machine the whole takes three."""
PATIENCE = 30.0
"""Seconds that processes whose session has ended are given to end."""
CHOSEN = "b"
SECRET = "sesame-4711-open"
LINES = 40
COMMAND = ["sh", "ask.sh"]

STEP = f"""\
set -eu
echo "$1 $$" >> begun
count=0
while [ $count -lt {LINES} ]; do
  count=$((count + 1))
  line="$1 run=$$ line $count"
  echo "$line" >> "side/$1.$$"
  echo "$line"
  case $count in 7|23) sleep 0.06 ;; esac
done
: > "made/$1"
"""
"""One step of a plan: writes each line to a file of its own beside, then prints it."""

ASK = """\
sh step.sh ask-1
printf '%s' '{"type": "decision", "id": "which", "phase": "", "plan": "", "decision": "Which?", "context": "",
  "options": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]}' > "$HARNESS_SESSION_DIR/.question"
mv "$HARNESS_SESSION_DIR/.question" "$HARNESS_SESSION_DIR/checkpoint.json"
while ! mv "$HARNESS_SESSION_DIR/checkpoint_response.json" "$HARNESS_SESSION_DIR/answered/which.json" 2>/dev/null; do
  sleep 0.05
done
grep -o '"selectedOptionId": *"[^"]*"' "$HARNESS_SESSION_DIR/answered/which.json" > made/received
sh step.sh ask-2
"""
"""A command that asks by file."""

OPTIONS = '<options><option id="a"><name>A</name></option><option id="b"><name>B</name></option></options>'
VERIFY = """<task type="checkpoint:human-verify"><name>Look</name><what-built>A page</what-built>
<how-to-verify>Open it</how-to-verify></task>"""
DECIDE = f"""<task type="checkpoint:decision"><name>Choose</name><decision>Which?</decision>{OPTIONS}</task>"""
ACT = """<task type="checkpoint:human-action"><name>Act</name><action>Turn it on</action>
<instructions>By hand</instructions></task>"""
CREDENTIALS = """<task type="checkpoint:credentials"><name>Get in</name><service>demo</service>
<env-vars>DEMO_TOKEN</env-vars><reason>It wants one</reason></task>"""


def _step(name: str, more: str = "") -> str:
    return f'<task type="auto">\n<name>Do {name}</name>\n<run lang="sh">\nsh step.sh {name}\n{more}\n</run>\n</task>'


PLANS: dict[str, tuple[list[str], list[str]]] = {
    "01-01": ([], [VERIFY, _step("01-01-3")]),
    "01-02": ([], [DECIDE, _step("01-02-3", 'echo "$HARNESS_DECISION_2" > made/chosen')]),
    "01-03": ([], [CREDENTIALS, _step("01-03-3", 'printf %s "$DEMO_TOKEN" | cksum > made/token')]),
    "01-04": (["01-01"], [ACT, _step("01-04-3")]),
    "01-05": (["01-02", "01-03"], [_step("01-05-2")]),
}
"""Each plan's dependencies, and its tasks after the first."""


def build(root: Path) -> None:
    """Write the project: plans, settings, credentials and the scripts that they run."""
    root.mkdir()
    for folder in ("side", "made", "credentials"):
        (root / folder).mkdir()
    (root / "step.sh").write_text(STEP)
    (root / "ask.sh").write_text(ASK)
    (root / "credentials" / "demo.env").write_text(f"DEMO_TOKEN={SECRET}\n")
    configure(root, maxParallelExecutions=5, credentialsDir="credentials")
    for plan_id, (depends_on, tasks) in PLANS.items():
        made = [{"id": "made", "type": "file_exists", "path": f"made/{plan_id}-1"}]
        write_plan(
            root, plan_id, f"sh step.sh {plan_id}-1",
            body="\n".join(tasks), depends_on=depends_on, files_modified=[f"made/{plan_id}-1"], must_pass=made,
        )  # fmt: skip


@dataclass(frozen=True)
class Life:
    """The processes of one session's present life."""

    session_id: str
    shim: int
    worker: int


@dataclass
class Scene:
    """The project, the processes that work on it, and what was done to them."""

    root: Path
    way: str = "api"
    detached: bool = True
    kernel: subprocess.Popen[str] | None = None
    door: subprocess.Popen[str] | None = None
    killed: list[str] = field(default_factory=list)
    hurt: dict[str, set[str]] = field(default_factory=dict)
    """What of which session was killed: ``shim`` or ``worker``."""

    def __post_init__(self) -> None:
        build(self.root)
        self.store = Store(self.root)

    # --- processes ---------------------------------------------------------------------------

    def open(self) -> None:
        """Start what runs the project; it goes on where one before was killed."""
        self.kernel = self._start("kernel")

    def open_door(self) -> None:
        """Start what answers."""
        self.door = self._start("door", self.way)

    def _start(self, name: str, *more: str) -> subprocess.Popen[str]:
        with (self.root / f"{name}.txt").open("a") as said:
            return subprocess.Popen(
                [sys.executable, "-m", f"tests.survival.{name}", os.fspath(self.root), *more],
                cwd=CHECKOUT,
                env={**os.environ, "HARNESS_DETACH": str(int(self.detached))},
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def finish(self) -> None:
        """Let everything come to its end, and see that nothing is left behind."""
        assert self.kernel is not None
        assert self.kernel.wait(timeout=LIMIT) == 0, (self.root / "kernel.txt").read_text()
        self._end(self.door)
        self.wait_until_nobody_is_left()

    def wait_until_nobody_is_left(self) -> None:
        """Wait until no process of any session lives: the last shims are just about to end."""
        limit = time.monotonic() + PATIENCE
        while strays := self.strays():
            assert time.monotonic() < limit, [psutil.Process(one) for one in strays]
            time.sleep(0.02)

    def strays(self) -> list[int]:
        """Return the processes of this project's sessions that live."""
        shims = [life.shim for life in self.lives()]
        return shims + [one.pid for one in psutil.process_iter() if self._works_here(one)]

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            does_the_run = {"harness_nb.holder", os.fspath(self.root)} <= set(process.cmdline())
            return does_the_run or process.environ().get("HARNESS_PROJECT") == os.fspath(self.root)
        except psutil.Error:
            return False

    def holder(self) -> int | None:
        """Return the process that does a detached run, where there is one now."""
        lease = self.store.layout.lease
        note = note_of(lease) if is_held(lease) else {}
        pid = note.get("pid") if note.get("door") == "run" else None
        return int(pid) if pid is not None and is_held(lease) else None

    def lives(self) -> list[Life]:
        """Return the sessions whose shim lives."""
        found = []
        for session in self.store.sessions.select():
            try:
                info = read_json(self.store.layout.session(session.id).shim)
            except FileNotFoundError:
                continue
            if runs({"pid": info["pid"], "startTime": info["startTime"], "bootId": info["bootId"]}):
                found.append(Life(session.id, info["pid"], info["workerPid"]))
        return found

    def end(self) -> None:
        """End all that was started here, by its number, whatever became of it."""
        for process in (self.kernel, self.door):
            self._end(process)
        for stray in self.strays():
            with suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)
        self.store.close()

    def _end(self, process: subprocess.Popen[str] | None) -> None:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def story(self, seed: int | None) -> str:
        """Return what was done here, for whoever has to find out why it ended otherwise."""
        where = "in a process of its own" if self.detached else "in the kernel"
        return f"seed {seed}, run {where}, answered by {self.way}, killed: {self.killed}"

    # --- moments -----------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the process that runs the project has come to its end."""
        return self.kernel is not None and self.kernel.poll() is not None

    def wait_for(self, condition: Callable[[], Any]) -> bool:
        """Wait for a moment; false where the run ends before."""
        limit = time.monotonic() + LIMIT
        while not condition():
            if self.over or time.monotonic() > limit:
                return False
            time.sleep(0.002)
        return True

    def said_by_door(self) -> list[str]:
        """Return what the second door was about to answer so far."""
        file = self.root / "door.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if line.startswith("answering ")]
