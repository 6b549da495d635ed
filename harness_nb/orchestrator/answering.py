"""Answering by policy while a run goes on: at once, or when a question has waited long enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import AlreadyAnsweredError, HarnessError, QuestionExpiredError
from harness_nb.orchestrator import answers
from harness_nb.orchestrator.policies import acts_alone, due_at, policy_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_nb.orchestrator.desk import Desk
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.records import MessageRecord
    from harness_nb.sessions.host import SessionHost

POLICY = "policy"
"""Who answers, as the journal and the worker read it."""

LOOK_AGAIN = 1.0
"""Seconds until the next try after the questions could not be read."""


class PolicyAnswers:
    """Applies policies to every open question of the project, the first match to each."""

    def __init__(self, host: SessionHost, desk: Desk, policies: Sequence[Policy]) -> None:
        self._host = host
        self._store = host.store
        self._desk = desk
        self._policies = policies
        self._told: set[int] = set()

    async def serve(self) -> None:
        """Answer what is due until cancelled; woken by changes and by the next moment that something is due."""
        while True:
            changed = self._host.changes.next
            wait = await anyio.to_thread.run_sync(self._try_to_apply)
            with anyio.move_on_after(wait):
                await changed.wait()

    def _try_to_apply(self) -> float | None:
        try:
            return self.apply()
        except (HarnessError, OSError):  # the journal is busy, say: no reason to end a run
            return LOOK_AGAIN

    def apply(self) -> float | None:
        """Answer what is due now, and return the seconds until the next is."""
        waits = []
        for question in self._store.messages.pending():
            policy = policy_for(question, self._policies)
            if policy is None or policy.do == "wait":
                continue
            left = (due_at(question, policy) - self._store.clock()).total_seconds()
            if left > 0:
                waits.append(left)
            elif acts_alone(policy):
                self._answer(question, policy)
            else:
                self._say_once("reminder", question)
        return min(waits) if waits else None

    def _answer(self, question: MessageRecord, policy: Policy) -> None:
        try:
            if policy.do == "abort":
                self._desk.settle(question, answers.abort(question, "a policy says so"), actor=POLICY, door=POLICY)
            elif policy.do == "answer" and policy.answer is not None:
                self._desk.answer(question, policy.answer, actor=POLICY, door=POLICY, strict=False)
            else:
                self._desk.approve(question, actor=POLICY, door=POLICY, strict=False)
        except (AlreadyAnsweredError, QuestionExpiredError):
            return  # somebody was faster, or nobody waits any more
        except HarnessError as error:
            self._say_once("policy_failed", question, reason=str(error))  # left to a person

    def _say_once(self, kind: str, question: MessageRecord, **data: str) -> None:
        if question.seq not in self._told:
            self._told.add(question.seq)
            self._store.events.add(kind, session_id=question.session_id, data={"question": question.id, **data})
            self._store.ring()
