"""What the blocking harness hands out: a session, a question and a run, each the blocking twin of an async one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness_nb.errors import HarnessClosedError
from harness_nb.harness.display import Displayed, waiting
from harness_nb.harness.loop_thread import loop_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from datetime import datetime, timedelta

    from harness_nb.harness.handles import AsyncQuestion, AsyncRun, AsyncSession
    from harness_nb.protocol.outcome import RunReport
    from harness_nb.protocol.records import MessageRecord, RunRecord, SessionRecord
    from harness_nb.sessions import Output
    from harness_nb.views.picture import Plot


def call(function: Callable[..., Coroutine[Any, Any, Any]], *values: Any, **named: Any) -> Any:
    """Have the loop thread do a verb of an async twin, and block for its result; a closed harness says why it is."""
    try:
        return loop_thread().call(lambda: function(*values, **named))
    except HarnessClosedError:
        twin = function.__self__  # type: ignore[attr-defined]
        raise getattr(twin, "harness", twin).closed_by() from None


Twin = TypeVar("Twin", "AsyncSession", "AsyncRun")


class _Awaitable(Generic[Twin]):
    """Lets a notebook's own loop await what lives on the loop thread."""

    _twin: Twin

    def __await__(self) -> Generator[Any, None, Any]:
        with waiting(self._twin.harness):
            future = loop_thread().portal.start_task_soon(self._end)
            return (yield from asyncio.wrap_future(future).__await__())

    async def _end(self) -> Any:
        raise NotImplementedError


class Session(_Awaitable["AsyncSession"], Displayed):
    """A session: a worker in a process of its own. ``await`` it, or ``wait()``, for its end."""

    def __init__(self, twin: AsyncSession) -> None:
        self._twin = twin
        self.id = twin.id

    @property
    def record(self) -> SessionRecord:
        """The session as the journal knows it now."""
        return self._twin.record

    @property
    def state(self) -> str:
        """One of ``initializing``, ``running``, ``checkpoint``, ``completed`` and ``failed``."""
        return self._twin.state

    @property
    def quiet_since(self) -> datetime | None:
        """Since when the session is silent, where it is at work and quiet (``quietAfter`` in ``config.yaml``)."""
        return self._twin.quiet_since

    def output(self, lines: int | None = 100, since: int | None = None) -> Output:
        """Return the last lines that the worker printed, or all since a place in bytes."""
        return self._twin.output(lines, since)

    def send(self, text: str, *, end: bool = False) -> None:
        """Type text at the worker's terminal; a line ends with a newline, and ``end`` says that no more will come."""
        call(self._twin.send, text, end=end)

    def resize(self, rows: int, cols: int) -> None:
        """Set the size of the worker's terminal in characters."""
        call(self._twin.resize, rows, cols)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        call(self._twin.interrupt)

    def stop(self, grace: float = 5.0) -> SessionRecord:
        """End the worker's processes; what still lives after ``grace`` seconds is killed."""
        record: SessionRecord = call(self._twin.stop, grace)
        return record

    def wait(self, timeout: float | None = None) -> SessionRecord:
        """Block until the session has ended, and return how it went.

        Raises: TimeoutError, and UnansweredQuestionError where nobody is there and no policy answers what it asks;
        the session goes on.
        """
        with waiting(self._twin.harness):
            record: SessionRecord = call(self._twin.wait, timeout)
        return record

    async def _end(self) -> SessionRecord:
        return await self._twin.wait()

    def __repr__(self) -> str:
        return repr(self._twin)


class Question(Displayed):
    """A message of a worker that waits for an answer."""

    def __init__(self, twin: AsyncQuestion) -> None:
        self._twin = twin
        self.record = twin.record
        self.id, self.session_id = twin.id, twin.session_id
        self.type, self.payload = twin.type, twin.payload

    def answer(self, value: Any, *, rationale: str | None = None) -> MessageRecord:
        """Answer with a plain value, as it is typed at a terminal: an option, yes or no, or a person's own words.

        Notes may follow: ``"pass well done"``, ``"fail too slow"``, ``"sqlite it is small"``.

        Raises: UnknownOptionError, AlreadyAnsweredError, QuestionExpiredError.
        """
        record: MessageRecord = call(self._twin.answer, value, rationale=rationale)
        return record

    def approve(
        self, notes: str | None = None, *, scope: str | None = None, until: datetime | timedelta | str | None = None
    ) -> MessageRecord:
        """Say yes: verified, the recommended option, done, or look the credentials up and hand them over.

        A yes to credentials holds for the ``session``, or with another ``scope`` for every session of its ``plan``, of
        its ``run``, or of the ``project``; and ``until`` a moment, where one is given (also ``"18:00"`` or ``"2h"``).

        Raises: CredentialsNotFoundError, CredentialsDeniedError, AlreadyAnsweredError, QuestionExpiredError,
        UnusableArgumentError.
        """
        record: MessageRecord = call(self._twin.approve, notes, scope=scope, until=until)
        return record

    def reject(self, reason: str) -> MessageRecord:
        """Say no, and why; a decision or an action that is rejected aborts its task.

        Raises: AlreadyAnsweredError, QuestionExpiredError.
        """
        record: MessageRecord = call(self._twin.reject, reason)
        return record

    def abort(self, reason: str, *, should_retry: bool = False) -> MessageRecord:
        """Tell the worker to stop its task.

        Raises: AlreadyAnsweredError, QuestionExpiredError.
        """
        record: MessageRecord = call(self._twin.abort, reason, should_retry=should_retry)
        return record

    def __repr__(self) -> str:
        return repr(self._twin)


class Run(_Awaitable["AsyncRun"], Displayed):
    """A run of the project's plans. ``await`` it, or ``wait()``, for its end; letting go of it stops nothing."""

    def __init__(self, twin: AsyncRun) -> None:
        self._twin = twin
        self.id = twin.id

    @property
    def report(self) -> RunReport:
        """Where each plan stands; final once the run has ended."""
        return self._twin.report

    @property
    def record(self) -> RunRecord:
        """The run as the journal knows it now."""
        return self._twin.record

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self._twin.ended

    @property
    def detached(self) -> bool:
        """Whether a process of its own does the run, and not this kernel."""
        return self._twin.detached

    def wait(self, timeout: float | None = None) -> RunReport:
        """Block until the run has ended, and return its report; an interrupt ends only the waiting.

        Raises: TimeoutError, and UnansweredQuestionError where nobody is there and no policy answers what is asked;
        the run goes on.
        """
        with waiting(self._twin.harness):
            report: RunReport = call(self._twin.wait, timeout)
        return report

    def stop(self) -> RunReport:
        """End the run's sessions, start nothing more, and return the report."""
        report: RunReport = call(self._twin.stop)
        return report

    def graph(self) -> Plot:
        """Return the plan graph as it stands in this run."""
        plot: Plot = call(self._twin.graph)
        return plot

    def gantt(self) -> Plot:
        """Return when each plan was queued, ran, waited for a person and was verified, until now or the run's end."""
        plot: Plot = call(self._twin.gantt)
        return plot

    async def _end(self) -> RunReport:
        return await self._twin.wait()

    def __repr__(self) -> str:
        return repr(self._twin)
