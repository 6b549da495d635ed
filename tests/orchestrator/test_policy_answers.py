"""Policies at work on open questions: now, later, never, and when they cannot."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from harness_nb import AsyncHarness, CredentialProvider, Policy
from harness_nb.orchestrator.answering import PolicyAnswers
from harness_nb.orchestrator.policies import Rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from harness_nb.protocol.records import MessageRecord

pytestmark = pytest.mark.anyio

DECISION = {"decision": "Which?", "options": [{"id": "a"}, {"id": "b", "recommended": True}]}


class Asked:
    """Questions that are open, and the policies to apply to them."""

    def __init__(self, harness: AsyncHarness) -> None:
        self.harness = harness
        self.answers: dict[str, MessageRecord] = {}
        self._answered: dict[str, anyio.Event] = {}

    async def ask(self, kind: str, **payload: Any) -> None:
        self._answered[kind] = anyio.Event()
        self.answers[kind] = await self.harness.ask(kind, **payload)
        self._answered[kind].set()

    async def until_open(self, count: int, kind: str | None = None) -> None:
        while True:
            changed = self.harness.host.changes.next
            if len(await self.harness.get_pending(message_types=kind and [kind])) >= count:
                return
            await changed.wait()

    async def answer_to(self, kind: str) -> MessageRecord:
        await self._answered[kind].wait()
        return self.answers[kind]

    def apply(self, *policies: Policy) -> float | None:
        return self.serving(*policies).apply()

    def serving(self, *policies: Policy, attended: bool | None = None) -> PolicyAnswers:
        return PolicyAnswers(self.harness.host, self.harness.desk, lambda: Rules(policies, attended))

    def let_time_pass(self, seconds: float) -> None:
        before = self.harness.store.clock
        self.harness.store.clock = lambda: before() + timedelta(seconds=seconds)

    def events(self, kind: str) -> int:
        return len(self.harness.store.events.select(kind=kind))


@pytest.fixture
async def asked(root: Path) -> AsyncIterator[Asked]:
    async with AsyncHarness(root) as harness, anyio.create_task_group() as tasks:
        asked = Asked(harness)
        tasks.start_soon(lambda: asked.ask("decision", **DECISION))
        tasks.start_soon(lambda: asked.ask("action", action="Look"))
        await asked.until_open(2)
        yield asked
        tasks.cancel_scope.cancel()


async def test_what_no_policy_fits_is_left_to_a_person(asked: Asked) -> None:
    """A question that nothing fits, or that is to wait, stays open."""
    assert asked.apply(Policy(kind="verification", do="approve"), Policy(kind="action", do="wait")) is None
    assert len(await asked.harness.get_pending()) == 2


async def test_a_policy_answers_in_its_own_name(asked: Asked) -> None:
    """The journal says that a policy answered, and the option is the recommended one or the one that it names."""
    assert asked.apply(Policy(kind="decision", do="answer", answer="a"), Policy(do="approve")) is None
    decision, action = await asked.answer_to("decision"), await asked.answer_to("action")
    assert decision.payload["selectedOptionId"] == "a"
    assert action.payload["completedBy"] == "policy"
    assert {(one.actor, one.door) for one in (decision, action)} == {("policy", "policy")}


@pytest.mark.row(10)
async def test_a_policy_acts_when_its_time_has_come(asked: Asked) -> None:
    """``after`` gives a person that long; until then the policy says when it wants to look again."""
    policy = Policy(kind="decision", do="answer", after=600)
    left = asked.apply(policy)
    assert left is not None
    assert 590 < left <= 600
    asked.let_time_pass(601)
    assert asked.apply(policy) is None
    assert (await asked.answer_to("decision")).payload["selectedOptionId"] == "b"


@pytest.mark.row(10)
async def test_with_somebody_there_a_policy_without_a_deadline_leaves_the_question_to_them(asked: Asked) -> None:
    """``after=0`` acts at once whoever is there, and a deadline is kept."""
    at_once, later = Policy(kind="decision", do="approve", after=0), Policy(kind="action", do="approve")
    asked.serving(at_once, later, attended=True).apply()
    assert (await asked.answer_to("decision")).actor == "policy"
    assert [one.type for one in await asked.harness.get_pending()] == ["action_needed"]
    asked.serving(Policy(kind="action", do="approve", after=60), attended=True).apply()
    assert [one.type for one in await asked.harness.get_pending()] == ["action_needed"]
    asked.serving(later, attended=False).apply()
    assert (await asked.answer_to("action")).actor == "policy"


@pytest.mark.row(10)
async def test_a_reminder_is_given_once_and_decides_nothing(asked: Asked) -> None:
    """``remind`` writes one event for each question."""
    reminding = asked.serving(Policy(do="remind"))
    reminding.apply()
    reminding.apply()
    assert asked.events("reminder") == 2
    assert len(await asked.harness.get_pending()) == 2


async def test_a_policy_can_abort(asked: Asked) -> None:
    """``abort`` tells the worker to stop its task."""
    asked.apply(Policy(kind="action", do="abort"))
    assert (await asked.answer_to("action")).type == "abort_task"


async def test_a_policy_that_cannot_answer_leaves_it_to_a_person_and_says_why(asked: Asked) -> None:
    """An option that was not offered answers nothing, and is said once."""
    policies = asked.serving(Policy(kind="decision", do="answer", answer="z"))
    policies.apply()
    policies.apply()
    [event] = asked.harness.store.events.select(kind="policy_failed")
    assert "no option 'z'" in event.data["reason"]
    assert len(await asked.harness.get_pending(message_types=["decision_needed"])) == 1


@pytest.mark.row(1)
@pytest.mark.parametrize("policy", [Policy(do="approve"), Policy(do="answer", answer="yes")])
async def test_yes_to_credentials_looks_them_up_however_it_is_said(asked: Asked, policy: Policy, root: Path) -> None:
    """An answer that says yes and brings nothing would leave the worker without its values."""
    folder = root / "secrets"
    folder.mkdir()
    (folder / "redis.env").write_text("REDIS_URL=redis://hidden-value\n")
    asked.harness.desk.broker.use(CredentialProvider(folder))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: asked.ask("credentials", service="redis", env_vars=["REDIS_URL"]))
        await asked.until_open(1, "credentials_needed")
        asked.apply(policy)
    payload = asked.answers["credentials"].payload
    assert (payload["found"], payload["envVars"]) == (True, ["REDIS_URL"])
    assert payload["source"] == "redis.env"


async def test_serving_policies_survives_a_journal_that_cannot_be_read(asked: Asked) -> None:
    """A busy journal is looked at again, and ends no run."""
    looked = threading.Event()

    def busy(*_: object) -> list[MessageRecord]:
        asked.harness.store.messages.pending = original  # type: ignore[method-assign]
        looked.set()
        raise OSError("busy")

    original = asked.harness.store.messages.pending
    asked.harness.store.messages.pending = busy  # type: ignore[method-assign, assignment]
    policies = asked.serving(Policy(do="approve"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(policies.serve)
        await anyio.to_thread.run_sync(looked.wait)  # before anybody else looks at the questions
        await asked.answer_to("decision")
        await asked.answer_to("action")
        tasks.cancel_scope.cancel()
