"""Judging tries at plans that belong to no run: those that somebody started one by one.

A worker that says it is done has not been judged yet, so whoever might run the project's plans verifies what it did,
without being asked. Of several such processes one does it: it holds a lock of that session meanwhile, which dies with
it. The project's lease would do as well, but a verification may wait for a person, and no run could begin until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import HarnessError
from harness_nb.harness.state import newest_attempts, open_project, publish_state
from harness_nb.orchestrator.judging import Judge
from harness_nb.orchestrator.progress import PlanProgress
from harness_nb.orchestrator.verdicts import Verdicts, say
from harness_nb.store.locks import acquire, release
from harness_nb.store.trust import is_trusted

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.orchestrator import Desk
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.sessions.host import SessionHost

LOOK_AGAIN = 1.0
"""Seconds until the next look at what another process judges: it may die without a word."""


class LoneSessions:
    """Judges ended tries at plans that are of no run; ``on_ask`` is told the session of each question to a person."""

    def __init__(self, host: SessionHost, desk: Desk, on_ask: Callable[[str], None]) -> None:
        self._host = host
        self._store = host.store
        self._desk = desk
        self._on_ask = on_ask
        self._seen = 0
        self._due: dict[str, SessionRecord] = {}
        self._carried: set[str] = set()

    async def serve(self) -> None:
        """Judge what ends until cancelled; whatever goes wrong with one session leaves the others alone."""
        async with anyio.create_task_group() as tasks:
            while True:
                changed = self._host.changes.next
                for session_id in await anyio.to_thread.run_sync(self._next):
                    self._carried.add(session_id)
                    tasks.start_soon(self._carry, session_id)
                with anyio.move_on_after(LOOK_AGAIN if self._due.keys() - self._carried else None):
                    await changed.wait()

    def _next(self) -> list[str]:
        """Return the sessions that wait for a verdict and that nobody else judges in this moment."""
        try:
            self._notice()
            if not self._due or not is_trusted(self._store.layout.root):
                return []
            newest = {one.id for one in newest_attempts(self._store).values()}
            for name in self._due.keys() - newest:  # a later try at the same plan counts
                del self._due[name]
            waiting = [name for name in self._due if name not in self._carried]
            return [name for name in waiting if acquire(self._store.layout.session(name).judging)]
        except (HarnessError, OSError):  # the journal is busy, say, or the project was deleted
            return []

    def _notice(self) -> None:
        for one in self._store.sessions.select(since=self._seen):
            self._seen = max(self._seen, one.revision)
            if one.is_attempt and one.run_id is None and not one.live and one.verdict is None:
                self._due[one.id] = one
            else:
                self._due.pop(one.id, None)

    async def _carry(self, session_id: str) -> None:
        try:
            await self._judge(self._due[session_id])
        except Exception as error:
            reason = str(error) if isinstance(error, HarnessError | OSError) else f"{type(error).__name__}: {error}"
            await anyio.to_thread.run_sync(self._give_up, session_id, reason)
            await self._host.announce()
        finally:
            release(self._store.layout.session(session_id).judging)
            self._carried.discard(session_id)

    def _give_up(self, session_id: str, reason: str) -> None:
        self._due.pop(session_id, None)
        try:
            self._store.sessions.update(session_id, "judged", verdict="failed", reason=reason)
        except (HarnessError, OSError):  # the journal is gone with its project
            return

    async def _judge(self, session: SessionRecord) -> None:
        session = await anyio.to_thread.run_sync(self._store.sessions.get, session.id)
        if session.verdict is not None:  # another process was faster
            self._due.pop(session.id, None)
            return
        project = await anyio.to_thread.run_sync(open_project, self._store)
        plan = project.plan(str(session.plan_id))
        if plan is None:
            raise HarnessError(f"the plan {session.plan_id} is not in the project any more, so nothing can judge this")
        config = self._store.config()
        judge = Judge(self._host, self._desk, project, on_ask=self._on_ask)
        verdicts = Verdicts(self._host, judge, config)
        progress = PlanProgress(plan, worker=session.worker, state="verifying", attempts=[session])
        if session.state != "completed":
            await verdicts.record(progress, "failed")
        elif not config.verification_required:
            await verdicts.complete(progress, "unverified")
        else:
            progress.report = await judge.plan(plan)
            await verdicts.settle(progress)
        await anyio.to_thread.run_sync(self._publish)

    def _publish(self) -> None:
        try:
            publish_state(self._store)
        except (HarnessError, OSError) as error:
            say(self._store, "publishing_failed", str(error), None)
