"""Running commands for checks: a session of their own, bounded memory, and nothing left behind.

Each command leads its own session, so that ending it ends what it started too. A background process that a
command leaves behind is ended with it: a check looks, and must not change what the next one sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from subprocess import DEVNULL
from typing import TYPE_CHECKING

import anyio

from harness_nb.errors import CheckCouldNotRunError

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

KEPT_BYTES = 64 * 1024
"""How much of a stream is kept, half of it from its beginning and half from its end."""

GRACE = 0.5
"""Seconds that a command has between being asked to end and being killed."""

_leaders: set[int] = set()

OnChunk = Callable[[str, bytes], None]
"""Called with ``stdout`` or ``stderr`` and each piece of output as it arrives."""


@dataclass(frozen=True)
class CommandResult:
    """How a command ended: negative ``exit_status`` is the signal that killed it; output is cut to size."""

    exit_status: int
    stdout: str
    stderr: str
    combined: str

    @property
    def could_not_run(self) -> bool:
        """Whether the shell says that a command is not there or cannot be executed."""
        return self.exit_status in (126, 127)

    @property
    def ending(self) -> str:
        """How it ended, as words that follow the command's name."""
        if self.exit_status < 0:
            return f"was ended by {_signal_name(-self.exit_status)}"
        meaning = {126: ": the command cannot be executed", 127: ": the command was not found"}
        return f"ended with exit status {self.exit_status}{meaning.get(self.exit_status, '')}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have a number alone
        return f"signal {number}"


class HeadAndTail:
    """The beginning and the end of a stream of any size, in memory of a fixed size."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._half = kept_bytes // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, chunk: bytes) -> None:
        """Take in the next piece."""
        self.total += len(chunk)
        room = self._half - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk
        if len(self._tail) > 4 * self._half:  # cutting at each piece would copy the tail each time
            del self._tail[: -self._half]

    @property
    def dropped(self) -> int:
        """How many bytes are no longer held."""
        return max(0, self.total - 2 * self._half)

    def ends(self) -> tuple[str, ...]:
        """Return what is held: all of it, or the beginning and the end."""
        return tuple(part.decode(errors="replace") for part in self._parts())

    def text(self) -> str:
        """Return what is held, with a line that says how much was dropped between the two parts."""
        head, *tail = self.ends()
        if not tail:
            return head
        gone = self.total - sum(map(len, self._parts()))
        return f"{head.rstrip(chr(10))}\n[{gone:,} bytes of output dropped here]\n{tail[0]}"

    def _parts(self) -> tuple[bytes, ...]:
        if not self.dropped:
            return (bytes(self._head + self._tail),)
        # Whole lines where there are any: a secret cut in two would escape redaction.
        head, tail = bytes(self._head), bytes(self._tail[-self._half :])
        return head[: head.rfind(b"\n") + 1] or head, tail[tail.find(b"\n") + 1 :] or tail


def running_leaders() -> frozenset[int]:
    """Return the process ids of the commands that checks are running now."""
    return frozenset(_leaders)


async def run_shell(
    command: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_chunk: OnChunk | None = None,
) -> CommandResult:
    """Run one line or script with ``/bin/sh`` until it ends; see ``run_command``."""
    argv = ["/bin/sh", "-c", command]
    return await run_command(argv, cwd=cwd, env=env, on_chunk=on_chunk)


async def run_command(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_chunk: OnChunk | None = None,
) -> CommandResult:
    """Run a command without any input until it ends, and end what it left running.

    When the caller is cancelled, or its time is up, the command and everything it started are ended first.

    Raises:
        CheckCouldNotRunError: the program is not there or cannot be executed.

    """
    output = _Output(on_chunk)
    loop = asyncio.get_running_loop()
    try:
        with anyio.CancelScope(shield=True):  # a command that was half started could not be ended with its children
            process, _ = await loop.subprocess_exec(
                lambda: output, *argv, stdin=DEVNULL, cwd=cwd, env=dict(env), start_new_session=True
            )
    except OSError as error:
        raise CheckCouldNotRunError(f"{argv[0]} could not be started: {error.strerror or error}.") from error
    pid = process.get_pid()
    assert pid is not None
    _leaders.add(pid)
    try:
        await output.exited.wait()
        with anyio.move_on_after(GRACE):  # a process left in the background may hold the pipes open for ever
            await output.closed.wait()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process, pid, output)
        _leaders.discard(pid)
    status = process.get_returncode()
    texts = {name: buffer.text() for name, buffer in output.buffers.items()}
    return CommandResult(exit_status=-signal.SIGKILL if status is None else status, **texts)


class _Output(asyncio.SubprocessProtocol):
    """Takes in what a command prints, and notes when it has exited and when its pipes are closed too."""

    def __init__(self, on_chunk: OnChunk | None) -> None:
        self.buffers = {name: HeadAndTail() for name in ("stdout", "stderr", "combined")}
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._on_chunk = on_chunk

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        name = {1: "stdout", 2: "stderr"}[fd]
        self.buffers[name].add(data)
        self.buffers["combined"].add(data)
        if self._on_chunk:
            self._on_chunk(name, data)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it
        self.closed.set()


async def _end(process: asyncio.SubprocessTransport, pid: int, output: _Output) -> None:
    """End a command's whole session, and what escaped from it while its parent still lived."""
    escaped = [] if output.exited.is_set() else _descendants(pid)
    if not output.exited.is_set() or _group_lives(pid):
        _signal_group(pid, signal.SIGTERM)
        with anyio.move_on_after(GRACE):
            await output.exited.wait()
            while _group_lives(pid):  # noqa: ASYNC110 - nobody announces a group's end
                await anyio.sleep(0.01)
        _signal_group(pid, signal.SIGKILL)
    for child in escaped:
        with contextlib.suppress(Exception):  # gone already, or not ours: both are an end
            child.kill()
    process.close()  # else the pipes would stay open as long as somebody who escaped holds the other end
    await output.closed.wait()


def _descendants(pid: int) -> list[psutil.Process]:
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group that holds only zombies
        return False
    return True
