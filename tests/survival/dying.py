"""Processes that die after their n-th step on the disk, each in a project of its own, for every n there is.

Run as ``python -m tests.survival.dying FOLDER ASKED ACT``: it makes ``FOLDER/1``, ``FOLDER/2`` … and says how many. The
question was asked by ``file``, by ``message``, or is a file that nobody has taken in yet (``new``); the process that
dies is a ``door`` that answers, or one that takes in what a person wrote by ``hand``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from harness_nb.store import Store
from tests.store.conftest import ACTION, new_session, put, reply, says
from tests.store.fuse import Connection, Fuse, fused

QUESTION = "q1"
FROM_THE_DEAD = "from the dead"
BY_HAND = "by hand"


class Deadly(Fuse):
    """A fuse that really kills."""

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def ask(store: Store, asked: str) -> None:
    folder = new_session(store)
    if asked == "message":
        store.questions.ask(says("action_needed", {"action": "Log in"}, message_id=QUESTION))
        return
    put(folder.checkpoint, {**ACTION, "id": QUESTION})
    if asked == "file":
        store.questions.settle("s1")


def act(root: Path, asked: str, what: str, step: int) -> None:
    """Ask, and die in the middle of the answer."""
    root.mkdir()
    store = Store(root)
    ask(store, asked)
    fuse = Deadly(step)
    store.journal._connection = Connection(store.journal._connection, fuse)  # type: ignore[assignment]
    if what == "hand":
        content = {"inResponseTo": QUESTION, "actionCompleted": True, "notes": BY_HAND}
        put(store.layout.session("s1").response, content)
    with fused(fuse):
        fuse.armed = True
        if what == "hand":
            store.questions.settle("s1")
        else:
            store.questions.answer(reply(QUESTION, payload={"notes": FROM_THE_DEAD}), actor="ada", door="notebook")


def dies(root: Path, asked: str, what: str, step: int) -> bool:
    """Let a process of its own act, and say whether it died of it."""
    child = os.fork()
    if child == 0:
        try:
            act(root, asked, what, step)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def main(folder: Path, asked: str, what: str) -> None:
    step = 1
    while dies(folder / str(step), asked, what, step):
        step += 1
    print(step - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
