"""Changes of sessions: waiting for the next one, and looking for those that nobody saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.harness.arguments import names_of, states_of
from harness_nb.harness.opened import Opened
from harness_nb.harness.patience import patience
from harness_nb.harness.recovery import look
from harness_nb.harness.watching import Watch
from harness_nb.protocol.state import StateChange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness_nb.protocol.recovery import Recovery


class ChangeVerbs(Opened):
    """The harness's verbs for what changes."""

    async def wait_for_state(
        self,
        *,
        session_ids: Iterable[str] | None = None,
        states: Iterable[str] | None = None,
        timeout: float | None = None,
        cursor: int | None = None,
    ) -> StateChange:
        """Wait until a session changes; woken, never polling.

        With a ``cursor`` from an earlier call: what changed since, at once if anything did. Without one: at once only
        if a session already is in one of ``states``, else at the next change. ``timeout`` is in seconds.

        Raises: TimeoutError, SessionNotFoundError, UnknownStateError; UnansweredQuestionError where nobody is there and
        one of the sessions asks what no policy answers, unless ``states`` has ``checkpoint``.
        """
        alone = self.answering.notice() is False
        watch = await self._watch(session_ids, states, cursor, alone=alone)
        with patience(timeout, "no session changed as asked"):
            return await watch.next()

    async def next_change(
        self,
        *,
        session_ids: Iterable[str] | None = None,
        states: Iterable[str] | None = None,
        timeout: float | None = None,
        cursor: int | None = None,
    ) -> StateChange:
        """Do what ``wait_for_state`` does for a program that waits again and again: time brings an empty change.

        Its cursor always leads on, so that nothing between two calls is missed. Questions end no such wait.

        Raises: SessionNotFoundError, UnknownStateError.
        """
        watch = await self._watch(session_ids, states, cursor, alone=False)
        with anyio.move_on_after(timeout):
            return await watch.next()
        return StateChange(sessions=(), cursor=watch.cursor)

    async def _watch(
        self,
        session_ids: Iterable[str] | None,
        states: Iterable[str] | None,
        cursor: int | None,
        *,
        alone: bool,
    ) -> Watch:
        wanted_ids, wanted_states = names_of(session_ids), states_of(states)
        for session_id in wanted_ids or ():
            record = await anyio.to_thread.run_sync(self.store.sessions.get, session_id)
            if record.live and record.run_id is None:
                self.answer_for(session_id)
        since = cursor if cursor is not None else 0 if wanted_states else await self._last_event()
        require = self.answering.require_answers if alone and "checkpoint" not in (wanted_states or ()) else None
        watch = Watch(self.host, wanted_ids, wanted_states, since, require)
        await watch.look()  # also where there is no time at all
        return watch

    async def _last_event(self) -> int:
        return await anyio.to_thread.run_sync(lambda: self.store.events.last)

    async def recover(self) -> Recovery:
        """Look at every session that is not known to have ended, adopt those that live, and say what was found.

        The first look of a harness tells all that happened since anybody looked before it was opened, each further one
        what happened since the last: who was adopted, finished meanwhile, died, was or will be resumed or tried anew,
        and of whom nothing can be proved. ``to_frame()`` of what it returns is a DataFrame.
        """
        followed = self._host.following

        def find() -> tuple[Recovery, int]:
            return look(self.store, actor=self.actor, door=self.door, since=self._looked, followed=followed)

        found, self._looked = await self.announced(find)
        await self._host.adopt()
        return found
