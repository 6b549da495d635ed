"""Who answers for what is asked in a project: a run, this harness by its own policies, or nobody by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.harness.arguments import functions_of, policies_of
from harness_nb.harness.attendance import attended, require_answers
from harness_nb.orchestrator.answering import PolicyAnswers, failed_by_policy, prospect_elsewhere
from harness_nb.orchestrator.functions import TO_BE_ASKED, FunctionPolicies
from harness_nb.orchestrator.policies import Prospect, Rules, prospect, rules_of_run
from harness_nb.orchestrator.standing import StandingGrants
from harness_nb.store.locks import is_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from anyio.abc import TaskGroup

    from harness_nb.harness.handles import AsyncRun
    from harness_nb.orchestrator import Desk
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.records import MessageRecord
    from harness_nb.sessions.host import SessionHost
    from harness_nb.store import Store


class Answering:
    """Answers by policy for the sessions that this harness asked through, started or waits for.

    ``told`` is whether somebody is there, where the opener knows; without it, that is looked for at each call.
    """

    def __init__(
        self,
        host: SessionHost,
        desk: Desk,
        current_run: Callable[[], AsyncRun | None],
        *,
        policies: Sequence[Policy | PolicyFunction],
        told: bool | None,
    ) -> None:
        self._host = host
        self._desk = desk
        self._store = host.store
        self._current_run = current_run
        self.use(policies)
        self._told = told
        self._mine: set[str] = set()
        self._serving = False
        self.notice()

    def use(self, policies: Sequence[Policy | PolicyFunction]) -> None:
        """Answer by these policies from now on.

        Raises: UnusableArgumentError.
        """
        self.policies = policies_of(policies)
        self.functions = FunctionPolicies(functions_of(policies))

    def notice(self) -> bool | None:
        """Look whether somebody is there to be asked, as the caller's cell has it, and keep that."""
        self.attended = attended() if self._told is None else self._told
        return self.attended

    @property
    def rules(self) -> Rules:
        """The harness's policies, then those of the settings, which are read for it."""
        standing = self._desk.broker.standing.for_question
        return Rules((*self.policies, *self._store.config().policies), self.attended, standing)

    def begin_anew(self) -> None:
        """Forget what was answered for, when the harness is opened once more."""
        self._mine, self._serving = set(), False

    def take_on(self, session_id: str, tasks: TaskGroup) -> None:
        """Answer a session's questions by policy from now on; one of a run is left to that run."""
        self._mine.add(session_id)
        if not self._serving:  # begun when there is something to answer for: who only looks answers nothing
            self._serving = True
            answers = PolicyAnswers(self._host, self._desk, lambda: self.rules, self.is_mine, lambda: self.functions)
            tasks.start_soon(answers.serve)

    def is_mine(self, session_id: str) -> bool:
        """Say whether this harness answers a session's questions by its own policies."""
        if session_id not in self._mine or self._store.sessions.get(session_id).run_id is not None:
            return False
        return self._run_with(session_id) is None

    def is_left(self, session_id: str) -> bool:
        """Say whether a session is of no run, and somebody else's to answer for if that still lives."""
        return session_id not in self._mine and self._store.sessions.get(session_id).run_id is None

    def _run_with(self, session_id: str) -> AsyncRun | None:
        run = self._current_run()
        return run if run is not None and not run.ended and run.carries(session_id) else None

    def _ahead(self, question: MessageRecord) -> Prospect:
        """Return what comes of a question by the rules of whoever answers for it, or what they wrote down with it."""
        session = self._store.sessions.get(question.session_id)
        run = self._run_with(session.id)
        if run is not None:
            return run.prospect_of(question)
        if self.is_mine(session.id):
            return TO_BE_ASKED if self.functions.are_to_be_asked(question) else prospect(question, self.rules)
        return prospect_by_others(self._store, question)

    def prospect_of(self, question: MessageRecord) -> Prospect:
        """Return what comes of a question by itself: nothing where its policy has tried and could not answer."""
        ahead = self._ahead(question)
        return Prospect() if ahead.settles and failed_by_policy(self._store, question, ahead) else ahead

    def require_answers(self, questions: Iterable[MessageRecord]) -> None:
        """See to it that nobody waits for an answer that will not come.

        Raises: UnansweredQuestionError for the first question that nobody answers by itself.
        """
        require_answers(self._store, questions, self._ahead)

    def refuse(self, question: MessageRecord) -> None:
        """Refuse a question that nobody will answer.

        Raises: UnansweredQuestionError where nobody is there and no policy answers.
        """
        rules = self.rules
        if rules.attended is False and not self.functions.are_to_be_asked(question):
            require_answers(self._store, [question], lambda one: prospect(one, rules), shell=False)


def prospect_by_others(store: Store, question: MessageRecord) -> Prospect:
    """Return what other processes will do about a question by themselves, as far as a look from outside can tell."""
    session = store.sessions.get(question.session_id)
    if session.run_id is None:
        return prospect_elsewhere(store, question)
    unfinished = store.runs.unfinished()
    if unfinished is not None and session.run_id == unfinished.id and is_held(store.layout.lease):
        return prospect(question, rules_of_run(unfinished.options, store.config(), StandingGrants(store).for_question))
    return Prospect()  # nobody does anything by itself, until somebody goes on with the run
