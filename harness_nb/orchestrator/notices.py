"""What people are told of: in words, and each thing under a subject of its own, so that it is told once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.protocol.shown import one_line, short_line
from harness_nb.protocol.wording import message_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from harness_nb.orchestrator.policies import Prospect
    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.protocol.files import NoticeKind
    from harness_nb.protocol.outcome import RunReport
    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.store import Store

BY_A_PERSON = re.compile(r"ended by (?!signal )|aborted\b")
"""How the reason begins of what somebody ended: nobody has to be told of that."""


@dataclass(frozen=True)
class Notice:
    """One thing to tell: ``subject`` is what it is known by, whoever tells it."""

    subject: str
    kind: NoticeKind
    title: str
    body: str
    session_id: str | None = None
    plan_id: str | None = None


Found = tuple[list[Notice], float | None]
"""What is to be told now, and in how many seconds to look again though nothing happens (None: never)."""


def question_notices(
    store: Store, questions: Iterable[MessageRecord], prospect_of: Callable[[MessageRecord], Prospect]
) -> Iterator[Notice]:
    """Return what is to be said of open questions: those that no policy will settle, and those to be reminded of.

    ``prospect_of`` says what comes of each by itself, and that nothing does where its policy failed.
    """
    for question in questions:
        ahead = prospect_of(question)
        if question.type not in CHECKPOINT_TYPES or ahead.settles:
            continue
        yield _of_question(store.layout.root, question, "question", "waits for you")
        reminds = ahead.policy is not None and ahead.policy.do == "remind" and bool(ahead.policy.after)
        if reminds and ahead.at is not None and ahead.at <= store.clock():
            yield _of_question(store.layout.root, question, "reminder", "still waits for you")


def _of_question(root: Path, question: MessageRecord, kind: NoticeKind, waits: str) -> Notice:
    plan = str(question.payload.get("plan") or "")
    text = one_line(message_text(question.type, question.payload))
    return Notice(
        subject=f"{kind}:{question.session_id}:{question.id}",
        kind=kind,
        title=f"{root.name}: {plan or question.session_id} {waits} ({CHECKPOINT_TYPES[question.type]})",
        body=f"{text}\n\nAnswer it on the board or the page, or in a shell: "
        f"harness-nb respond {quote(question.id)} --project {quote(str(root))}",
        session_id=question.session_id,
        plan_id=plan or None,
    )


def failure_notice(root: Path, name: str, session_id: str, plan_id: str | None, reason: str | None) -> Notice | None:
    """Return what is to be said of something that failed for good; nothing where somebody ended it."""
    if BY_A_PERSON.match(reason or ""):
        return None
    why = short_line(reason or "no reason given", 500)
    output = f"harness-nb output {quote(session_id)} --project {quote(str(root))}"
    return Notice(
        subject=f"failed:{session_id}",
        kind="failed",
        title=f"{root.name}: {name} failed",
        body=f"{why}\n\nWhat it printed: {output}",
        session_id=session_id,
        plan_id=plan_id,
    )


def end_notice(root: Path, report: RunReport) -> Notice:
    """Return what is to be said of a run that has ended."""
    return Notice(
        subject=f"ended:{report.run_id}",
        kind="ended",
        title=f"{root.name}: {report.headline}",
        body="\n".join(short_line(line, 500) for line in str(report).splitlines()),
    )


class RunNotices:
    """What is to be told of a run: the questions of its sessions, and its plans that failed for good."""

    def __init__(
        self,
        store: Store,
        plans: Callable[[], Iterable[PlanProgress]],
        carries: Callable[[str], bool],
        prospect_of: Callable[[MessageRecord], Prospect],
    ) -> None:
        self._store = store
        self._plans = plans
        self._carries = carries
        self._prospect_of = prospect_of

    def look(self) -> Found:
        """Return what is to be told now."""
        pending = [one for one in self._store.messages.pending() if self._carries(one.session_id)]
        found = list(question_notices(self._store, pending, self._prospect_of))
        for one in list(self._plans()):
            if one.state == "failed" and one.selected and one.session_id is not None:
                notice = failure_notice(
                    self._store.layout.root, f"plan {one.plan.id}", one.session_id, one.plan.id, one.reason
                )
                found += [notice] if notice else []
        return found, None


def session_failure(store: Store, session: SessionRecord) -> Notice | None:
    """Return what is to be said of a session of no run that failed for good; a try at a plan counts once judged."""
    if session.live or session.worker == "python" or session.run_id is not None:
        return None
    failed = session.verdict == "failed" if session.is_attempt else session.state == "failed"
    name = f"plan {session.plan_id}" if session.plan_id else f"session {session.id}"
    return failure_notice(store.layout.root, name, session.id, session.plan_id, session.reason) if failed else None
