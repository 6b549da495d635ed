"""Answers on their way to real sessions: who wins, and where the values of credentials go and do not go."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

import pytest

from harness_nb import CredentialProvider, Harness, Question, Session
from harness_nb.errors import (
    AlreadyAnsweredError,
    CredentialsNotFoundError,
    InvalidMessageError,
    MessageNotFoundError,
    QuestionExpiredError,
    UnknownMessageTypeError,
    WrongAnswerTypeError,
)
from harness_nb.orchestrator import Desk
from harness_nb.sessions import ask_shim
from harness_nb.sessions.worker_side import WorkerSide
from tests.leaks import files_that_hold

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.store import Store

SECRET = "postgresql://ann:s3cr3t-value@db:5432/shop"
ASKS = """
import hashlib
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    payload = {"phase": "3", "plan": "03-02", "service": "postgres", "envVars": ["DATABASE_URL"], "reason": "to load",
               "context": "production"}
    question = side.report("credentials_needed", payload)
    answer = side.wait(question.id)
    if answer.payload.get("found"):
        value = side.take_credentials(answer)["DATABASE_URL"]
        print("digest", hashlib.sha256(value.encode()).hexdigest(), "value", value)
    else:
        print("refused", answer.payload.get("error"))
"""
"""A worker that asks for credentials, and prints the value and its digest."""

Asking = tuple[Session, Question]


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of credentials, outside of the project."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "postgres-production.env").write_text(f"DATABASE_URL={SECRET}\nPGUSER=ann\n")
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(folder))
    return folder


@pytest.fixture
def asking(harness: Harness) -> Asking:
    """A session that waits for credentials, and its question."""
    session = harness.start_session(command=[sys.executable, "-c", ASKS])
    harness.wait_for_state(session_ids=[session.id], states=["checkpoint"], timeout=20)
    [question] = harness.get_pending(session.id)
    return session, question


def environment_of(store: Store, session_id: str) -> dict[str, str]:
    folder = store.layout.session(session_id)
    return {"HARNESS_SESSION_DIR": str(folder.path), "HARNESS_TOKEN_FILE": str(folder.token)}


def given(session: Session) -> bool:
    """Wait for the session's end; say whether it had the right value, and check that its output shows none."""
    assert session.wait(timeout=20).state == "completed"
    output = session.output().text
    assert "s3cr3t-value" not in output
    return hashlib.sha256(SECRET.encode()).hexdigest() in output


@pytest.mark.row(1, 2)
def test_a_yes_hands_the_values_to_that_session_alone(harness: Harness, asking: Asking, secrets: Path) -> None:
    """They are in the shim's memory under the answer's id, reach the worker, and are in no file."""
    session, question = asking
    answer = question.approve()
    assert given(session)
    assert answer.payload["credentials"] == {}
    assert (answer.payload["found"], answer.payload["envVars"]) == (True, ["DATABASE_URL"])
    assert files_that_hold(harness.root, b"s3cr3t-value") == []


@pytest.mark.row(2)
def test_values_in_plain_words_are_dropped_at_the_door_too(harness: Harness, asking: Asking) -> None:
    """Whoever posts values as plain text has them handed on, and stored nowhere."""
    session, question = asking
    payload = {"service": "postgres", "found": True, "credentials": {"DATABASE_URL": SECRET}}
    harness.respond("credentials_provided", session.id, payload, in_response_to=question.id)
    assert given(session)
    assert files_that_hold(harness.root, b"s3cr3t-value") == []


@pytest.mark.row(2)
@pytest.mark.parametrize("key", ["credential", "Credentials", "PGPASSWORD"])
def test_a_key_that_the_message_does_not_have_is_refused_by_name(harness: Harness, asking: Asking, key: str) -> None:
    """A misspelled key would carry its value past every mask; the refusal names the key and never the value."""
    session, question = asking
    payload = {"service": "postgres", "found": True, key: {"DATABASE_URL": SECRET}}
    with pytest.raises(InvalidMessageError, match=key) as caught:
        harness.respond("credentials_provided", session.id, payload, in_response_to=question.id)
    assert "s3cr3t-value" not in str(caught.value)
    assert [one.id for one in harness.get_pending()] == [question.id]
    assert files_that_hold(harness.root, b"s3cr3t-value") == []


