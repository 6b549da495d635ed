"""The times of a run as a picture and as a DataFrame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness_nb.protocol.outcome import SIGNS
from harness_nb.protocol.shown import clock, one_line
from harness_nb.templates import render
from harness_nb.views.gantt import KINDS, Kind, read_times
from harness_nb.views.lettering import cut, width_of
from harness_nb.views.picture import Plot

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import pandas as pd

    from harness_nb.plans.project import Project
    from harness_nb.protocol.records import RunRecord
    from harness_nb.store import Store
    from harness_nb.views.gantt import Row, RunTimes, Segment

TEXT, SMALL = 11.5, 10.5
WIDTH, NAMES, MARGIN = 968.0, 220.0, 8.0
"""The whole picture, the column of names at its left, and the room for a mark at its right, twice."""
TOP, PITCH, BAR = 26, 24, 14
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
TICKS = 10
WORDS: dict[Kind, str] = {
    "queued": "queued",
    "running": "running",
    "waiting": "waits for a person",
    "verifying": "verifying",
}


@dataclass(frozen=True)
class Bar:
    """A segment's place in the picture; ``hatch`` is the pattern over it, so that it is not told by colour alone."""

    kind: Kind
    x: float
    y: float
    width: float
    said: str
    hatch: str = ""


@dataclass(frozen=True)
class Mark:
    """How an attempt stood at its end."""

    x: float
    y: float
    sign: str
    group: str


class _Chart:
    def __init__(self, times: RunTimes) -> None:
        self.times = times
        self.seconds = max((times.end - times.start).total_seconds(), 0.001)
        self.room = WIDTH - NAMES - 3 * MARGIN
        self.height = TOP + PITCH * max(len(times.rows), 1) + 26

    def x(self, at: datetime) -> float:
        share = (at - self.times.start).total_seconds() / self.seconds
        return round(NAMES + self.room * min(max(share, 0.0), 1.0), 1)

    def names(self) -> list[tuple[str, str, str, float]]:
        """Each row's id, as much of its title as fits, the whole of it, and its place."""
        found = []
        for number, row in enumerate(self.times.rows):
            title = one_line(row.title)
            label = cut(title, NAMES - 2 * MARGIN - width_of(f"{row.plan} ", TEXT), TEXT)
            found.append((row.plan, label if title else "", title, TOP + number * PITCH + PITCH / 2 + 4))
        return found

    def ticks(self) -> list[tuple[float, str]]:
        step = next((one for one in STEPS if self.seconds / one <= TICKS), STEPS[-1] * -(-self.seconds // 864000))
        count = int(self.seconds / step)
        label = clock if step >= 1 else lambda at: f"{at:.1f} s"
        return [
            (round(NAMES + self.room * number * step / self.seconds, 1), label(number * step))
            for number in range(count + 1)
        ]

    def bars(self) -> list[Bar]:
        return [self._bar(segment, number) for number, row in enumerate(self.times.rows) for segment in row.segments]

    def _bar(self, segment: Segment, row: int) -> Bar:
        x, y = self.x(segment.start), TOP + row * PITCH + (PITCH - BAR) / 2
        width = max(round(self.x(segment.end) - x, 1), 1.5)
        return Bar(segment.kind, x, y, width, self._said(segment), _pattern(segment.kind, x, y, width))

    def _said(self, one: Segment) -> str:
        """Return the exact times: 01-02, try 1: running 0:02.150 – 0:07.300 (5.150 s), from 14:03:22.150 UTC."""
        start, end = one.start - self.times.start, one.end - self.times.start
        return (
            f"{one.plan}, try {one.attempt}: {WORDS[one.kind]} {_exact(start)} – {_exact(end)} "
            f"({(end - start).total_seconds():.3f} s), from {one.start:%H:%M:%S}.{one.start.microsecond // 1000:03} UTC"
        )

    def marks(self) -> list[Mark]:
        found = []
        for number, row in enumerate(self.times.rows):
            y = TOP + number * PITCH + PITCH / 2 + 4
            found += [Mark(self.x(at) + 3, y, sign, _group(sign)) for at, sign in row.marks]
        return found

    def legend(self) -> list[tuple[Bar, str, float]]:
        found, x, y = [], NAMES, self.height - 18
        for kind in KINDS:
            found.append((Bar(kind, x, y, 22, "", _pattern(kind, x, y, 22)), WORDS[kind], x + 28))
            x += 28 + width_of(WORDS[kind], SMALL) + 22
        return found


def _group(sign: str) -> str:
    return {SIGNS["complete"]: "complete", SIGNS["failed"]: "failed", "?": "asks"}.get(sign, "running")


def _pattern(kind: Kind, x: float, y: float, width: float) -> str:
    """Return slanted strokes or a dotted line as a path: a ``<pattern>`` would need an id, and ids meet on a page."""
    if kind == "waiting":
        strokes = range(2, int(width - BAR / 2), 6)
        return "".join(f"M{x + at:.1f},{y + BAR - 1:g}l{BAR / 2 - 1:g},-{BAR - 2}" for at in strokes)
    if kind == "verifying" and width > 6:
        return f"M{x + 2:.1f},{y + BAR / 2:g}h{width - 4:.1f}"
    return ""


def _exact(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{clock(seconds)}.{int(seconds * 1000) % 1000:03}"


def render_gantt(times: RunTimes, *, style: str = "") -> str:
    """Return the Gantt of a run as an ``<svg>``."""
    chart = _Chart(times)
    return render(
        "gantt.html", chart=chart, style=style, sentence=sentence_of(times), width=WIDTH, top=TOP, bar=BAR, left=MARGIN
    )


def sentence_of(times: RunTimes) -> str:
    """Return the Gantt in one line, without times."""
    tries = sum(row.attempts for row in times.rows)
    plans = len(times.rows)
    return f"gantt of a run: {plans} plan{'s' * (plans != 1)}, {tries} attempt{'s' * (tries != 1)}"


def gantt_plot(store: Store, run: RunRecord, project: Project | None, now: datetime) -> Plot:
    """Return the Gantt of a run; ``now`` is where it ends while it goes on."""
    times = read_times(store, run, project, now)
    return Plot(
        sentence=sentence_of(times),
        label="Gantt of the run",
        draw=lambda style: render_gantt(times, style=style),
        frame=lambda: gantt_frame(times.rows),
    )


def gantt_frame(rows: tuple[Row, ...]) -> pd.DataFrame:
    """Return one row per segment, by plan and time.

    Columns: ``plan``, ``title`` (strings), ``attempt`` (integer), ``session`` (string, empty before there is one),
    ``kind`` (categorical: queued, running, waiting, verifying), ``start``, ``end`` (UTC), ``duration`` (timedelta).
    """
    import pandas as pd

    found = [
        {
            "plan": one.plan,
            "title": row.title,
            "attempt": one.attempt,
            "session": one.session,
            "kind": one.kind,
            "start": one.start,
            "end": one.end,
        }
        for row in rows
        for one in sorted(row.segments, key=lambda one: (one.start, one.end))
    ]
    frame = pd.DataFrame(found, columns=["plan", "title", "attempt", "session", "kind", "start", "end"])
    frame = frame.astype(dict.fromkeys(("plan", "title", "session"), "str") | {"attempt": "int64"})
    frame["kind"] = pd.Categorical(frame["kind"], categories=list(KINDS))
    for name in ("start", "end"):
        frame[name] = pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
    frame["duration"] = frame["end"] - frame["start"]
    return frame
