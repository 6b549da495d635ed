"""Running commands for checks: a session of their own, bounded memory, and nothing left behind.

Each command leads its own session, so that ending it ends what it started too. A background process that a
command leaves behind is ended with it: a check looks, and must not change what the next one sees.
"""

from __future__ import annotations

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
    from anyio.abc import ByteReceiveStream, Process

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
    try:
        process = await anyio.open_process(argv, stdin=DEVNULL, cwd=cwd, env=dict(env), start_new_session=True)
    except OSError as error:
        raise CheckCouldNotRunError(f"{argv[0]} could not be started: {error.strerror or error}.") from error
    _leaders.add(process.pid)
    buffers = {name: HeadAndTail() for name in ("stdout", "stderr", "combined")}
    try:
        await _collect(process, buffers, on_chunk)
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
        _leaders.discard(process.pid)
    return CommandResult(
        exit_status=process.returncode if process.returncode is not None else -signal.SIGKILL,
        stdout=buffers["stdout"].text(),
        stderr=buffers["stderr"].text(),
        combined=buffers["combined"].text(),
    )


async def _collect(process: Process, buffers: dict[str, HeadAndTail], on_chunk: OnChunk | None) -> None:
    async def read(name: str, stream: ByteReceiveStream | None) -> None:
        assert stream is not None
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for chunk in stream:
                buffers[name].add(chunk)
                buffers["combined"].add(chunk)
                if on_chunk:
                    on_chunk(name, chunk)

    async with anyio.create_task_group() as readers:
        readers.start_soon(read, "stdout", process.stdout)
        readers.start_soon(read, "stderr", process.stderr)
        await process.wait()
        # A process left in the background may hold the pipes open for ever.
        readers.cancel_scope.deadline = anyio.current_time() + GRACE


async def _end(process: Process) -> None:
    """End a command's whole session, and what escaped from it while its parent still lived."""
    escaped = _descendants(process.pid) if process.returncode is None else []
    if process.returncode is None or _group_lives(process.pid):
        _signal_group(process.pid, signal.SIGTERM)
        with anyio.move_on_after(GRACE):
            await process.wait()
            while _group_lives(process.pid):  # noqa: ASYNC110 - nobody announces a group's end
                await anyio.sleep(0.01)
        _signal_group(process.pid, signal.SIGKILL)
    for child in escaped:
        with contextlib.suppress(Exception):  # gone already, or not ours: both are an end
            child.kill()
    await process.aclose()


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
