"""Policies that are Python functions: they live in one process, and so do the runs that they answer for.

Each is asked about a question before all policies that are data, and once: what it returns is the answer, and None
leaves the question to those that come after it. Nothing of that is stored, so another process knows nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness_nb.orchestrator.policies import Prospect
from harness_nb.protocol.files import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness_nb.protocol.records import MessageRecord

    PolicyFunction = Callable[[MessageRecord], Any]

TO_BE_ASKED = Prospect(Policy.model_construct(do="wait"))
"""What comes of a question while a function has not been asked about it: an answer can be expected."""


class FunctionPolicies:
    """Some functions, and which questions they were asked about."""

    def __init__(self, functions: Sequence[PolicyFunction] = ()) -> None:
        self.functions = tuple(functions)
        self._done: set[int] = set()
        self._answers: dict[int, Any] = {}

    def are_to_be_asked(self, question: MessageRecord) -> bool:
        """Say whether a question is still to be put to the functions, or what they said to it is still to be given."""
        return bool(self.functions) and question.seq not in self._done

    def answer_to(self, question: MessageRecord) -> Any:
        """Return the first answer that one of them has, the same one until ``done_with``; None leaves it to others.

        Raises: whatever a function raises.
        """
        if not self.are_to_be_asked(question):
            return None
        if question.seq not in self._answers:
            self._answers[question.seq] = self._ask(question)
        if self._answers[question.seq] is None:
            self.done_with(question)
        return self._answers.get(question.seq)

    def done_with(self, question: MessageRecord) -> None:
        """Forget what was said to a question: it was given, or cannot be."""
        self._done.add(question.seq)
        self._answers.pop(question.seq, None)

    def _ask(self, question: MessageRecord) -> Any:
        try:
            return next((answer for one in self.functions if (answer := one(question)) is not None), None)
        except BaseException:
            self.done_with(question)
            raise
