"""Results and reports: the verdict, the tables, the combination."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from harness_nb.errors import VerificationFailedError
from harness_nb.protocol.report import CheckResult, Report

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

pytestmark = pytest.mark.row(5)


def result(name: str, passed: bool = True, **more: Any) -> CheckResult:
    fields: dict[str, Any] = {"spec_id": name, "type": "file_exists", "passed": passed, "timestamp": NOON}
    if not passed:
        fields["error"] = f"{name} is not there."
    return CheckResult(**{**fields, **more})


def report(*results: CheckResult, target: str = "01-01", **more: Any) -> Report:
    return Report.of(target, results, started_at=NOON, completed_at=NOON + timedelta(seconds=2), **more)


def test_required_checks_alone_decide() -> None:
    assert report(result("a"), result("b", False, required=False)).passed
    assert not report(result("a"), result("b", False)).passed


def test_nothing_required_is_never_a_pass() -> None:
    for empty in (report(), report(result("a", required=False))):
        assert not empty.passed
        assert "nothing shows that this works" in str(empty)
        with pytest.raises(VerificationFailedError, match="No must_pass check was run"):
            empty.raise_for_failure()


def test_a_skipped_required_check_is_never_a_pass() -> None:
    skipped = report(result("a"), result("b", False, skipped=True))
    assert (skipped.passed, skipped.passed_count, skipped.failed_count, skipped.skipped_count) == (False, 1, 0, 1)
    with pytest.raises(ValidationError):
        result("a", skipped=True)


def test_the_wire_has_the_fields_of_the_protocol() -> None:
    made = report(result("a", duration=12.5, output="x", notes="n"), result("b", False))
    wire = made.to_wire()
    assert {key: wire[key] for key in ("target", "passed", "total", "passedCount", "failedCount", "skippedCount")} == {
        "target": "01-01", "passed": False, "total": 2, "passedCount": 1, "failedCount": 1, "skippedCount": 0,
    }  # fmt: skip
    assert (wire["startedAt"], wire["completedAt"], wire["durationMs"]) == (
        "2026-01-02T12:00:00.000Z", "2026-01-02T12:00:02.000Z", 2000.0,
    )  # fmt: skip
    assert wire["results"][0] == {
        "specId": "a", "type": "file_exists", "passed": True, "output": "x", "duration": 12.5, "notes": "n",
        "timestamp": "2026-01-02T12:00:00.000Z", "verifiedBy": "auto", "required": True, "skipped": False,
    }  # fmt: skip
    assert Report.model_validate(wire) == made


def test_raise_for_failure_names_each_failed_check_and_why() -> None:
    made = report(result("a"), result("b", False), result("c", False), result("d", False, required=False))
    with pytest.raises(VerificationFailedError) as caught:
        made.raise_for_failure()
    assert str(caught.value).splitlines() == [
        "The verification of 01-01 did not pass:",
        "  b: b is not there.",
        "  c: c is not there.",
    ]
    good = report(result("a"))
    assert good.raise_for_failure() is good


def test_why_it_did_not_pass_is_one_line_and_nothing_where_it_did() -> None:
    noted = result("c", False, error=None, notes="too slow")
    made = report(result("a"), result("b", False), noted, result("d", False, required=False))
    assert made.failed_because == "b: b is not there.; c: too slow"
    assert "No must_pass check was run" in report().failed_because
    assert report(result("a")).failed_because == ""


class TestFrame:
    def test_one_row_a_check_with_types_that_can_be_computed_with(self) -> None:
        frame = report(result("a", duration=1500.5), result("b", False, required=False)).to_frame()
        assert frame.index.name == "check"
        assert list(frame.index) == ["a", "b"]
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
            "state": "category", "type": "string", "required": "bool", "passed": "bool", "skipped": "bool",
            "duration": "timedelta64[us]", "verified_by": "string", "error": "string", "output": "string",
            "notes": "string", "description": "string", "target": "string", "timestamp": "datetime64[us, UTC]",
        }  # fmt: skip
        assert frame.loc["a", "duration"] == timedelta(milliseconds=1500.5)
        assert frame["error"].isna().tolist() == [True, False]
        assert frame.loc[~frame["passed"], "error"].tolist() == ["b is not there."]

    def test_an_empty_report_has_the_same_columns_and_types(self) -> None:
        pd.testing.assert_series_equal(report().to_frame().dtypes, report(result("a")).to_frame().dtypes)


class TestTables:
    def test_failures_come_first_and_nothing_depends_on_time(self) -> None:
        first = report(result("a", duration=1.0), result("b", False, required=False), result("c", False))
        later = Report.of(
            "01-01",
            [one.model_copy(update={"duration": 9.0, "timestamp": NOON + timedelta(hours=3)}) for one in first.results],
            started_at=NOON + timedelta(hours=3),
            completed_at=NOON + timedelta(hours=4),
        )
        assert str(first).splitlines() == [
            "01-01: NOT PASSED (1 of 3 passed, 2 failed)",
            "  failed  must    c  file_exists  c is not there.",
            "  failed  should  b  file_exists  b is not there.",
            "  passed  must    a  file_exists",
        ]
        assert str(first) == str(later)
        assert first._repr_html_() == later._repr_html_()

    def test_html_shows_text_as_text(self) -> None:
        page = report(result("<b>", False, error="<script>", output="a & b", description="x < y"))._repr_html_()
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert ">a &amp; b</pre>" in page


class TestCombine:
    def test_it_passes_when_all_passed_and_keeps_where_each_result_is_from(self) -> None:
        parts = [report(result("a"), target="01-01"), report(result("a"), target="01-02")]
        whole = Report.combine("phase 1", parts)
        assert whole.passed
        assert whole.to_frame()["target"].tolist() == ["01-01", "01-02"]
        assert "01-02/a" in str(whole)

    def test_one_that_did_not_pass_decides_even_where_no_check_says_why(self) -> None:
        whole = Report.combine("phase 1", [report(result("a"), target="01-01"), report(target="01-02")])
        assert not whole.passed
        with pytest.raises(VerificationFailedError, match="01-02: No must_pass check was run"):
            whole.raise_for_failure()

    def test_of_nothing_it_does_not_pass(self) -> None:
        assert not Report.combine("phase 1", [], at=NOON).passed
        with pytest.raises(ValueError, match="at least one report"):
            Report.combine("phase 1", [])
