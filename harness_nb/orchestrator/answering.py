"""Answering by policy: at once, or when a question has waited long enough.

Each question has one who answers for it: the run that its session belongs to, or else the harness that asked it or that
started its session. So two with other rules never contradict each other, and whoever only looks answers nothing.

Whoever sees a question first that has a deadline writes that down. Of several the first one wins, and a deadline that
passed while nobody ran is kept by the next who answers for the question, or who would judge its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from harness_nb.errors import AlreadyAnsweredError, HarnessError, JournalTroubleError, QuestionExpiredError
from harness_nb.orchestrator import answers
from harness_nb.orchestrator.functions import FunctionPolicies
from harness_nb.orchestrator.policies import Prospect, Rules, acts_alone, foreseen_of, prospect
from harness_nb.sessions.insisting import HINDRANCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness_nb.orchestrator.desk import Desk
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.records import EventRecord, MessageRecord
    from harness_nb.sessions.host import SessionHost
    from harness_nb.store import Store

POLICY = "policy"
"""Who answers, as the journal and the worker read it."""

LOOK_AGAIN = 1.0
"""Seconds until the next try after the questions could not be read."""

OVERDUE = 5.0
"""Seconds after which a deadline that nobody acted on is nobody's any more: who set it has gone.

From then on anybody who judges sessions keeps it, where the question is of no run; until then whoever set it may know
more, such as where to look credentials up.
"""

LOOK_AT_CLOCK = 30.0
"""Seconds between two looks at the wall clock: it may be set, and goes on while this machine sleeps."""


class PolicyAnswers:
    """Applies policies to open questions, the first match to each.

    ``rules`` are looked up each time, and ``mine`` says which sessions' questions they are for: without it, all.
    ``functions`` are asked before them. ``grace`` is how many seconds somebody else has for each deadline.
    """

    def __init__(
        self,
        host: SessionHost,
        desk: Desk,
        rules: Callable[[], Rules],
        mine: Callable[[str], bool] = lambda _: True,
        functions: Callable[[], FunctionPolicies] = FunctionPolicies,
        grace: float = 0.0,
    ) -> None:
        self._host = host
        self._store = host.store
        self._desk = desk
        self._rules = rules
        self._mine = mine
        self._functions = functions
        self._grace = grace
        self._told: set[tuple[str, int]] = set()
        self._hindered = False

    async def serve(self) -> None:
        """Answer what is due until cancelled; woken by changes and by the next moment that something is due."""
        while True:
            changed = self._host.changes.next
            wait = await anyio.to_thread.run_sync(self._try_to_apply)
            with anyio.move_on_after(None if wait is None else min(wait, LOOK_AT_CLOCK)):
                await changed.wait()

    def _try_to_apply(self) -> float | None:
        try:
            return self.apply()
        except (HarnessError, OSError):  # the journal is busy, say: no reason to end a run
            return LOOK_AGAIN

    def apply(self) -> float | None:
        """Answer what is due now, and return the seconds until the next is."""
        self._hindered = False
        questions = [one for one in self._store.messages.pending() if self._mine(one.session_id)]
        questions = [one for one in questions if not self._answer_by_function(one)]
        waits = [self._act(one, Rules()) for one in questions if one.foreseen is not None]
        new = [one for one in questions if one.foreseen is None]
        rules = self._rules() if new else Rules()  # only now: settings that cannot be read stop no deadline
        waits += [self._act(self._foresee(one, rules), rules) for one in new]
        waits += [LOOK_AGAIN] if self._hindered else []
        return min((wait for wait in waits if wait is not None), default=None)

    def _answer_by_function(self, question: MessageRecord) -> bool:
        functions = self._functions()
        if not functions.are_to_be_asked(question):
            return False
        if self._desk.broker.standing.for_question(question) is not None:  # that comes before all policies
            functions.done_with(question)
            return False
        try:
            answer = functions.answer_to(question)
        except (Exception, SystemExit) as error:  # its writer's: whatever it raises leaves the question to others
            self._say_once("policy_failed", question, reason=_reason_of(error))
            return False
        if answer is None:
            self._store.ring()  # whoever waits for nobody in vain looks again at what comes of it
            return False
        return self._give(question, answer, functions)

    def _give(self, question: MessageRecord, answer: Any, functions: FunctionPolicies) -> bool:
        """Give what a function answered; false where that is none. What only hinders it leaves it to nobody else."""
        try:
            self._desk.answer(question, answer, actor=POLICY, door=POLICY)
        except (AlreadyAnsweredError, QuestionExpiredError):
            pass
        except JournalTroubleError:
            raise
        except HINDRANCES:
            self._hindered = True
            return True
        except Exception as error:
            functions.done_with(question)
            self._say_once("policy_failed", question, reason=_reason_of(error))
            return False
        functions.done_with(question)
        return True

    def _foresee(self, question: MessageRecord, rules: Rules) -> MessageRecord:
        """Write down the deadline of a question that nobody wrote down yet, and return the question as it is then."""
        foreseen = foreseen_of(question, rules, self._store.clock())
        if foreseen is None:
            return question
        question = self._store.messages.foresee(question.seq, foreseen)
        self._store.ring()
        return question

    def _act(self, question: MessageRecord, rules: Rules) -> float | None:
        """Do what is due with a question, or return the seconds until it is."""
        ahead = prospect(question, rules)
        if ahead.policy is None or ahead.at is None:
            return None
        left = (ahead.at - self._store.clock()).total_seconds() + self._grace
        if left > 0:
            return left
        if acts_alone(ahead.policy):
            self._answer(question, ahead.policy)
        else:
            self._say_once("reminder", question)
        return None

    def _answer(self, question: MessageRecord, policy: Policy) -> None:
        try:
            if policy.do == "abort":
                self._desk.settle(question, answers.abort(question, "a policy says so"), actor=POLICY, door=POLICY)
            elif policy.do == "answer" and policy.answer is not None:
                self._desk.answer(question, policy.answer, actor=POLICY, door=POLICY, strict=False)
            else:
                self._approve(question)
        except (AlreadyAnsweredError, QuestionExpiredError):
            return  # somebody was faster, or nobody waits any more
        except JournalTroubleError:  # that passes, and the policy can do it then
            raise
        except HINDRANCES:  # its session's folder, say: the others need not wait until that is mended
            self._hindered = True
        except HarnessError as error:
            self._say_once("policy_failed", question, reason=str(error))  # left to a person

    def _approve(self, question: MessageRecord) -> None:
        standing = self._desk.broker.standing.for_question(question)
        grant = standing.grant if standing is not None else None
        if grant is None:
            self._desk.approve(question, actor=POLICY, door=POLICY, strict=False)
            return
        # strict: what was handed over as values cannot be looked up, and then a person has them
        said = f"{grant.actor} allowed it for {grant.whom}"
        terms = {"grant": grant.id, "scope": grant.scope, "until": grant.until}  # it ends when that does
        self._desk.approve(question, actor=POLICY, door=POLICY, notes=said, terms=terms)

    def _say_once(self, kind: str, question: MessageRecord, **data: str) -> None:
        if (kind, question.seq) not in self._told:
            self._told.add((kind, question.seq))
            if not _said(self._store, kind, question):  # by whoever answered for it before
                self._store.events.add(kind, session_id=question.session_id, data={"question": question.id, **data})
                self._store.ring()


def unanswerable(
    store: Store, questions: Iterable[MessageRecord], prospect_of: Callable[[MessageRecord], Prospect]
) -> tuple[MessageRecord, str] | None:
    """Return the first question that nobody will answer where nobody is there, and why its policy could not."""
    for question in questions:
        if not prospect_of(question).covered:
            return question, ""
        if failures := policy_failures(store, question):
            return question, str(failures[0].data.get("reason"))
    return None


def policy_failures(store: Store, question: MessageRecord) -> list[EventRecord]:
    """Return what the journal says of policies that could not answer a question."""
    return _said(store, "policy_failed", question)


def failed_by_policy(store: Store, question: MessageRecord, ahead: Prospect) -> bool:
    """Say whether what was to happen by itself was tried, and could not be."""
    return ahead.at is not None and any(one.timestamp >= ahead.at for one in policy_failures(store, question))


def prospect_elsewhere(store: Store, question: MessageRecord) -> Prospect:
    """Return what comes of a question that others answer for, from what they wrote down with it.

    A moment that has passed says that nobody is there to act on it.
    """
    ahead = prospect(question, Rules())
    overdue = ahead.at is not None and (store.clock() - ahead.at).total_seconds() > OVERDUE
    return Prospect() if overdue else ahead


def _reason_of(error: BaseException) -> str:
    return str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"


def _said(store: Store, kind: str, question: MessageRecord) -> list[EventRecord]:
    found = store.events.select(kind=kind, session_id=question.session_id)
    return [one for one in found if one.data.get("question") == question.id]
