"""``harness-nb respond``: list the open questions, and answer one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness_nb.cli.keyboard import is_interactive
from harness_nb.cli.opening import DOOR, opened, used_root
from harness_nb.cli.output import session_named
from harness_nb.cli.questions import understand
from harness_nb.errors import (
    AmbiguousQuestionError,
    NothingChosenError,
    QuestionExpiredError,
    QuestionNotFoundError,
    WrongAnswerTypeError,
)
from harness_nb.harness import current_user
from harness_nb.orchestrator import Desk
from harness_nb.protocol.messages import QUESTIONS
from harness_nb.protocol.shown import one_line
from harness_nb.store.messages import already_answered, summary_of
from harness_nb.views.questions import ASKS, Reply, asker_of, kind_of, question_text, respond_lines

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store import Store


def list_questions(folder: Path) -> None:
    """Print the open questions, each with the commands that answer it."""
    if not used_root(folder)[1]:
        print("No question is open.")  # noqa: T201
        return
    with opened(folder) as store:
        questions = store.messages.pending()
        for question in questions:
            print("\n".join(question_lines(question, store.layout.root)))  # noqa: T201
    if not questions:
        print("No question is open.")  # noqa: T201


def question_lines(question: MessageRecord, root: Path) -> list[str]:
    """Return a question and the commands that answer it, as lines."""
    asks = ASKS.get(kind_of(question), "asks")
    head = f"? {asker_of(question)} {asks}: {one_line(question_text(question))}"
    return [head, *(f"    {command}" for command in respond_lines(question, root))]


def reply_from(
    option: str | None,
    *,
    approve: bool,
    reject: str | None,
    abort: str | None,
    notes: str | None,
    scope: str | None = None,
    until: str | None = None,
) -> Reply | None:
    """Return the reply that the options of the command mean, or None where none of them was given."""
    if option is not None:
        return Reply("option", option, notes)
    if approve:
        return Reply("approve", notes=notes, scope=scope, until=until)
    if reject is not None:
        return Reply("reject", reject, notes)
    return Reply("abort", abort, notes) if abort is not None else None


def answer_question(folder: Path, message_id: str, reply: Reply | None, *, session: str | None = None) -> None:
    """Answer a question; without a reply it is asked here, where somebody can type.

    Raises: QuestionNotFoundError, AmbiguousQuestionError, SessionNotFoundError, AlreadyAnsweredError,
    QuestionExpiredError, WrongAnswerTypeError, UnknownOptionError, CredentialsNotFoundError, NothingChosenError.
    """
    root, used = used_root(folder)
    if not used:
        raise QuestionNotFoundError(message_id, root)
    with opened(folder) as store:
        question = _open_question(store, message_id, session)
        reply = reply or _asked_here(question, store.layout.root)
        answer = reply.send(Desk(store), question, actor=current_user(), door=DOOR)
        print(f"{asker_of(question)} is answered: {summary_of(answer)}")  # noqa: T201


def _open_question(store: Store, message_id: str, session: str | None) -> MessageRecord:
    asker = session_named(store, session).id if session is not None else _only_asker(store, message_id)
    question = store.messages.find(message_id, asker)
    if question is None:
        raise QuestionNotFoundError(message_id, store.layout.root, asker)
    if question.type not in QUESTIONS:
        raise WrongAnswerTypeError(question.type, "respond", None)
    earlier = store.messages.answer_to(question.id, question.session_id)
    if earlier is not None:
        raise already_answered(question.id, earlier)
    if question.status == "expired":
        raise QuestionExpiredError(question.id)
    return question


def _only_asker(store: Store, message_id: str) -> str | None:
    """Return the session whose open question has this id, or None where none is open."""
    askers = [one.session_id for one in store.messages.pending() if one.id == message_id]
    if len(askers) > 1:
        raise AmbiguousQuestionError(message_id, askers)
    return askers[0] if askers else None


def _asked_here(question: MessageRecord, root: Path) -> Reply:
    if not is_interactive():
        raise NothingChosenError(" or ".join(respond_lines(question, root)))
    from harness_nb.cli.sheets import question_sheet
    from harness_nb.cli.views import make_console

    console = make_console()
    console.print(question_sheet(question))
    while True:
        console.print("  › ", end="", style="bold")
        line = sys.stdin.readline()
        if not line:
            raise NothingChosenError(" or ".join(respond_lines(question, root)))
        reply = understand(question, line.rstrip("\n"))
        if isinstance(reply, Reply):
            return reply
        console.print(f"  {reply}", style="dim", markup=False)
