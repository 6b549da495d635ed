"""One project, opened: what all the verbs of the harness stand on."""

from __future__ import annotations

import getpass
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from harness_nb import errors
from harness_nb.harness.answering import Answering
from harness_nb.harness.detached import TakeOver
from harness_nb.harness.lone_notices import LoneNotices
from harness_nb.harness.lone_sessions import LoneSessions
from harness_nb.harness.patience import only
from harness_nb.harness.recovery import last_look
from harness_nb.harness.state import what_is_to_trust
from harness_nb.orchestrator import Desk
from harness_nb.orchestrator.answering import OVERDUE, PolicyAnswers
from harness_nb.orchestrator.notifying import Notifier
from harness_nb.orchestrator.policies import Rules
from harness_nb.sessions.host import SessionHost
from harness_nb.store import Store
from harness_nb.store.locks import release
from harness_nb.store.trust import is_trusted, trust_project

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup, TaskStatus

    from harness_nb.credentials import CredentialProvider
    from harness_nb.harness.asynchronous import AsyncHarness
    from harness_nb.harness.handles import AsyncRun
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.protocol.commands import TrustShown
    from harness_nb.protocol.files import Policy
    from harness_nb.sessions.changes import Changes

T = TypeVar("T")


class Opened:
    """A project's store, sessions and desk, open while the harness is entered; what its verbs share."""

    def __init__(
        self,
        project: str | Path = ".",
        *,
        trust: bool = False,
        credentials: CredentialProvider | None = None,
        door: str = "python",
        actor: str | None = None,
        policies: Sequence[Policy | PolicyFunction] = (),
        attended: bool | None = None,
        judges: bool = True,
    ) -> None:
        root = Path(project).expanduser().resolve()
        if not root.is_dir():
            raise errors.NotAFolderError(root) if root.exists() else errors.ProjectNotFoundError(root)
        self.root = root
        self.door = door
        self.actor = actor or current_user()
        self.store = Store(root)
        self.store.refusals.door = door
        self.host = SessionHost(self.store)
        self.desk = Desk(self.store, credentials)
        self._tasks: TaskGroup | None = None
        self._run: AsyncRun | None = None
        self._judges = judges
        self._takeover = TakeOver(self.store, self.host.changes, any_run=judges)
        self._takes_over = False
        self._leads = False
        self._lone: LoneSessions | None = None
        self._failure: Exception | None = None
        self._looked = 0
        self.answering = Answering(self.host, self.desk, lambda: self._run, policies=policies, told=attended)
        if trust:
            self.trust()

    async def __aenter__(self) -> Self:
        tasks = anyio.create_task_group()
        self._tasks = await tasks.__aenter__()
        try:
            await self._begin(tasks)
        except BaseException as error:  # a group that nobody leaves would take the whole loop along
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def _begin(self, tasks: TaskGroup) -> None:
        self._failure = None
        self._takes_over = False
        self.answering.begin_anew()
        self._looked = await anyio.to_thread.run_sync(last_look, self.store)
        notices = LoneNotices(self.store, self.answering.is_mine, self.answering.prospect_of)  # from now on
        await tasks.start(self._serve)
        if self._judges and not self.store.is_export:
            self._lone = LoneSessions(self.host, self.desk, self.answer_for)
            tasks.start_soon(self._lone.serve)
            self._takes_over = True
            tasks.start_soon(self._takeover.serve)
            tasks.start_soon(Notifier(self.host, notices.look).serve)
            # what was written down is kept, also where its kernel was restarted; by no rules of this harness
            left = PolicyAnswers(self.host, self.desk, Rules, self.answering.is_left, grace=OVERDUE)
            tasks.start_soon(left.serve)

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """Stay in touch with the sessions; what ends that is kept for whoever asks later."""
        try:
            await self.host.serve(task_status=task_status)
        except Exception as error:
            self._failure = only(error)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = self._open
        self._tasks = None
        tasks.cancel_scope.cancel()
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        try:
            # an error of the body goes on as itself, and not inside the group that a task group would make of it
            await tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
        except Exception as failure:
            raise only(failure) from None
        finally:
            self.host.changes.happened()  # whoever waits looks again, and finds the harness closed
            self._let_go()
            self.store.close()

    @property
    def _whole(self) -> AsyncHarness:
        """This same harness with all its verbs, as sessions, questions and runs know it."""
        raise NotImplementedError

    def answer_for(self, session_id: str) -> None:
        """Answer a session's questions by policy from now on; one of a run is left to that run.

        Raises: HarnessClosedError.
        """
        self.answering.take_on(session_id, self._open)

    async def keep(self, service: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have something go on beside everything else until it ends or the harness is closed.

        Raises: HarnessClosedError.
        """
        self._open.start_soon(service)

    async def announced(self, change: Callable[[], T]) -> T:
        """Make a change in a worker thread and wake whoever waits here; the change itself rings for the others."""
        result = await anyio.to_thread.run_sync(change)
        self._host.changes.happened()
        return result

    def trust(self, *, show: bool = False) -> TrustShown:
        """Let the commands run that the project's plans hold in this moment, now and later, and return what changed.

        Commands that are changed or added afterwards wait for another yes. With ``show`` nothing is trusted by this:
        what is returned says what would be.
        """
        shown = what_is_to_trust(self.store, self.desk.broker.redact)
        if show:
            return shown
        trust_project(self.store, shown.plans, actor=self.actor, door=self.door)
        return replace(shown, trusted=True)

    @property
    def trusted(self) -> bool:
        """Whether commands from this project's plans may run, as far as they did not change since."""
        return is_trusted(self.root)

    @property
    def changes(self) -> Changes:
        """What wakes whoever waits for something to happen.

        Raises: HarnessClosedError, or what closed the harness.
        """
        return self._host.changes

    def closed_by(self) -> Exception:
        """Return why the harness is not open: what went wrong inside of it, else that it was closed."""
        return self._failure or errors.HarnessClosedError()

    def _let_go(self) -> None:
        if self._leads:  # the lease is the process's, and another harness in it may do a run
            self._leads = False
            release(self.store.layout.lease)
        self.store.ring()  # for those who show whether somebody runs the plans

    @property
    def _open(self) -> TaskGroup:
        if self._tasks is None:
            raise self.closed_by()
        return self._tasks

    def require_open(self) -> None:
        """Make sure that this harness is open.

        Raises: HarnessClosedError, or what closed the harness.
        """
        self._open  # noqa: B018 — an error when it is closed

    @property
    def _host(self) -> SessionHost:
        self.require_open()
        return self.host


def current_user() -> str:
    """Return who is at the keyboard, as the journal names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
