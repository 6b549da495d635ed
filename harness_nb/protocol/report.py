"""What checks found: one result a check, and the report that adds them up.

Beside the fields that every program writes, a result says whether it was ``required`` and whether it was
``skipped``, and a report may give a ``reason`` when it did not pass although no check says why. The tables
shown for a report leave out times, so that a saved notebook compares equal from run to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from harness_nb.errors import VerificationFailedError
from harness_nb.protocol import frame
from harness_nb.protocol.base import Timestamp, VerifiedBy, WireModel
from harness_nb.protocol.report_page import report_page
from harness_nb.protocol.shown import print_whole, short_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import pandas as pd

NOTHING_REQUIRED = "No must_pass check was run, so nothing shows that this works"


class CheckResult(WireModel):
    """What one check found; ``duration`` is in milliseconds. A skipped check has not passed."""

    spec_id: str
    type: str
    passed: bool
    error: str | None = None
    output: str | None = None
    duration: float = 0.0
    timestamp: Timestamp
    verified_by: VerifiedBy = "auto"
    notes: str | None = None
    description: str | None = None
    required: bool = True
    skipped: bool = False
    target: str | None = None

    @model_validator(mode="after")
    def _skipped_is_no_pass(self) -> Self:
        if self.skipped and self.passed:
            raise ValueError("a skipped check cannot have passed")
        return self

    @property
    def state(self) -> str:
        """One of ``passed``, ``failed`` and ``skipped``."""
        if self.skipped:
            return "skipped"
        return "passed" if self.passed else "failed"

    @property
    def need(self) -> str:
        """``must`` where the check decides, else ``should``."""
        return "must" if self.required else "should"

    @property
    def name(self) -> str:
        """The check's id, behind its own target where it has one."""
        return f"{self.target}/{self.spec_id}" if self.target else self.spec_id

    @property
    def why(self) -> str:
        """Why it did not pass, or the notes of one that did."""
        if self.passed:
            return self.notes or ""
        return self.error or self.notes or "no reason was given"

    def __repr__(self) -> str:
        why = f": {short_line(self.why)}" if self.why else ""
        return f"<check {self.name}: {self.state}{why}>"

    def __str__(self) -> str:
        return repr(self)[1:-1]


