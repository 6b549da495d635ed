"""Policies where several sessions use the same id for their questions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness_nb import Policy
from harness_nb.orchestrator.answering import PolicyAnswers
from harness_nb.orchestrator.policies import Rules

if TYPE_CHECKING:
    from harness_nb import Harness

QUESTION = json.dumps({"id": "q1", "type": "decision", "decision": "Which?", "options": [{"id": "a"}]})
ASK = f"""\
cd "$HARNESS_SESSION_DIR"
echo '{QUESTION}' > question.tmp
mv question.tmp checkpoint.json
read line"""


@pytest.mark.parametrize(
    ("policy", "event"),
    [(Policy(do="remind"), "reminder"), (Policy(do="answer", answer="z"), "policy_failed")],
)
def test_each_session_is_told_of_once(harness: Harness, policy: Policy, event: str) -> None:
    """That another session's question has the same id takes nothing from it."""
    sessions = [harness.start_session(command=["sh", "-c", ASK]).id for _ in range(2)]
    for session in sessions:
        harness.wait_for_state(session_ids=[session], states=["checkpoint", "failed"], timeout=30)
    inner = harness._twin
    policies = PolicyAnswers(inner.host, inner.desk, lambda: Rules((policy,)))
    policies.apply()
    policies.apply()
    told = inner.store.events.select(kind=event)
    assert sorted(str(one.session_id) for one in told) == sorted(sessions)
