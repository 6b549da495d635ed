"""The Gantt of a run: when each plan was queued, ran, waited for a person and was verified, from the journal alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from harness_nb import Harness
from harness_nb.plans import Project, build_graph
from harness_nb.protocol.messages import parse_orchestrator_message, parse_worker_message
from harness_nb.protocol.records import RunOptions, SessionRecord
from harness_nb.store import Store
from harness_nb.views.gantt import read_times
from harness_nb.views.gantt_chart import gantt_plot, render_gantt, sentence_of
from tests.orchestrator.written_plans import plan, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.protocol.records import RunRecord
    from harness_nb.views.gantt import RunTimes

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Journal:
    """A run written down at moments that the test chooses; ``at`` is its clock, in seconds from the run's start."""

    def __init__(self, root: Path) -> None:
        self.at = 0.0
        self.root = root
        self.store = Store(root, clock=lambda: BEGAN + timedelta(seconds=self.at))
        self.run: RunRecord = self.store.runs.create("run-1", RunOptions())

    def begin(self, at: float, session: str, plan_id: str, *, attempt: int = 1, worker: str = "runbook") -> None:
        self.at = at
        self.store.sessions.create(
            SessionRecord(
                id=session, worker=worker, run_id="run-1", plan_id=plan_id, attempt=attempt, working_dir=".",
                task_type="verify" if worker == "python" else "execute", created_at=self.store.clock(),
            )
        )  # fmt: skip
        self.store.sessions.update(session, "launched", state="running")

    def ask(self, at: float, session: str, question: str = "q1") -> None:
        self.at = at
        payload = {"action": "Log in"}
        self.store.questions.ask(parse_worker_message(self._message("action_needed", session, payload, id=question)))

    def answer(self, at: float, session: str, question: str = "q1") -> None:
        self.at = at
        message = self._message("action_completed", session, {"completedBy": "a"}, inResponseTo=question)
        self.store.questions.answer(parse_orchestrator_message(message), actor="a", door="test")

    def _message(self, kind: str, session: str, payload: dict[str, Any], **more: Any) -> dict[str, Any]:
        now = self.store.clock()
        return {
            "id": f"{kind}{self.at}",
            "sessionId": session,
            "type": kind,
            "timestamp": now,
            "payload": payload,
        } | more

    def end(self, at: float, session: str, state: str = "completed") -> None:
        self.at = at
        self.store.sessions.end(session, state=state)

    def judge(self, at: float, session: str, verdict: str) -> None:
        self.at = at
        self.store.sessions.update(session, "judged", verdict=verdict)

    def retry(self, plan_id: str) -> None:
        self.store.events.add("retry", run_id="run-1", plan_id=plan_id, data={"after": 5, "reason": "it broke"})

    def end_run(self, at: float) -> None:
        self.at = at
        self.run = self.store.runs.end("run-1", "passed")

    def times(self, *plans: Any, now: float | None = None) -> RunTimes:
        project = Project(root=self.root, plans=plans, graph=build_graph(plans), _by_id={one.id: one for one in plans})
        moment = BEGAN + timedelta(seconds=self.at if now is None else now)
        return read_times(self.store, self.run, project if plans else None, moment)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path)
    yield found
    found.store.close()


def told(times: RunTimes, plan_id: str) -> list[tuple[str, int, float, float]]:
    """Return a plan's segments as kind, attempt, and seconds from the run's start."""
    (row,) = (one for one in times.rows if one.plan == plan_id)
    found = [
        (one.kind, one.attempt, (one.start - BEGAN).total_seconds(), (one.end - BEGAN).total_seconds())
        for one in row.segments
    ]
    return sorted(found, key=lambda one: one[2])


def test_a_plan_is_queued_runs_waits_for_a_person_and_is_verified(journal: Journal) -> None:
    journal.begin(1, "s1", "01-01")
    journal.ask(3, "s1")
    journal.answer(10, "s1")
    journal.end(12, "s1")
    journal.judge(15, "s1", "passed")
    journal.end_run(16)

    assert told(journal.times(plan("01-01")), "01-01") == [
        ("queued", 1, 0, 1), ("running", 1, 1, 3), ("waiting", 1, 3, 10), ("running", 1, 10, 12),
        ("verifying", 1, 12, 15),
    ]  # fmt: skip


