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
        self._asked: set[int] = set()

    def are_to_be_asked(self, question: MessageRecord) -> bool:
        """Say whether a question is still to be put to the functions."""
        return bool(self.functions) and question.seq not in self._asked

    def answer_to(self, question: MessageRecord) -> Any:
        """Return the first answer that one of them has, or None; a second time it is always None.

        Raises: whatever a function raises.
        """
        if not self.are_to_be_asked(question):
            return None
        try:
            return next((answer for one in self.functions if (answer := one(question)) is not None), None)
        finally:
            self._asked.add(question.seq)
