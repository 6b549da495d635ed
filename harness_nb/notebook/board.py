"""The board: a whole run, or a project that somebody else runs, on one screen."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

from harness_nb import templates
from harness_nb.errors import SessionNotFoundError
from harness_nb.notebook.output import plain_lines
from harness_nb.notebook.pictures import (
    SETTLED_SHOWN,
    Frame,
    Picture,
    asked_of,
    cards,
    question_lines,
    settled_lines,
    shown_state,
    silence_of,
    task_of,
    times_of,
    trouble_cards,
)
from harness_nb.notebook.project_report import ProjectReport
from harness_nb.notebook.untrusted import UntrustedCard
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.shown import clock, one_line
from harness_nb.sessions import Quiet
from harness_nb.views.graph import layout, render_frame, render_graph, render_nodes, states_of
from harness_nb.views.questions import name_of, named_asker_of
from harness_nb.views.snapshot import GROUPS, LOSSES, Observer, news_text
from harness_nb.views.troubles import troubles_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness_nb.harness import AsyncHarness, AsyncRun
    from harness_nb.notebook.cards import Asked
    from harness_nb.notebook.pictures import Fragments
    from harness_nb.protocol.outcome import RunReport
    from harness_nb.protocol.records import EventRecord, SessionRecord
    from harness_nb.sessions.changes import Changes
    from harness_nb.store import Store
    from harness_nb.views.snapshot import Group, Snapshot

ROWS = 12
"""Sessions that the table shows at most; those that live or failed are among them."""
BAR: tuple[Group, ...] = ("complete", "running", "asks", "failed")
STATE_WORDS = {
    "running": ("running", "●", "running"),
    "passed": ("complete", "✓", "passed"),
    "failed": ("failed", "✕", "failed"),
    "stopped": ("failed", "✕", "stopped"),
    "idle": ("waiting", "○", "not running"),
}
OWN_NEWS = ("retry", "policy_failed", "commit_failed", "notify_failed", "file_rejected")


class BoardScene:
    """A run of this process, or what documents and journal say of the project.

    Once a run has ended it is told without what others ask, unless it stands for the ``whole`` project.
    """

    endless = False

    def __init__(self, harness: AsyncHarness, run: AsyncRun | ProjectReport, *, whole: bool = False) -> None:
        self.harness = harness
        self._store = store = harness.store
        self._run = run
        self._whole = whole or isinstance(run, ProjectReport)
        self._run_id = None if isinstance(run, ProjectReport) else run.id
        self._layout, self._drawn = layout(run.project), run.project.plans
        self._observer = Observer(store, run, harness.answering.prospect_of)
        self._quiet = Quiet(store)
        self._untrusted = UntrustedCard(store, harness.desk.broker.redact)
        self._looking = threading.Lock()
        self._news: list[EventRecord] = []
        self._titles: dict[str, str] = {}
        self._last_lines: dict[str, tuple[int, str]] = {}
        self.frame = Frame(f"The board of {store.layout.root.name}", board=True)

    def changes(self) -> tuple[Changes, ...]:
        """Return what tells of every step of the run, where this process does it."""
        return () if isinstance(self._run, ProjectReport) else (self._run.changes,)

    async def stop(self) -> object:
        """Stop the run."""
        return None if isinstance(self._run, ProjectReport) else await self._run.stop()

    def session_of(self, plan_id: str) -> str | None:
        """Return the session that is the attempt at a plan here, or None."""
        attempts = [one for one in self._store.sessions.select(plan_id=plan_id) if one.worker != "python"]
        if not isinstance(self._run, ProjectReport):
            report = self._run.report
            outcome = next((one for one in report.plans if one.plan_id == plan_id), None)
            if outcome is None or not outcome.earlier:
                return outcome.session_id if outcome else None
            began = report.started_at
            attempts = [one for one in attempts if began is None or one.created_at < began]
        return attempts[-1].id if attempts else None

    def look(self, *, live: bool, reachable: bool = True) -> Picture:
        """Return how everything is now; several threads may look at once."""
        with self._looking:
            return self._picture(live=live, reachable=reachable)

    def _shot(self) -> Snapshot:
        """Return how everything is, and keep the news; what has ended is told without the questions of others."""
        shot = self._observer.look()
        self._news = [*self._news, *shot.news][-50:]
        self._titles = {line.id: line.title for line in shot.lines}
        if not _has_ended(shot.report):
            return shot
        return replace(shot, questions=tuple(one for one in shot.questions if self._is_own(one.session_id)))

    def _is_own(self, session_id: str) -> bool:
        return self._whole or isinstance(self._run, ProjectReport) or self._run.carries(session_id)

    def _picture(self, *, live: bool, reachable: bool) -> Picture:
        shot = self._shot()
        sessions = self._sessions(shot.report)
        ended = _has_ended(shot.report)
        still = ended or (shot.report.state == "idle" and not any(one.live for one in sessions))
        still = still and not (self._whole and shot.questions)
        asked = asked_of(self.harness, shot.questions, self._titles)
        lists: dict[str, Fragments] = {
            "head": [("head", self._head(shot, live=live, ended=ended))],
            "cards": cards(asked, self._store.layout.root, live=live, reachable=reachable),
            "answered": self._settled(own=ended, in_order=live),
            "sessions": self._rows(sessions, live=live) if live or not ended else [],
            "report": [("report", shot.report._repr_html_())] if ended else self._last_report(shot, live=live),
        }
        troubles = self._troubles()
        lists["head"] += trouble_cards(troubles) + self._untrusted.look(shot.report.plans, self._run.project.plans)
        if live and self._whole and not sessions and not ended and not shot.count("complete"):
            lists["head"].append(("empty", self._empty(shot)))
        output = _most_interesting(sessions) if live or not ended else None
        drawn = self._draw(shot, lists, live=live) if shot.lines else ""
        again = min((one for one in self._moments(sessions) if one is not None), default=None)
        return Picture(lists, still, self._text(shot, asked, troubles), output=output, graph=drawn, again=again)

    def _moments(self, sessions: Sequence[SessionRecord]) -> Iterator[float | None]:
        """Return in how many seconds something may be different though nothing happens."""
        yield self._run.again if isinstance(self._run, ProjectReport) else None
        yield self._quiet.look_again_in(sessions)

    def _last_report(self, shot: Snapshot, *, live: bool) -> Fragments:
        """Return how the newest run of other processes ended, until another begins."""
        last = self._run.last if isinstance(self._run, ProjectReport) else None
        return [("report", last._repr_html_())] if live and last and shot.report.state == "idle" else []

    def _empty(self, shot: Snapshot) -> str:
        """Return what to do where nothing has happened yet."""
        root = quote(str(self._store.layout.root))
        commands = {"run": f"harness-nb run {root}", "init": f"harness-nb init {root}"}
        return templates.render("empty.html", plans=bool(shot.lines), **commands)

    def _draw(self, shot: Snapshot, lists: dict[str, Fragments], *, live: bool) -> str:
        """Add the plan graph to the lists: for a page each plan by itself, else return it as a whole."""
        if self._run.project.plans != self._drawn:  # documents are edited while a page is open
            self._layout, self._drawn = layout(self._run.project), self._run.project.plans
        self._layout = self._layout.at([line.id for line in shot.lines if line.group == "complete"])
        states = states_of(shot.lines)
        lists["graph"] = [("frame", render_frame(self._layout) if live else "")]
        if not live:
            return render_graph(self._layout, states, buttons=False)
        lists["nodes"] = list(render_nodes(self._layout, states).items())
        return ""

    def first_line(self) -> str:
        """Return the run in one line of text."""
        with self._looking:
            return _line(self._store, self._shot())

    def _troubles(self) -> tuple[str, ...]:
        """Return what is wrong, beside the news of this board."""
        kinds = [kind for kind in LOSSES if kind not in OWN_NEWS]
        own = None if self._whole else lambda session: self._is_own(session.id)
        return troubles_of(self._store, mine=own, losses=kinds)

    def _text(self, shot: Snapshot, asked: Sequence[Asked], troubles: Sequence[str]) -> str:
        head, *plans = str(shot.report).split("\n")
        lines = [f"  {line}" for line in question_lines(asked, self._store.layout.root)]
        return "\n".join(
            [head if self._run_id else _line(self._store, shot), *plans, *(f"! {line}" for line in troubles), *lines]
        )

    def _head(self, shot: Snapshot, *, live: bool, ended: bool) -> str:
        report, total = shot.report, max(1, len(shot.lines))
        group, sign, word = STATE_WORDS.get(report.state, STATE_WORDS["idle"])
        counts = {name: shot.count(name) for name in GROUPS}
        running = sum(line.group in ("running", "asks") for line in shot.lines)
        began, end = report.started_at, report.completed_at
        return templates.render(
            "head.html",
            name=self._store.layout.root.name,
            group=group,
            sign=sign,
            word=word,
            facts=_done(shot) if shot.lines else "",
            bar=[(name, round(100 * counts[name] / total, 2)) for name in BAR if counts[name]] if shot.lines else [],
            bar_words=", ".join(f"{number} {name}" for name, number in counts.items() if number),
            since=format_timestamp(began) if live and began and not ended else None,
            took=clock((end - began).total_seconds()) if live and began and end else "",
            interrupt=None,
            stop=f"Stop {running} running?" if live and self._run_id and not ended else None,
        )

    def _sessions(self, report: RunReport) -> list[SessionRecord]:
        """Return the newest attempt at each plan, also those that began elsewhere, and what runs without a plan."""
        chosen = {one.plan_id for one in report.plans}
        sessions = self._store.sessions
        began = sessions.select(run_id=self._run_id) if self._run_id else sessions.newest(ROWS)
        adopted = {one.session_id for one in report.plans if one.session_id} - {one.id for one in began}
        found: dict[str, SessionRecord] = {}
        for one in [*self._begun(adopted), *began]:
            if one.worker != "python" and (one.plan_id is None or one.plan_id in chosen):
                found[one.plan_id or one.id] = one
        return list(found.values())

    def _begun(self, session_ids: set[str]) -> Iterator[SessionRecord]:
        for one in sorted(session_ids):
            with suppress(SessionNotFoundError):  # decided upon, and not in the journal yet
                yield self._store.sessions.get(one)

    def _rows(self, sessions: Sequence[SessionRecord], *, live: bool) -> Fragments:
        room = ROWS - sum(one.live or one.state == "failed" for one in sessions)
        done = [one.id for one in sessions if not one.live and one.state != "failed"]
        left_out = set(done[: max(0, len(done) - max(0, room))])
        shown = [one for one in sessions if one.id not in left_out]
        return [(one.id, self._row(one, live=live)) for one in shown]

    def _row(self, one: SessionRecord, *, live: bool) -> str:
        group, sign, word = shown_state(one, self._quiet)
        since, took = times_of(one) if live else (None, "")
        tells_why = one.state == "failed" or one.died
        return templates.render(
            "session_row.html",
            id=one.id,
            group=group,
            sign=sign,
            word=word,
            hint=silence_of(one, self._quiet),
            plan=name_of(one),
            title=self._titles.get(one.plan_id or "", ""),
            worker=one.worker,
            task=task_of(one),
            last=one_line(one.reason or "") if tells_why or not live else self._last_line(one),
            since=since,
            took=took,
            live=live,
        )

    def _last_line(self, one: SessionRecord) -> str:
        path = self._store.layout.session(one.id).output
        size = path.stat().st_size if path.exists() else 0
        if self._last_lines.get(one.id, (-1, ""))[0] != size:
            self._last_lines[one.id] = size, one_line(" ".join(plain_lines(path, 1)))
        return self._last_lines[one.id][1]

    def _settled(self, *, own: bool, in_order: bool) -> Fragments:
        """Return what was answered last, and what else a person wants to be told, as lines; ``own`` leaves out others.

        What is saved is sorted: who answers first of two that ask at once is another each time.
        """
        found = []
        for event in self._news[-SETTLED_SHOWN * 4 :]:
            if event.session_id is not None:
                mine = self._is_own(event.session_id)
            else:
                mine = self._whole or event.run_id in (None, self._run_id)
            if event.kind == "answered" and (mine or not own):
                question = self._store.messages.find(str(event.data.get("question")), event.session_id)
                found += settled_lines(self._store, [question]) if question is not None else []
            elif event.kind in OWN_NEWS and mine:
                found.append((f"news-{event.seq}", templates.render("news.html", text=self._told(event))))
        return found[-SETTLED_SHOWN:] if in_order else sorted(found, key=lambda one: one[1])

    def _told(self, event: EventRecord) -> str:
        """Return news as one line."""
        if event.session_id is None:
            return one_line(news_text(event, ""))
        session = self._store.sessions.get(event.session_id)
        question = self._store.messages.find(str(event.data.get("question")), event.session_id)
        name = name_of(session)
        return one_line(news_text(event, named_asker_of(question, session) if question else name, worker=name))


class ControlRoom:
    """A whole project: its newest run in this process, else what documents and journal say; followed for good."""

    endless = True

    def __init__(self, harness: AsyncHarness) -> None:
        self.harness = harness
        self._run: AsyncRun | None = None
        self._changing = threading.Lock()
        self._board = self._newest()
        self.frame = self._board.frame

    def _newest(self) -> BoardScene:
        self._run = self.harness.current_run
        return BoardScene(self.harness, self._run or ProjectReport(self.harness.store), whole=True)

    def look(self, *, live: bool, reachable: bool = True) -> Picture:
        """Return how everything is now; several threads may look at once."""
        with self._changing:
            if self.harness.current_run is not self._run:
                self._board = self._newest()
            board = self._board
        return board.look(live=live, reachable=reachable)

    def session_of(self, plan_id: str) -> str | None:
        """Return the session that is the newest run's attempt at a plan, or None."""
        return self._board.session_of(plan_id)

    def first_line(self) -> str:
        """Return the project in one line of text."""
        return self._board.first_line()

    def changes(self) -> tuple[Changes, ...]:
        """Return what tells of every step of the newest run."""
        return self._board.changes()

    async def stop(self) -> object:
        """Stop the newest run."""
        return await self._board.stop()


def _has_ended(report: RunReport) -> bool:
    return report.state not in ("running", "idle")


def _line(store: Store, shot: Snapshot) -> str:
    counts = ", ".join(f"{shot.count(group)} {group}" for group in GROUPS if shot.count(group))
    _, sign, word = STATE_WORDS.get(shot.report.state, STATE_WORDS["idle"])
    waits = f" · {len(shot.questions)} wait for you" if shot.questions else ""
    return f"{store.layout.root.name} {sign} {word} · {_done(shot)}{f' ({counts})' if counts else ''}{waits}"


def _done(shot: Snapshot) -> str:
    return f"{shot.count('complete')} of {len(shot.lines)} plans"


def _most_interesting(sessions: Sequence[SessionRecord]) -> str | None:
    """Return the session whose output is shown until somebody chooses: the one that runs longest, else the last."""
    living = [one for one in sessions if one.live]
    failed = [one for one in sessions if one.state == "failed"]
    return next((one.id for one in [*living, *failed[-1:], *sessions[-1:]]), None)
