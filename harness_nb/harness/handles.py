"""What the harness hands out: a session, a run and a question, each with the verbs that belong to it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from harness_nb.orchestrator import answers
from harness_nb.orchestrator.policies import rules_of_run
from harness_nb.sessions import Output, ask_shim, read_output
from harness_nb.views.questions import question_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from harness_nb.harness.asynchronous import AsyncHarness
    from harness_nb.orchestrator.policies import Rules
    from harness_nb.orchestrator.run import Runner
    from harness_nb.plans import Project
    from harness_nb.protocol.outcome import RunReport
    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.sessions.host import Changes
    from harness_nb.views.picture import Plot


class AsyncSession:
    """A session: a worker in a process of its own. Awaiting it waits for its end."""

    def __init__(self, harness: AsyncHarness, session_id: str) -> None:
        self.harness = harness
        self.id = session_id

    @property
    def record(self) -> SessionRecord:
        """The session as the journal knows it now."""
        return self.harness.store.sessions.get(self.id)

    @property
    def state(self) -> str:
        """One of ``initializing``, ``running``, ``checkpoint``, ``completed`` and ``failed``."""
        return self.record.state

    def output(self, lines: int | None = 100, since: int | None = None) -> Output:
        """Return the last lines that the worker printed, or all since a place in bytes."""
        return read_output(self.harness.store.layout.session(self.id).output, lines=lines, since=since)

    async def send(self, text: str) -> None:
        """Type text at the worker's terminal; a line ends with a newline.

        Raises: ShimFailedError.
        """
        await self._order(do="input", data=base64.b64encode(text.encode()).decode())

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

    async def stop(self, grace: float = 5.0) -> SessionRecord:
        """End the worker's processes; what still lives after ``grace`` seconds is killed."""
        return await self.harness.host.end(self.id, by="stop", grace=grace)

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
        with _patience(timeout, f"session {self.id} goes on"):
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

    def __repr__(self) -> str:
        record = self.record
        reason = f", {record.reason}" if record.reason else ""
        return f"<session {self.id}: {record.worker}, {record.state}{reason}>"


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

    async def approve(self, notes: str | None = None) -> MessageRecord:
        """Say yes: verified, the recommended option, done, or look the credentials up and hand them over.

        Raises: CredentialsNotFoundError, AlreadyAnsweredError, QuestionExpiredError.
        """
        harness = self.harness

        def approve() -> MessageRecord:
            return harness.desk.approve(self.record, actor=harness.actor, door=harness.door, notes=notes)

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
    """A run of the project's plans. Awaiting it waits for its end; letting go of it stops nothing."""

    def __init__(self, harness: AsyncHarness, runner: Runner) -> None:
        self.harness = harness
        self._runner = runner
        self._ended = anyio.Event()
        self._error: BaseException | None = None
        self.id = runner.record.id

    @property
    def report(self) -> RunReport:
        """Where each plan stands; final once the run has ended."""
        return self._runner.report

    @property
    def project(self) -> Project:
        """The plans as this run read them, and their graph."""
        return self._runner.project

    @property
    def rules(self) -> Rules:
        """Who answers what is asked here."""
        return rules_of_run(self._runner.record.options, self._runner.config)

    @property
    def changes(self) -> Changes:
        """What wakes whoever shows this run."""
        return self._runner.changes

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self._ended.is_set()

    async def wait(self, timeout: float | None = None) -> RunReport:
        """Wait for the run's end and return its report.

        Raises: TimeoutError, and UnansweredQuestionError where nobody is there and no policy answers what is asked:
        the run goes on; HarnessClosedError when the harness was closed meanwhile.
        """
        if not self.ended:
            here = self.harness.answering.notice()
            alone = (self._runner.record.options.attended if here is None else here) is False
            with _patience(timeout, f"run {self.id} goes on"):
                await (self._end_or_question() if alone else self._ended.wait())
        if self._error is not None:
            raise self._error
        return self.report

    async def _end_or_question(self) -> None:
        """Wait for the end, and look at what is open each time that something changed."""
        changes = self.harness.host.changes
        while not self.ended:
            changed = changes.next
            await anyio.to_thread.run_sync(self._require_answers)
            if not self.ended:
                await changed.wait()

    def _require_answers(self) -> None:
        pending = self.harness.store.messages.pending()
        self.harness.answering.require_answers(one for one in pending if self.carries(one.session_id))

    def carries(self, session_id: str) -> bool:
        """Whether a session is of this run."""
        return self._runner.carries(session_id)

    def __await__(self) -> Generator[Any, None, RunReport]:
        return self.wait().__await__()

    async def stop(self) -> RunReport:
        """End the run's sessions, start nothing more, and return the report."""
        await self._runner.stop()
        return await self.wait()

    async def graph(self) -> Plot:
        """Return the plan graph as it stands in this run."""
        from harness_nb.harness.plots import graph_of_run  # drawing is not for every import

        return await anyio.to_thread.run_sync(graph_of_run, self._runner)

    async def gantt(self) -> Plot:
        """Return when each plan was queued, ran, waited for a person and was verified, until now or the run's end."""
        from harness_nb.harness.plots import gantt_of_run

        return await anyio.to_thread.run_sync(gantt_of_run, self._runner)

    async def drive(self, on_end: Callable[[], None]) -> None:
        """Do the run; for the harness that made it."""
        try:
            await self._runner.run()
        except Exception as error:
            self._error = only(error)
        except BaseException:
            self._error = self.harness.closed_by()
            raise
        finally:
            on_end()
            self._ended.set()
            self._runner.changes.happened()
            self.harness.host.changes.happened()

    def __repr__(self) -> str:
        return f"<run {self.id}: {self.report.headline}>"


def only(error: Exception) -> Exception:
    """Return what went wrong without the groups around it, if it was one thing."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class _patience:  # noqa: N801 — reads as a verb where it is used
    def __init__(self, timeout: float | None, meanwhile: str) -> None:
        self._timeout = timeout
        self._scope = anyio.CancelScope()
        self._meanwhile = meanwhile

    def __enter__(self) -> None:
        if self._timeout is not None:
            self._scope.deadline = anyio.current_time() + self._timeout
        self._scope.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._scope.__exit__(*error)
        if self._scope.cancelled_caught:
            raise TimeoutError(f"not within {self._timeout:g} s; {self._meanwhile}")