@pytest.mark.row(1, 2)
def test_a_yes_without_values_is_looked_up_here(harness: Harness, asking: Asking, secrets: Path) -> None:
    """So an orchestrator provides credentials by reference, and never sees a value."""
    session, question = asking
    payload = {"service": "postgres", "found": True}
    stored = harness.respond("credentials_provided", session.id, payload, in_response_to=question.id)
    assert given(session)
    assert (stored.payload["credentials"], stored.payload["envVars"]) == ({}, ["DATABASE_URL"])
    assert files_that_hold(harness.root, b"s3cr3t-value") == []


@pytest.mark.row(1)
def test_a_yes_without_values_that_are_nowhere_is_no_answer(harness: Harness, asking: Asking, secrets: Path) -> None:
    """The worker would be told that it has what it has not."""
    session, question = asking
    (secrets / "postgres-production.env").unlink()
    with pytest.raises(CredentialsNotFoundError, match=r"question stays open"):
        harness.respond("credentials_provided", session.id, {"found": True}, in_response_to=question.id)
    assert [one.id for one in harness.get_pending()] == [question.id]


@pytest.mark.row(2)
def test_values_too_short_to_mask_are_told_by_name(harness: Harness, asking: Asking) -> None:
    """What is shorter than four characters is not masked, so the journal says which variables those are."""
    session, question = asking
    values = {"DATABASE_URL": SECRET, "PIN": "7q"}
    payload = {"service": "postgres", "found": True, "credentials": values}
    harness.respond("credentials_provided", session.id, payload, in_response_to=question.id)
    assert given(session)
    [event] = harness._twin.store.events.select(kind="mask_refused")
    assert (event.session_id, event.data) == (session.id, {"names": ["PIN"]})


@pytest.mark.row(2)
def test_a_value_that_stands_beside_the_credentials_is_taken_out(harness: Harness, asking: Asking) -> None:
    """People explain what they give; what they say is stored with the value's name."""
    session, question = asking
    payload = {
        "found": True, "credentials": {"DATABASE_URL": SECRET}, "instructions": f"use {SECRET}", "source": SECRET,
        "notes": f"from {SECRET}", "service": SECRET,
    }  # fmt: skip
    stored = harness.respond("credentials_provided", session.id, payload, in_response_to=question.id)
    assert given(session)
    assert stored.payload["instructions"] == "use [credential:DATABASE_URL]"
    assert stored.payload["source"] == "[credential:DATABASE_URL]"
    assert files_that_hold(harness.root, b"s3cr3t-value") == []


@pytest.mark.row(2)
@pytest.mark.parametrize("who", ["the door that gave it", "another door"])
def test_a_value_that_a_session_has_stands_in_no_later_message(harness: Harness, who: str) -> None:
    """Another process never saw the value: the session's shim takes it out."""
    session = harness.start_session(command=["sleep", "600"], env_credentials={"START_KEY": "from-the-start"})
    store = harness._twin.store
    with WorkerSide(environment_of(store, session.id)) as side:
        asked = side.report("credentials_needed", {"service": "postgres", "envVars": ["DATABASE_URL"]})
    values = {"found": True, "credentials": {"DATABASE_URL": SECRET}}
    harness.respond("credentials_provided", session.id, values, in_response_to=asked.id)
    desk = harness._twin.desk if who == "the door that gave it" else Desk(store)
    reason = {"reason": f"{SECRET} is not valid", "more": [{SECRET: "from-the-start"}]}
    stored = desk.respond("abort_task", session.id, reason, actor="ann", door="test")
    assert stored.payload["reason"] == "[credential:DATABASE_URL] is not valid"
    assert files_that_hold(harness.root, b"s3cr3t-value", b"from-the-start") == []


