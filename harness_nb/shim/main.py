"""A shim as a process: it reads its orders, leaves whoever launched it, says how the start went, and serves."""

from __future__ import annotations

import json
import os
import sys

from .loop import CommandRefused, Shim

TYPE_CHECKING = False  # typing would add a sixth to the time that it takes to start
if TYPE_CHECKING:
    from typing import Any


def detach() -> bool:
    """Become a process that nobody's end can take along; true in that process, false in the one to leave."""
    if os.fork():
        return False
    os.setsid()
    return True


def say(message: dict[str, Any]) -> None:
    """Tell the launcher how the start went, and let go of its pipes."""
    try:
        os.write(1, json.dumps(message).encode() + b"\n")
    except OSError:  # the launcher has died meanwhile; the session does not
        pass
    nowhere = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(nowhere, target)
    os.close(nowhere)


def main() -> None:
    """Read the orders, detach, start and serve."""
    orders = json.loads(sys.stdin.buffer.read())
    if not detach():
        os._exit(0)  # at once: its launcher waits for that too
    orders["umask"] = os.umask(0o077)  # the worker's files are the user's business, ours are private
    shim = Shim(orders)
    try:
        shim.start()
    except OSError as error:
        refused = isinstance(error, CommandRefused)
        reason = error.strerror or str(error)
        say({"ok": False, "command": refused, "errno": error.errno, "error": reason, "path": error.filename})
        return
    say({"ok": True, **shim.info(), "unmasked": shim.unmasked})
    shim.run()
