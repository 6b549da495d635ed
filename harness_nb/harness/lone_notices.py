"""What people are told of sessions that belong to no run; whoever judges such sessions tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.orchestrator.notices import Notice, question_notices, session_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.orchestrator.notices import Found
    from harness_nb.orchestrator.policies import Prospect
    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store import Store

PATIENCE = 2.0
"""Seconds that a question is given before it is told of, where another process may have a policy that answers it."""


class LoneNotices:
    """Questions of sessions of no run, and those sessions that fail from now on.

    ``answers_for`` says whether this process answers for a session, and ``prospect_of`` what comes of a question.
    """

    def __init__(
        self,
        store: Store,
        answers_for: Callable[[str], bool],
        prospect_of: Callable[[MessageRecord], Prospect],
    ) -> None:
        self._store = store
        self._answers_for = answers_for
        self._prospect_of = prospect_of
        self._seen = store.events.last
        self._failed: dict[str, Notice] = {}

    def look(self) -> Found:
        """Return what is to be told now."""
        due, wait = self._ripe()
        return [*question_notices(self._store, due, self._prospect_of), *self._failures()], wait

    def _ripe(self) -> tuple[list[MessageRecord], float | None]:
        """Return the open questions that are to be told of unless a policy settles them, and when the next are."""
        due, waits = [], []
        for question in self._store.messages.pending():
            if self._store.sessions.get(question.session_id).run_id is not None:
                continue
            age = (self._store.clock() - question.timestamp).total_seconds()
            if self._answers_for(question.session_id) or age >= PATIENCE:
                due.append(question)
            else:
                waits.append(max(0.1, PATIENCE - age))
        return due, min(waits, default=None)

    def _failures(self) -> list[Notice]:
        changed = self._store.sessions.select(since=self._seen)
        found = [notice for one in changed if (notice := session_failure(self._store, one)) is not None]
        self._failed |= {one.subject: one for one in found}  # all of them each time: one may not have been told yet
        self._seen = max([self._seen, *(one.revision for one in changed)])
        return list(self._failed.values())
