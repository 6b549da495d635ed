"""What stays on the screen: a question as it is asked, and the report at the end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Group as Lines
from rich.padding import Padding
from rich.text import Text

from harness_nb.cli.board import STYLES, WIDEST, cut
from harness_nb.cli.questions import LEAVE, WAYS
from harness_nb.protocol.outcome import SIGNS
from harness_nb.protocol.shown import clock, one_line
from harness_nb.views.questions import ASKS, asker_of, details_of, kind_of, project_option, question_text
from harness_nb.views.snapshot import complete_notes

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from harness_nb.protocol.outcome import PlanOutcome, RunReport
    from harness_nb.protocol.records import MessageRecord

HEADINGS = ("", "plan", "title", "state", "checks", "time", "")
SIGN, TITLE, STATE, NUMBERS = 0, 2, 3, (4, 5)
GAP = 2


def question_sheet(
    question: MessageRecord, *, title: str = "", due: datetime | None = None, more: int = 0
) -> RenderableType:
    """Draw a question with all that is needed to answer it; ``more`` is how many wait behind it."""
    kind = kind_of(question)
    sign = "!" if question.payload.get("permission") else "?"
    head = Text(f"{sign} {asker_of(question)} {ASKS.get(kind, 'asks something')}", style=STYLES["asks"])
    now = datetime.now(UTC)
    facts = [f"session {question.session_id}", f"asked {clock((now - question.timestamp).total_seconds())} ago"]
    if due is not None:
        facts.append(f"a policy answers by itself in {clock(max(0.0, (due - now).total_seconds()))}")
    if more:
        facts.append(f"{more} more after this")
    lines: list[RenderableType] = [head]
    lines += [_inset(Text(fact, style="dim")) for fact in (one_line(title), " · ".join(facts)) if fact]
    lines.append(Text())
    lines.append(_inset(Text(one_line(question_text(question)), style="bold")))
    lines += [_inset(Text(one_line(paragraph))) for paragraph in details_of(question)]
    if kind == "decision":
        lines += [Text(), *_options(question)]
    lines += [Text(), _inset(Text(f"{WAYS.get(kind, WAYS['action'])} {LEAVE}", style="dim"))]
    return Lines(*lines)


def report_sheet(report: RunReport, *, root: Path, width: int, seconds: float | None = None) -> RenderableType:
    """Draw a run's report: headline, a row per plan with its reason below it, and each check of a phase that failed."""
    style = STYLES["complete" if report.passed else "failed"]
    head = Text(report.headline, style=f"bold {style}")
    if seconds is not None:
        head.append(f"  {clock(seconds)}", style="not bold dim")
    return Lines(head, Text(), *_rows(report, min(width, WIDEST) - 1), *_failures(report, root))


def _rows(report: RunReport, width: int) -> list[RenderableType]:
    rows = [_cells(one) for one in report.plans]
    widths = [max(cell_len(row[column]) for row in [HEADINGS, *rows]) for column in range(len(HEADINGS))]
    others = sum(widths) - widths[TITLE] + GAP * len([one for one in widths if one])
    widths[TITLE] = min(widths[TITLE], max(10, width - others))
    lines: list[RenderableType] = [_row(HEADINGS, widths, "dim", "dim")] if rows else []
    for one, row in zip(report.plans, rows, strict=True):
        style = STYLES["failed" if one.state in ("failed", "aborted") else "complete"]
        lines.append(_row(row, widths, style if one.state not in ("held", "waiting") else "dim", ""))
        if one.reason and one.state != "complete":
            lines.append(_inset(Text(one_line(one.reason), style=style if style == STYLES["failed"] else "dim"), 3))
    return lines


def _cells(one: PlanOutcome) -> tuple[str, ...]:
    notes = complete_notes(one)[bool(one.report) :] if one.state == "complete" else []
    checks = f"{one.report.passed_count}/{one.report.total}" if one.report else ""
    return (SIGNS[one.state], one.plan_id, one_line(one.title), one.state, checks, _span(one.duration),
            one_line(", ".join(notes)))  # fmt: skip


def _row(cells: tuple[str, ...], widths: list[int], state: str, style: str) -> Text:
    line = Text()
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        if width:
            text = set_cell_size(cut(cell, width), width) if column not in NUMBERS else f"{cell:>{width}}"
            line.append(text, style=state if column in (SIGN, STATE) else "dim" if column > STATE else style)
            line.append(" " * (GAP if column != SIGN else 1))
    line.rstrip()
    return line


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def _failures(report: RunReport, root: Path) -> list[RenderableType]:
    found = [
        (f"phase {number}" if number else "", failure.spec_id, failure.error)
        for number, checks in report.phases.items()
        for failure in checks.failures
    ]
    lines: list[RenderableType] = [
        Text(f"✕ {where}: {check}: {one_line(why or 'not passed')}", style="red") for where, check, why in found
    ]
    sessions = [one.session_id for one in report.plans if one.state == "failed" and one.session_id]
    if sessions:
        lines.append(Text(f"What it printed: harness-nb output {sessions[0]}{project_option(root)}", style="dim"))
    return [Text(), *lines] if lines else []


def _options(question: MessageRecord) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for number, one in enumerate(question.payload.get("options", []), 1):
        name = Text(f"{number}  ", style="bold cyan").append(str(one.get("name") or one["id"]), style="bold")
        if str(one["id"]).lower() != str(one.get("name", "")).lower():
            name.append(f"  {one['id']}", style="dim")
        if one.get("recommended"):
            name.append("  recommended", style="green")
        lines.append(_inset(name))
        for sign, words in (("", one.get("description")), ("+", one.get("pros")), ("−", one.get("cons"))):
            lines += [_inset(Text(f"{sign} {text}".strip()), 5) for text in _items(words)]
    return lines


def _items(words: object) -> list[str]:
    items = words if isinstance(words, list | tuple) else [words] if words else []
    return [one_line(str(item)) for item in items]


def _inset(text: Text, left: int = 2) -> Padding:
    return Padding(text, (0, 0, 0, left), expand=False)
