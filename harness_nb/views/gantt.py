"""When each plan of a run was queued, ran, waited for a person and was verified, as the journal has it.

Queued is a plan that could start and has not: what it depends on is complete, but there is no free place, or another
plan works on its files, or a retry's delay is not over. While it still waits for other plans it is nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness_nb.plans.names import plan_order
from harness_nb.protocol.outcome import SIGNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from harness_nb.plans.project import Project
    from harness_nb.protocol.records import EventRecord, RunRecord, SessionRecord
    from harness_nb.store import Store

Kind = Literal["queued", "running", "waiting", "verifying"]
KINDS: tuple[Kind, ...] = ("queued", "running", "waiting", "verifying")
Span = tuple["datetime", "datetime"]

ASKING = "python"
"""The worker of a session that is no more than a question: here what only a person can verify."""


@dataclass(frozen=True)
class Segment:
    """What a plan's attempt did from one moment to another."""

    plan: str
    attempt: int
    session: str
    kind: Kind
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Row:
    """One plan: what it did, and how it stands at the end of that."""

    plan: str
    title: str
    segments: tuple[Segment, ...]
    marks: tuple[tuple[datetime, str], ...] = ()

    @property
    def attempts(self) -> int:
        """How many times it was tried."""
        return len({one.attempt for one in self.segments if one.kind == "running"})


@dataclass(frozen=True)
class RunTimes:
    """A run's rows in the project's order, from ``start`` to ``end``, which is now while it goes on."""

    rows: tuple[Row, ...]
    start: datetime
    end: datetime


def read_times(store: Store, run: RunRecord, project: Project | None, now: datetime) -> RunTimes:
    """Return what the journal knows of a run; ``project`` adds titles, and when a plan could have started."""
    return _Reading(store, run, project, now).times()


