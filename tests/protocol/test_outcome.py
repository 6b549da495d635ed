"""How a run ended: the table, the sentence, the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from harness_nb.errors import RunFailedError
from harness_nb.protocol.outcome import PlanOutcome, RunReport
from harness_nb.protocol.report import CheckResult, Report

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def checks(target: str, *passed: bool) -> Report:
    results = [
        CheckResult(
            spec_id=f"c{number}", type="file_exists", passed=good, timestamp=NOON, error=None if good else "not there"
        )
        for number, good in enumerate(passed)
    ]
    return Report.of(target, results, started_at=NOON, completed_at=NOON)


def outcome(plan_id: str, state: str = "complete", **more: Any) -> PlanOutcome:
    return PlanOutcome.model_validate({"plan_id": plan_id, "state": state, **more})


def report(*plans: PlanOutcome, passed: bool = False, **more: Any) -> RunReport:
    return RunReport(run_id="run-1", state="passed" if passed else "failed", passed=passed, plans=plans, **more)


DONE = outcome(
    "01-01",
    title="Load",
    phase="1",
    worker="runbook",
    attempts=2,
    verified=True,
    started_at=NOON,
    ended_at=NOON + timedelta(seconds=90),
    report=checks("01-01", True, True),
)
FAILED = outcome("01-02", "failed", reason="exit status 3", attempts=1, report=checks("01-02", True, False))


@pytest.mark.row(9)
class TestFrame:
    TYPES: dict[str, str] = {  # noqa: RUF012
        "title": "string", "phase": "string", "state": "category", "reason": "string", "worker": "string",
        "attempts": "int64", "checks": "int64", "checks_passed": "int64", "verified": "boolean",
    }  # fmt: skip

    def test_one_row_a_plan_with_types_that_can_be_computed_with(self) -> None:
        frame = report(DONE, FAILED, outcome("02-01", "held", reason="01-02 failed")).to_frame()
        assert frame.index.name == "plan"
        assert list(frame.index) == ["01-01", "01-02", "02-01"]
        assert {name: str(frame[name].dtype) for name in self.TYPES} == self.TYPES
        assert frame["duration"].dtype.kind == "m"
        assert list(frame.columns) == [*self.TYPES, "duration"]
        assert frame.loc["01-01", "duration"] == timedelta(seconds=90)
        assert frame["verified"].isna().tolist() == [False, True, True]
        assert frame["checks_passed"].tolist() == [2, 1, 0]
        assert frame["reason"].fillna("none").tolist() == ["none", "exit status 3", "01-02 failed"]

    def test_an_empty_run_has_the_same_columns_and_types(self) -> None:
        pd.testing.assert_series_equal(report().to_frame().dtypes, report(DONE).to_frame().dtypes)


@pytest.mark.row(9)
class TestVerdict:
    def test_a_run_that_passed_returns_its_report(self) -> None:
        good = report(DONE, passed=True)
        assert good.raise_for_failure() is good

    def test_the_error_names_each_plan_and_phase_that_fell_short_and_why(self) -> None:
        bad = report(DONE, FAILED, outcome("02-01", "held"), phases={"1": checks("phase 1", False)})
        with pytest.raises(RunFailedError) as caught:
            bad.raise_for_failure()
        assert str(caught.value).splitlines() == [
            "The run did not reach its end:",
            "  01-02: failed: exit status 3",
            "  02-01: held",
            "  phase 1: c0: not there",
        ]

    def test_a_phase_that_nothing_judged_says_so(self) -> None:
        assert report(DONE, phases={"1": checks("phase 1")}).shortfalls == [
            "phase 1: No must_pass check was run, so nothing shows that this works."
        ]

    def test_a_run_that_was_stopped_without_a_reason_still_says_something(self) -> None:
        with pytest.raises(RunFailedError, match="1 of 1 plans complete"):
            report(DONE).raise_for_failure()

    def test_plans_are_found_by_their_id(self) -> None:
        assert report(DONE, FAILED).plan("01-02") is FAILED
        with pytest.raises(KeyError):
            report(DONE).plan("09-09")

    def test_all_checks_together_are_one_report(self) -> None:
        whole = report(DONE, FAILED, phases={"1": checks("phase 1", True)}).checks
        assert whole is not None
        assert (whole.total, whole.passed_count, whole.passed) == (5, 4, False)
        assert report(outcome("01-01")).checks is None


class TestPage:
    def test_as_text_each_plan_has_a_line_with_a_sign_and_a_reason(self) -> None:
        shown = report(
            DONE, FAILED, outcome("2", earlier=True), outcome("03-01"), phases={"1": checks("phase 1", False)}
        )
        assert str(shown).splitlines() == [
            "✕ run failed: 3 of 4 plans complete",
            "  01-01  ✓ complete",
            "  01-02  ✕ failed: exit status 3",
            "  2      ✓ complete (before)",
            "  03-01  ✓ complete (not verified)",
            "  phase 1: c0: not there",
        ]

    def test_html_shows_text_as_text_and_what_is_not_done_first(self) -> None:
        page = report(DONE, outcome("<b>", "failed", title="a & b", reason="<script>alert(1)</script>"))._repr_html_()
        assert "<script>" not in page
        assert "<b><" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "a &amp; b" in page
        assert page.index("&lt;b&gt;") < page.index("01-01")

    def test_it_comes_back_from_the_wire_as_it_went(self) -> None:
        made = report(DONE, FAILED, phases={"1": checks("phase 1", True)}, started_at=NOON)
        assert RunReport.model_validate(made.to_wire()) == made
        assert made.to_wire()["plans"][0]["planId"] == "01-01"

    def test_a_duration_needs_both_ends(self) -> None:
        assert DONE.duration == 90.0
        assert outcome("x", started_at=NOON).duration is None