class Report(WireModel):
    """All results for one target; ``passed`` is decided by the required checks alone."""

    target: str
    passed: bool
    total: int
    passed_count: int
    failed_count: int
    skipped_count: int
    results: tuple[CheckResult, ...]
    started_at: Timestamp
    completed_at: Timestamp
    duration_ms: float
    reason: str | None = None

    @classmethod
    def of(
        cls,
        target: str,
        results: Iterable[CheckResult],
        *,
        started_at: datetime,
        completed_at: datetime,
        duration_ms: float | None = None,
        reason: str | None = None,
    ) -> Self:
        """Add up results. Without any required check a report does not pass, nor where one was skipped."""
        found = tuple(results)
        required = [result for result in found if result.required]
        if duration_ms is None:
            duration_ms = max(0.0, (completed_at - started_at).total_seconds() * 1000)
        return cls(
            target=target,
            passed=bool(required) and all(result.passed for result in required),
            total=len(found),
            passed_count=sum(result.state == "passed" for result in found),
            failed_count=sum(result.state == "failed" for result in found),
            skipped_count=sum(result.state == "skipped" for result in found),
            results=found,
            started_at=started_at,
            completed_at=completed_at,
            duration_ms=duration_ms,
            reason=reason or (None if required else f"{NOTHING_REQUIRED}."),
        )

    @classmethod
    def combine(cls, target: str, reports: Sequence[Report], *, at: datetime | None = None) -> Self:
        """Add up reports, for example those of a phase's plans; it passes when there are some and all passed.

        Each result keeps the target of its own report. ``at`` is the time of a combination of no reports.

        Raises:
            ValueError: there is no report and no ``at``.

        """
        moments = [moment for report in reports for moment in (report.started_at, report.completed_at)]
        moments += [at] if at and not moments else []
        if not moments:
            raise ValueError("Report.combine needs at least one report, or at= for the time of an empty one.")
        results = [
            result.model_copy(update={"target": result.target or report.target})
            for report in reports
            for result in report.results
        ]
        reasons = "; ".join(f"{report.target}: {report.reason}" for report in reports if report.reason)
        whole = cls.of(target, results, started_at=min(moments), completed_at=max(moments), reason=reasons or None)
        passed = bool(reports) and all(report.passed for report in reports)
        return whole.model_copy(update={"passed": passed})

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The required checks that did not pass, in their order."""
        return tuple(result for result in self.results if result.required and not result.passed)

    def raise_for_failure(self) -> Self:
        """Return this report if it passed.

        Raises:
            VerificationFailedError: it did not; the message names each required check that failed, and why.

        """
        if not self.passed:
            failures = [(result.name, result.why) for result in self.failures]
            raise VerificationFailedError(self.target, failures, self.reason)
        return self

    def to_frame(self) -> pd.DataFrame:
        """Return one row a check, in the manifest's order, with the check's id as index; it is styled when displayed.

        Columns: ``state`` (category: passed, failed, skipped), ``type``, ``required``, ``passed``, ``skipped``,
        ``duration`` (timedelta, microseconds), ``verified_by``, ``error``, ``output``, ``notes``, ``description``,
        ``target``, ``timestamp`` (UTC). Texts have the dtype ``string`` and are missing (``NA``) where there is none.
        """
        rows = self.results
        columns = {
            "state": frame.words((row.state for row in rows), ("passed", "failed", "skipped")),
            "type": frame.texts(row.type for row in rows),
            "required": frame.flags(row.required for row in rows).astype("bool"),
            "passed": frame.flags(row.passed for row in rows).astype("bool"),
            "skipped": frame.flags(row.skipped for row in rows).astype("bool"),
            "duration": frame.spans(row.duration / 1000 for row in rows),
            "verified_by": frame.texts(row.verified_by for row in rows),
            "error": frame.texts(row.error for row in rows),
            "output": frame.texts(row.output for row in rows),
            "notes": frame.texts(row.notes for row in rows),
            "description": frame.texts(row.description for row in rows),
            "target": frame.texts(row.target or self.target for row in rows),
            "timestamp": frame.moments(row.timestamp for row in rows),
        }
        return frame.styled(columns, (row.spec_id for row in rows), "check")

    def __str__(self) -> str:
        rows = [(result.state, result.need, result.name, result.type, result.why) for result in self._sorted]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
        lines = [self.headline]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
            lines.append("  ".join(["", *cells, row[4].replace("\n", " ")]).rstrip())
        return "\n".join(lines)

    @property
    def headline(self) -> str:
        """One line: the verdict and the counts."""
        verdict = "passed" if self.passed else "NOT PASSED"
        reason = f" – {self.reason}" if self.reason else ""
        return f"{self.target}: {verdict} ({self.counts}){reason}"

    @property
    def counts(self) -> str:
        """How many checks passed, failed and were skipped."""
        skipped = f", {self.skipped_count} skipped" if self.skipped_count else ""
        return f"{self.passed_count} of {self.total} passed, {self.failed_count} failed{skipped}"

    @property
    def failed_because(self) -> str:
        """One line: each required check that did not pass and why, or why there was nothing to pass; else empty."""
        return "; ".join(f"{result.spec_id}: {result.why}" for result in self.failures) or self.reason or ""

    @property
    def _sorted(self) -> list[CheckResult]:
        """Failures first, required before not required, else in the manifest's order."""
        order = {"failed": 0, "skipped": 1, "passed": 2}
        return sorted(self.results, key=lambda result: (order[result.state], not result.required))

    def _repr_html_(self) -> str:
        return report_page(self)

    def __repr__(self) -> str:
        return f"<report of {self.headline}>"

    _repr_pretty_ = print_whole
