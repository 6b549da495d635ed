"""What was missing is supplied, and the next try finds it: a changed file, credentials, an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import CredentialProvider, Harness, Policy
from tests.orchestrator.written_plans import configure, plan, states, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.row(9)

LIMIT = 60
ACTION = '<task type="checkpoint:human-action">\n<name>Plug it in</name>\n<action>Plug it in</action>\n</task>\n'


def retried(harness: Harness) -> list[dict[str, Any]]:
    return [one.data for one in harness._twin.store.events.select(kind="retry")]


def test_a_file_that_was_missing_is_there_at_the_next_try(harness: Harness, root: Path) -> None:
    configure(root, retryDelay=0.2, maxRetries=6)
    run = harness.run(plans=[plan("01-01", "test -e supplied || exit 75"), plan("01-02", depends_on=["01-01"])])
    until(lambda: retried(harness))
    (root / "supplied").touch()
    report = run.wait(timeout=LIMIT)
    assert states(report) == {"01-01": "complete", "01-02": "complete"}
    assert 2 <= report.plan("01-01").attempts <= 7


@pytest.mark.row(1)
def test_credentials_that_a_policy_did_not_find_are_looked_up_again_at_the_next_try(
    opened: Callable[..., Harness], root: Path
) -> None:
    """A person who says yes is told at once that they are not there; a policy cannot be."""
    folder = root / "secrets"
    folder.mkdir()
    harness = opened(credentials=CredentialProvider(folder))
    configure(root, retryDelay=0.2, maxRetries=6)
    needs = [{"service": "redis", "envVars": ["REDIS_URL"], "reason": "to load"}]
    write_plan(root, "01-01", 'test "$REDIS_URL" = redis://here', credentials_needed=needs)
    run = harness.run(policies=[Policy(do="approve", after=0)])
    until(lambda: retried(harness))
    (folder / "redis.env").write_text("REDIS_URL=redis://here\n")
    report = run.wait(timeout=LIMIT)
    assert report.passed, str(report)
    assert "no credentials for redis" in retried(harness)[0]["reason"]
    assert "redis.env" in harness.list_sessions()[1].output().text, "the next try is told what to supply"


def test_credentials_that_somebody_refuses_are_not_asked_for_again(harness: Harness, root: Path) -> None:
    configure(root)
    needs = [{"service": "redis", "envVars": ["REDIS_URL"], "reason": "to load"}]
    write_plan(root, "01-01", credentials_needed=needs)
    run = harness.run()
    harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
    harness.get_pending()[0].reject("not from here")
    outcome = run.wait(timeout=LIMIT).plan("01-01")
    assert (outcome.state, outcome.attempts) == ("failed", 1)


@pytest.mark.row(10)
def test_instructions_for_another_try_reach_it(harness: Harness, root: Path) -> None:
    configure(root)
    write_plan(root, "01-01", body=ACTION)
    run = harness.run()
    harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
    [question] = harness.get_pending()
    payload = {"reason": "wrong cable", "shouldRetry": True, "retryInstructions": "Take the blue cable."}
    harness.respond(type="abort_task", session_id=question.session_id, payload=payload, in_response_to=question.id)
    until(lambda: [one.state for one in harness.list_sessions()] == ["failed", "checkpoint"])
    assert "aborted: wrong cable\nTake the blue cable." in harness.list_sessions()[1].output().text
    harness.get_pending()[0].approve()
    assert run.wait(timeout=LIMIT).passed


@pytest.mark.row(11)
def test_who_takes_a_run_up_keeps_to_the_delay_before_the_next_try(opened: Callable[..., Harness], root: Path) -> None:
    configure(root, retryDelay=1000)
    first = opened()
    write_plan(root, "01-01", "exit 75")
    first.run()
    until(lambda: retried(first))
    first.close()
    again = opened()
    run = again.run()
    assert run._twin._leading is not None
    runner = run._twin._leading.runner
    until(lambda: runner.plans)
    progress = runner.plans["01-01"]
    assert (progress.state, len(progress.attempts)) == ("waiting", 1)
    assert 900 < progress.pause <= 1000
    assert run.stop().state == "stopped"
    assert len(again.list_sessions()) == 1
