"""Is somebody there to be asked? Where nobody is, a wait that no policy will end must end by itself.

Looked at at each call and not once: one kernel may be driven by a person first and by a program later.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from harness_nb.errors import UnansweredQuestionError
from harness_nb.orchestrator.answering import unanswerable
from harness_nb.views.questions import asker_of, kind_of, question_text, respond_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness_nb.orchestrator.policies import Prospect
    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store import Store

UNATTENDED = "HARNESS_UNATTENDED"
"""The variable that says that nobody is there, whatever else there is."""


def attended() -> bool | None:
    """Return whether somebody is there to be asked: yes, no, or None where nothing tells (a script, say).

    ``HARNESS_UNATTENDED`` set to anything but 0, false or no wins. In a notebook's kernel it is whether whoever sent
    the cell takes input (nbval, nbclient and papermill do not), or whether a dashboard (Voilà) executed it for its
    reader. Which cell that is, its context says: the loop thread works in that of the caller, since the portal hands it
    over, and a subshell's cell has its own. On a thread without one the newest cell decides.
    """
    if os.environ.get(UNATTENDED, "").strip().lower() not in ("", "0", "false", "no"):
        return False
    kernel = _kernel()
    if kernel is None:
        return None
    if os.environ.get("SERVER_SOFTWARE", "").lower().startswith("voila"):
        return True
    return _takes_input(kernel)


def require_answers(
    store: Store,
    questions: Iterable[MessageRecord],
    prospect_of: Callable[[MessageRecord], Prospect],
    *,
    shell: bool = True,
) -> None:
    """See to it that nobody waits for an answer that will not come; ``shell`` is whether other doors can give it.

    Raises: UnansweredQuestionError for the first question that no policy answers.
    """
    found = unanswerable(store, questions, prospect_of)
    if found is None:
        return
    question, reason = found
    ways = respond_lines(question, store.layout.root) if shell else ()
    text, kind = question_text(question), kind_of(question)
    raise UnansweredQuestionError(text, asker=asker_of(question), kind=kind, reason=reason, ways=ways)


def _kernel() -> Any:
    """Return the kernel that this process is, found without importing IPython."""
    shells = sys.modules.get("IPython.core.getipython")
    shell = shells.get_ipython() if shells is not None else None
    return getattr(shell, "kernel", None)


def _takes_input(kernel: Any) -> bool | None:
    """Return what the request said that is being worked on; a click's request says nothing, the cell before it did."""
    parent = kernel.get_parent("shell") if hasattr(kernel, "get_parent") else {}
    said = (parent or {}).get("content", {}).get("allow_stdin")
    if said is None:
        said = getattr(kernel, "_allow_stdin", None)
    return None if said is None else bool(said)
