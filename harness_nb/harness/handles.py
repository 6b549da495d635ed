"""What the harness hands out: a session, a run and a question, each with the verbs that belong to it."""

from __future__ import annotations

import base64
import threading
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from harness_nb.errors import JournalTroubleError, NoPlansError, RunPausedError, UnknownPlanError
from harness_nb.harness.detached import LOOK
from harness_nb.harness.patience import patience
from harness_nb.harness.runs import project_of
from harness_nb.harness.state import open_project
from harness_nb.orchestrator import answers
from harness_nb.orchestrator.functions import TO_BE_ASKED
from harness_nb.orchestrator.policies import prospect, rules_of_run
from harness_nb.protocol.outcome import RunReport
from harness_nb.sessions import Output, Quiet, ask_shim, read_output
from harness_nb.views.questions import question_text, terms_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime, timedelta

    from harness_nb.harness.asynchronous import AsyncHarness
    from harness_nb.harness.leading import Leading
    from harness_nb.orchestrator.policies import Prospect, Rules
    from harness_nb.plans import Project
    from harness_nb.protocol.outcome import PlanOutcome
    from harness_nb.protocol.records import MessageRecord, RunRecord, SessionRecord
    from harness_nb.sessions.changes import Changes
    from harness_nb.views.picture import Plot


class AsyncSession:
    """A session: a worker in a process of its own. Awaiting it waits for its end.

    ``door`` is through what somebody acts on it, by default the harness's own.
    """

    def __init__(self, harness: AsyncHarness, session_id: str, *, door: str | None = None) -> None:
        self.harness = harness
        self.id = session_id
        self._door = door or harness.door

    def through(self, door: str) -> AsyncSession:
        """Return the same session for what somebody does through another door."""
        return AsyncSession(self.harness, self.id, door=door)

    @property
    def record(self) -> SessionRecord:
        """The session as the journal knows it now."""
        return self.harness.store.sessions.get(self.id)

    @property
    def state(self) -> str:
        """One of ``initializing``, ``running``, ``checkpoint``, ``completed`` and ``failed``."""
        return self.record.state

    @property
    def quiet_since(self) -> datetime | None:
        """Since when the session is silent, where it is at work and quiet (``quietAfter`` in ``config.yaml``)."""
        return Quiet(self.harness.store).since(self.record)

    def output(self, lines: int | None = 100, since: int | None = None) -> Output:
        """Return the last lines that the worker printed, or all since a place in bytes."""
        return read_output(self.harness.store.layout.session(self.id).output, lines=lines, since=since)

    async def send(self, text: str, *, end: bool = False) -> None:
        """Type text at the worker's terminal; a line ends with a newline, and ``end`` says that no more will come.

        Raises: ShimFailedError.
        """
        await self._order(do="input", data=base64.b64encode(text.encode()).decode(), end=end)
        await self._journal("typed", characters=len(text))  # never the text: it may be a password

    async def resize(self, rows: int, cols: int) -> None:
        """Set the size of the worker's terminal in characters.

        Raises: ShimFailedError.
        """
        await self._order(do="resize", rows=rows, cols=cols)

    async def interrupt(self) -> None:
        """Send what Ctrl-C sends.

        Raises: ShimFailedError.
        """
        await self._order(do="signal", number=2)
        await self._journal("interrupted")

    async def stop(self, grace: float = 5.0) -> SessionRecord:
        """End the worker's processes; what still lives after ``grace`` seconds is killed."""
        return await self.harness.host.end(self.id, by="stop", grace=grace, actor=self.harness.actor, door=self._door)

    async def wait(self, timeout: float | None = None) -> SessionRecord:
        """Wait for the session's end and return how it went.

        Raises: TimeoutError, and UnansweredQuestionError where nobody is there and no policy answers what it asks;
        the session goes on.
        """
        record = await anyio.to_thread.run_sync(lambda: self.record)
        if not record.live:
            return record
        alone = self.harness.answering.notice() is False
        if record.run_id is None:
            self.harness.answer_for(self.id)
        with patience(timeout, f"session {self.id} goes on"):
            return await self._ended(alone=alone)

    async def _ended(self, *, alone: bool) -> SessionRecord:
        while True:
            changed = self.harness.changes.next
            record = await anyio.to_thread.run_sync(lambda: self.record)
            if not record.live:
                return record
            if alone:
                await anyio.to_thread.run_sync(self._require_answers)
            await changed.wait()

    def _require_answers(self) -> None:
        self.harness.answering.require_answers(self.harness.store.messages.pending(self.id))

    def __await__(self) -> Generator[Any, None, SessionRecord]:
        return self.wait().__await__()

    async def _order(self, **message: Any) -> None:
        folder = self.harness.store.layout.session(self.id)
        await anyio.to_thread.run_sync(lambda: ask_shim(folder, **message))

    async def _journal(self, kind: str, **data: Any) -> None:
        """Write down that somebody acted on the session."""
        harness = self.harness

        def add() -> None:
            record = self.record
            harness.store.events.add(
                kind, session_id=self.id, run_id=record.run_id, plan_id=record.plan_id,
                actor=harness.actor, door=self._door, data=data,
            )  # fmt: skip

        try:
            await harness.announced(add)
        except JournalTroubleError:  # it is done, and an error would have it done twice: so it is told later
            await harness.keep(partial(harness.host.insist, f"what was done with {self.id}", add))

    def __repr__(self) -> str:
        record = self.record
        quiet = ", quiet" if Quiet(self.harness.store).since(record) else ""
        reason = f", {record.reason}" if record.reason else quiet
        return f"<session {self.id}: {record.worker}, {record.word}{reason}>"


