"""Real commands in real processes, with pipes or with a terminal of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import ShimFailedError
from harness_nb.sessions import ask_shim
from harness_nb.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = [sys.executable, "-m", "harness_nb.cli"]
PATIENCE = 90.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TAKE_THE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs our command in a folder, as a script would."""

    folder: Path

    def __call__(self, *words: object, stdin: str | None = None, env: dict[str, str] | None = None) -> Done:
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL if stdin is None else None, input=stdin, env={**os.environ, **(env or {})},
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: object) -> Program:
        """Start a command and leave it running."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        return Program(process, process.stdout.fileno())


class Program:
    """A running command whose output can be waited for."""

    def __init__(self, process: subprocess.Popen[bytes], reading: int) -> None:
        self.process = process
        self._reading = reading
        self.seen = ""
        self._raw = b""
        self._place = 0

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until a pattern appears behind what was expected last."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.compile(pattern, re.DOTALL).search(self.seen, self._place)):
            if not self._read(deadline):
                raise AssertionError(f"{pattern!r} did not come; this did:\n{self.seen[self._place :]}")
        self._place = found.end()
        return found

    def rest(self) -> str:
        """Read to the end and return all that was printed."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        self.process.wait(PATIENCE)
        return self.seen

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._reading], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing came any more after:\n{self.seen}"
        try:
            data = os.read(self._reading, 65536)
        except OSError:  # a terminal's way to say that its last program has ended
            return False
        self._raw += data
        text = ESCAPES.sub("", self._raw.decode(errors="replace")).replace("\r\n", "\n")
        self.seen = re.sub(r" +\n", "\n", text)
        return bool(data)


class Terminal(Program):
    """Our command at a terminal of its own."""

    def __init__(self, folder: Path, *words: object, columns: int = 100) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE_THE_TERMINAL, *COMMAND, *map(str, words)],
            cwd=folder, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(slave)
        super().__init__(process, self.master)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.master, text.encode())

    def echoes(self) -> bool:
        """Whether typed keys are shown."""
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder; sessions that were left alive are ended by their ids at the end."""
    yield Shell(tmp_path)
    # unlike rglob, os.walk passes over what goes while workers still write there
    for folder in [Path(parent) for parent, names, _ in os.walk(tmp_path) if ".orchestration" in names]:
        with closing(Store(folder)) as store:
            for session in store.sessions.select(live=True):
                with suppress(ShimFailedError):
                    ask_shim(store.layout.session(session.id), do="stop", by="test", grace=1.0)


@pytest.fixture
def begin(shell: Shell) -> Iterator[Callable[..., Program]]:
    """Start a command with pipes; it is ended with the test."""
    yield from _starting(lambda *words: shell.begin(*words))


@pytest.fixture
def terminal(shell: Shell) -> Iterator[Callable[..., Terminal]]:
    """Start a command at a terminal; it is ended with the test."""
    yield from _starting(lambda *words, **options: Terminal(shell.folder, *words, **options))  # type: ignore[misc]


def _starting(start: Callable[..., Program]) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start_one(*words: object, **options: object) -> Program:
        started.append(start(*words, **options))
        return started[-1]

    yield start_one
    for program in started:
        if program.process.poll() is None:
            program.process.send_signal(signal.SIGINT)
            try:
                program.process.wait(20)
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()
        for pipe in (program.process.stdout, program.process.stderr):
            if pipe is not None:
                pipe.close()
        if isinstance(program, Terminal):
            os.close(program.master)


PLAN = """\
---
phase: {phase}
plan: {number}
type: execute
wave: 1
depends_on: {depends_on}
files_modified: {writes}
{frontmatter}---

<objective>
{title}
</objective>

<tasks>
{tasks}
</tasks>
"""


@pytest.fixture
def write_plan(tmp_path: Path) -> Callable[..., Path]:
    """Write a plan into a project below the test's folder."""

    def write(
        project: str, plan_id: str, tasks: str, *, depends_on: str = "[]", writes: str = "[]",
        must_pass: str = "[{id: ok, type: command_succeeds, command: 'true'}]", title: str = "A plan", extra: str = "",
    ) -> Path:  # fmt: skip
        phase, number = plan_id.split("-")
        folder = tmp_path / project / "planning" / "plans" / f"{phase}-phase"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{plan_id}-PLAN.md"
        path.write_text(
            PLAN.format(
                phase=phase, number=number, depends_on=depends_on, writes=writes, title=title, tasks=tasks,
                frontmatter=f"must_pass: {must_pass}\n{extra}",
            )
        )  # fmt: skip
        return path

    return write


def sh(code: str, name: str = "work") -> str:
    """A task that runs a shell block."""
    return f'<task type="auto">\n<name>{name}</name>\n<run lang="sh">\n{code}\n</run>\n</task>\n'


DECISION = """\
<task type="checkpoint:decision">
<name>choose</name>
<decision>Which colour?</decision>
<context>It is for the door.</context>
<options>
<option id="red"><name>Red</name><pros>warm</pros><cons>loud</cons></option>
<option id="blue" recommended="true"><name>Blue</name></option>
</options>
</task>
"""


def question_id(text: str) -> str:
    """Return the id in the first line that says how to answer."""
    found = re.search(r"harness-nb respond ([0-9a-f]{16})", text)
    assert found, text
    return found[1]