def test_a_person_who_verifies_is_waited_for_while_verifying(journal: Journal) -> None:
    journal.begin(0, "s1", "01-01")
    journal.end(5, "s1")
    journal.begin(6, "ask1", "01-01", worker="python")
    journal.ask(6, "ask1")
    journal.answer(9, "ask1")
    journal.end(9, "ask1")
    journal.judge(11, "s1", "passed")
    journal.end_run(12)
    times = journal.times(plan("01-01"))

    assert told(times, "01-01") == [
        ("running", 1, 0, 5), ("verifying", 1, 5, 6), ("waiting", 1, 6, 9), ("verifying", 1, 9, 11),
    ]  # fmt: skip
    assert {one.session for one in times.rows[0].segments if one.kind == "waiting"} == {"ask1"}


def test_attempts_stand_one_after_the_other_in_the_row_of_their_plan(journal: Journal) -> None:
    journal.begin(0, "s1", "01-01")
    journal.end(4, "s1", "failed")
    journal.judge(4, "s1", "failed")
    journal.retry("01-01")
    journal.begin(9, "s2", "01-01", attempt=2)
    journal.end(12, "s2")
    journal.judge(13, "s2", "passed")
    journal.end_run(13)
    times = journal.times(plan("01-01"))

    assert told(times, "01-01") == [
        ("running", 1, 0, 4), ("queued", 2, 4, 9), ("running", 2, 9, 12), ("verifying", 2, 12, 13),
    ]  # fmt: skip
    assert [sign for _, sign in times.rows[0].marks] == ["✕", "✓"]
    assert sentence_of(times) == "gantt of a run: 1 plan, 2 attempts"


def test_a_plan_is_queued_only_once_nothing_that_it_depends_on_is_left_to_do(journal: Journal) -> None:
    plans = (plan("01-01"), plan("01-02", depends_on=["01-01"]), plan("01-03", depends_on=["01-02"]))
    journal.begin(0, "s1", "01-01")
    assert told(journal.times(*plans, now=3), "01-02") == []
    journal.end(4, "s1")
    journal.judge(5, "s1", "passed")

    assert told(journal.times(*plans, now=8), "01-02") == [("queued", 1, 5, 8)], "until now, while the run goes on"
    assert told(journal.times(*plans, now=8), "01-03") == []


def test_a_run_that_goes_on_ends_now(journal: Journal) -> None:
    journal.begin(0, "s1", "01-01")
    journal.begin(0, "s2", "01-02")
    journal.ask(2, "s2")
    journal.begin(0, "s3", "01-03")
    journal.end(4, "s3")
    journal.begin(0, "s4", "01-04")
    journal.end(5, "s4", "failed")
    journal.judge(5, "s4", "failed")
    journal.retry("01-04")
    times = journal.times(*(plan(f"01-0{number}") for number in range(1, 5)), now=7)

    assert told(times, "01-01") == [("running", 1, 0, 7)]
    assert told(times, "01-02")[-1] == ("waiting", 1, 2, 7)
    assert told(times, "01-03")[-1] == ("verifying", 1, 4, 7)
    assert told(times, "01-04")[-1] == ("queued", 2, 5, 7), "it will be tried again"
    assert [row.marks[-1][1] for row in times.rows if row.marks] == ["●", "?", "✕"]


def test_what_failed_for_good_is_not_queued_again(journal: Journal) -> None:
    journal.begin(0, "s1", "01-01")
    journal.end(4, "s1", "failed")
    journal.judge(4, "s1", "failed")

    assert told(journal.times(plan("01-01"), now=9), "01-01") == [("running", 1, 0, 4)]


def test_a_question_that_nobody_answered_is_waited_for_until_its_session_ended(journal: Journal) -> None:
    journal.begin(0, "s1", "01-01")
    journal.ask(2, "s1")
    journal.end(6, "s1", "failed")
    journal.judge(6, "s1", "failed")
    journal.end_run(20)

    assert told(journal.times(plan("01-01")), "01-01") == [("running", 1, 0, 2), ("waiting", 1, 2, 6)]


def test_two_questions_at_once_are_one_wait(journal: Journal) -> None:
    journal.begin(0, "s1", "01-01")
    journal.ask(2, "s1", "q1")
    journal.ask(3, "s1", "q2")
    journal.answer(5, "s1", "q1")
    journal.answer(8, "s1", "q2")

    assert told(journal.times(plan("01-01"), now=9), "01-01")[1:] == [("waiting", 1, 2, 8), ("running", 1, 8, 9)]


