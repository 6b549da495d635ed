"""Twenty processes answer one question at once, through six doors: one wins, the others are told, the worker has it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.store import Store
from harness_nb.store.locks import acquire, release
from tests.store.conftest import DECISION, new_session, only, put, says, take
from tests.survival.scene import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.store import SessionFolder

pytestmark = pytest.mark.row(10)

RACERS = ["api"] * 5 + ["shell"] * 4 + ["hand"] * 4 + ["page"] * 3 + ["mcp"] * 2 + ["policy"] * 2
SILENT = ("hand", "policy")
"""Doors that nobody sits at who could be told."""
NAMES = [f"{door}-{number}" for number, door in enumerate(RACERS)]
OPTIONS = [{"id": name, "name": name} for name in NAMES]


class Race:
    """A session that is this very process, and those who wait for its questions."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.store = Store(root)
        self.folder: SessionFolder = new_session(self.store, worker="python", state="running")
        acquire(self.folder.lock)
        self.racers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.survival.racer", os.fspath(root), door, name],
                cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for door, name in zip(RACERS, NAMES, strict=True)
        ]  # fmt: skip
        assert set(self.heard()) == {"ready"}

    def heard(self) -> list[str]:
        """Return what each of them says next."""
        lines = []
        for racer, name in zip(self.racers, NAMES, strict=True):
            assert racer.stdout is not None
            line = racer.stdout.readline()
            assert line, f"{name} ended with {racer.wait(timeout=10)}"
            lines.append(json.loads(line))
        return lines

    def ask(self, number: int) -> str:
        """Ask by file and by message in turn."""
        question = f"q{number}"
        if number % 2:
            put(self.folder.checkpoint, {**DECISION, "options": OPTIONS, "id": question})
            self.store.questions.settle("s1")
        else:
            payload = {"decision": "Which?", "context": "", "options": OPTIONS, "phase": "", "plan": ""}
            self.store.questions.ask(says("decision_needed", payload, message_id=question))
        return question

    def run(self, number: int) -> str:
        """Let them race once, check what each was told, and return who won."""
        question = self.ask(number)
        seq = self.store.messages.get(question, "s1").seq
        chance, start = random.Random(number), time.time() + 0.05
        for racer, name in zip(self.racers, NAMES, strict=True):
            assert racer.stdin is not None
            # to put a file there is quicker than all else, and would win each time
            moment = start + chance.random() * 0.2 if name.startswith("hand") else start
            racer.stdin.write(json.dumps([question, seq, moment]) + "\n")
            racer.stdin.flush()
        said = dict(zip(NAMES, self.heard(), strict=True))
        self.store.questions.settle("s1")
        answer = only(
            [one for one in self.store.messages.select("s1", direction="out") if one.in_response_to == question]
        )
        winner = str(answer.payload["selectedOptionId"])
        assert self.received(question) == winner
        for name, sentence in said.items():
            if name == winner:
                assert sentence == ("" if name.startswith(SILENT) else "won")
            elif not name.startswith(SILENT):
                assert winner in sentence, f"{name} was told {sentence!r}, and {winner} has won"
            else:
                assert sentence == ""
        return winner

    def received(self, question: str) -> Any:
        """Take the answer as whoever asked takes it."""
        if self.folder.asked_copy(question).exists() and self.store.messages.get(question, "s1").asked_by == "file":
            content = take(self.folder)
            assert content["inResponseTo"] == question
            return content["selectedOptionId"]
        found = self.store.messages.take("s1", question)
        return found and found.payload["selectedOptionId"]

    def end(self) -> None:
        for racer in self.racers:
            assert racer.stdin is not None
            racer.stdin.close()
        for racer in self.racers:
            try:
                racer.wait(timeout=20)
            except subprocess.TimeoutExpired:
                racer.kill()
                racer.wait()
            assert racer.stdout is not None
            racer.stdout.close()
        self.store.sessions.end("s1", state="completed")
        release(self.folder.lock)
        self.store.close()


@pytest.fixture
def race(tmp_path: Path) -> Iterator[Race]:
    made = Race(tmp_path / "project")
    yield made
    made.end()


def run_rounds(race: Race, rounds: int) -> None:
    winners = Counter(race.run(number).partition("-")[0] for number in range(rounds))
    assert sum(winners.values()) == rounds
    print(winners)


@pytest.mark.timeout(240)
def test_of_twenty_that_answer_at_once_one_wins_and_all_know_who(race: Race) -> None:
    run_rounds(race, 10)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_of_twenty_that_answer_at_once_one_wins_two_hundred_times(race: Race) -> None:
    run_rounds(race, 200)
