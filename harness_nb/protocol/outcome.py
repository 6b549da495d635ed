"""How a run ended: one outcome per plan, the reports behind them, and what people do with that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from harness_nb.errors import RunFailedError
from harness_nb.protocol import frame
from harness_nb.protocol.base import Timestamp, WireModel
from harness_nb.protocol.marks import SIGNS as SIGNS  # the signs of plans are looked up here
from harness_nb.protocol.records import PLAN_STATES, PlanState
from harness_nb.protocol.report import Report
from harness_nb.protocol.report_page import run_page
from harness_nb.protocol.shown import print_whole, short_line

if TYPE_CHECKING:
    import pandas as pd

    from harness_nb.protocol.state import PlanInfo

NOT_DONE = ("failed", "aborted", "held", "waiting", "running", "verifying")


_KNOWN_OF_BOTH = ("title", "phase", "state", "reason", "verified", "session_id")


class PlanOutcome(WireModel):
    """Where a plan stands.

    ``verified`` is None where nothing judged it; ``attempts`` counts sessions of this run; ``started_at`` and
    ``ended_at`` are those of the first and the last of them. ``earlier`` marks a plan that was complete before.
    """

    plan_id: str
    title: str = ""
    phase: str = ""
    state: PlanState = "waiting"
    reason: str | None = None
    worker: str | None = None
    attempts: int = 0
    verified: bool | None = None
    earlier: bool = False
    session_id: str | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    report: Report | None = None

    @classmethod
    def of(cls, plan: PlanInfo) -> Self:
        """Return where a plan stands by documents and journal, as if that were a run."""
        return cls(plan_id=plan.id, **{name: getattr(plan, name) for name in _KNOWN_OF_BOTH})

    @property
    def duration(self) -> float | None:
        """Seconds from the first attempt's start to the last one's end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())  # a clock may be set back

    @property
    def word(self) -> str:
        """The state as people read it, with its sign."""
        note = (
            " (before)" if self.earlier else " (not verified)" if self.state == "complete" and not self.verified else ""
        )
        return f"{SIGNS[self.state]} {self.state}{note}"

    def __repr__(self) -> str:
        return f"<plan {self.plan_id}: {short_line(self.word + _why(self))}>"

    def __str__(self) -> str:
        return repr(self)[1:-1]


class RunReport(WireModel):
    """All outcomes of a run; it passed when every plan of it is complete and no phase's checks failed."""

    run_id: str
    state: str
    passed: bool
    plans: tuple[PlanOutcome, ...] = ()
    phases: dict[str, Report] = {}  # noqa: RUF012 — pydantic copies it
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None

    def plan(self, plan_id: str) -> PlanOutcome:
        """Return one plan's outcome.

        Raises: KeyError.
        """
        for outcome in self.plans:
            if outcome.plan_id == plan_id:
                return outcome
        raise KeyError(plan_id)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per plan, indexed by its id; it is styled when displayed.

        Columns: ``title``, ``phase`` (strings), ``state`` (category), ``reason``, ``worker`` (strings, missing where
        there is none), ``attempts``, ``checks``, ``checks_passed`` (integers), ``verified`` (nullable boolean),
        ``duration`` (timedelta, microseconds).
        """
        rows = self.plans
        columns = {
            "title": frame.texts(one.title for one in rows),
            "phase": frame.texts(one.phase for one in rows),
            "state": frame.words((one.state for one in rows), PLAN_STATES),
            "reason": frame.texts(one.reason for one in rows),
            "worker": frame.texts(one.worker for one in rows),
            "attempts": frame.counts(one.attempts for one in rows).astype("int64"),
            "checks": frame.counts(one.report.total if one.report else 0 for one in rows).astype("int64"),
            "checks_passed": frame.counts(one.report.passed_count if one.report else 0 for one in rows).astype("int64"),
            "verified": frame.flags(one.verified for one in rows),
            "duration": frame.spans(one.duration for one in rows),
        }
        return frame.styled(columns, (one.plan_id for one in rows), "plan")

    @property
    def checks(self) -> Report | None:
        """All checks of all plans and phases as one report, or None where none was run."""
        reports = [one.report for one in self.plans if one.report] + list(self.phases.values())
        return Report.combine("run", reports) if reports else None

    def raise_for_failure(self) -> Self:
        """Return this report if the run passed.

        Raises: RunFailedError, which names each plan that is not complete, and why.
        """
        if not self.passed:
            raise RunFailedError(self.shortfalls or [self.headline])
        return self

    @property
    def shortfalls(self) -> list[str]:
        """One line for each plan that is not complete and each phase whose checks failed."""
        plans = [f"{one.plan_id}: {one.state}{_why(one)}" for one in self.plans if one.state in NOT_DONE]
        phases = [
            f"phase {number}: {line}"
            for number, report in self.phases.items()
            if not report.passed
            for line in _failures(report)
        ]
        return plans + phases

    @property
    def headline(self) -> str:
        """The run in one line."""
        done = sum(one.state == "complete" for one in self.plans)
        sign = "●" if self.state == "running" else "✓" if self.passed else "✕"
        return f"{sign} run {self.state}: {done} of {len(self.plans)} plans complete"

    def __str__(self) -> str:
        width = max((len(one.plan_id) for one in self.plans), default=0)
        lines = [f"  {one.plan_id:<{width}}  {one.word}{_why(one)}" for one in self.plans]
        return "\n".join(
            [self.headline, *lines, *[f"  {line}" for line in self.shortfalls if line.startswith("phase")]]
        )

    def _repr_html_(self) -> str:
        return run_page(self)

    def __repr__(self) -> str:
        return f"<report of {self.headline.split(' ', 1)[1]}>"

    _repr_pretty_ = print_whole


def _why(outcome: PlanOutcome) -> str:
    return f": {outcome.reason}" if outcome.reason else ""


def _failures(report: Report) -> list[str]:
    lines = [f"{failure.spec_id}: {failure.error or 'no reason was given'}" for failure in report.failures]
    return lines or [report.reason or "its checks did not pass"]
