"""Judging tries at plans that belong to no run: those that somebody started one by one.

A worker that says it is done has not been judged yet, so whoever might run the project's plans verifies what it did,
without being asked. Of several such processes the one that started the session does it, by its own policies; where that
has gone, another one. A lock of that session says who, and dies with its holder. The project's lease would do as well,
but a verification may wait for a person, and no run could begin until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import HarnessError, UntrustedProjectError
from harness_nb.harness.state import open_project, publish_state
from harness_nb.orchestrator.judging import Judge
from harness_nb.orchestrator.progress import PlanProgress
from harness_nb.orchestrator.untrusted_plans import UNTRUSTED, reason_of
from harness_nb.orchestrator.verdicts import Verdicts, say
from harness_nb.sessions.host import GIVE_WAY
from harness_nb.store.locks import acquire, release
from harness_nb.store.trust import is_trusted, mark_of_trust

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.orchestrator import Desk
    from harness_nb.plans import Project
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.protocol.report import Report
    from harness_nb.sessions.host import SessionHost

LOOK_AGAIN = 1.0
"""Seconds until the next look at what another process judges, for it may die without a word, and until the next try."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries at most; each pause is twice the one before."""


class LoneSessions:
    """Judges ended tries at plans that are of no run; ``on_ask`` is told the session of each question to a person."""

    def __init__(self, host: SessionHost, desk: Desk, on_ask: Callable[[str], None]) -> None:
        self._host = host
        self._store = host.store
        self._desk = desk
        self._on_ask = on_ask
        self._seen = 0
        self._due: set[str] = set()
        self._ours: set[str] = set()
        self._carried: set[str] = set()
        self._pauses: dict[str, tuple[float, float]] = {}
        self._untrusted: dict[str, object] = {}
        """What was trusted when a session could not be judged for that."""

    def claim(self, session_id: str) -> None:
        """Keep a session that is just being started for this process, as long as this lives."""
        if self._is_ours(session_id):
            self._ours.add(session_id)

    async def serve(self) -> None:
        """Judge what ends until cancelled; whatever goes wrong with one session leaves the others alone."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    changed = self._host.changes.next
                    for session_id in await anyio.to_thread.run_sync(self._next, anyio.current_time()):
                        self._carried.add(session_id)
                        tasks.start_soon(self._carry, session_id)
                    with anyio.move_on_after(LOOK_AGAIN if self._due - self._carried else None):
                        await changed.wait()
                        await anyio.sleep(GIVE_WAY)
        finally:
            for session_id in list(self._ours):
                self._let_go(session_id)

    def _next(self, now: float) -> list[str]:
        """Return the sessions that wait for a verdict and are ours to judge now."""
        try:
            if self._notice() and self._due:
                for name in self._due - {one.id for one in self._store.sessions.newest_attempts().values()}:
                    self._done(name)  # a later try at the same plan counts
            if not self._due or not is_trusted(self._store.layout.root):
                return []
            mark = mark_of_trust(self._store.layout.root)
            held = {name for name, before in self._untrusted.items() if before == mark}
            waiting = self._due - self._carried - self._of_run() - held
        except (HarnessError, OSError):  # the journal is busy, say, or the project was deleted
            return []
        due = [name for name in waiting if self._pauses.get(name, (0.0, now))[1] <= now]
        return [name for name in sorted(due) if self._is_ours(name)]

    def _of_run(self) -> set[str | None]:
        """Return the sessions that the run which goes on has taken for its own: it judges them."""
        run = self._store.runs.unfinished()
        return {one.session_id for one, _ in self._store.runs.plans(run.id)[1]} if run is not None else set()

    def _notice(self) -> bool:
        if self._seen:
            changed = self._store.sessions.select(since=self._seen)
        else:  # of all that ended long ago only what still waits matters
            self._seen = self._store.events.last
            changed = self._store.sessions.unjudged()
        for one in changed:
            self._seen = max(self._seen, one.revision)
            unjudged = not one.live and one.verdict is None
            if one.is_attempt and one.run_id is None and (unjudged or one.died_at is not None):
                self._due.add(one.id)
            elif not one.live:
                self._done(one.id)
        return bool(changed)

    def _is_ours(self, session_id: str) -> bool:
        folder = self._store.layout.session(session_id)
        try:
            if session_id not in self._ours:
                folder.create()  # somebody may have cleared it away
                if not acquire(folder.judging):
                    return False
                self._ours.add(session_id)
        except OSError:  # the project was deleted, or cannot be written
            return False
        return True

    def _done(self, session_id: str) -> None:
        self._due.discard(session_id)
        self._pauses.pop(session_id, None)
        self._untrusted.pop(session_id, None)
        if session_id not in self._carried:
            self._let_go(session_id)

    def _let_go(self, session_id: str) -> None:
        if session_id in self._ours:
            self._ours.discard(session_id)
            release(self._store.layout.session(session_id).judging)

    async def _carry(self, session_id: str) -> None:
        try:
            await self._judge(session_id)
            self._due.discard(session_id)
        except UntrustedProjectError as error:  # it may wait for a person for days
            self._untrusted[session_id] = mark_of_trust(self._store.layout.root)
            await anyio.to_thread.run_sync(self._say_untrusted, session_id, error)
        except (HarnessError, OSError) as error:  # a busy journal, settings that are just being edited: it may pass
            pause = min(2 * self._pauses.get(session_id, (LOOK_AGAIN / 2, 0.0))[0], LONGEST_PAUSE)
            self._pauses[session_id] = (pause, anyio.current_time() + pause)
            await anyio.to_thread.run_sync(say, self._store, "judging_failed", str(error), None)
        finally:
            self._carried.discard(session_id)
            if session_id not in self._due:
                self._done(session_id)
            self._host.changes.happened()  # so that ``serve`` thinks anew of how long it may rest

    async def _judge(self, session_id: str) -> None:
        session = await anyio.to_thread.run_sync(self._store.sessions.get, session_id)
        if session.verdict is not None:  # another process was faster
            return
        if session.live:  # it died, and goes on; its end is noticed like any other
            await self._host.start_again(session_id)
            return
        project = await anyio.to_thread.run_sync(open_project, self._store)
        plan = project.plan(str(session.plan_id))
        if plan is None:
            gone = f"the plan {session.plan_id} is not in the project any more, so nothing can judge this"
            await self._fail(session_id, gone)
        else:
            await self._verify(session, plan, project)
        await anyio.to_thread.run_sync(self._publish)

    async def _verify(self, session: SessionRecord, plan: Plan, project: Project) -> None:
        config = await anyio.to_thread.run_sync(self._store.config)
        judge = Judge(self._host, self._desk, project, on_ask=self._on_ask)
        verdicts = Verdicts(self._host, judge, config)
        progress = PlanProgress(plan, worker=session.worker, state="verifying", attempts=[session])
        if session.state != "completed":
            await verdicts.record(progress, "failed")
        elif not config.verification_required:
            await verdicts.complete(progress, "unverified")
        else:
            progress.report = await self._report(judge, plan, session.id)
            if progress.report is not None:
                await verdicts.settle(progress)

    async def _report(self, judge: Judge, plan: Plan, session_id: str) -> Report | None:
        try:
            return await judge.plan(plan)
        except (HarnessError, OSError):
            raise
        except Exception as error:  # nobody foresaw it, so trying again would hardly help
            await self._fail(session_id, f"{type(error).__name__}: {error}")
            return None

    async def _fail(self, session_id: str, reason: str) -> None:
        def fail() -> None:
            own = self._store.sessions.get(session_id).reason  # what the worker failed of says more
            self._store.sessions.update(session_id, "judged", verdict="failed", reason=own or reason)

        await anyio.to_thread.run_sync(fail)
        await self._host.announce()

    def _say_untrusted(self, session_id: str, error: UntrustedProjectError) -> None:
        plan_id = self._store.sessions.get(session_id).plan_id
        say(self._store, UNTRUSTED, reason_of(error), None, plan_id)

    def _publish(self) -> None:
        try:
            publish_state(self._store)
        except (HarnessError, OSError) as error:
            say(self._store, "publishing_failed", str(error), None)
