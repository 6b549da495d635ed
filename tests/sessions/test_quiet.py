"""A session that has said and printed nothing for a set time is quiet, and never guessed to wait for somebody."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.sessions.quiet import LOOK_AGAIN, Quiet
from harness_nb.store import Store
from tests.store.conftest import new_session, reply, says

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.row(3)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LIMIT = 300.0
"""The default, in seconds."""


class Life:
    """One session and the clock that it lives by."""

    def __init__(self, root: Path) -> None:
        self.now = NOON
        self.store = Store(root, clock=lambda: self.now)
        self.quiet = Quiet(self.store)
        self.folder = new_session(self.store, state="running", startedAt=NOON)

    @property
    def since(self) -> datetime | None:
        return self.quiet.since(self.store.sessions.get("s1"))

    @property
    def look_again_in(self) -> float | None:
        return self.quiet.look_again_in(self.store.sessions.select())

    def goes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def prints(self, text: str) -> None:
        with self.folder.output.open("a") as file:
            file.write(text)
        os.utime(self.folder.output, (self.now.timestamp(), self.now.timestamp()))

    def says(self, kind: str, payload: dict[str, Any], message_id: str = "m") -> None:
        self.store.questions.ask(says(kind, payload, message_id=message_id))


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path)
    with closing(life.store):
        yield life


def test_a_session_is_quiet_after_a_set_time_without_a_sign_and_runs_all_the_same(life: Life) -> None:
    life.goes(LIMIT - 1)
    assert (life.since, life.look_again_in) == (None, 1.0)
    life.goes(1)
    assert (life.since, life.look_again_in) == (NOON, LOOK_AGAIN)
    assert life.store.sessions.get("s1").state == "running"


def test_output_is_a_sign(life: Life) -> None:
    life.goes(LIMIT)
    life.prints("step 1\n")
    assert life.since is None
    life.goes(LIMIT)
    assert life.since == NOON + timedelta(seconds=LIMIT)


def test_a_word_is_a_sign(life: Life) -> None:
    life.goes(LIMIT)
    life.says("progress_update", {"taskNumber": 1, "totalTasks": 2, "message": "still at it"})
    assert life.since is None
    life.goes(LIMIT)
    assert life.since == NOON + timedelta(seconds=LIMIT)


def test_who_waits_for_an_answer_is_not_quiet_nor_is_who_has_only_just_got_it(life: Life) -> None:
    life.says("action_needed", {"action": "Plug it in"}, "q1")
    life.goes(10 * LIMIT)
    assert (life.since, life.look_again_in) == (None, None)
    life.store.questions.answer(reply("q1"), actor="ann", door="test")
    assert life.since is None
    life.goes(LIMIT)
    assert life.since is not None


def test_what_has_ended_is_not_quiet(life: Life) -> None:
    life.store.sessions.end("s1", state="completed")
    life.goes(10 * LIMIT)
    assert (life.since, life.look_again_in) == (None, None)


def test_the_time_is_a_setting_that_is_read_when_it_changes(life: Life) -> None:
    life.goes(100)
    config = life.store.layout.config
    config.write_text("quietAfter: 60\n")
    assert life.since == NOON
    config.write_text("quietAfter: 6000\n")
    assert life.look_again_in == 5900
    config.write_text("quietAfter: 0 # never\n")
    life.goes(1_000_000)
    assert not life.look_again_in


def test_settings_that_cannot_be_read_leave_the_time_as_it_was(life: Life) -> None:
    life.store.layout.config.write_text("quietAfter: 60\n")
    life.goes(60)
    assert life.since == NOON
    life.store.layout.config.write_text("quietAfter: [\n")
    assert life.since == NOON
