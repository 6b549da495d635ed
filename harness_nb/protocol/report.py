"""What checks found: one result a check, and the report that adds them up.

Beside the fields that every program writes, a result says whether it was ``required`` and whether it was
``skipped``, and a report may give a ``reason`` when it did not pass although no check says why. The tables
shown for a report leave out times, so that a saved notebook compares equal from run to run.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from harness_nb.errors import VerificationFailedError
from harness_nb.protocol.base import Timestamp, VerifiedBy, WireModel

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
            duration_ms = (completed_at - started_at).total_seconds() * 1000
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
            failures = [(_name(result), _why(result)) for result in self.failures]
            raise VerificationFailedError(self.target, failures, self.reason)
        return self

    def to_frame(self) -> pd.DataFrame:
        """Return one row a check, in the manifest's order, with the check's id as index.

        Columns: ``type``, ``required``, ``passed``, ``skipped``, ``duration`` (timedelta, microseconds),
        ``verified_by``, ``error``, ``output``, ``notes``, ``description``, ``target``, ``timestamp`` (UTC).
        Texts have the dtype ``string`` and are missing (``NA``) where there is none.
        """
        import pandas as pd

        rows = self.results

        def texts(values: Iterable[str | None]) -> pd.Series:
            return pd.Series(list(values), index=index, dtype="string")

        def flags(values: Iterable[bool]) -> pd.Series:
            return pd.Series(list(values), index=index, dtype="bool")

        index = pd.Index([row.spec_id for row in rows], name="check", dtype="str" if rows else "object")
        durations = pd.to_timedelta([row.duration for row in rows], unit="ms").astype("timedelta64[us]")
        moments = pd.to_datetime([row.timestamp for row in rows], utc=True).astype("datetime64[us, UTC]")
        return pd.DataFrame(
            {
                "type": texts(row.type for row in rows),
                "required": flags(row.required for row in rows),
                "passed": flags(row.passed for row in rows),
                "skipped": flags(row.skipped for row in rows),
                "duration": pd.Series(durations, index=index),
                "verified_by": texts(row.verified_by for row in rows),
                "error": texts(row.error for row in rows),
                "output": texts(row.output for row in rows),
                "notes": texts(row.notes for row in rows),
                "description": texts(row.description for row in rows),
                "target": texts(row.target or self.target for row in rows),
                "timestamp": pd.Series(moments, index=index),
            },
            index=index,
        )

    def __str__(self) -> str:
        rows = [(result.state, _need(result), _name(result), result.type, _why(result)) for result in self._sorted]
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
        counts = f"{self.passed_count} of {self.total} passed, {self.failed_count} failed"
        skipped = f", {self.skipped_count} skipped" if self.skipped_count else ""
        reason = f" – {self.reason}" if self.reason else ""
        return f"{self.target}: {verdict} ({counts}{skipped}){reason}"

    @property
    def failed_because(self) -> str:
        """One line: each required check that did not pass and why, or why there was nothing to pass; else empty."""
        return "; ".join(f"{result.spec_id}: {_why(result)}" for result in self.failures) or self.reason or ""

    @property
    def _sorted(self) -> list[CheckResult]:
        """Failures first, required before not required, else in the manifest's order."""
        order = {"failed": 0, "skipped": 1, "passed": 2}
        return sorted(self.results, key=lambda result: (order[result.state], not result.required))

    def _repr_html_(self) -> str:
        body = "".join(_html_row(result) for result in self._sorted)
        head = "".join(f'<th style="text-align:left">{name}</th>' for name in ("", "check", "type", "need", "why"))
        colour = _COLOURS["passed" if self.passed else "failed"]
        return (
            f'<div class="harness-report"><p style="color:{colour}"><b>{html.escape(self.headline)}</b></p>'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )


_COLOURS = {
    "passed": "var(--jp-success-color1, #2e7d32)",
    "failed": "var(--jp-error-color1, #c62828)",
    "skipped": "var(--jp-ui-font-color2, #757575)",
}


def _need(result: CheckResult) -> str:
    return "must" if result.required else "should"


def _name(result: CheckResult) -> str:
    return f"{result.target}/{result.spec_id}" if result.target else result.spec_id


def _why(result: CheckResult) -> str:
    if result.passed:
        return result.notes or ""
    return result.error or result.notes or "no reason was given"


def _html_row(result: CheckResult) -> str:
    why, name = html.escape(_why(result)), html.escape(_name(result))
    if result.output and not result.passed:
        why += f"<details><summary>output</summary><pre>{html.escape(result.output)}</pre></details>"
    if result.description:
        name += f"<br><small>{html.escape(result.description)}</small>"
    state = f'<td style="color:{_COLOURS[result.state]};vertical-align:top"><b>{result.state}</b></td>'
    cells = "".join(
        f'<td style="text-align:left;vertical-align:top">{cell}</td>'
        for cell in (name, html.escape(result.type), _need(result), why)
    )
    return f"<tr>{state}{cells}</tr>"
