"""What a run looks like at one moment, in the words that both views of it use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from harness_nb.protocol.outcome import SIGNS
from harness_nb.protocol.shown import dropped_text, one_line
from harness_nb.protocol.wording import through
from harness_nb.sessions import Quiet, quiet
from harness_nb.views.questions import kind_of, question_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from harness_nb.orchestrator.policies import Prospect
    from harness_nb.protocol.outcome import PlanOutcome, RunReport
    from harness_nb.protocol.records import EventRecord, MessageRecord, SessionRecord
    from harness_nb.store import Store

Group = Literal["complete", "running", "asks", "waiting", "held", "failed"]
GROUPS: dict[Group, str] = {
    "asks": "?",
    "running": "●",
    "complete": "✓",
    "waiting": "○",
    "held": "○",
    "failed": "✕",
}
"""What plans are counted as, and the sign of each."""

QUIET = ("…", quiet.WORD)
"""Sign and word of what is at work and silent for long."""

LOSSES = ("file_rejected", "output_lost", "output_dropped", "processes_escaped", "credentials_warning")
"""The kinds of events that say that something of a worker did not arrive, or that others can read what it is given:
told at the board, too."""

NEWS = ("answered", "retry", "phase_checked", "policy_failed", "commit_failed", "reminder", "notify_failed", *LOSSES)
"""The kinds of events that a person watching wants to be told."""


@dataclass(frozen=True)
class PlanLine:
    """One plan as both views show it."""

    id: str
    title: str
    group: Group
    sign: str
    word: str
    detail: str


@dataclass(frozen=True)
class Snapshot:
    """A run now; ``questions`` wait for a person, and ``due`` is when a policy answers one of them, by its ``seq``."""

    report: RunReport
    lines: tuple[PlanLine, ...]
    questions: tuple[MessageRecord, ...] = ()
    due: dict[int, datetime] | None = None
    news: tuple[EventRecord, ...] = ()

    def count(self, group: Group) -> int:
        """Return how many plans are in a group."""
        return sum(line.group == group for line in self.lines)


class RunLike(Protocol):
    """What of a run is looked at."""

    @property
    def report(self) -> RunReport:
        """Where each plan stands now."""


class Observer:
    """Looks at a run and its project; call ``look`` in a worker thread, since it reads the journal.

    ``prospect_of`` says what comes of an open question by itself.
    """

    def __init__(self, store: Store, run: RunLike, prospect_of: Callable[[MessageRecord], Prospect]) -> None:
        self._store = store
        self._run = run
        self._prospect_of = prospect_of
        self._seen = store.events.last
        self._quiet = Quiet(store)

    def look(self) -> Snapshot:
        """Return how the run stands, and what happened since the last look."""
        store = self._store
        news = [one for one in store.events.select(since=self._seen) if self._is_new(one)]
        report = self._run.report
        asked = store.messages.pending()
        lines = plan_lines(store, report.plans, asked, self._quiet)
        ahead = {one.seq: self._prospect_of(one) for one in asked}
        # what a policy answers at once would only flash up
        left = [one for one in asked if not (ahead[one.seq].settles and ahead[one.seq].at == one.timestamp)]
        due = {one.seq: at for one in left if ahead[one.seq].settles and (at := ahead[one.seq].at) is not None}
        return Snapshot(report, lines, tuple(left), due, tuple(news))

    def _is_new(self, event: EventRecord) -> bool:
        self._seen = max(self._seen, event.seq)
        return event.kind in NEWS


def plan_lines(
    store: Store,
    outcomes: Iterable[PlanOutcome],
    asked: Sequence[MessageRecord] | None = None,
    quiet: Quiet | None = None,
) -> tuple[PlanLine, ...]:
    """Return plans as people see them: who asks says so before all else; ``asked`` are the open questions.

    ``quiet`` says which sessions are; without it none is shown to be.
    """
    live = {one.id: one for one in store.sessions.select(live=True)}
    asking: dict[str, MessageRecord] = {}
    for question in store.messages.pending() if asked is None else asked:
        session = live.get(question.session_id)
        asking.setdefault((session.plan_id if session else None) or question.session_id, question)
    lines = []
    for one in outcomes:
        session = live.get(one.session_id or "")
        silent = quiet is not None and session is not None and quiet.since(session) is not None
        lines.append(_line(one, session, asking.get(one.plan_id), quiet=silent and one.state == "running"))
    return tuple(lines)


def _line(
    outcome: PlanOutcome, session: SessionRecord | None, question: MessageRecord | None, *, quiet: bool
) -> PlanLine:
    if question is not None and outcome.state in ("running", "verifying"):
        sign = "!" if question.payload.get("permission") else "?"
        detail = f"{kind_of(question)}: {question_text(question)}"
        return PlanLine(outcome.plan_id, outcome.title, "asks", sign, "asks", one_line(detail))
    if outcome.state == "running" and session is not None and session.died:
        return PlanLine(outcome.plan_id, outcome.title, "running", SIGNS["waiting"], "died", "will be resumed")
    group: Group
    match outcome.state:
        case "running" | "verifying":
            group = "running"
        case "failed" | "aborted":
            group = "failed"
        case "complete" | "waiting" | "held":
            group = outcome.state
    sign, word = QUIET if quiet else (SIGNS[outcome.state], outcome.state)
    return PlanLine(outcome.plan_id, outcome.title, group, sign, word, one_line(_detail(outcome, session)))


def _detail(outcome: PlanOutcome, session: SessionRecord | None) -> str:
    if outcome.state == "complete":
        return ", ".join(complete_notes(outcome))
    if outcome.state == "running" and session is not None:
        return progress_of(session)
    if outcome.state == "verifying":
        return "its checks run"
    reason = outcome.reason or ""
    return reason.removeprefix("waits ") if outcome.state == "waiting" else reason  # the word "waiting" says it


def complete_notes(outcome: PlanOutcome) -> list[str]:
    """Return what is worth saying of a plan that is complete."""
    notes = [f"{outcome.report.total} checks" if outcome.report.total != 1 else "1 check"] if outcome.report else []
    if not outcome.verified:
        notes.append("not verified")
    if outcome.earlier:
        notes.append("done before")
    if outcome.attempts > 1:
        notes.append(f"at try {outcome.attempts}")
    return notes + ([outcome.reason] if outcome.reason else [])


def progress_of(session: SessionRecord) -> str:
    """Return how far a session is, as ``2/4 name of the task``."""
    if session.task_name:
        name = re.sub(rf"^task {session.current_task}\s*[:.–-]\s*", "", session.task_name, flags=re.IGNORECASE)
        return f"{session.current_task}/{session.total_tasks} {name}"
    return session.message or ""


def news_text(event: EventRecord, asker: str, *, worker: str | None = None) -> str:
    """Return an event as a line; ``worker`` is what its session is called where its id is not wanted."""
    data, worker = event.data, worker or event.session_id
    match event.kind:
        case "answered":
            return f"{asker} answered by {event.actor}{through(event.actor, event.door)}: {data.get('answer')}"
        case "retry":
            return f"{event.plan_id} tries again in {data.get('after'):g} s: {data.get('reason')}"
        case "phase_checked":
            return f"phase {data.get('phase')} checks {'passed' if data.get('passed') else 'failed'}"
        case "policy_failed":
            return f"{asker} could not be answered by policy: {data.get('reason')}"
        case "commit_failed":
            return f"{event.plan_id} was not committed: {data.get('reason')}"
        case "notify_failed":
            return f"! nobody was told at {data.get('address')} of notify: {data.get('reason')}"
        case _ if event.kind in LOSSES:
            return _loss_text(event, str(worker))
        case _:
            return f"{asker} still waits for an answer"


def _loss_text(event: EventRecord, worker: str) -> str:
    data = event.data
    match event.kind:
        case "file_rejected":
            return f"! {worker} wrote a file that was set aside as {data.get('file')}: {data.get('reason')}"
        case "credentials_warning":
            return f"! credentials for {worker}: {data.get('reason')}"
        case "output_lost":
            return f"! not all output of {worker} is kept: {data.get('error')}"
        case "output_dropped":
            return f"! the oldest {dropped_text(data.get('bytes'))} of what {worker} printed were dropped"
        case _:
            return f"! processes of {worker} could not be ended: {data.get('error')}"