@pytest.mark.row(2)
@pytest.mark.parametrize("credentials", [{SECRET: 1}, {SECRET: {"x": 1}}, {"K": [SECRET]}, [SECRET], SECRET])
def test_a_refusal_of_credentials_quotes_none_of_them(harness: Harness, asking: Asking, credentials: object) -> None:
    session, question = asking
    with pytest.raises(InvalidMessageError, match="credentials") as caught:
        harness.respond(
            "credentials_provided", session.id, {"found": True, "credentials": credentials}, in_response_to=question.id
        )
    assert "s3cr3t-value" not in str(caught.value)


@pytest.mark.row(1)
def test_what_is_not_found_stays_a_question_until_somebody_refuses(
    opened: Callable[..., Harness], asking: Asking, tmp_path: Path
) -> None:
    """A yes without values is no answer: the error says what to do, and the question stays open."""
    empty = tmp_path / "empty"
    empty.mkdir()
    opened(credentials=CredentialProvider(empty))
    session, question = asking
    with pytest.raises(CredentialsNotFoundError, match=r"(?s)No credentials for 'postgres'.*question stays open"):
        question.approve()
    with pytest.raises(CredentialsNotFoundError):
        question.answer("yes")
    question.reject("ask the operations team")
    assert not given(session)
    assert "refused ask the operations team" in session.output().text


@pytest.mark.row(10)
def test_the_first_answer_holds_and_the_losers_values_go_nowhere(
    harness: Harness, asking: Asking, secrets: Path
) -> None:
    """A second answer is told who was faster, and nothing that it brought is handed out."""
    session, question = asking
    question.reject("not today")
    with pytest.raises(AlreadyAnsweredError, match=r"already answered by .* through Python at .*: not given"):
        question.approve()
    payload = {"found": True, "credentials": {"DATABASE_URL": SECRET}}
    with pytest.raises(AlreadyAnsweredError):
        harness.respond("credentials_provided", session.id, payload, in_response_to=question.id)
    assert not given(session)


def test_the_values_wait_under_the_answers_id(harness: Harness, asking: Asking, secrets: Path) -> None:
    """Whoever does not know the answer's id gets nothing from the shim."""
    session, question = asking
    folder = harness._twin.store.layout.session(session.id)
    assert ask_shim(folder, do="take", id=question.id)["values"] is None
    question.approve()
    assert given(session)


@pytest.mark.parametrize(
    ("kind", "payload", "error"),
    [
        ("decision_made", {"selectedOptionId": "x"}, WrongAnswerTypeError),
        ("credentials_given", {}, UnknownMessageTypeError),
        ("credentials_provided", {"service": "postgres"}, InvalidMessageError),
    ],
)
def test_a_wrong_answer_changes_nothing(
    harness: Harness, asking: Asking, kind: str, payload: dict[str, str], error: type[Exception]
) -> None:
    """Each gives one sentence, and the question stays open."""
    session, question = asking
    with pytest.raises(error):
        harness.respond(kind, session.id, payload, in_response_to=question.id)
    assert [one.id for one in harness.get_pending()] == [question.id]


def test_an_answer_to_nothing(harness: Harness, asking: Asking) -> None:
    """A message that is not there, one of another session, no message, and one whose session has ended."""
    session, question = asking
    payload = {"found": False}
    for in_response_to in ("nothing", None):
        with pytest.raises(MessageNotFoundError):
            harness.respond("credentials_provided", session.id, payload, in_response_to=in_response_to)
    other = harness.start_session(command=["true"])
    with pytest.raises(MessageNotFoundError, match=f"in session '{other.id}'"):
        harness.respond("credentials_provided", other.id, payload, in_response_to=question.id)
    session.stop(grace=0.5)
    with pytest.raises(QuestionExpiredError, match="its session has ended"):
        question.reject("too late")


@pytest.mark.row(2)
def test_what_this_process_has_of_known_services_is_masked_in_what_it_says(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_inherited")
    assert (
        Desk(harness._twin.store).broker.redact("printed sk_live_inherited") == "printed [credential:STRIPE_SECRET_KEY]"
    )
