"""The door of a shim: who is connected to its socket, and what each of them asks.

None of them can take what the worker needs. One that asks and never reads is not heard until it reads, one whose order
has no end is let go, and where there are more than this process has descriptors for, the one that came first makes
room: whoever watches comes back by itself.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time

from .files import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

READ_SIZE = 65536
LONGEST_ORDER = 64 << 20
"""Bytes of one order: a report whose texts are to be masked is one."""
MOST_UNREAD = 1 << 20
"""Bytes of answers that wait for a client, before more of what it asks is heard."""
MOST_CLIENTS = 1000
OWN_DESCRIPTORS = 28
"""What the shim needs for itself: files, the terminal, the system's list of processes, a module, the last word."""
GOODBYE = 1.0
"""Seconds in which all who watch are told the end; by then it is in its file."""


class Client:
    """One connection: what came in so far, and what still has to go out."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.incoming = bytearray()
        self.searched = 0
        self.outgoing = b""
        self.watching = False

    @property
    def deaf(self) -> bool:
        """Whether so much waits for this client that it has to read before it may ask on."""
        return len(self.outgoing) > MOST_UNREAD

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

    def order(self) -> bytes | None:
        """Return the next whole line that came in, or None."""
        end = self.incoming.find(b"\n", self.searched)
        if end < 0:
            self.searched = len(self.incoming)
            return None
        line = bytes(self.incoming[:end])
        del self.incoming[: end + 1]
        self.searched = 0
        return line


class Door:
    """Listens on a socket, and has each order answered; ``poll`` is the loop's."""

    def __init__(self, path: str, poll: select.poll, answer: Callable[[Client, bytes], dict[str, Any]]) -> None:
        self._path = path
        self._poll = poll
        self._answer = answer
        self._clients: dict[int, Client] = {}
        open_files = os.sysconf("SC_OPEN_MAX")
        self._most = max(1, min(MOST_CLIENTS, open_files - OWN_DESCRIPTORS if open_files > 0 else MOST_CLIENTS))
        remove(path)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(path)
        os.chmod(path, 0o600)
        self._server.listen(16)
        self._server.setblocking(False)
        poll.register(self._server.fileno(), select.POLLIN)

    @property
    def watchers(self) -> list[Client]:
        """Return who wants to be told what happens."""
        return [client for client in self._clients.values() if client.watching]

    def handle(self, descriptor: int, events: int) -> None:
        """Let in who knocks, or hear who is in."""
        if descriptor == self._server.fileno():
            self._accept()
        elif descriptor in self._clients:
            self._serve(self._clients[descriptor], events)

    def _accept(self) -> None:
        if len(self._clients) >= self._most:
            self._forget(min(self._clients.values(), key=lambda client: client.watching))
        try:
            connection, _ = self._server.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._clients[connection.fileno()] = Client(connection)
        self._poll.register(connection.fileno(), select.POLLIN)

    def _serve(self, client: Client, events: int) -> None:
        if events & select.POLLOUT:
            client.flush()
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and not self._hear(client):
            self._forget(client)
            return
        while not client.deaf and (line := client.order()) is not None:
            client.send(self._answer(client, line))
        wanted = 0 if client.deaf else select.POLLIN
        self._poll.modify(client.connection.fileno(), wanted | (select.POLLOUT if client.outgoing else 0))

    def _hear(self, client: Client) -> bool:
        """Take in what a client says; false for one that has gone, or whose order has no end."""
        try:
            data = client.connection.recv(READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        client.incoming += data
        return bool(data) and len(client.incoming) <= LONGEST_ORDER

    def _forget(self, client: Client) -> None:
        self._poll.unregister(client.connection.fileno())
        del self._clients[client.connection.fileno()]
        client.connection.close()

    def close(self, last: dict[str, Any]) -> None:
        """Tell whoever watches how it ended, as far as they read, and take the socket along."""
        until = time.monotonic() + GOODBYE
        for client in self.watchers:
            client.connection.settimeout(max(0.001, until - time.monotonic()))
            client.send(last)
        for client in list(self._clients.values()):
            self._forget(client)
        self._poll.unregister(self._server.fileno())
        remove(self._path)  # first: one that is there and does not listen is that of a shim that was killed
        self._server.close()
