"""Checks that look at the machine: environment variables, ports, processes."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import PurePath
from typing import TYPE_CHECKING

import anyio.to_thread

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification.commands import running_leaders
from harness_nb.verification.registry import CheckContext, Outcome, check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness_nb.protocol.checks import EnvVarSet, PortAvailable, ProcessRunning

LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
# Bound for a moment and never listened on.
EVERYWHERE = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))  # noqa: S104
CONNECT_SECONDS = 2.0


@check("env_var_set")
async def env_var_set(spec: EnvVarSet, context: CheckContext) -> Outcome:
    """Pass when the variable is there and not empty, or has the value asked for; no value is ever shown."""
    value = context.variables().get(spec.name)
    if value is None:
        return Outcome(False, f"The environment variable {spec.name} is not set.")
    if spec.value is not None:
        return Outcome.of(value == spec.value, f"The environment variable {spec.name} has another value.")
    return Outcome.of(value, f"The environment variable {spec.name} is set and empty.")


@check("port_available", resources=lambda spec, _context: [f"port:{spec.port}"])
async def port_available(spec: PortAvailable, _context: CheckContext) -> Outcome:
    """Pass when nothing uses the TCP port on this machine, or something does, as asked."""
    user = await anyio.to_thread.run_sync(_what_uses, spec.port, abandon_on_cancel=True)
    error = f"Port {spec.port} is in use: {user}." if user else f"Nothing uses port {spec.port}."
    return Outcome.of((user is None) == spec.available, error, notes=user)


def _what_uses(port: int) -> str | None:
    """Say what shows that a port is in use, or nothing.

    Asked both ways: a listener that takes no connections still holds the port, and some systems let a port be
    bound for all addresses while a listener has it on one.
    """
    for family, host in LOOPBACK:
        if _answers(family, host, port):
            return f"something answers on {host}"
    for family, host in EVERYWHERE:
        if _is_taken(family, host, port):
            return f"it cannot be bound on {host}"
    return None


def _answers(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT_SECONDS)
            # A connection from the very port that it goes to has only met itself.
            return probe.connect_ex((host, port)) == 0 and probe.getsockname() != probe.getpeername()
    except OSError:  # a machine without IPv6
        return False


def _is_taken(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


@check("process_running")
async def process_running(spec: ProcessRunning, _context: CheckContext) -> Outcome:
    """Pass when such a process runs, or none does, as asked.

    A process is meant when its name, its program or one of its arguments (whole, or the last part of its path)
    is ``process``; with a space or a slash in it, when its command line contains it. This process, those that
    started it, and the commands of other checks never count; nor does what has ended and was not reaped.
    """
    if not spec.process.strip():
        raise CheckCouldNotRunError("Could not run: the check's process is blank; name the process that is meant.")
    found = await anyio.to_thread.run_sync(_processes, spec.process, abandon_on_cancel=True)
    listed = "\n".join(found) or None
    if spec.running:
        return Outcome.of(found, f"No process {spec.process!r} is running.", output=listed)
    return Outcome.of(not found, f"{len(found)} process(es) {spec.process!r} are running.", output=listed)


def _processes(wanted: str) -> list[str]:
    import psutil

    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    checks = running_leaders()
    found = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        seen = process.info
        words = seen["cmdline"] or []
        if process.pid in ours or seen["status"] == psutil.STATUS_ZOMBIE or _session_of(process.pid) in checks:
            continue
        if _is_meant(wanted, seen["name"] or "", words):
            found.append(f"{process.pid} {seen['name']}")
    return found


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _is_meant(wanted: str, name: str, words: Iterable[str]) -> bool:
    words = list(words)
    if wanted == name:
        return True
    if " " in wanted or "/" in wanted:
        return wanted in " ".join(words)
    return any(wanted in (word, "" if word.startswith("-") else PurePath(word).name) for word in words)
