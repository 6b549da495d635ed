"""``harness-nb status`` and ``sync``: where a project stands, without taking the lead of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from harness_nb.cli.board import MOST_FOR_TITLE, STYLES, cut
from harness_nb.cli.opening import DOOR, opened
from harness_nb.cli.respond import question_lines
from harness_nb.cli.views import make_console
from harness_nb.harness import current_user
from harness_nb.harness.answering import prospect_by_others
from harness_nb.harness.state import read_state, sync_state
from harness_nb.protocol.outcome import SIGNS
from harness_nb.protocol.shown import clock, one_line
from harness_nb.sessions import Quiet, proof_of
from harness_nb.sessions.quiet import WORD
from harness_nb.store.trust import is_trusted
from harness_nb.views.questions import by_itself
from harness_nb.views.snapshot import QUIET, progress_of
from harness_nb.views.troubles import troubles_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.protocol.state import PhaseState, PlanInfo, ProjectState
    from harness_nb.store import Store


def show_status(folder: Path, *, as_json: bool) -> None:
    """Print a project's state, for people or as JSON.

    Raises: ProjectNotFoundError, NoPlansError.
    """
    with opened(folder) as store:
        state, questions = read_state(store), store.messages.pending()
        if as_json:
            content = {**state.to_wire(), "openQuestions": [one.to_wire() for one in questions]}
            print(json.dumps(content, indent=2, ensure_ascii=False))  # noqa: T201
            return
        console = make_console()
        for line in _lines(store, state, questions):
            _print(console, line)


def _print(console: Console, line: Text) -> None:
    """Print a line: whole where it is read by a program or copied, else by words and as far in as it begins."""
    if line.no_wrap or not console.is_terminal:
        console.print(line, soft_wrap=True)
        return
    inset = len(line.plain) - len(line.plain.lstrip(" "))
    console.print(Padding(line[inset:], (0, 0, 0, inset), expand=False))


def sync_project(folder: Path) -> None:
    """Read the documents again, write the dependency graph unless a run does that, and print the state in short."""
    with opened(folder) as store:
        state = sync_state(store, actor=current_user(), door=DOOR)
        print(state)  # noqa: T201
        for problem in state.problems:
            print(f"! {problem}")  # noqa: T201


def _lines(store: Store, state: ProjectState, questions: list[MessageRecord]) -> Iterator[Text]:
    done = f"{len(state.completed)} of {len(state.plans)} plans complete"
    yield Text(store.layout.root.name, style="bold").append(f"  {done}", style="not bold")
    yield Text(state.root, style="dim")
    yield from _lead(store, state)
    for question in questions:
        head, *commands = question_lines(question, store.layout.root)
        yield Text()
        yield Text(head, style=STYLES["asks"])
        yield from _by_itself(store, question)
        yield from (Text(command, no_wrap=True) for command in commands)
    sessions = {one.id: one for one in state.sessions}
    asked = {session.plan_id for question in questions if (session := sessions.get(question.session_id))}
    quiet = Quiet(store)
    silent = {one.id for one in state.sessions if quiet.since(one)}
    for phase in state.phases:
        yield from _phase(phase, state, sessions, asked, silent)
    yield from _other_sessions(state, silent)
    yield from _doubts(store, state)
    yield from (Text(f"! {line}", style=STYLES["asks"]) for line in troubles_of(store))
    if state.problems:
        yield Text()
        yield Text("In the documents", style="bold")
        yield from (Text(f"  ! {problem}", style="yellow") for problem in state.problems)


def _by_itself(store: Store, question: MessageRecord) -> Iterator[Text]:
    ahead = prospect_by_others(store, question)
    if ahead.policy is not None and ahead.at is not None and ahead.settles:
        left = max(0.0, (ahead.at - store.clock()).total_seconds())
        yield Text(f"    {by_itself(question, ahead.policy)} in {clock(left)}", style="dim")


def _lead(store: Store, state: ProjectState) -> Iterator[Text]:
    if state.holder is not None:
        note = state.holder
        yield Text(f"● run {state.run_id or ''} goes on in process {note.get('pid')} ({note.get('door')}, "
                   f"since {note.get('since')})", style=STYLES["running"])  # fmt: skip
    if not is_trusted(store.layout.root):
        yield Text("○ not trusted yet: its commands run after `harness-nb trust`", style="dim")


def _phase(
    phase: PhaseState,
    state: ProjectState,
    sessions: dict[str, SessionRecord],
    asked: set[str | None],
    silent: set[str],
) -> Iterator[Text]:
    note = ", verified" if phase.verified else ""
    count = f"{phase.completed_plans} of {len(phase.plans)} complete{note}" if phase.plans else "no plans yet"
    yield Text()
    head = Text(f"Phase {phase.number}  {one_line(phase.name)}", style="bold")
    yield head.append(f"  {count}", style="not bold dim")
    plans = [plan for plan in state.plans if plan.id in phase.plans]
    longest = max((len(one_line(plan.title)) for plan in state.plans), default=0)
    widths = [max((len(plan.id) for plan in state.plans), default=0), min(longest, MOST_FOR_TITLE)]
    for plan in plans:
        before = [name for name in plan.depends_on if name not in state.completed]
        yield _plan(plan, widths, sessions.get(plan.session_id or ""), before, asks=plan.id in asked,
                    quiet=plan.session_id in silent)  # fmt: skip
        if plan.reason and plan.state in ("failed", "held", "aborted"):
            yield Text(f"    {one_line(plan.reason)}", style="dim" if plan.state == "held" else STYLES["failed"])


def _plan(
    plan: PlanInfo, widths: list[int], session: SessionRecord | None, before: list[str], *, asks: bool, quiet: bool
) -> Text:
    groups = {"verifying": "running", "aborted": "failed"}
    style = STYLES["asks" if asks else groups.get(plan.state, plan.state)]  # type: ignore[index]
    sign, word = ("?", "asks") if asks else (SIGNS[plan.state], plan.state)
    if quiet and not asks and plan.state == "running":
        sign, word = QUIET
    detail = progress_of(session) if session else ""
    if session is not None and session.died and not asks:
        sign, word, detail = SIGNS["waiting"], "died", "will be resumed"
    if plan.state == "complete":
        detail = "" if plan.verified else "not verified"
    elif plan.state == "waiting":
        more = f" and {len(before) - 3} more" if len(before) > 3 else ""
        detail = f"for {', '.join(before[:3])}{more}" if before else "may start"
    line = Text(f"  {sign} ", style=style).append(f"{plan.id:<{widths[0]}}  ", style="default")
    line.append(f"{cut(one_line(plan.title), widths[1]):<{widths[1]}}  ", style="default")
    line.append(f"{word:<9}  " if detail else word, style=style)
    return line.append(one_line(detail), style="dim")


def _other_sessions(state: ProjectState, silent: set[str]) -> Iterator[Text]:
    others = [one for one in state.sessions if one.plan_id is None]
    if others:
        yield Text()
        yield Text("Other sessions", style="bold")
    for one in others:
        sign = SIGNS["waiting"] if one.died else "●"
        word = WORD if one.id in silent else one.word
        yield Text(f"  {sign} {one.id}  {word}  {one_line(' '.join(one.command))}", style=STYLES["running"])


def _doubts(store: Store, state: ProjectState) -> Iterator[Text]:
    """Sessions of which nothing can be proved: they may live or not, so nothing is done with them."""
    for session in state.sessions:
        if not session.died and (doubt := proof_of(store, session).doubt):
            yield Text(f"? {session.id} may be alive or not: {one_line(doubt)}", style=STYLES["asks"])
