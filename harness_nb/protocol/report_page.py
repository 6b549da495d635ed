"""Reports as HTML: what failed comes first and open, what passed is folded into one line, and all of it is bounded.

A page is kept inside the notebook file, so each output is cut and only the first failures show theirs; the frames
have everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness_nb.protocol.marks import Mark, mark_of
from harness_nb.protocol.shown import short_line, tail
from harness_nb.templates import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_nb.protocol.outcome import PlanOutcome, RunReport
    from harness_nb.protocol.report import CheckResult, Report

TEXT_LIMIT = 4000
WHY_LIMIT = 300
MOST_ROWS = 200

ORDER = ("failed", "aborted", "held", "waiting", "running", "verifying", "complete")


class Line(NamedTuple):
    """One check, or one plan, as a row."""

    mark: Mark
    id: str
    title: str
    reason: str
    checks: str = ""


class CheckLine(NamedTuple):
    """One check as templates show it."""

    mark: Mark
    name: str
    type: str
    need: str
    why: str
    output: str
    description: str


@dataclass
class Budget:
    """How much a page may still show: failures with their output, and rows of other checks."""

    failures: int = 20
    rows: int = 500

    def take(self, kind: str, wanted: int) -> int:
        """Return how many of those wanted may be shown, and count them."""
        granted: int = min(wanted, getattr(self, kind), MOST_ROWS)
        setattr(self, kind, getattr(self, kind) - granted)
        return granted


@dataclass
class Page:
    """A report as templates show it."""

    target: str
    mark: Mark
    counts: str
    reason: str
    failures: Sequence[CheckLine]
    others: Sequence[CheckLine]
    more_others: int
    passed: Sequence[CheckLine]
    passed_count: int
    open: bool = False

    @property
    def passed_mark(self) -> Mark:
        """How many checks passed, in words."""
        return mark_of("passed", f"{self.passed_count} passed")


def report_page(report: Report) -> str:
    """Return one report as HTML."""
    return render("report.html", page=_page(report, Budget()))


def run_page(report: RunReport) -> str:
    """Return a run's report as HTML: plans, then the phases that did not pass, then each plan's checks."""
    budget = Budget()
    plans = sorted(report.plans, key=lambda one: ORDER.index(one.state))
    phases = [_page(one, budget, f"Phase {number}") for number, one in report.phases.items() if not one.passed]
    with_checks = [one for one in plans if one.report is not None and one.report.results]
    state = "running" if report.state == "running" else "passed" if report.passed else "failed"
    return render(
        "run_report.html",
        mark=mark_of(state, report.state),
        counts=_outcomes(report),
        plans=[_plan_line(one) for one in plans],
        phases=phases,
        reports=[_plan_page(one, budget) for one in with_checks],
    )


def _outcomes(report: RunReport) -> str:
    done = sum(one.state == "complete" for one in report.plans)
    found = [f"{done} of {len(report.plans)} plans complete"]
    for state in ORDER[:-1]:
        count = sum(one.state == state for one in report.plans)
        found += [f"{count} {state}"] if count else []
    return ", ".join(found)


def _plan_line(outcome: PlanOutcome) -> Line:
    checks = outcome.report
    return Line(
        mark_of(outcome.state, outcome.word.partition(" ")[2]),
        short_line(outcome.plan_id),
        short_line(outcome.title),
        short_line(outcome.reason or "", WHY_LIMIT),
        f"{checks.passed_count}/{checks.total}" if checks else "",
    )


def _plan_page(outcome: PlanOutcome, budget: Budget) -> Page:
    assert outcome.report is not None
    page = _page(outcome.report, budget, outcome.plan_id)
    page.open = bool(page.failures)
    return page


def _page(report: Report, budget: Budget, target: str | None = None) -> Page:
    required = report.failures
    shown = budget.take("failures", len(required))
    rest = [one for one in report.results if not one.passed and not one.required]
    others = [*required[shown:], *sorted(rest, key=lambda one: one.skipped)]
    passed = [one for one in report.results if one.passed]
    few = others[: budget.take("rows", len(others))]
    return Page(
        target=short_line(target or report.target),
        mark=mark_of("passed" if report.passed else "failed", "passed" if report.passed else "not passed"),
        counts=report.counts,
        reason=short_line(report.reason or "", TEXT_LIMIT),
        failures=[_line(one, whole=True) for one in required[:shown]],
        others=[_line(one) for one in few],
        more_others=len(others) - len(few),
        passed=[_line(one) for one in passed[: budget.take("rows", len(passed))]],
        passed_count=len(passed),
    )


def _line(result: CheckResult, *, whole: bool = False) -> CheckLine:
    return CheckLine(
        mark_of(result.state),
        short_line(result.name),
        short_line(result.type),
        result.need,
        tail(result.why, TEXT_LIMIT) if whole else short_line(result.why, WHY_LIMIT),
        tail(result.output or "", TEXT_LIMIT) if whole else "",
        short_line(result.description or "", WHY_LIMIT),
    )
