"""What a view shows at one moment: the fragments of HTML, the plain text, and whether anything can still change.

A picture is made in a worker thread, from the journal and the documents; everything in it is bounded, however many
plans there are and however much they print. What is saved for readers without a kernel is made of the same fragments,
without forms, and once nothing changes any more without times and random ids, so that it compares equal from run to
run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness_nb import templates
from harness_nb.notebook.cards import Asked, answered, card, door_of
from harness_nb.notebook.output import plain_lines, saved_lines
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.protocol.shown import clock, one_line
from harness_nb.sessions import Quiet
from harness_nb.store import require_project as require_project  # for all that shows something
from harness_nb.views.questions import name_of as name_of  # for all that shows something
from harness_nb.views.questions import question_text, respond_lines
from harness_nb.views.snapshot import QUIET
from harness_nb.views.troubles import troubles_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from harness_nb.harness import AsyncHarness, AsyncQuestion, AsyncSession
    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.sessions.changes import Changes
    from harness_nb.store import Store

Fragments = list[tuple[str, str]]
"""Keys and fragments, in the order they are shown."""
SETTLED_SHOWN = 3
"""Questions that were answered, and other news, of which a view shows that many."""
PLAIN_LINES = 10
"""Lines of output in a session's plain text."""
SAVED_LINES = 60
"""Lines of output that are saved with the notebook."""

STATES = {
    "initializing": ("waiting", "○", "starting"),
    "running": ("running", "●", "runs"),
    "checkpoint": ("asks", "?", "asks"),
    "completed": ("complete", "✓", "completed"),
    "failed": ("failed", "✕", "failed"),
}
"""Group, sign and word of each state of a session."""
SILENT = ("silent", *QUIET)
"""Those of a session that is at work and quiet."""


@dataclass(frozen=True)
class Picture:
    """What is shown now; ``output`` is the session whose output belongs to it, ``graph`` the drawn plans when saved.

    ``again`` is when it is to be looked at once more though nothing happens, in seconds.
    """

    lists: dict[str, Fragments]
    ended: bool
    text: str
    output: str | None = None
    graph: str = ""
    again: float | None = None


@dataclass(frozen=True)
class Frame:
    """The places that a view has, and what a screen reader calls it."""

    label: str
    board: bool = False
    output: bool = True

    def html(self, of: str) -> str:
        """Return the empty view."""
        return templates.render("view.html", of=of, label=self.label, board=self.board, output=self.output)


class Scene(Protocol):
    """Something that can be looked at again and again."""

    @property
    def harness(self) -> AsyncHarness:
        """Whose project it is about."""

    @property
    def frame(self) -> Frame:
        """Its places."""

    @property
    def endless(self) -> bool:
        """Whether it is followed even when nothing goes on."""

    def look(self, *, live: bool, reachable: bool = True) -> Picture:
        """Return how it is now; in a worker thread."""

    def changes(self) -> tuple[Changes, ...]:
        """Return what wakes whoever shows it, beside the changes of the harness."""

    def session_of(self, plan_id: str) -> str | None:
        """Return the session that is the attempt at a plan here, or None."""

    async def stop(self) -> object:
        """End what is shown."""


