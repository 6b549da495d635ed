"""A shim's life: from its orders to the last byte of its worker.

It takes the session's lock (the proof that it lives), starts the worker on a terminal of its own or on
pipes, appends what that prints to the log, serves a Unix socket, and records how the worker ended.

On the socket: one JSON object a line. ``do`` is ``input`` (``data``: base64; ``end``: it is the last), ``resize``
(``rows``, ``cols``), ``stop`` (``by``, ``grace``: seconds between the polite and the hard signal), ``signal``
(``number``), ``grant``, ``take``, ``forget`` or ``mask`` (``memory.py`` says what these are about), or ``watch`` (lines
``{"output": size}`` and ``{"exit": …}`` follow by themselves). Each gets a line with ``ok`` back.
Credentials never touch the disk: they arrive over the socket or with the orders, and go out over the socket only.
"""

from __future__ import annotations

import binascii
import errno
import fcntl
import json
import os
import select
import signal
import time

from .door import Door
from .files import LastWord, json_changed, remove, rewrite, ring, write_json
from .log import Log
from .memory import Memory
from .terminal import Keyboard, Pipes, Terminal, set_size
from .tree import WISHES, become_subreaper, boot_id, host_id, kill_tree, reap, signal_tree, start_time, tree

TYPE_CHECKING = False  # typing and base64 would add a sixth to the time that it takes to start
if TYPE_CHECKING:
    from typing import Any

    from .door import Client
    from .joined import LineMasker, Masker

READ_SIZE = 65536
BATCH = 1 << 18
"""Bytes that go to the log at once, about: more would only make this process larger."""
NOTIFY_EVERY = 0.02
"""Seconds between two announcements of output: fifty a second is more than eyes follow."""
DRAIN_SILENCE = 0.2
DRAIN_LIMIT = 2.0
KILL_LIMIT = 2.0
LOOK_AGAIN = 0.05
LAST_WORD_LIMIT = 600.0
"""Seconds that a shim waits until it can write down how its worker ended, where the folder became read-only."""
TRY_AGAIN = 0.5
LEFT_BY_WORKERS = ("result.json", "checkpoint.json")
"""Files in the session's folder that others take in once the worker has ended."""
BEING_TAKEN_IN = ("asked", ".incoming-")
"""Where a question lies, and how its name begins, that somebody was about to take in and may have died over."""
WORKER_DEFAULTS = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ,
)  # fmt: skip
"""Signals that a worker meets as a fresh program does, whatever this process or Python made of them."""


class CommandRefused(OSError):  # noqa: N818 — an errno with its meaning, told to the launcher
    """The system would not run the worker's command."""


