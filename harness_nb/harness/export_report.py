"""The page that goes along with an export, for people who have a browser and nothing else: pictures and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb import templates
from harness_nb.harness.state import read_state
from harness_nb.protocol.frame import frame_page
from harness_nb.protocol.outcome import PlanOutcome, RunReport
from harness_nb.sessions import Quiet
from harness_nb.views.frames import message_frame, session_frame
from harness_nb.views.gantt_chart import gantt_plot
from harness_nb.views.graph import graph_plot
from harness_nb.views.snapshot import plan_lines

if TYPE_CHECKING:
    from datetime import datetime

    from harness_nb.plans import Project
    from harness_nb.protocol.records import RunRecord, SessionRecord
    from harness_nb.store import Store

SHOWN_OF_SESSIONS = ["state", "plan_id", "worker", "reason", "duration"]
SHOWN_OF_MESSAGES = ["session_id", "type", "text", "actor", "door", "timestamp"]
MOST_TOLD = 200
"""Sessions whose questions and answers the report shows, the last ones; the journal has all."""


def report_page(
    store: Store, run: RunRecord | None, project: Project, sessions: list[SessionRecord], at: datetime
) -> tuple[str, str, str]:
    """Return the title, a sentence on when this was written, and the whole page as HTML."""
    title = f"{store.layout.root.name}: {run.id if run else 'the whole project'}"
    going = run is not None and run.ended_at is None
    note = f"Written by harness_nb on {at:%Y-%m-%d at %H:%M} UTC{', while it was still running' if going else ''}."
    report = _report(store, run, project)
    talk = [
        one
        for session in sessions[-MOST_TOLD:]
        for one in store.messages.select(session.id)
        if _is_talk(one.type)
    ]  # fmt: skip
    page = templates.render(
        "export.html",
        title=title,
        note=note,
        report=report._repr_html_(),
        graph=graph_plot(project, plan_lines(store, report.plans))._repr_html_() if project.plans else "",
        gantt=gantt_plot(store, run, project, at)._repr_html_() if run and project.plans else "",
        sessions=frame_page(session_frame(sessions, Quiet(store))[SHOWN_OF_SESSIONS]),
        messages=frame_page(message_frame(talk)[SHOWN_OF_MESSAGES]),
    )
    return title, note, page


def _report(store: Store, run: RunRecord | None, project: Project) -> RunReport:
    """Return how the run ended; of one that goes on, and of a whole project, where each plan stands."""
    if run is not None and run.report is not None:
        return RunReport.model_validate(run.report)
    chosen = run.options.plans if run else None
    plans = [one for one in read_state(store, project).plans if chosen is None or one.id in chosen]
    state = run.state if run else "idle"
    return RunReport(
        run_id=run.id if run else "", state=state, passed=False, plans=tuple(PlanOutcome.of(one) for one in plans)
    )


def _is_talk(kind: str) -> bool:
    """Say whether a message asks or answers, and does not merely tell how far a worker is."""
    return kind not in ("task_started", "task_completed", "progress_update", "session_ready", "assign_task")
