"""A process that dies between any two steps: the next one finishes its work from the files and the journal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import AlreadyAnsweredError
from harness_nb.store import Store
from tests.store.conftest import ACTION, get, names, new_session, put, reply, says, shown, take
from tests.store.fuse import Connection, Died, Fuse, fused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.store import SessionFolder

pytestmark = [pytest.mark.row(10), pytest.mark.row(11)]


@dataclass
class Story:
    """A project over the lives of several processes, and a worker that lives through all of them."""

    root: Path
    fuse: Fuse
    worker: str
    received: list[tuple[str, str]] = field(default_factory=list)
    store: Store = field(init=False)
    folder: SessionFolder = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.root)
        self.folder = new_session(self.store)
        self._use_fuse()

    def _use_fuse(self) -> None:
        self.store.journal._connection = Connection(self.store.journal._connection, self.fuse)  # type: ignore[assignment]

    def process(self, do: Callable[[Store], object]) -> None:
        """Let the harness do something; after a crash the next process looks around and does it again."""
        self.fuse.armed = True
        try:
            do(self.store)
        except Died:
            self.store.close()
            if self.worker.startswith("quick"):
                self.receive(crashed=True)
            self.store = Store(self.root)
            self._use_fuse()
            self.store.questions.settle("s1")
            self.check_shown()
            do(self.store)
        finally:
            self.fuse.armed = False
        self.check_shown()

    def settle(self) -> None:
        self.process(lambda store: store.questions.settle("s1"))

    def answer(self, question: Callable[[], str], notes: str) -> None:
        found = question()

        def do(store: Store) -> None:
            try:
                store.questions.answer(reply(found, payload={"notes": notes}), actor="ada", door="test")
            except AlreadyAnsweredError:
                stored = store.messages.answer_to(found)
                assert stored is not None

        self.process(do)

    def ask(self, action: str, **more: Any) -> None:
        put(self.folder.checkpoint, {**ACTION, "action": action, **more})

    def receive(self, *, crashed: bool = False) -> None:
        """Take what lies there, in the worker's own way."""
        if not self.folder.response.exists():
            return
        content = get(self.folder.response)
        if self.worker == "quick delete" and "messageId" not in content and crashed:
            return  # what a person wrote and a worker deleted before anyone looked is gone without a trace
        if self.worker.endswith("delete"):
            self.folder.response.unlink()
        else:
            question = content.get("inResponseTo") or self.oldest()
            os.rename(self.folder.response, self.folder.answered / f"{question}.json")  # noqa: PTH104
        self.received.append((str(content.get("inResponseTo") or self.oldest()), str(content["notes"])))

    def oldest(self) -> str:
        return self.store.messages.pending("s1")[0].id

    def id_of(self, action: str) -> str:
        [found] = [
            one.id for one in self.store.messages.select("s1", direction="in") if one.payload["action"] == action
        ]
        return found

    def check_shown(self) -> None:
        pending = self.store.messages.pending("s1")
        assert shown(self.folder) == (pending[0].payload["action"] if pending else None)

    def run(self) -> None:
        self.ask("one")
        self.settle()
        self.ask("two", id="q2")
        self.settle()
        self.process(lambda store: store.questions.ask(says("action_needed", {"action": "three"}, message_id="m3")))
        self.answer(lambda: self.id_of("one"), "to one")
        self.answer(lambda: "m3", "to three")
        self.receive()
        put(self.folder.response, {"inResponseTo": "q2", "actionCompleted": True, "notes": "by hand"})
        self.settle()
        self.answer(lambda: "q2", "too late")
        self.receive()
        self.ask("four", id="q4")
        self.answer(self.look_for_four, "to four")
        self.receive()
        self.settle()

    def look_for_four(self) -> str:
        return "q4"


def check_end(story: Story) -> None:
    asked = [one.payload["action"] for one in story.store.messages.select("s1", direction="in")]
    assert sorted(asked) == ["four", "one", "three", "two"]
    given = {
        str(one.in_response_to): one.payload["notes"] for one in story.store.messages.select("s1", direction="out")
    }
    assert len(story.store.messages.select("s1", direction="out")) == 4
    first = story.id_of("one")
    assert given == {first: "to one", "m3": "to three", "q2": "by hand", "q4": "to four"}
    received = story.received if story.worker != "quick delete" else list(dict.fromkeys(story.received))
    assert sorted(received) == sorted((which, notes) for which, notes in given.items() if which != "m3")
    assert story.store.messages.pending() == []
    assert not story.folder.checkpoint.exists()
    assert not story.folder.response.exists()
    assert names(story.folder.late) == []
    assert names(story.folder.rejected) == []
    assert [name for name in names(story.folder.asked) if not name.endswith(".json")] == []


def tell(root: Path, fuse: Fuse, worker: str) -> None:
    root.mkdir()
    with fused(fuse):
        story = Story(root, fuse, worker)
        try:
            story.run()
            check_end(story)
        finally:
            story.store.close()


@pytest.mark.parametrize("worker", ["patient", "quick", "quick delete"])
def test_whatever_step_a_process_dies_at_every_question_is_asked_once_and_has_one_answer(
    tmp_path: Path, worker: str
) -> None:
    at = 0
    while True:
        at += 1
        fuse = Fuse(at)
        try:
            tell(tmp_path / str(at), fuse, worker)
        except Exception as error:
            error.add_note(f"died at step {at}")
            raise
        if not fuse.blown:
            break
    assert at > 30


def test_an_answer_of_a_door_that_died_before_it_counted_is_never_delivered(tmp_path: Path) -> None:
    fuse = Fuse(0)
    with fused(fuse):
        story = Story(tmp_path, fuse, "patient")
        story.ask("one", id="q1")
        story.settle()
        fuse.at, fuse.armed = fuse.steps + 1, True  # the copy in sent/ is written
        with pytest.raises(Died):
            story.store.questions._answer(reply("q1", payload={"notes": "of the dead"}), actor="a", door="d")
        assert names(story.folder.sent) == ["q1.json"]
        story.store.close()
    store = Store(tmp_path)
    put(story.folder.response, {"inResponseTo": "q1", "actionCompleted": True, "notes": "by hand"})
    for _ in range(2):
        store.questions.settle("s1")
        store.questions.settle("s1")
        if story.folder.response.exists():
            assert take(story.folder)["notes"] == "by hand"
    assert not story.folder.response.exists()
    assert names(story.folder.sent) == []
    store.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from harness_nb.store import Store
from tests.store.conftest import reply

store = Store(Path(sys.argv[1]))
real = os.link
def link(source, target, **how):
    real(source, target, **how)
    os.kill(os.getpid(), signal.SIGKILL)
os.link = link
store.questions.answer(reply("q1", payload={"notes": "from the dead"}), actor="ada", door="notebook")
"""


def test_an_answer_that_lay_there_when_its_process_was_killed_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = new_session(store)
    put(folder.checkpoint, {**ACTION, "id": "q1"})
    store.questions.settle("s1")
    dead = subprocess.run([sys.executable, "-c", KILLED, os.fspath(tmp_path)], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert store.messages.get("q1").status == "pending"
    assert take(folder)["notes"] == "from the dead"
    with pytest.raises(AlreadyAnsweredError, match="by ada through the notebook"):
        store.questions.answer(reply("q1"), actor="bob", door="cli")
    store.close()