def test_a_run_of_another_process_is_read_without_its_plans(journal: Journal) -> None:
    journal.begin(1, "s1", "01-01")
    journal.end(4, "s1")
    journal.judge(5, "s1", "passed")
    journal.end_run(6)

    assert [kind for kind, *_ in told(journal.times(), "01-01")] == ["queued", "running", "verifying"]


def test_the_frame_has_a_row_per_segment_with_proper_types(journal: Journal) -> None:
    journal.begin(1, "s1", "01-01")
    journal.end(4, "s1")
    plans = (plan("01-01", title="Load it"),)
    project = Project(root=journal.root, plans=plans, graph=build_graph(plans))
    frame = gantt_plot(journal.store, journal.run, project, BEGAN + timedelta(seconds=5)).frame
    none = gantt_plot(journal.store, journal.run, None, BEGAN).frame

    assert list(frame.columns) == ["plan", "title", "attempt", "session", "kind", "start", "end", "duration"]
    assert list(frame["kind"]) == ["queued", "running", "verifying"]
    assert list(frame["kind"].cat.categories) == ["queued", "running", "waiting", "verifying"]
    assert list(frame["duration"].dt.total_seconds()) == [1, 3, 1]
    assert str(frame["start"].dt.tz) == "UTC"
    assert frame["title"].unique().tolist() == ["Load it"]
    assert none.empty
    assert none.dtypes.drop("duration").equals(frame.dtypes.drop("duration"))


def test_each_bar_says_its_exact_times_and_is_told_by_more_than_its_colour(journal: Journal) -> None:
    journal.begin(1, "s1", "01-01")
    journal.ask(62.5, "s1")
    times = journal.times(plan("01-01", title="<b>"), now=100)
    drawn = ElementTree.fromstring(render_gantt(times))
    said = [one.get("aria-label") for one in drawn.iter() if one.get("role") == "img"]

    assert said[-1] == "01-01, try 1: waits for a person 1:02.500 – 1:40.000 (37.500 s), from 03:05:07.500 UTC"
    assert sum(one.get("class") == "hnb-hatch" for one in drawn.iter()) == 2, "the bar, and the legend"
    texts = [text for one in drawn.iter() if (text := (one.text or "").strip())]
    assert {"queued", "running", "waits for a person", "verifying"} <= set(texts)
    assert "?" in texts


@pytest.mark.parametrize(
    ("seconds", "first"),
    [
        (0.25, ["0.0 s", "0.1 s", "0.2 s"]),
        (8, ["0:00", "0:01", "0:02"]),
        (95, ["0:00", "0:10", "0:20"]),
        (3000, ["0:00", "5:00", "10:00"]),
        (200_000, ["0:00", "6:00:00", "12:00:00"]),
        (30 * 86_400, ["0:00", "72:00:00", "144:00:00"]),
    ],
)
def test_the_axis_has_few_round_ticks(journal: Journal, seconds: float, first: list[str]) -> None:
    journal.end_run(seconds)
    drawn = ElementTree.fromstring(render_gantt(journal.times(plan("01-01"))))
    ticks = [str(one.text) for one in drawn.iter() if one.get("text-anchor") == "middle"]

    assert ticks[:3] == first
    assert len(ticks) <= 12


def test_a_run_without_anything_is_drawn_all_the_same(journal: Journal) -> None:
    assert "There are no plans." in render_gantt(journal.times())


def test_a_run_shows_its_times_while_it_goes_on_and_when_it_has_ended(tmp_path: Path) -> None:
    """A real run whose second plan only a person can verify."""
    with Harness(tmp_path, trust=True) as h:
        run = h.run([plan("01-01"), plan("01-02", must_pass=[], depends_on=["01-01"])])
        until(lambda: h.get_pending())
        going = run.gantt()
        assert going.frame.iloc[-1][["plan", "kind"]].tolist() == ["01-02", "waiting"]
        for question in h.get_pending():
            question.approve()
        assert run.wait(60).passed
        ended = run.gantt()

    assert repr(ended) == "gantt of a run: 2 plans, 2 attempts"
    assert ended.svg.count("✓") == 2
    assert set(ended.frame["kind"]) >= {"running", "waiting", "verifying"}
    for _, some in ended.frame.groupby("plan"):
        starts, ends = some["start"].tolist()[1:], some["end"].tolist()[:-1]
        assert all(start >= end for start, end in zip(starts, ends, strict=True)), "one after the other"