class AsyncQuestion:
    """A message of a worker that waits for an answer."""

    def __init__(self, harness: AsyncHarness, record: MessageRecord) -> None:
        self.harness = harness
        self.record = record
        self.id = record.id
        self.session_id = record.session_id
        self.type = record.type
        self.payload = record.payload

    async def answer(self, value: Any, *, rationale: str | None = None) -> MessageRecord:
        """Answer with a plain value, as it is typed at a terminal: an option, yes or no, or a person's own words.

        Notes may follow: ``"pass well done"``, ``"fail too slow"``, ``"sqlite it is small"``.

        Raises: UnknownOptionError, AlreadyAnsweredError, QuestionExpiredError.
        """
        harness = self.harness

        def answer() -> MessageRecord:
            return harness.desk.answer(self.record, value, actor=harness.actor, door=harness.door, notes=rationale)

        return await harness.announced(answer)

    async def approve(
        self, notes: str | None = None, *, scope: str | None = None, until: datetime | timedelta | str | None = None
    ) -> MessageRecord:
        """Say yes: verified, the recommended option, done, or look the credentials up and hand them over.

        A yes to credentials holds for the ``session``, or with another ``scope`` for every session of its ``plan``, of
        its ``run``, or of the ``project``; and ``until`` a moment, where one is given (also ``"18:00"`` or ``"2h"``).

        Raises: CredentialsNotFoundError, CredentialsDeniedError, AlreadyAnsweredError, QuestionExpiredError,
        UnusableArgumentError.
        """
        harness = self.harness
        terms = terms_of(self.record, scope, until, harness.store.clock())

        def approve() -> MessageRecord:
            return harness.desk.approve(self.record, actor=harness.actor, door=harness.door, notes=notes, terms=terms)

        return await harness.announced(approve)

    async def reject(self, reason: str) -> MessageRecord:
        """Say no, and why; a decision or an action that is rejected aborts its task.

        Raises: AlreadyAnsweredError, QuestionExpiredError.
        """
        return await self._settle(answers.rejection(self.record, reason))

    async def abort(self, reason: str, *, should_retry: bool = False) -> MessageRecord:
        """Tell the worker to stop its task.

        Raises: AlreadyAnsweredError, QuestionExpiredError.
        """
        return await self._settle(answers.abort(self.record, reason, should_retry=should_retry))

    async def _settle(self, answer: answers.Answer) -> MessageRecord:
        harness = self.harness

        def settle() -> MessageRecord:
            return harness.desk.settle(self.record, answer, actor=harness.actor, door=harness.door)

        return await harness.announced(settle)

    def __repr__(self) -> str:
        return f"<{self.type} {self.id} of {self.session_id}: {question_text(self.record)}>"


