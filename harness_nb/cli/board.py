"""The picture of a run in a terminal: headline, bar, counts, and a line per plan. Pure: a snapshot in, text out.

Each line is cut to the terminal's width and never wraps, and each column keeps its place, so that a change moves
nothing else. Where plans are more than lines, those that are done and those that wait longest are folded into one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Group as Lines
from rich.text import Text

from harness_nb.protocol.shown import clock
from harness_nb.views.snapshot import GROUPS, PlanLine

if TYPE_CHECKING:
    from harness_nb.views.snapshot import Group, Snapshot

STYLES: dict[Group, str] = {
    "asks": "bold yellow",
    "running": "cyan",
    "complete": "green",
    "waiting": "dim",
    "held": "dim",
    "failed": "bold red",
}
BAR: dict[Group, str] = {"complete": "━", "running": "╍", "asks": "?", "failed": "╳", "held": "┄", "waiting": "─"}
"""A stroke of its own for each outcome, in the order they are drawn."""

WIDEST = 110
WORD = len("verifying")
MOST_FOR_TITLE = 48


def board(shot: Snapshot, *, name: str, seconds: float, width: int, height: int) -> Lines:
    """Draw a run for a terminal of ``width`` columns and ``height`` rows; ``seconds`` is the time gone."""
    width = min(width, WIDEST) - 1
    head = [_headline(shot, name, seconds, width), _bar(shot, width), _counts(shot), Text()]
    lines = _fold(shot.lines, max(3, height - len(head) - 2))
    return Lines(*head, *_plans(lines, width))


def cut(text: str, width: int) -> str:
    """Cut a text to a width in cells, with an ellipsis where something is lost."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def _headline(shot: Snapshot, name: str, seconds: float, width: int) -> Text:
    total, time = len(shot.lines), clock(seconds)
    done = f"{shot.count('complete'):>{len(str(total))}} of {total} plans complete"
    room = width - cell_len(done) - cell_len(time) - 4
    line = Text(set_cell_size(cut(name, room), room), style="bold")
    return line.append(f"  {done}", style="not bold").append(f"  {time}", style="not bold dim")


def _bar(shot: Snapshot, width: int) -> Text:
    total = max(1, len(shot.lines))
    line, drawn, counted = Text(), 0, 0
    for group, stroke in BAR.items():
        counted += shot.count(group)
        end = round(width * counted / total)
        line.append(stroke * (end - drawn), style=STYLES[group])
        drawn = end
    return line


def _counts(shot: Snapshot) -> Text:
    digits = len(str(len(shot.lines)))
    line = Text()
    for group, sign in GROUPS.items():
        number = shot.count(group)
        if number or group in ("complete", "running", "waiting"):
            style = STYLES[group] if number else "dim"
            line.append(f"{sign} {number:>{digits}} {group}", style=style).append("   ")
    return line


def _fold(lines: tuple[PlanLine, ...], room: int) -> list[PlanLine]:
    """Keep what a person wants to see where not all fits: never a plan that asks, runs or failed."""
    if len(lines) <= room:
        return list(lines)
    done = [line for line in lines if line.group == "complete"]
    idle = [line for line in lines if line.group in ("waiting", "held")]
    spare = room - (len(lines) - len(done) - len(idle)) - 2
    shown = set(idle[: max(0, spare)])
    shown |= set(done[len(done) - max(0, spare - len(shown)) :]) if spare > len(shown) else set()
    kept = [line for line in lines if line.group not in ("complete", "waiting", "held") or line in shown]
    more_done, more_idle = len(done) - len(shown & set(done)), len(idle) - len(shown & set(idle))
    before = [PlanLine("", f"{more_done} more", "complete", "✓", "complete", "")] if more_done else []
    after = [PlanLine("", f"{more_idle} more", "waiting", "○", "waiting", "")] if more_idle else []
    return [*before, *kept, *after]


def _plans(lines: list[PlanLine], width: int) -> list[Text]:
    ids = max((cell_len(line.id) for line in lines), default=0)
    titles = min(max((cell_len(line.title) for line in lines), default=0), MOST_FOR_TITLE, max(10, width * 2 // 5))
    return [_plan(line, ids, titles, width) for line in lines]


def _plan(line: PlanLine, ids: int, titles: int, width: int) -> Text:
    style = STYLES[line.group]
    text = Text(f"{line.sign} ", style=style)
    text.append(set_cell_size(line.id, ids), style="" if line.group != "waiting" else "dim")
    text.append("  " + set_cell_size(cut(line.title, titles), titles), style="" if line.group != "waiting" else "dim")
    text.append("  " + set_cell_size(line.word, WORD), style=style)
    room = width - cell_len(text.plain) - 2
    detail_style = "red" if line.group == "failed" else "yellow" if line.group == "asks" else "dim"
    detail = line.detail.removeprefix("waits ") if line.group == "held" else line.detail
    return text.append("  " + cut(detail, room), style=detail_style) if room > 0 else text