def saved_html(scene: Scene, picture: Picture, *, of: str | None) -> str:
    """Return a picture for readers without a kernel; ``of`` is the view that it stands behind while that lives."""
    store = scene.harness.store
    tail = _tail(store, picture.output) if scene.frame.output and picture.output else []
    return templates.render(
        "saved.html",
        of=of,
        style=templates.style(),
        lists=picture.lists,
        graph=picture.graph,
        title="Output",
        lines=tail,
        as_of=None if picture.ended else store.clock().strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


def _tail(store: Store, session_id: str) -> list[str]:
    return saved_lines(store.layout.session(session_id).output, SAVED_LINES)


class SessionScene:
    """One session: how far it is, what it asks, and what it prints."""

    endless = False

    def __init__(self, session: AsyncSession) -> None:
        self.harness = session.harness
        self._session = session
        self._store = session.harness.store
        self._id = session.id
        self._quiet = Quiet(self._store)
        self.frame = Frame("A session of harness_nb")

    def look(self, *, live: bool, reachable: bool = True) -> Picture:
        """Return how the session is now.

        Raises: SessionNotFoundError.
        """
        record = self._store.sessions.get(self._id)
        questions = asked_of(self.harness, self._store.messages.pending(self._id, CHECKPOINT_TYPES))
        settled = [one for one in self._store.messages.select(self._id, direction="in") if _is_settled(one)]
        troubles = troubles_of(self._store, mine=lambda one: one.id == self._id)
        lists = {
            "head": [("head", _session_head(record, self._quiet, live=live)), *trouble_cards(troubles)],
            "cards": cards(questions, self._store.layout.root, live=live, reachable=reachable),
            "answered": settled_lines(self._store, settled[-SETTLED_SHOWN:]),
        }
        again, text = self._quiet.look_again_in([record]), self._text(record, questions, troubles)
        return Picture(lists, not record.live, text, output=self._id, again=again)

    def changes(self) -> tuple[Changes, ...]:
        """Return nothing: the harness tells of every change of a session."""
        return ()

    def session_of(self, plan_id: str) -> str | None:  # noqa: ARG002 — the scene's word
        """Return None: no plans are shown."""
        return None

    async def stop(self) -> object:
        """End the session's processes."""
        return await self._session.through(door_of(self.harness)).stop()

    def _text(self, record: SessionRecord, questions: Sequence[Asked], troubles: Sequence[str]) -> str:
        _, sign, word = shown_state(record, self._quiet)
        lines = [f"{sign} {name_of(record)} {word}" + (f": {record.reason}" if record.reason else "")]
        lines += [f"! {line}" for line in troubles]
        lines += [f"  {line}" for line in question_lines(questions, self._store.layout.root)]
        return "\n".join([*lines, *plain_lines(self._store.layout.session(self._id).output, PLAIN_LINES)])


class QuestionScene:
    """One question, and once it is settled who settled it."""

    endless = False

    def __init__(self, question: AsyncQuestion) -> None:
        self.harness = question.harness
        self._store = question.harness.store
        self._question = question
        self.frame = Frame("A question of a worker", output=False)

    def look(self, *, live: bool, reachable: bool = True) -> Picture:
        """Return how the question stands now.

        Raises: MessageNotFoundError.
        """
        root = self._store.layout.root
        question = self._store.messages.get(self._question.id, self._question.session_id)
        if question.status != "pending":
            lists: dict[str, Fragments] = {"cards": [], "answered": settled_lines(self._store, [question])}
            return Picture(lists, ended=True, text=self._settled(question))
        asked = asked_of(self.harness, [question])
        lists = {"cards": cards(asked, root, live=live, reachable=reachable, heading=False)}
        return Picture(lists, ended=False, text="\n".join(question_lines(asked, root)))

    def changes(self) -> tuple[Changes, ...]:
        """Return nothing: the harness tells of every answer."""
        return ()

    def session_of(self, plan_id: str) -> str | None:  # noqa: ARG002 — the scene's word
        """Return None: no plans are shown."""
        return None

    async def stop(self) -> object:
        """Tell the worker to stop its task."""
        return await self._question.abort("stopped in the notebook")

    def _settled(self, question: MessageRecord) -> str:
        from harness_nb.store.messages import summary_of

        answer = self._store.messages.answer_to(question.id, question.session_id)
        end = f"answered by {answer.actor}: {summary_of(answer)}" if answer else "nobody waits for an answer any more"
        return f"{_unasked(self._store, question).asker}: {question_text(question)} — {end}"


def asked_of(
    harness: AsyncHarness, questions: Iterable[MessageRecord], titles: Mapping[str, str] | None = None
) -> list[Asked]:
    """Return open questions with what belongs to them; ``titles`` are those of plans, by their id."""
    found = []
    in_message = harness.desk.broker.delivers_in_message
    for question in questions:
        session = harness.store.sessions.get(question.session_id)
        title = (titles or {}).get(session.plan_id or "", "")
        prospect = harness.answering.prospect_of(question)
        due = prospect.at if prospect.settles else None
        found.append(Asked(question, session, title=title, policy=prospect.policy, due=due, in_message=in_message))
    return found


def cards(questions: Sequence[Asked], root: Path, *, live: bool, reachable: bool, heading: bool = True) -> Fragments:
    """Return the open questions as cards, below a line that says how many they are."""
    found = [
        (str(one.question.seq), card(one, root, live=live, reachable=reachable)) for one in questions
    ]  # fmt: skip
    if heading and found:
        words = "1 waits for you" if len(found) == 1 else f"{len(found)} wait for you"
        found.insert(0, ("heading", f"<h2>{words}</h2>"))
    return found


def settled_lines(store: Store, questions: Iterable[MessageRecord]) -> Fragments:
    """Return questions that are settled, a line each."""
    return [
        (str(one.seq), answered(_unasked(store, one), store.messages.answer_to(one.id, one.session_id)))
        for one in questions
    ]


def _unasked(store: Store, question: MessageRecord) -> Asked:
    """Return a question of which nothing comes any more."""
    return Asked(question, store.sessions.get(question.session_id))


def question_lines(questions: Iterable[Asked], root: Path) -> list[str]:
    """Return questions and the commands that answer them, as plain lines."""
    lines = []
    for one in questions:
        lines.append(f"? {one.asker}: {one_line(question_text(one.question))}")
        lines += [f"    {command}" for command in respond_lines(one.question, root)]
    return lines


def shown_state(record: SessionRecord, quiet: Quiet) -> tuple[str, str, str]:
    """Return group, sign and word of a session; one that died does not look as if it lived, a quiet one says so."""
    if record.died:
        return "waiting", "○", record.word
    return SILENT if quiet.since(record) else STATES.get(record.state, ("waiting", "○", record.state))


def silence_of(record: SessionRecord, quiet: Quiet) -> str:
    """Return for how long a quiet session is silent, as people say it; nothing for others."""
    since = quiet.since(record)
    return f"no word and no output since {since:%H:%M} UTC" if since else ""


def trouble_cards(sentences: Iterable[str]) -> Fragments:
    """Return what is wrong as HTML, nothing where all is well."""
    return [(f"trouble-{number}", templates.render("trouble.html", text=one)) for number, one in enumerate(sentences)]


def task_of(record: SessionRecord) -> str:
    """Return how far a session is: ``2 / 4``."""
    return f"{record.current_task} / {record.total_tasks}" if record.total_tasks else ""


def times_of(record: SessionRecord) -> tuple[str | None, str]:
    """Return since when a session runs, or else how long it ran."""
    began = record.started_at or record.created_at
    if record.live:
        return format_timestamp(began), ""
    return None, clock((record.ended_at - began).total_seconds()) if record.ended_at else ""


def _session_head(record: SessionRecord, quiet: Quiet, *, live: bool) -> str:
    group, sign, word = shown_state(record, quiet)
    since, took = times_of(record) if live else (None, "")
    told = not record.live or record.died or record.state == "checkpoint"
    facts = [record.reason or "" if told else silence_of(record, quiet)]
    if record.total_tasks:
        facts.append(f"task {record.current_task} of {record.total_tasks}")
    if record.live:
        facts.append(record.task_name or record.message or "")
    share = round(100 * record.current_task / record.total_tasks) if record.total_tasks else 0
    can = live and record.live and record.worker != "python"
    return templates.render(
        "head.html",
        name=name_of(record),
        group=group,
        sign=sign,
        word=word,
        facts=" · ".join(one_line(fact) for fact in facts if fact),
        bar=[(group, share)] if record.total_tasks else [],
        bar_words=f"task {record.current_task} of {record.total_tasks}",
        since=since,
        took=took,
        interrupt=record.id if can else None,
        stop="Really stop it?" if can else None,
    )


def _is_settled(message: MessageRecord) -> bool:
    return message.type in CHECKPOINT_TYPES and message.status != "pending"