class AsyncRun:
    """A run of the project's plans. Awaiting it waits for its end; letting go of it stops nothing.

    All of it is read from the journal, since another process may do the run; ``leading`` is there where this one does.
    """

    def __init__(self, harness: AsyncHarness, record: RunRecord, leading: Leading | None = None) -> None:
        self.harness = harness
        self.id = record.id
        self._record = record
        self._leading = leading
        self._looking = threading.Lock()
        self._version = 0
        self._outcomes: dict[str, tuple[PlanOutcome, bool]] = {}

    @property
    def record(self) -> RunRecord:
        """The run as the journal knows it now."""
        if self._record.ended_at is None:
            self._record = self.harness.store.runs.get(self.id)
        return self._record

    @property
    def detached(self) -> bool:
        """Whether a process of its own does the run."""
        return self._leading is None

    @property
    def report(self) -> RunReport:
        """Where each plan stands; final once the run has ended."""
        record = self.record
        if record.report is not None:
            return RunReport.model_validate(record.report)
        return RunReport(
            run_id=self.id,
            state=record.state,
            passed=False,
            plans=tuple(one for one, selected in self._look().values() if selected),
            phases=record.phases,
            started_at=record.created_at,
            completed_at=record.ended_at,
        )

    @property
    def outcomes(self) -> list[PlanOutcome]:
        """Where each plan of the project stands, also those that the run is not about."""
        return [one for one, _ in self._look().values()]

    def _look(self) -> dict[str, tuple[PlanOutcome, bool]]:
        with self._looking:
            self._version, news = self.harness.store.runs.plans(self.id, self._version)
            if news:
                self._outcomes = self._outcomes | {one.plan_id: (one, selected) for one, selected in news}
            return self._outcomes

    @cached_property
    def project(self) -> Project:
        """The plans as they were when this handle first read them, and their graph."""
        store = self.harness.store
        try:
            return project_of(store, self._record.options)
        except (NoPlansError, UnknownPlanError):  # they were deleted since: the run is shown all the same
            return open_project(store)

    @property
    def rules(self) -> Rules:
        """Who answers what is asked here."""
        harness = self.harness
        return rules_of_run(self.record.options, harness.store.config(), harness.desk.broker.standing.for_question)

    def prospect_of(self, question: MessageRecord) -> Prospect:
        """Return what comes of a question of this run by itself."""
        if self._leading is not None and self._leading.runner.functions.are_to_be_asked(question):
            return TO_BE_ASKED
        return prospect(question, self.rules)

    @property
    def changes(self) -> Changes:
        """What wakes whoever shows this run."""
        return self.harness.host.changes

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.record.state != "running" if self._leading is None else self._leading.ended.is_set()

    async def wait(self, timeout: float | None = None) -> RunReport:
        """Wait for the run's end and return its report.

        Raises: TimeoutError, and UnansweredQuestionError where nobody is there and no policy answers what is asked:
        the run goes on; HarnessClosedError when the harness was closed meanwhile; RunPausedError where the run has not
        ended and nothing can go on with it.
        """
        here = self.harness.answering.notice()
        if not await anyio.to_thread.run_sync(self._has_ended):
            alone = (self._record.options.attended if here is None else here) is False
            with patience(timeout, f"run {self.id} goes on"):
                await self._end(alone=alone)
        return await anyio.to_thread.run_sync(lambda: self.report)

    async def _end(self, *, alone: bool) -> None:
        """Wait for the end, and look at what is open each time that something changed."""
        while True:
            changed = self.harness.host.changes.next
            if await anyio.to_thread.run_sync(self._has_ended):
                return
            if self._leading is None:
                self.harness.require_open()
            if alone:
                await anyio.to_thread.run_sync(self._require_answers)
            with anyio.move_on_after(LOOK if self._leading is None else None):  # who ended it may die before it rings
                await changed.wait()

    def _has_ended(self) -> bool:
        if self._leading is not None:
            if self._leading.error is not None:
                raise self._leading.error
            return self._leading.ended.is_set()
        record = self.record
        if record.ended_at is None and record.trouble is not None:
            raise RunPausedError(self.id, record.trouble)
        return record.ended_at is not None

    def _require_answers(self) -> None:
        pending = self.harness.store.messages.pending()
        self.harness.answering.require_answers(one for one in pending if self.carries(one.session_id))

    def carries(self, session_id: str) -> bool:
        """Whether a session is of this run: it began here, or was adopted as the attempt at one of its plans."""
        if any(one.session_id == session_id for one, _ in self._look().values()):
            return True
        return self.harness.store.sessions.get(session_id).run_id == self.id

    def __await__(self) -> Generator[Any, None, RunReport]:
        return self.wait().__await__()

    async def stop(self) -> RunReport:
        """End the run's sessions, start nothing more, and return the report; whatever process does the run."""
        harness = self.harness
        asked = await harness.announced(
            lambda: harness.store.runs.ask_to_stop(self.id, actor=harness.actor, door=harness.door)
        )
        if asked.ended_at is None and self._leading is None:
            await harness.see_through(asked)
        await self._end(alone=False)  # what is open needs no answer any more
        return await anyio.to_thread.run_sync(lambda: self.report)

    async def graph(self) -> Plot:
        """Return the plan graph as it stands in this run."""
        from harness_nb.harness.plots import graph_of_run  # drawing is not for every import

        return await anyio.to_thread.run_sync(graph_of_run, self)

    async def gantt(self) -> Plot:
        """Return when each plan was queued, ran, waited for a person and was verified, until now or the run's end."""
        from harness_nb.harness.plots import gantt_of_run

        return await anyio.to_thread.run_sync(gantt_of_run, self)

    def __repr__(self) -> str:
        return f"<run {self.id}: {self.report.headline}>"