class _Reading:
    def __init__(self, store: Store, run: RunRecord, project: Project | None, now: datetime) -> None:
        self.run = run
        self.project = project
        self.start = run.created_at
        self.end = max(run.ended_at or now, run.created_at)
        self.attempts: dict[str, list[SessionRecord]] = defaultdict(list)
        self.questions: dict[str, list[SessionRecord]] = defaultdict(list)
        for session in store.sessions.select(run_id=run.id):
            if session.plan_id is not None:
                (self.questions if session.worker == ASKING else self.attempts)[session.plan_id].append(session)
        self.events: dict[str, list[EventRecord]] = defaultdict(list)
        self.retries: dict[str, list[datetime]] = defaultdict(list)
        self._sort_events(store)

    def _sort_events(self, store: Store) -> None:
        begun = [one.seq for one in store.events.select(kind="run_started") if one.run_id == self.run.id]
        for event in store.events.select(since=begun[0] if begun else 0):
            if event.session_id is not None:
                self.events[event.session_id].append(event)
            elif event.kind == "retry" and event.run_id == self.run.id:
                self.retries[str(event.plan_id)].append(event.timestamp)

    def times(self) -> RunTimes:
        titles = {plan.id: plan.title for plan in reversed(self.project.plans)} if self.project else {}
        chosen = self.run.options.plans
        ids = [name for name in titles if chosen is None or name in chosen]
        found = sorted({*ids, *self.attempts, *self.questions}, key=plan_order)
        title = {name: titles.get(name, "") if titles.get(name) != name else "" for name in found}
        rows = tuple(Row(name, title[name], tuple(self._segments(name)), self._marks(name)) for name in found)
        return RunTimes(rows, self.start, self.end)

    def _segments(self, plan: str) -> Iterator[Segment]:
        ready = self._ready_at(plan)
        for session in self.attempts[plan]:
            yield from self._span(plan, session, "queued", ready, session.created_at)
            yield from self._work(plan, session)
            ready = self._settled_at(session)
        last = self.attempts[plan][-1] if self.attempts[plan] else None
        if self.run.ended_at is None and (last is None or self._tries_again(last)):
            yield from self._span(plan, None, "queued", ready, self.end, attempt=last.attempt + 1 if last else 1)

    def _work(self, plan: str, session: SessionRecord) -> Iterator[Segment]:
        stop = session.ended_at or self.end
        asked = self._asked(session)
        for start, end in _without((session.created_at, stop), asked):
            yield from self._span(plan, session, "running", start, end)
        for start, end in asked:
            yield from self._span(plan, session, "waiting", start, end)
        if session.state != "completed":
            return
        judged = self._settled_at(session) or self.end
        persons = [(one, span) for one in self.questions[plan] for span in self._asked(one)]
        mine = [(one, (start, min(end, judged))) for one, (start, end) in persons if stop <= start < judged]
        for start, end in _without((stop, judged), [span for _, span in mine]):
            yield from self._span(plan, session, "verifying", start, end)
        for one, (start, end) in mine:
            yield from self._span(plan, one, "waiting", start, end, attempt=session.attempt)

    def _span(
        self,
        plan: str,
        session: SessionRecord | None,
        kind: Kind,
        start: datetime | None,
        end: datetime,
        attempt: int | None = None,
    ) -> Iterator[Segment]:
        if start is not None and max(start, self.start) < min(end, self.end):
            number = attempt or (session.attempt if session else 1)
            name = session.id if session else ""
            yield Segment(plan, number, name, kind, max(start, self.start), min(end, self.end))

    def _asked(self, session: SessionRecord) -> list[Span]:
        """Return when a session waited for an answer."""
        spans, since = [], None
        for event in self.events[session.id]:
            state = event.data.get("state")
            if state == "checkpoint" and since is None:
                since = event.timestamp
            elif state not in (None, "checkpoint") and since is not None:
                spans.append((since, event.timestamp))
                since = None
        return spans if since is None else [*spans, (since, session.ended_at or self.end)]

    def _settled_at(self, session: SessionRecord) -> datetime | None:
        """Return when an attempt was judged, or None while it is not."""
        judged = [one.timestamp for one in self.events[session.id] if one.kind == "judged"]
        return max(judged, default=None)

    def _ready_at(self, plan: str) -> datetime | None:
        """Return when nothing that a plan depends on was left to do; None while something is."""
        befores = self.project.graph.dependencies_of(plan) if self.project and self.project.plan(plan) else ()
        moments = [self.start]
        for name in befores:
            if self.attempts[name]:
                last = self.attempts[name][-1]
                done = self._settled_at(last) if last.verdict in ("passed", "unverified") else None
                if done is None:
                    return None
                moments.append(done)
            elif not self._done_before(name):
                return None
        return max(moments)

    def _done_before(self, name: str) -> bool:
        return self.project is not None and (name in self.project.completed or not self._selected(name))

    def _selected(self, name: str) -> bool:
        return self.run.options.plans is None or name in self.run.options.plans

    def _tries_again(self, last: SessionRecord) -> bool:
        judged = self._settled_at(last)
        return judged is not None and any(at >= judged for at in self.retries[str(last.plan_id)])

    def _marks(self, plan: str) -> tuple[tuple[datetime, str], ...]:
        marks = []
        for session in self.attempts[plan]:
            at = self._settled_at(session)
            if at is not None and session.verdict is not None:
                marks.append((at, SIGNS["failed" if session.verdict == "failed" else "complete"]))
            elif session.live and self.run.ended_at is None:
                marks.append((self.end, "?" if session.state == "checkpoint" else SIGNS["running"]))
        return tuple(marks)


def _without(whole: Span, holes: Iterable[Span]) -> list[Span]:
    """Return what is left of a span outside of the holes."""
    left, at = [], whole[0]
    for start, end in sorted(holes):
        if at < start:
            left.append((at, min(start, whole[1])))
        at = max(at, end)
    return [*left, (at, whole[1])] if at < whole[1] else left
