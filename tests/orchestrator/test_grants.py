"""Grants at work: who is asked, who is not, what the journal keeps, and what a worker gets."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pytest
from pydantic import SecretStr

from harness_nb import CredentialProvider, Harness, Policy, lookup_credentials
from harness_nb.errors import (
    CredentialsDeniedError,
    CredentialsNotFoundError,
    GrantEndedError,
    GrantNotFoundError,
    InvalidMessageError,
    PersonWantedError,
    UnansweredQuestionError,
    UnusableArgumentError,
)
from harness_nb.harness.blocking_handles import call
from harness_nb.sessions.worker_side import WorkerSide
from tests.leaks import files_that_hold
from tests.orchestrator.written_plans import configure, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.harness import Question, Session

pytestmark = pytest.mark.row(2)

SECRET = "hush-4711-hush"  # pretended
STAGING = "hush-4712-hush"
NEED = {"service": "demo", "envVars": ["DEMO_TOKEN"], "reason": "to look"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of pretended credentials."""
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    for name, text in {
        "demo.env": f"DEMO_TOKEN={SECRET}\nDEMO_USER=somebody-4711\n",
        "demo-staging.env": f"DEMO_TOKEN={STAGING}\n",
        "other.env": "OTHER=other-4711\n",
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return folder


@pytest.fixture
def harness(opened: Callable[..., Harness], folder: Path) -> Harness:
    return opened(credentials=CredentialProvider(folder))


class Worker:
    """The worker of a session whose process only waits."""

    def __init__(self, harness: Harness, **named: Any) -> None:
        self.session: Session = harness.start_session(command=["sh", "-c", "read line"], **named)
        folder = harness._twin.store.layout.session(self.session.id)
        self.side = WorkerSide({"HARNESS_SESSION_DIR": str(folder.path), "HARNESS_TOKEN_FILE": str(folder.token)})

    def ask(self, service: str = "demo", *names: str, **more: Any) -> str:
        payload = {"phase": "", "plan": "", "service": service, "envVars": names, "reason": "to look", **more}
        return self.side.report("credentials_needed", payload).id

    def answer(self, asked: str) -> dict[str, Any]:
        return dict(self.side.answer_of(self.side.wait(asked, 60))["payload"])


def the_question(harness: Harness) -> Question:
    harness.wait_for_state(states=["checkpoint"], timeout=60)
    [question] = harness.get_pending()
    return question


def test_a_yes_is_kept_with_who_what_whom_and_never_a_value(harness: Harness) -> None:
    worker = Worker(harness)
    asked = worker.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve("go on")
    assert worker.answer(asked)["found"] is True
    [grant] = harness._twin.store.grants.select()
    assert (grant.service, grant.env_vars, grant.scope, grant.session_id) == (
        "demo", ("DEMO_TOKEN",), "session", worker.session.id,
    )  # fmt: skip
    assert (grant.actor, grant.door, grant.source) == (harness._twin.actor, "python", "demo.env")
    frame = harness.frames.grants()
    assert frame[["service", "state"]].values.tolist() == [["demo", "in force"]]
    worker.session.stop(grace=0)
    assert harness.frames.grants().state.tolist() == ["over"]
    assert harness.frames.grants(service="redis").empty
    assert files_that_hold(harness.root, SECRET.encode()) == []


def test_a_session_that_has_a_yes_is_not_asked_about_the_same_again(harness: Harness) -> None:
    worker, other = Worker(harness), Worker(harness)
    first = worker.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve()
    again = worker.answer(worker.ask("demo", "DEMO_TOKEN"))
    assert again["grant"] == worker.side.wait(first).id
    assert again["notes"] == f"{harness._twin.actor} allowed it for {worker.session.id}"
    assert worker.side.all_credentials()[0] == {"DEMO_TOKEN": SECRET}
    assert len(harness.frames.grants()) == 1
    for asking in (
        partial(worker.ask, "demo", "DEMO_TOKEN", "DEMO_USER"),
        partial(worker.ask, "demo", "DEMO_TOKEN", context="staging"),
        partial(other.ask, "demo", "DEMO_TOKEN"),
    ):
        asked = asking()
        question = the_question(harness)
        assert question.id == asked
        question.reject("not that")


def test_a_yes_for_the_run_answers_its_other_plans(root: Path, opened: Callable[..., Harness], folder: Path) -> None:
    for number in ("01", "02"):
        write_plan(root, f"01-{number}", 'test "${#DEMO_TOKEN}" = 14', credentials_needed=[NEED])
    configure(root, maxParallelExecutions=1, credentialsDir=str(folder))
    harness = opened()
    run = harness.run(detach=False)
    the_question(harness).approve(scope="run")
    report = run.wait(120)
    assert len(harness.frames.grants()) == 1
    messages = harness.frames.messages(type="credentials_provided")
    assert [bool(one.get("grant")) for one in messages.payload] == [False, True], report
    assert messages.actor.tolist() == [harness._twin.actor, "policy"]
    assert harness.frames.grants().state.tolist() == ["over"]


def test_a_yes_for_the_project_needs_an_end_and_then_holds_for_every_session(harness: Harness) -> None:
    first, second = Worker(harness), Worker(harness)
    first.ask("demo", "DEMO_TOKEN")
    question = the_question(harness)
    with pytest.raises(InvalidMessageError, match="say until when"):
        question.approve(scope="project")
    with pytest.raises(InvalidMessageError, match="belongs to no run"):
        question.approve(scope="run")
    with pytest.raises(UnusableArgumentError, match="'ever' is none"):
        question.approve(scope="ever")
    with pytest.raises(UnusableArgumentError, match="'then' is no moment"):
        question.approve(until="then")
    question.approve(scope="project", until="2h")
    assert second.answer(second.ask("demo", "DEMO_TOKEN"))["found"] is True
    clock = harness._twin.store.clock
    harness._twin.store.clock = harness._twin.store.grants._clock = lambda: clock() + timedelta(hours=3)
    second.ask("demo", "DEMO_TOKEN")
    the_question(harness).reject("that was yesterday")


def test_a_value_that_was_granted_for_a_while_is_handed_out_no_longer_after_that(harness: Harness) -> None:
    worker = Worker(harness)
    asked = worker.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve(until=timedelta(seconds=1.5))
    answer = worker.side.wait(asked, 60)
    assert worker.side.take_credentials(answer) == {"DEMO_TOKEN": SECRET}
    until(lambda: worker.side.all_credentials()[0] == {})
    with pytest.raises(GrantEndedError, match="not granted any more"):
        worker.side.take_credentials(answer)
    assert [str(one).split(":")[0] for one in worker.side.all_credentials()[1]] == [
        "The credentials for 'demo' are not granted any more"
    ]


def test_a_yes_that_is_taken_back_answers_nothing_more_and_stays_masked(harness: Harness) -> None:
    worker = Worker(harness)
    worker.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve()
    [grant] = harness.frames.grants().index
    with pytest.raises(GrantNotFoundError, match=f"There are: {grant}"):
        harness.revoke("nobody")
    assert harness.revoke(grant).revoked_by == harness._twin.actor
    assert harness.revoke(grant).revoked_at is not None
    assert worker.side.all_credentials()[0] == {}
    assert harness.frames.grants().state.tolist() == ["revoked"]
    assert len(harness.frames.events(kind="grant_revoked")) == 1
    worker.ask("demo", "DEMO_TOKEN")
    the_question(harness).reject("no more")
    worker.side.report("progress_update", {"phase": "", "plan": "", "message": f"had {SECRET}"})
    assert worker.session.record.message == "had [credential:DEMO_TOKEN]"


def test_what_stands_on_a_yes_ends_with_it_in_every_session(harness: Harness) -> None:
    """The end that somebody named, and a revocation, reach the sessions that were answered by that yes later."""
    first, second, third = Worker(harness), Worker(harness), Worker(harness)
    first.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve(scope="project", until=timedelta(seconds=4))
    asked = second.ask("demo", "DEMO_TOKEN")
    assert second.answer(asked)["until"] == first.side.store.grants.select()[0].to_wire()["until"]
    assert second.side.all_credentials()[0] == {"DEMO_TOKEN": SECRET}
    until(lambda: second.side.all_credentials()[0] == {})
    third.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve(scope="project", until="1h")
    second.answer(second.ask("demo", "DEMO_TOKEN"))
    assert second.side.all_credentials()[0] == {"DEMO_TOKEN": SECRET}
    harness.revoke(harness.frames.grants().index[-1])
    assert [one.side.all_credentials()[0] for one in (second, third)] == [{}, {}]


def test_a_rule_that_allows_asks_nobody(harness: Harness, root: Path) -> None:
    configure(root, grants=[{"service": "demo", "context": "staging", "do": "allow"}])
    worker = Worker(harness)
    answer = worker.answer(worker.ask("demo", "DEMO_TOKEN", context="staging"))
    assert (answer["found"], answer["source"]) == (True, "demo-staging.env")
    assert worker.side.all_credentials()[0] == {"DEMO_TOKEN": STAGING}
    worker.ask("demo", "DEMO_TOKEN", context="")
    the_question(harness).reject("that one is asked about")


def test_a_rule_that_denies_holds_against_a_person_too(harness: Harness, root: Path) -> None:
    worker = Worker(harness)
    worker.ask("demo", "DEMO_TOKEN")
    question = the_question(harness)
    configure(root, grants=[{"service": "demo", "do": "deny"}])
    payload = {"found": True, "credentials": {"DEMO_TOKEN": SECRET}}
    for say_yes in (
        question.approve,
        partial(question.answer, "yes"),
        partial(harness.respond, "credentials_provided", worker.session.id, payload, in_response_to=question.id),
        partial(harness.start_session, command=["true"], env_credentials="demo"),
    ):
        with pytest.raises(CredentialsDeniedError, match=r"demo are denied by a rule .*config.yaml"):
            say_yes()
    question.reject("as the settings say")
    answer = worker.answer(worker.ask("demo", "DEMO_TOKEN"))
    assert (answer["found"], answer["error"]) == (False, "The settings deny these credentials.")
    assert worker.side.all_credentials()[0] == {}


def test_a_rule_that_asks_comes_before_every_policy(
    root: Path, opened: Callable[..., Harness], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    configure(root, grants=[{"service": "demo", "do": "ask"}])
    asked_about: list[str] = []
    policies: list[Any] = [lambda question: asked_about.append(question.type), Policy(do="approve", after=0)]
    harness = opened(credentials=CredentialProvider(folder), policies=policies)
    worker = Worker(harness)
    other = worker.ask("other")
    assert worker.answer(other)["found"] is True
    asked = worker.ask("demo", "DEMO_TOKEN")
    agent, payload = copy.copy(harness._twin), {"found": True}
    agent.door = "mcp"
    with pytest.raises(PersonWantedError, match="A person is to be asked for credentials of demo"):
        call(agent.respond, "credentials_provided", worker.session.id, payload, in_response_to=asked)
    with pytest.raises(UnansweredQuestionError, match="demo"):
        worker.session.wait(60)
    assert asked_about == ["credentials_needed"]
    harness.get_pending()[0].approve()


def test_a_session_is_started_with_what_a_reference_names(harness: Harness, folder: Path) -> None:
    session = harness.start_session(
        command=["sh", "-c", 'echo "$DEMO_TOKEN $OTHER"'], env_credentials=["demo:staging", "other"]
    )
    session.wait(60)
    assert str(session.output()) == "[credential:DEMO_TOKEN] [credential:OTHER]\n"
    frame = harness.frames.grants()
    assert frame[["service", "source"]].values.tolist() == [["demo", "demo-staging.env"], ["other", "other.env"]]
    assert frame.context.fillna("").tolist() == ["staging", ""]
    assert files_that_hold(harness.root, SECRET.encode(), STAGING.encode()) == []
    found = lookup_credentials("demo", "DEMO_TOKEN", directory=folder)
    for given in (found, {"DEMO_TOKEN": SecretStr(SECRET)}, {"DEMO_TOKEN": SECRET}):
        session = harness.start_session(command=["sh", "-c", 'echo "$DEMO_TOKEN"'], env_credentials=given)
        session.wait(60)
        assert str(session.output()) == "[credential:DEMO_TOKEN]\n"


@pytest.mark.parametrize("wrong", [[1], [""], [" "], {"A": 1}])
def test_a_reference_that_is_none_is_a_sentence(harness: Harness, wrong: Any) -> None:
    with pytest.raises(UnusableArgumentError, match="env_credentials"):
        harness.start_session(command=["true"], env_credentials=wrong)


def test_a_reference_that_nothing_answers_starts_nothing(harness: Harness) -> None:
    with pytest.raises(CredentialsNotFoundError, match=r"Create .*acme.env"):
        harness.start_session(command=["true"], env_credentials="acme")
    assert harness.list_sessions() == []


def test_values_in_messages_are_said_where_they_are_allowed(harness: Harness, root: Path) -> None:
    configure(root, deliver="message")
    worker = Worker(harness)
    asked = worker.ask("demo", "DEMO_TOKEN")
    question = the_question(harness)
    assert "an agent&#39;s own transcript keeps" in question._repr_html_()
    question.approve()
    assert worker.answer(asked)["credentials"] == {"DEMO_TOKEN": SECRET}
    [event] = harness._twin.store.events.select(kind="values_in_message")
    assert event.data["names"] == ["DEMO_TOKEN"]
    assert SECRET not in json.dumps(event.to_wire())


def test_what_the_settings_call_a_service_is_masked_where_a_worker_inherits_it(
    root: Path, opened: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(root, services={"acme": {"variables": ["ACME_TOKEN"]}})
    monkeypatch.setenv("ACME_TOKEN", SECRET)
    harness = opened()
    session = harness.start_session(command=["sh", "-c", 'echo "$ACME_TOKEN $OTHER"'], env={"OTHER": "other"})
    session.wait(60)
    assert str(session.output()) == "[credential:ACME_TOKEN] other\n"
    assert harness._twin.desk.broker.redact(f"a check printed {SECRET}") == "a check printed [credential:ACME_TOKEN]"


@pytest.mark.anyio
async def test_a_yes_and_its_grant_are_kept_together_or_not_at_all(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A yes whose grant cannot be stored is none: the question stays open."""

    def no_room(*_: object) -> None:
        raise OSError("no room")

    worker = Worker(harness)
    worker.ask("demo", "DEMO_TOKEN")
    question = await anyio.to_thread.run_sync(the_question, harness)
    with monkeypatch.context() as patch:
        patch.setattr(harness._twin.store.grants, "add", no_room)
        with pytest.raises(OSError, match="no room"):
            await anyio.to_thread.run_sync(question.approve)
    assert [one.id for one in harness.get_pending()] == [question.id]
    await anyio.to_thread.run_sync(question.approve)
