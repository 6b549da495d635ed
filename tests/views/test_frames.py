"""The journal and the documents as DataFrames."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import AsyncHarness, Harness
from harness_nb.errors import HarnessClosedError, SessionNotFoundError, UnknownStateError
from harness_nb.protocol.frame import styled_class
from harness_nb.store.locks import acquire, release
from tests.orchestrator.conftest import harness, opened, root
from tests.orchestrator.written_plans import write_plan
from tests.store.conftest import new_session, reply, says

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

    from harness_nb.views.frames import Frames

__all__ = ["harness", "opened", "root"]

ALL = ("sessions", "messages", "plans", "events")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SECRET = "hunter2-very-secret-value"


@pytest.fixture
def filled(root: Path, harness: Harness) -> Iterator[Frames]:
    """A project with two plans, of which one failed, a session that asks, and answers."""
    write_plan(root, "01-01")
    write_plan(root, "01-02", depends_on=["01-01"])
    store = harness._twin.store
    for name in ("s1", "s2"):  # they live as this process does, else the harness would find that they are gone
        store.layout.session(name).create()
        assert acquire(store.layout.session(name).lock)
    new_session(store, "s1", planId="01-01", phase="1", command=["sh", "-c", "exit 3"], startedAt=NOON)
    store.questions.ask(says("decision_needed", {"plan": "01-01", "decision": "Which?"}, message_id="q1"))
    store.questions.answer(
        reply("q1", "decision_made", {"selectedOptionId": "a", "selectedOptionName": "A"}), actor="ann", door="notebook"
    )
    ended = {"exit_code": 3, "ended_at": NOON + timedelta(seconds=90), "verdict": "failed"}
    store.sessions.end("s1", state="failed", reason="exit status 3", **ended)
    new_session(store, "s2")
    store.questions.ask(says("credentials_needed", {"service": "pg"}, message_id="c1", session="s2"))
    given = {"service": "pg", "found": True, "credentials": {"PGPASSWORD": SECRET}}
    store.questions.answer(reply("c1", "credentials_provided", given, session="s2"), actor="ann", door="python")
    yield harness.frames
    for name in ("s1", "s2"):
        release(store.layout.session(name).lock)


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


@pytest.mark.parametrize("name", ALL)
def test_an_empty_project_has_the_same_columns_and_dtypes(name: str, filled: Frames, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    full = getattr(filled, name)()
    with Harness(tmp_path / "empty") as other:
        empty = getattr(other.frames, name)()
    assert len(full)
    assert (len(empty), dtypes(empty)) == (0, dtypes(full))
    assert (empty.index.name, empty.index.dtype) == (full.index.name, full.index.dtype)


@pytest.mark.parametrize("name", ALL)
def test_each_is_a_styled_frame_whose_columns_its_docstring_names(name: str, filled: Frames) -> None:
    made = getattr(filled, name)()
    assert "hnb-report" in made._repr_html_()
    assert type(made) is styled_class()
    documented = str(type(filled).__dict__[name].__doc__)
    assert [column for column in made.columns if f"``{column}``" not in documented] == []


@pytest.mark.row(2)
@pytest.mark.parametrize("name", ALL)
def test_no_value_of_a_credential_is_in_any_of_them(name: str, filled: Frames) -> None:
    made = getattr(filled, name)()
    assert SECRET not in made.to_csv() + made._repr_html_()


def test_sessions_are_indexed_by_id_with_types_that_can_be_computed_with(filled: Frames) -> None:
    made = filled.sessions()
    assert (list(made.index), made.index.name) == (["s1", "s2"], "id")
    found = dtypes(made)
    assert {found[name] for name in ("state", "verdict")} == {"category"}
    assert {found[name] for name in ("attempt", "exit_code", "current_task", "total_tasks")} == {"Int64"}
    assert {found[name] for name in ("created_at", "started_at", "ended_at")} == {"datetime64[us, UTC]"}
    assert found["duration"] == "timedelta64[us]"
    assert made.loc["s1", "duration"] == timedelta(seconds=90)
    assert made.loc["s1", "exit_code"] == 3
    assert made.loc["s1", "command"] == "sh -c 'exit 3'"
    assert made.loc["s2", ["exit_code", "duration", "ended_at", "reason"]].isna().all()


def test_sessions_are_chosen_by_state_and_plan(filled: Frames) -> None:
    assert list(filled.sessions(state="failed").index) == ["s1"]
    assert list(filled.sessions(state=["running", "initializing", "checkpoint"]).index) == ["s2"]
    assert list(filled.sessions(plan_id="01-01").index) == ["s1"]
    with pytest.raises(UnknownStateError, match="'done'"):
        filled.sessions(state="done")


def test_messages_say_what_was_asked_and_by_whom_it_was_answered(filled: Frames) -> None:
    made = filled.messages(session_id="s1")
    assert made.index.is_monotonic_increasing
    assert made[["direction", "type", "status", "text"]].values.tolist() == [
        ["in", "decision_needed", "responded", "Which?"],
        ["out", "decision_made", "expired", "A"],  # the session ended before it was taken
    ]
    answer = made.iloc[1]
    assert (answer["actor"], answer["door"], answer["in_response_to"]) == ("ann", "notebook", "q1")
    assert made.iloc[0]["payload"]["decision"] == "Which?"


def test_messages_are_chosen_by_session_direction_and_type(filled: Frames) -> None:
    assert len(filled.messages()) == 4
    assert filled.messages(direction="in")["id"].tolist() == ["q1", "c1"]
    assert filled.messages(type="decision_made")["text"].tolist() == ["A"]
    with pytest.raises(SessionNotFoundError):
        filled.messages(session_id="nobody")


def test_plans_say_where_they_stand_and_what_they_need(filled: Frames) -> None:
    made = filled.plans()
    assert (list(made.index), made.index.name) == (["01-01", "01-02"], "plan")
    assert made["state"].tolist() == ["failed", "waiting"]
    assert made["attempts"].tolist() == [1, 0]
    assert made["depends_on"].tolist() == [(), ("01-01",)]
    assert made.loc["01-01", "reason"] == "exit status 3"
    assert made["verified"].dtype == "boolean"
    assert list(filled.plans(state="failed").index) == ["01-01"]
    assert list(filled.plans(phase="9").index) == []
    with pytest.raises(UnknownStateError):
        filled.plans(state="completed")


def test_events_are_chosen_by_kind_session_and_since_when(filled: Frames) -> None:
    made = filled.events()
    assert made.index.name == "seq"
    assert dtypes(made)["kind"] == "category"
    assert made["timestamp"].dtype == "datetime64[us, UTC]"
    answered = filled.events(kind="answered")
    assert answered["text"].tolist() == ["A", "allowed"]
    assert len(filled.events(kind=["answered", "session_created"])) == 4
    assert set(filled.events(session_id="s2")["session_id"]) == {"s2"}
    assert list(filled.events(since=int(made.index[-2])).index) == [made.index[-1]]
    assert filled.events(since=datetime(2200, 1, 1)).empty
    assert len(filled.events(since=NOON - timedelta(days=9000))) == len(made)


def test_ten_thousand_events_are_read_in_a_moment(harness: Harness) -> None:
    store = harness._twin.store
    before = store.events.last
    with store.journal.write():
        for number in range(10_000):
            store.events.add("answered", session_id="s1", actor="ann", data={"answer": f"option {number}"})
    harness.frames.sessions()
    begun = time.perf_counter()
    made = harness.frames.events(since=before)
    shown = made._repr_html_()  # type: ignore[operator]
    took = time.perf_counter() - begun
    print(f"10,000 events: {took:.3f} s")
    assert (len(made), len(shown) < 20_000) == (10_000, True)
    assert took < 3


@pytest.mark.anyio
async def test_the_awaited_harness_has_the_same_frames_as_plain_calls(tmp_path: Path) -> None:
    async with AsyncHarness(tmp_path) as h:
        new_session(h.store, "s1")
        made: Any = h.frames.sessions()
        assert list(made.index) == ["s1"]


def test_of_a_closed_harness_there_are_none(tmp_path: Path) -> None:
    h = Harness(tmp_path)
    h.close()
    with pytest.raises(HarnessClosedError):
        h.frames.sessions()
