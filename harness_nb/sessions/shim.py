"""The small process between a worker and everything else: it owns the worker's terminal and outlives the notebook.

Run by path as ``python -I -S shim.py`` with its orders as one JSON object on standard input; standard library
only, since it must start in tens of milliseconds and stay small. It detaches itself, takes the session's lock
(the proof that it lives), starts the worker on a terminal of its own, appends what the worker prints to the log,
serves a Unix socket, and records how the worker ended.

On the socket: one JSON object a line. ``do`` is ``input`` (``data``: base64), ``resize`` (``rows``, ``cols``),
``stop`` (``grace``: seconds between the polite and the hard signal), ``signal`` (``number``), ``grant`` (``id``,
``values``: credentials to hold in memory and to mask from now on), ``take`` (``id``: hands those values out) or
``watch`` (lines ``{"output": size}`` and ``{"exit": …}`` follow by themselves). Each gets a line with ``ok`` back.
Credentials never touch the disk: they arrive over the socket or with the orders, and go out over the socket only.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
from typing import Any

READ_SIZE = 65536
BATCH = 64
NOTIFY_EVERY = 0.02
"""Seconds between two announcements of output: fifty a second is more than eyes follow."""
DRAIN_SILENCE = 0.2
DRAIN_LIMIT = 2.0
MAX_QUEUED_INPUT = 1 << 20
HIDDEN = b"[credential:%s]"


class Masker:
    """Replaces granted values in a byte stream, also where a value is split over two reads.

    A tail that could be the start of a value is held back until the next bytes decide.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, bytes] = {}
        self._held = b""
        self._pattern: Any = None

    def add(self, values: dict[str, str]) -> None:
        """Mask these values from now on; one shorter than four characters would shred the output and is not."""
        import re  # only sessions with credentials pay for it

        for name, value in values.items():
            raw = value.encode()
            if len(raw) < 4:
                continue
            for form in {raw, raw.replace(b"\n", b"\r\n")}:
                self._names.setdefault(form, name.encode())
        forms = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, forms))) if forms else None

    def feed(self, data: bytes) -> bytes:
        """Return what may be written of everything that has come so far."""
        if self._pattern is None:
            return data
        data = self._pattern.sub(lambda hit: HIDDEN % self._names[hit.group()], self._held + data)
        keep = self._undecided(data)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def flush(self) -> bytes:
        """Return what is still held back, once nothing more can come."""
        held, self._held = self._held, b""
        return held

    def _undecided(self, data: bytes) -> int:
        longest = max(map(len, self._names)) - 1
        for size in range(min(longest, len(data)), 0, -1):
            tail = data[-size:]
            if any(form.startswith(tail) for form in self._names):
                return size
        return 0


class Client:
    """One connection: what came in so far, and what still has to go out."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.incoming = b""
        self.outgoing = b""
        self.watching = False

    def send(self, message: dict[str, Any]) -> None:
        """Send one line, or queue what the socket does not take now."""
        self.outgoing += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what is queued as far as the socket takes it."""
        try:
            while self.outgoing:
                self.outgoing = self.outgoing[self.connection.send(self.outgoing) :]
        except BlockingIOError:
            pass
        except OSError:
            self.outgoing = b""


