"""A clock that jumps by days: order, patience and times shown do not depend on it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from harness_nb import AsyncHarness, CredentialProvider
from harness_nb.harness.state import read_state
from harness_nb.notebook.board import ControlRoom
from harness_nb.protocol.outcome import PlanOutcome
from harness_nb.protocol.records import RunOptions, SessionRecord
from harness_nb.protocol.shown import clock
from harness_nb.sessions import conclude
from harness_nb.sessions.starting import this_process
from harness_nb.store import Store
from harness_nb.views.frames import Frames
from tests.sessions.living import printed
from tests.store.clock import NOON, Clock
from tests.store.conftest import new_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(11)]

JUMPS = [timedelta(days=-3), timedelta(days=3)]


@pytest.fixture
def jumping() -> Clock:
    return Clock()


@pytest.fixture
def store(project: Path, jumping: Clock) -> Iterator[Store]:
    store = Store(project, clock=jumping)
    yield store
    store.close()


def begun(store: Store, name: str, **more: object) -> None:
    new_session(store, name, createdAt=store.clock(), planId="01-01", **more)


def test_sessions_and_runs_keep_the_order_in_which_they_began(store: Store, jumping: Clock) -> None:
    for number, now in enumerate([NOON, NOON - timedelta(days=3), NOON + timedelta(days=5), NOON - timedelta(days=9)]):
        jumping.now = now
        begun(store, f"s{number}")
        store.runs.create(f"r{number}", RunOptions())
    assert [one.id for one in store.sessions.select(plan_id="01-01")] == ["s0", "s1", "s2", "s3"]
    assert [one.id for one in store.runs.select()] == ["r0", "r1", "r2", "r3"]
    newest, unfinished = store.runs.newest(), store.runs.unfinished()
    assert newest is not None
    assert unfinished is not None
    assert (newest.id, unfinished.id) == ("r3", "r3")


@pytest.mark.parametrize("jump", JUMPS)
def test_a_session_that_is_just_being_started_is_not_lost_by_a_jump(
    store: Store, jumping: Clock, jump: timedelta
) -> None:
    begun(store, "s1", launcher=this_process())
    jumping.now += jump
    assert conclude(store, "s1") is None


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_session_lives_through_a_jump_and_its_end_is_told(
    project: Path, jumping: Clock, jump: timedelta
) -> None:
    async with AsyncHarness(project) as h:
        h.store.clock = jumping
        session = await h.start_session(command=["sh", "-c", "echo up; read line; exit 0"])
        await printed(h, session.id, "up")
        jumping.now += jump
        await h.host.announce()
        assert session.record.live
        await session.send("\n")
        record = await session.wait()
        assert record.state == "completed"
        assert "-" not in ControlRoom(h).look(live=True).text.partition("completed")[2]
        assert len(h.frames.sessions()) == 1
        assert len(h.frames.events()) > 1


def test_a_time_span_that_a_jump_made_negative_is_shown_as_none() -> None:
    assert clock(-5) == "0:00"
    assert clock(-90_000) == "0:00"


def test_a_session_that_ended_before_it_began_can_be_shown(store: Store, jumping: Clock) -> None:
    begun(store, "s1")
    jumping.now -= timedelta(days=2)
    record = store.sessions.end("s1", state="completed")
    assert isinstance(record, SessionRecord)
    assert repr(record) == "<session of 01-01, try 1: completed>"
    frame = Frames(store, lambda: read_state(store), CredentialProvider).sessions()
    assert frame["duration"].tolist() == [timedelta(0)]
    assert PlanOutcome(plan_id="01-01", state="complete", started_at=NOON, ended_at=record.ended_at).duration == 0.0
