"""A second door: answers all that is asked in a project, until it is ended, and says each time that it is about to.

Run as ``python -m tests.survival.door ROOT WAY``, where the way is ``api``, ``shell`` or ``hand``: a person with an
editor, who leaves credentials to the API since a file cannot hand them over.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb import Harness
from harness_nb.cli.respond import answer_question
from harness_nb.errors import HarnessError
from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.store.layout import Layout
from harness_nb.views.questions import Reply
from tests.survival.scene import CHOSEN

if TYPE_CHECKING:
    from harness_nb import Question

BY_HAND: dict[str, dict[str, Any]] = {
    "verification": {"verified": True},
    "decision": {"selectedOptionId": CHOSEN},
    "action": {"actionCompleted": True, "notes": "done"},
}


def by_api(question: Question, root: Path) -> None:
    question.answer(CHOSEN if question.type == "decision_needed" else "yes")


def by_shell(question: Question, root: Path) -> None:
    decides = question.type == "decision_needed"
    reply = Reply("option", CHOSEN) if decides else Reply("approve")
    answer_question(root, question.id, reply, session=question.session_id)


def by_hand(question: Question, root: Path) -> None:
    kind = CHECKPOINT_TYPES[question.type]
    if kind not in BY_HAND:
        by_api(question, root)
        return
    target = Layout(root).session(question.session_id).response
    draft = target.with_name(f".draft-{os.getpid()}")
    draft.write_text(json.dumps({"inResponseTo": question.id, "checkpointType": kind, **BY_HAND[kind]}))
    with suppress(FileExistsError):
        os.link(draft, target)
    draft.unlink()


WAYS = {"api": by_api, "shell": by_shell, "hand": by_hand}


def main(root: Path, way: str) -> None:
    written: set[str] = set()
    with Harness(root) as harness:
        cursor = 0
        while True:
            for question in harness.get_pending():
                if question.id in written or question.type not in CHECKPOINT_TYPES:
                    continue
                print(f"answering {question.id} of {question.session_id}", flush=True)
                try:
                    WAYS[way](question, root)
                    written.add(question.id)
                except HarnessError as error:  # its session has just died, or somebody else was faster
                    print(f"{type(error).__name__}: {error}", flush=True)
            cursor = harness.wait_for_state(cursor=cursor).cursor


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