class Shim:
    """The loop over the worker's terminal, the socket and the worker's end."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self.masker = Masker()
        self.granted: dict[str, dict[str, str]] = {}
        self.clients: dict[int, Client] = {}
        self.input = b""
        self.written = 0
        self.announced = 0
        self.announce_at = 0.0
        self.kill_at: float | None = None
        self.stopped_by: str | None = None
        self.log_error: str | None = None
        self.poll = select.poll()

    # --- start -------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the lock, open the log and the socket, start the worker, and say so."""
        self.lock = os.open(self.orders["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(self.lock, fcntl.LOCK_EX)
        self.log = os.open(self.orders["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.written = os.fstat(self.log).st_size
        if self.orders.get("credentials"):
            self._grant("start", self.orders.pop("credentials"))
        self.server = self._listen(self.orders["socket"])
        self._wakeups()
        self.worker = self._spawn()
        write_json(self.orders["info"], self.info())
        for descriptor in (self.terminal, self.server.fileno(), self.wakeup):
            self.poll.register(descriptor, select.POLLIN)

    def info(self) -> dict[str, Any]:
        """Say who this is and where it listens, for whoever adopts the session later."""
        return {
            "pid": os.getpid(),
            "workerPid": self.worker,
            "startTime": start_time(os.getpid()),
            "bootId": boot_id(),
            "socket": self.orders["socket"],
        }

    def _listen(self, path: str) -> socket.socket:
        if os.path.exists(path):
            os.unlink(path)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(path)
        os.chmod(path, 0o600)
        server.listen(16)
        server.setblocking(False)
        return server

    def _wakeups(self) -> None:
        self.wakeup, writer = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop("signal", 5.0))

    def _spawn(self) -> int:
        master, slave = os.openpty()
        set_size(slave, self.orders.get("rows", 40), self.orders.get("cols", 120))
        errors, report = os.pipe()  # close-on-exec: reaches its end when exec succeeds
        worker = os.fork()
        if worker == 0:
            self._become_worker(slave, report)
        os.close(slave)
        os.close(report)
        failure = os.read(errors, 4096)
        os.close(errors)
        if failure:
            os.waitpid(worker, 0)
            raise OSError(int(failure), os.strerror(int(failure)))
        os.set_blocking(master, False)
        self.terminal = master
        return worker

    def _become_worker(self, slave: int, report: int) -> None:
        try:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for target in (0, 1, 2):
                os.dup2(slave, target)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(self.orders["cwd"])
            os.execvpe(self.orders["argv"][0], self.orders["argv"], self.orders["env"])
        except OSError as error:
            os.write(report, str(error.errno).encode())
        finally:
            os._exit(127)

    # --- loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the worker has ended and its last byte is in the log."""
        while True:
            for descriptor, events in self.poll.poll(self._patience()):
                self._handle(descriptor, events)
            self._announce()
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                self._signal(signal.SIGKILL)
                self.kill_at = None
            ended, status = os.waitpid(self.worker, os.WNOHANG)
            if ended:
                return self._finish(os.waitstatus_to_exitcode(status))

    def _patience(self) -> int | None:
        moments = [m for m in (self.kill_at, self.announce_at if self.written > self.announced else None) if m]
        return max(0, int((min(moments) - time.monotonic()) * 1000) + 1) if moments else None

    def _handle(self, descriptor: int, events: int) -> None:
        if descriptor == self.terminal:
            if events & select.POLLOUT:
                self._type()
            if events & (select.POLLIN | select.POLLHUP):
                self._read()
        elif descriptor == self.server.fileno():
            self._accept()
        elif descriptor == self.wakeup:
            os.read(self.wakeup, 4096)
        elif descriptor in self.clients:
            self._serve(self.clients[descriptor], events)

    def _read(self) -> bool:
        """Move what the worker printed to the log; false at the end of the terminal."""
        chunks = []
        alive = True
        for _ in range(BATCH):
            try:
                chunk = os.read(self.terminal, READ_SIZE)
            except BlockingIOError:
                break
            except OSError as error:  # Linux ends a terminal with EIO
                if error.errno != errno.EIO:
                    self.log_error = str(error)
                chunk = b""
            if not chunk:
                alive = False
                self.poll.unregister(self.terminal)
                break
            chunks.append(chunk)
        if chunks:
            self._append(self.masker.feed(b"".join(chunks)))
        return alive

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                size = os.write(self.log, view)
                self.written += size
                view = view[size:]
        except OSError as error:  # a full disk must not stop the worker; the end of the session says it
            self.log_error = f"{len(view)} bytes of output were not stored: {error.strerror}"

    def _announce(self) -> None:
        now = time.monotonic()
        if self.written > self.announced and now >= self.announce_at:
            self.announced = self.written
            self.announce_at = now + NOTIFY_EVERY
            for client in self._watchers():
                if not client.outgoing:  # a slow reader gets the newest size later, not a queue of old ones
                    client.send({"output": self.written})

    def _watchers(self) -> list[Client]:
        return [client for client in self.clients.values() if client.watching]

    def _type(self) -> None:
        try:
            self.input = self.input[os.write(self.terminal, self.input) :]
        except BlockingIOError:
            pass
        except OSError:
            self.input = b""
        if not self.input:
            self.poll.modify(self.terminal, select.POLLIN)

    # --- socket ------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            connection, _ = self.server.accept()
        except OSError:
            return
        connection.setblocking(False)
        self.clients[connection.fileno()] = Client(connection)
        self.poll.register(connection.fileno(), select.POLLIN)

    def _serve(self, client: Client, events: int) -> None:
        if events & select.POLLOUT:
            client.flush()
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            try:
                data = client.connection.recv(READ_SIZE)
            except BlockingIOError:
                data = None
            except OSError:
                data = b""
            if data == b"":
                return self._forget(client)
            client.incoming += data or b""
        *lines, client.incoming = client.incoming.split(b"\n")
        for line in lines:
            client.send(self._answer(client, line))
        wanted = select.POLLIN | (select.POLLOUT if client.outgoing else 0)
        return self.poll.modify(client.connection.fileno(), wanted)

    def _forget(self, client: Client) -> None:
        self.poll.unregister(client.connection.fileno())
        del self.clients[client.connection.fileno()]
        client.connection.close()

    def _answer(self, client: Client, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            return {"ok": True, **(self._do(client, request) or {})}
        except (ValueError, KeyError, TypeError, OSError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}

    def _do(self, client: Client, request: dict[str, Any]) -> dict[str, Any] | None:
        action = request["do"]
        if action == "input":
            self._queue_input(base64.b64decode(request["data"]))
        elif action == "resize":
            set_size(self.terminal, request["rows"], request["cols"])
        elif action == "signal":
            self._signal(request["number"])
        elif action == "stop":
            self.stop(request.get("by", "stop"), request.get("grace", 5.0))
        elif action == "grant":
            self._grant(request["id"], request["values"])
        elif action == "take":
            return {"values": self.granted.get(request["id"])}
        elif action == "watch":
            client.watching = True
            return {"output": self.written}
        else:
            raise ValueError(f"nothing is known to do for {action!r}")
        return None

    def _queue_input(self, data: bytes) -> None:
        if len(self.input) + len(data) > MAX_QUEUED_INPUT:
            raise ValueError("the worker does not read its input; 1 MiB of it waits already")
        self.input += data
        self.poll.modify(self.terminal, select.POLLIN | select.POLLOUT)

    def _grant(self, grant_id: str, values: dict[str, str]) -> None:
        self.masker.add(values)
        self.granted[grant_id] = values

    # --- end ---------------------------------------------------------------------------------

    def stop(self, by: str, grace: float) -> None:
        """Ask the worker's processes to end, and make them end ``grace`` seconds later."""
        self.stopped_by = by
        self._signal(signal.SIGHUP)
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        if self.kill_at is None:
            self.kill_at = time.monotonic() + grace

    def _signal(self, number: int) -> None:
        for group in groups_of_session(self.worker):
            try:
                os.killpg(group, number)
            except (ProcessLookupError, PermissionError):
                continue

    def _finish(self, code: int) -> None:
        self._drain()
        self._append(self.masker.flush())
        if self.stopped_by is not None:
            self._signal(signal.SIGKILL)
        ended: dict[str, Any] = {"exitCode": code, "endedAt": time.time(), "logBytes": self.written}
        if self.stopped_by is not None:
            ended["stoppedBy"] = self.stopped_by
        if self.log_error:
            ended["logError"] = self.log_error
        write_json(self.orders["exit"], ended)
        for client in self._watchers():
            client.connection.setblocking(True)
            client.connection.settimeout(1.0)
            client.send({"output": self.written, "exit": ended})
        os.unlink(self.orders["socket"])
        ring(self.orders["bells"])

    def _drain(self) -> None:
        # The kernel may hand over the last bytes a moment after the worker has been reaped, and a process
        # that the worker left behind may hold the terminal open for ever: so until the end, or silence.
        limit = time.monotonic() + DRAIN_LIMIT
        poll = select.poll()
        poll.register(self.terminal, select.POLLIN)
        try:
            while time.monotonic() < limit and poll.poll(int(DRAIN_SILENCE * 1000)):
                if not self._read():
                    return
        except KeyError:  # the terminal had already ended before
            return


def set_size(descriptor: int, rows: int, cols: int) -> None:
    """Set a terminal's size in characters."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def groups_of_session(leader: int) -> list[int]:
    """Return the process groups of a session, its leader's first; where /proc is missing, that one alone."""
    groups = [leader]
    try:
        names = os.listdir("/proc")
    except OSError:
        return groups
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            group, session = int(fields[2]), int(fields[3])
            if session == leader and group not in groups:
                groups.append(group)
    return groups


def start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot (field 22 of /proc/PID/stat), or None elsewhere."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def boot_id() -> str | None:
    """Return what names this boot of the machine, or None where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write a file whole: a reader sees all of it or none."""
    temporary = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def ring(bells: str) -> None:
    """Wake every process that listens for changes of this project."""
    try:
        names = os.listdir(bells)
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.setblocking(False)
        for name in names:
            try:
                bell.sendto(b"exit", os.path.join(bells, name))
            except OSError:  # its owner went without taking it down, or its queue is full: it is awake anyway
                continue


def detach() -> bool:
    """Become a process that nobody's end can take along; true in that process, false in the one to leave."""
    if os.fork():
        return False
    os.setsid()
    os.umask(0o077)
    return True


def say(message: dict[str, Any]) -> None:
    """Tell the launcher how the start went, and let go of its pipes."""
    os.write(1, json.dumps(message).encode() + b"\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(nowhere, target)
    os.close(nowhere)


def main() -> None:
    """Read the orders, detach, start and serve."""
    orders = json.loads(sys.stdin.buffer.read())
    if not detach():
        return
    shim = Shim(orders)
    try:
        shim.start()
    except OSError as error:
        say({"ok": False, "errno": error.errno, "error": error.strerror, "path": error.filename})
        return
    say({"ok": True, **shim.info()})
    shim.run()


if __name__ == "__main__":
    main()
