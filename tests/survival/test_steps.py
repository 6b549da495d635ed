"""A process is killed between two steps of an answer: exactly one answer arrives, whatever its worker does meanwhile.

A worker that deletes its answer instead of renaming it, as the protocol has it, leaves no sign where the door died in
the very moment after it had placed it: so here it looks only once somebody has opened the project again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import AlreadyAnsweredError
from harness_nb.store import Store
from tests.store.conftest import get, names, only, reply, shown
from tests.survival.dying import BY_HAND, FROM_THE_DEAD, QUESTION
from tests.survival.scene import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.store import SessionFolder

pytestmark = pytest.mark.row(10, 11)

LATER = "from another door"


class Worker:
    """Takes the answer in one of the ways there are, and again whenever it looks."""

    def __init__(self, folder: SessionFolder, asked: str, way: str) -> None:
        self.folder = folder
        self.by_file = asked != "message"
        self.way = way
        self.received: list[str] = []

    def look(self, store: Store) -> None:
        if self.by_file:
            self._look_for_file()
        elif (found := store.messages.take("s1", QUESTION)) is not None:
            self.received.append(str(found.payload["notes"]))

    def _look_for_file(self) -> None:
        if not self.folder.response.exists():
            return
        content = get(self.folder.response)
        assert content["inResponseTo"] == QUESTION
        self.received.append(content["notes"])
        if self.way == "deletes":
            self.folder.response.unlink()
        else:
            os.rename(self.folder.response, self.folder.answered / f"{QUESTION}.json")  # noqa: PTH104 — as a shell does


def answered_by_another(store: Store) -> bool:
    """Answer through a second door, which is told who was faster if somebody was."""
    try:
        store.questions.answer(reply(QUESTION, payload={"notes": LATER}), actor="bob", door="shell")
    except AlreadyAnsweredError as error:
        told = error
    else:
        return True
    assert re.search("by ada through the notebook|by a file", str(told))
    return False


def check_one_answer(root: Path, asked: str, what: str, *, way: str, at_once: bool) -> str:
    """Open a project whose process has died, and return the one answer that its worker got."""
    store = Store(root)
    try:
        folder = store.layout.session("s1")
        worker = Worker(folder, asked, way)
        if at_once:
            worker.look(store)  # before anybody has opened the project again
        won = answered_by_another(store)
        worker.look(store)
        for _ in range(2):
            store.questions.settle("s1")
            if asked != "message" or not worker.received:
                worker.look(store)
        answer = only(store.messages.select("s1", direction="out"))
        assert worker.received == [answer.payload["notes"]]
        assert (answer.payload["notes"] == LATER) is won
        assert answer.payload["notes"] in (LATER, BY_HAND if what == "hand" else FROM_THE_DEAD)
        assert only(store.messages.select("s1", direction="in")).status == "responded"
        assert shown(folder) is None
        assert not folder.response.exists()
        assert names(folder.rejected) == []
        return worker.received[0]
    finally:
        store.close()


def deaths(folder: Path, *scene: str) -> list[Path]:
    """Let the acting process die at each of its steps, and return the projects that are left."""
    folder.mkdir()
    done: Any = subprocess.run(
        [sys.executable, "-m", "tests.survival.dying", os.fspath(folder), *scene],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [folder / str(step) for step in range(1, int(done.stdout) + 1)]


FILE_WORKERS = [("renames", True), ("renames", False), ("deletes", False)]


@pytest.mark.parametrize("what", ["door", "hand"])
@pytest.mark.parametrize(
    ("asked", "way", "at_once"),
    [*(("file", *worker) for worker in FILE_WORKERS), *(("new", *worker) for worker in FILE_WORKERS[:2]),
     ("message", "awaits", False)],
)  # fmt: skip
def test_one_answer_arrives_whichever_step_its_giver_died_at(
    tmp_path: Path, asked: str, what: str, way: str, at_once: bool
) -> None:
    got = []
    roots = deaths(tmp_path / "dead", asked, what)
    assert len(roots) > 2
    for root in roots:
        try:
            got.append(check_one_answer(root, asked, what, way=way, at_once=at_once))
        except BaseException as error:
            error.add_note(f"died after step {root.name}")
            raise
    if what == "door" and asked != "message":
        assert set(got) == {LATER, FROM_THE_DEAD}, "dead before it counted, the next one's answer counts"