class Shim:
    """The loop over the worker's terminal, the socket and the worker's end."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self.memory = Memory(lines=not orders.get("terminal", True))
        self.unmasked: list[str] = []
        self.settle_at: float | None = None
        self.announced = 0
        self.announced_trouble: str | None = None
        self.announce_at = 0.0
        self.escalation: list[tuple[float, int]] = []
        self.stopped_by: str | None = None
        self.signalled: set[int] = set()
        self.exit_code: int | None = None
        self.worker = 0
        self.poll = select.poll()

    # --- start -------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the lock, open the log and the socket, start the worker, and say so."""
        self.lock = os.open(self.orders["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(self.lock, fcntl.LOCK_EX)
        self._require_wanted()
        remove(self.orders["exit"])  # of an earlier life; only whoever has the lock may
        self.log = Log(self.orders["log"], self.orders.get("limit"))
        values, masks = self.orders.pop("credentials", None), self.orders.pop("masks", None)
        if values or masks:
            self.unmasked = self.memory.keep("start", values or {}, masks or {})
        self.last_word = LastWord(self.orders["exit"])
        self.door = Door(self.orders["socket"], self.poll, self._answer)
        self._wakeups()
        self._spawn()
        for descriptor in (self.terminal, self.wakeup):
            self.poll.register(descriptor, select.POLLIN)

    def _require_wanted(self) -> None:
        """Begin no life of a session that was ruled out while this process was not there yet."""
        note = os.pread(self.lock, 4096, 0)
        if note and json.loads(note)["ruledOut"] >= self.orders["life"]:
            raise OSError(errno.ECANCELED, "its start was given up before it came")

    def info(self) -> dict[str, Any]:
        """Say who this is and where it listens, for whoever adopts the session later."""
        return {
            "pid": os.getpid(),
            "workerPid": self.worker,
            "startTime": start_time(os.getpid()),
            "workerStartTime": start_time(self.worker),
            "bootId": boot_id(),
            "hostId": host_id(),
            "socket": self.orders["socket"],
        }

    def _wakeups(self) -> None:
        self.wakeup, writer = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop("signal", 5.0))

    def _spawn(self) -> None:
        """Start the worker; it does not begin before it is written down, so that none is there that nobody knows of."""
        orders = self.orders
        pipes = not orders.get("terminal", True)
        ends = Pipes() if pipes else Terminal(orders.get("rows", 40), orders.get("cols", 120))
        errors, report = os.pipe()  # close-on-exec: reaches its end when exec succeeds
        start, starter = os.pipe()
        self.worker = os.fork()
        if self.worker == 0:
            os.close(starter)
            self._become_worker(ends, report, start)
        self.held = ends.held
        for descriptor in {*ends.theirs, report, start} - {ends.held}:
            os.close(descriptor)
        write_json(orders["info"], self.info(), durable=False)
        os.write(starter, b".")
        os.close(starter)
        self.reaps_orphans = become_subreaper()  # beside the worker's start: loading what it takes costs time
        with os.fdopen(errors, "rb") as reader:
            failure = reader.read()
        if failure:
            os.waitpid(self.worker, 0)
            os.unlink(orders["info"])
            raise CommandRefused(*json.loads(failure))
        os.set_blocking(ends.reads, False)
        os.set_blocking(ends.writes, False)
        self.terminal, self.keyboard = ends.reads, Keyboard(ends, self.poll)

    def _become_worker(self, ends: Terminal | Pipes, report: int, start: int) -> None:
        try:
            if not os.read(start, 1):  # this shim has died, and nobody would know of its worker
                return
            os.setsid()
            ends.take()
            typed, printed = ends.theirs
            for source, target in ((typed, 0), (printed, 1), (printed, 2)):
                os.dup2(source, target)
            signal.set_wakeup_fd(-1)
            for number in WORKER_DEFAULTS:
                signal.signal(number, signal.SIG_DFL)
            os.umask(self.orders["umask"])
            os.chdir(self.orders["cwd"])
            os.execvpe(self.orders["argv"][0], self.orders["argv"], self.orders["env"])
        except OSError as error:
            os.write(report, json.dumps([error.errno, error.strerror]).encode())
        except (TypeError, ValueError) as error:  # what no program can be given, such as a zero byte
            os.write(report, json.dumps([errno.EINVAL, str(error)]).encode())
        finally:
            os._exit(127)

    # --- loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the worker has ended and its last byte is in the log."""
        while True:
            for descriptor, events in self.poll.poll(self._patience()):
                self._handle(descriptor, events)
            self._settle()
            self._announce()
            while self.escalation and time.monotonic() >= self.escalation[0][0]:
                self._signal(self.escalation.pop(0)[1])
            if self.exit_code is None:
                self.exit_code = reap().get(self.worker)
            if self.exit_code is not None and not self._waits_for_others():
                return self._finish(self.exit_code)

    def _waits_for_others(self) -> bool:
        """Say whether processes that were asked to end, and outlive the worker, still have time for it."""
        if self.stopped_by is None or not self.escalation:
            return False
        reap()
        return bool(tree(self.worker))

    def _patience(self) -> int | None:
        moments = [moment for moment, _ in self.escalation[:1]]
        if self.log.size > self.announced:
            moments.append(self.announce_at)
        if self.settle_at is not None:
            moments.append(self.settle_at)
        if self.exit_code is not None:
            moments.append(time.monotonic() + LOOK_AGAIN)  # nobody tells of the end of other people's children
        return max(0, int((min(moments) - time.monotonic()) * 1000) + 1) if moments else None

    def _handle(self, descriptor: int, events: int) -> None:
        if descriptor == self.keyboard.descriptor and events & (select.POLLOUT | select.POLLERR):
            self.keyboard.type()
        if descriptor == self.terminal:
            if events & (select.POLLIN | select.POLLHUP):
                self._read()
        elif descriptor == self.wakeup:
            os.read(self.wakeup, 4096)
        else:
            self.door.handle(descriptor, events)

    def _read(self) -> bool:
        """Move what the worker printed to the log; false at the end of the terminal."""
        chunks = []
        alive = True
        size = 0
        while size < BATCH:
            try:
                chunk = os.read(self.terminal, READ_SIZE)
            except BlockingIOError:
                break
            except OSError:  # Linux ends a terminal with EIO
                chunk = b""
            if not chunk:
                alive = False
                self.poll.unregister(self.terminal)
                break
            chunks.append(chunk)
            size += len(chunk)
        if chunks:
            self._keep(b"".join(chunks))
        return alive

    def _keep(self, data: bytes) -> None:
        masker = self.memory.masker
        if masker is None:
            self.log.append(data)
            return
        self.log.append(masker.feed(data))
        self._wait_for_more(masker)

    def _wait_for_more(self, masker: Masker | LineMasker) -> None:
        self.settle_at = time.monotonic() + masker.silence if masker.waiting else None

    def _settle(self) -> None:
        """Show the end of a prompt, once nothing follows."""
        masker = self.memory.masker
        if self.settle_at is not None and masker is not None and time.monotonic() >= self.settle_at:
            self.log.append(masker.settle())
            self._wait_for_more(masker)

    def _announce(self) -> None:
        now = time.monotonic()
        news = self.log.size > self.announced or self.log.trouble != self.announced_trouble
        if news and now >= self.announce_at:
            self.announced, self.announced_trouble = self.log.size, self.log.trouble
            self.announce_at = now + NOTIFY_EVERY
            for client in self.door.watchers:
                if not client.outgoing:  # a slow reader gets the newest size later, not a queue of old ones
                    client.send(self._output())

    def _output(self) -> dict[str, Any]:
        """Say how much output there is, and what of it is not kept."""
        more = {"dropped": self.log.dropped, "trouble": self.log.trouble}
        return {"output": self.log.size, **{name: value for name, value in more.items() if value}}

    # --- orders ------------------------------------------------------------------------------

    def _answer(self, client: Client, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            return {"ok": True, **(self._do(client, request) or {})}
        except Exception as error:  # whatever it was: no order may end the session
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}

    def _do(self, client: Client, request: dict[str, Any]) -> dict[str, Any] | None:
        action = request["do"]
        if action == "input":
            self.keyboard.queue(binascii.a2b_base64(request["data"]), end=request.get("end", False))
        elif action == "resize":
            set_size(self.terminal, request["rows"], request["cols"])
        elif action == "signal":
            self.signalled.add(request["number"])
            self._signal(request["number"])
        elif action == "stop":
            self.stop(request.get("by", "stop"), request.get("grace", 5.0))
        elif action in ("grant", "take", "forget", "mask"):
            return self.memory.do(action, request)
        elif action == "watch":
            client.watching = True
            return self._output()
        else:
            raise ValueError(f"nothing is known to do for {action!r}")
        return None

    # --- end ---------------------------------------------------------------------------------

    def stop(self, by: str, grace: float) -> None:
        """Ask the worker's processes to end, and make them end ``grace`` seconds later.

        The hang-up, which interactive shells heed, comes half-way: at once it would end a program that is just
        tidying up on being asked.
        """
        now = time.monotonic()
        limit = min([now + grace, *(moment for moment, _ in self.escalation[-1:])])
        self.escalation = [(now + (limit - now) / 2, signal.SIGHUP), (limit, signal.SIGKILL)]
        self.stopped_by = by
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self.worker:  # else it is just being started, and the signals that follow reach it
            signal_tree(self.worker, number)

    def _finish(self, code: int) -> None:
        signalled = -code in self.signalled  # somebody wished it so
        died = code < 0 and not signalled and code not in WISHES
        stopped, left = self.stopped_by is not None, []
        if died or stopped:  # before the last look, so that whatever it wrote is there
            # what a worker that died was at must not go on beside its next life; what it set free may be a run's own
            # processes, or a service
            left = kill_tree(self.worker, KILL_LIMIT, escaped=stopped)
        self._drain()
        if self.memory.masker is not None:
            self.log.append(self.memory.masker.flush())
            self._mask_files(self.memory.masker)
        ended: dict[str, Any] = {"exitCode": code, "endedAt": time.time()}
        if signalled:
            ended["signalled"] = True
        if self.stopped_by is not None:
            ended["stoppedBy"] = self.stopped_by
        if left:
            ended["escaped"] = left
        if self.log.trouble:
            ended["logError"] = self.log.trouble
        if self.log.dropped:
            ended["dropped"] = self.log.dropped
        written = self._has_said(ended)
        self.door.close({**self._output(), "exit": ended})
        if not written:
            self._insist_on_saying(ended)
        ring(self.orders["bells"])

    def _mask_files(self, masker: Masker | LineMasker) -> None:
        """Take the values out of what the worker left as files; nobody knows them once this process has gone."""
        folder = os.path.dirname(self.orders["exit"])
        taken, begin = BEING_TAKEN_IN
        try:
            asked = [name for name in os.listdir(os.path.join(folder, taken)) if name.startswith(begin)]
        except OSError:
            asked = []
        for name in (*LEFT_BY_WORKERS, *(os.path.join(taken, one) for one in asked)):
            try:
                rewrite(os.path.join(folder, name), lambda text: json_changed(text, masker.mask))
            except OSError:  # the disk may be full, and how the worker ended must be told all the same
                continue

    def _has_said(self, ended: dict[str, Any]) -> bool:
        """Write down how the worker ended; false where that may be possible later."""
        try:
            self.last_word.write(ended)
        except FileNotFoundError:  # its folder was deleted: nobody will ever ask
            return True
        except OSError:
            return False
        return True

    def _insist_on_saying(self, ended: dict[str, Any]) -> None:
        # What is known nowhere else must not go with this process: its lock says meanwhile that more is to come.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        until = time.monotonic() + LAST_WORD_LIMIT
        while time.monotonic() < until:
            time.sleep(TRY_AGAIN)
            if self._has_said(ended):
                return

    def _drain(self) -> None:
        if self.held is not None:
            os.close(self.held)
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
