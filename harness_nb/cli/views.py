"""Showing a run while it goes on: a live board with questions at a terminal, or plain lines without one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.cli.opening import DOOR
from harness_nb.cli.questions import understand
from harness_nb.errors import AlreadyAnsweredError, HarnessError, QuestionExpiredError
from harness_nb.protocol.shown import one_line
from harness_nb.protocol.wording import through
from harness_nb.sessions.changes import any_of
from harness_nb.store.messages import summary_of
from harness_nb.views.questions import ASKS, asker_of, kind_of, question_text, respond_lines
from harness_nb.views.snapshot import LOSSES, Observer, news_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from rich.console import Console
    from rich.live import Live

    from harness_nb.cli.keyboard import Keyboard
    from harness_nb.harness import AsyncHarness, AsyncRun
    from harness_nb.protocol.records import EventRecord, MessageRecord
    from harness_nb.views.questions import Reply
    from harness_nb.views.snapshot import PlanLine, Snapshot

PAUSE = 0.1
"""Seconds between two pictures at least: more often is no easier to read."""
TICK = 1.0
"""Seconds between two pictures at most, since they show the time."""
SELDOM = 15.0
"""Seconds between two looks at most where lines are printed: a session becomes quiet without anything happening."""


async def look_at_changes(
    harness: AsyncHarness, run: AsyncRun, show: Callable[[Snapshot], Awaitable[None]], *, tick: float | None
) -> None:
    """Show the run after every change, until it has ended; woken, and with a ``tick`` also as time goes by."""
    observer = await anyio.to_thread.run_sync(Observer, harness.store, run, harness.answering.prospect_of)
    while True:
        changes = (harness.host.changes.next, run.changes.next)
        ended = run.ended
        await show(await anyio.to_thread.run_sync(observer.look))
        if ended:
            return
        await anyio.sleep(PAUSE)
        with anyio.move_on_after(tick):
            await any_of(*changes)


class PlainView:
    """One line for each change, for logs and pipes; questions with the commands that answer them."""

    def __init__(self, harness: AsyncHarness, run: AsyncRun) -> None:
        self._harness = harness
        self._run = run
        self._said: dict[str, str] = {}
        self._asked: set[int] = set()

    async def follow(self) -> None:
        """Print changes until the run has ended."""
        await look_at_changes(self._harness, self._run, self._show, tick=SELDOM)

    async def _show(self, shot: Snapshot) -> None:
        earlier = {one.plan_id for one in shot.report.plans if one.earlier}
        lines = [line for line in shot.lines if line.id not in earlier]
        ended = [line for line in lines if line.group in ("complete", "failed")]
        phases = [event for event in shot.news if event.kind == "phase_checked"]
        # causes before effects: an answer, then the plan's end, then its phase, then what waited for that
        await self._news(event for event in shot.news if event not in phases)
        for line in ended:
            self._plan(line)
        await self._news(phases)
        for line in lines:
            self._plan(line)
        for question in shot.questions:
            if question.seq not in self._asked:
                self._question(question)

    async def _news(self, events: Iterable[EventRecord]) -> None:
        for event in events:
            _say(one_line(news_text(event, await self._asker(event))))

    def _plan(self, line: PlanLine) -> None:
        if line.group in ("waiting", "asks") and not line.detail.startswith("tries again"):
            return
        text = f"{line.id} {line.word}"
        if line.group == "complete" and line.detail:
            text += f" ({line.detail})"
        elif line.detail and (line.group in ("failed", "held") or line.word == "died"):
            text += f": {line.detail}"
        if self._said.get(line.id) != text:
            self._said[line.id] = text
            _say(text)

    def _question(self, question: MessageRecord) -> None:
        self._asked.add(question.seq)
        kind = kind_of(question)
        _say(f"? {asker_of(question)} {ASKS.get(kind, 'asks')}: {one_line(question_text(question))}")
        for command in respond_lines(question, self._harness.root):
            _say(f"    {command}")

    async def _asker(self, event: EventRecord) -> str:
        find, asked = self._harness.store.messages.find, str(event.data.get("question"))
        question = await anyio.to_thread.run_sync(find, asked, event.session_id)
        return f"{asker_of(question)} {kind_of(question)}" if question else "a question"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


class TerminalView:
    """A board that is drawn in place; it makes room for each question, and goes on when that is settled."""

    def __init__(self, harness: AsyncHarness, run: AsyncRun, console: Console, keyboard: Keyboard) -> None:
        self._harness = harness
        self._run = run
        self._console = console
        self._keyboard = keyboard
        self._live: Live | None = None
        self._left_open: set[int] = set()
        self._sent_here: set[int] = set()
        self._shown: object = None
        self._began = anyio.current_time()

    @property
    def seconds(self) -> float:
        """The time since the view began."""
        return anyio.current_time() - self._began

    async def follow(self) -> None:
        """Draw and ask until the run has ended."""
        try:
            await look_at_changes(self._harness, self._run, self._show, tick=TICK)
        finally:
            self._take_down()

    async def _show(self, shot: Snapshot) -> None:
        for event in shot.news:
            if event.kind in LOSSES:
                self._console.print(news_text(event, ""), markup=False, highlight=False, style="yellow", soft_wrap=True)
        open_here = [one for one in shot.questions if one.seq not in self._left_open]
        if open_here:
            self._take_down()
            await self._ask(open_here[0], shot, more=len(open_here) - 1)
            return
        from harness_nb.cli.board import board

        size = self._console.size
        shown = (shot.lines, int(self.seconds), size)
        if shown == self._shown and self._live is not None:
            return
        self._shown = shown
        picture = board(
            shot, name=self._harness.root.name, seconds=self.seconds, width=size.width, height=size.height
        )  # fmt: skip
        self._put_up().update(picture, refresh=True)

    def _put_up(self) -> Live:
        """Return the place that the board is drawn in: a new one after each question, below what was said there."""
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")
            self._live.start()
        return self._live

    def _take_down(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    async def _ask(self, question: MessageRecord, shot: Snapshot, *, more: int) -> None:
        """Ask one question here, while somebody may answer it at another door."""
        from harness_nb.cli.sheets import question_sheet

        title = next((line.title for line in shot.lines if line.id == asker_of(question)), "")
        self._console.print(question_sheet(question, title=title, due=(shot.due or {}).get(question.seq), more=more))
        self._keyboard.listen()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_settled_elsewhere, question, tasks.cancel_scope)
                await self._read_answer(question)
                tasks.cancel_scope.cancel()
        finally:
            self._keyboard.mute()
        self._console.print()

    async def _until_settled_elsewhere(self, question: MessageRecord, asking: anyio.CancelScope) -> None:
        store = self._harness.store
        while True:
            changed = self._harness.host.changes.next
            now = await anyio.to_thread.run_sync(store.messages.get, question.id, question.session_id)
            if now.status != "pending":
                break
            await changed.wait()
        if question.seq in self._sent_here:  # who sends it says what became of it
            return
        answer = await anyio.to_thread.run_sync(store.messages.answer_to, question.id, question.session_id)
        self._note("\n  " + _settled(question, answer))
        asking.cancel()

    async def _read_answer(self, question: MessageRecord) -> None:
        default = next(
            (n for n, one in enumerate(question.payload.get("options") or [], 1) if one.get("recommended")), None
        )
        while True:
            self._console.print(f"  [{default}] › " if default else "  › ", end="", markup=False, style="bold")
            line = await self._keyboard.line()
            if line is None:
                self._left_open.add(question.seq)
                self._note(f"\n  Left open. Answer it from any shell: {respond_lines(question, self._harness.root)[0]}")
                return
            reply = understand(question, line)
            if isinstance(reply, str):
                self._note(f"  {reply}")
            elif await self._send(question, reply):
                return

    async def _send(self, question: MessageRecord, reply: Reply) -> bool:
        harness = self._harness
        self._sent_here.add(question.seq)
        with anyio.CancelScope(shield=True):  # once sent, nobody else's news cuts it short
            try:
                answer = await harness.announced(
                    lambda: reply.send(harness.desk, question, actor=harness.actor, door=DOOR)
                )
            except (AlreadyAnsweredError, QuestionExpiredError) as error:
                self._note(f"  {error}")
                return True
            except HarnessError as error:
                self._sent_here.discard(question.seq)
                self._note(f"  {error}")
                return False
        self._note(f"  ✓ {asker_of(question)} goes on: {summary_of(answer)}")
        return True

    def _note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, style="dim")


def _settled(question: MessageRecord, answer: MessageRecord | None) -> str:
    if answer is None:
        return f"{asker_of(question)} waits for no answer any more."
    way = through(answer.actor, answer.door)
    return f"Answered by {answer.actor or 'somebody'}{way}: {summary_of(answer)}"


def make_console() -> Console:
    """Return a console that invents no colours inside of texts."""
    from rich.console import Console

    return Console(highlight=False, file=sys.stdout, soft_wrap=False, legacy_windows=False, emoji=False)
