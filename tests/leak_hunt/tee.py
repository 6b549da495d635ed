"""Stands between a client and a server on standard input and output, and writes down what either says.

``python tee.py LOG COMMAND…`` appends what the client says to ``LOG.sent``, and what the server says to
``LOG.received``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading


def pass_on(source: int, target: int, log: str) -> None:
    """Copy from one descriptor to another until there is no more."""
    with open(log, "ab", buffering=0) as kept:  # noqa: PTH123 — nothing but copying in here
        while data := os.read(source, 65536):
            kept.write(data)
            os.write(target, data)
    os.close(target)


def main() -> int:
    """Be that, and end as the server does."""
    log, *command = sys.argv[1:]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    sending = threading.Thread(target=pass_on, args=(0, server.stdin.fileno(), f"{log}.sent"), daemon=True)
    sending.start()
    pass_on(server.stdout.fileno(), 1, f"{log}.received")
    return server.wait()


if __name__ == "__main__":
    os._exit(main())  # its other thread may still wait for the client
