"""What must not get round a rule or a yes: other names, claims of a worker, answers in other sessions, odd answers."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import CredentialProvider, Harness, Policy
from harness_nb.errors import InvalidMessageError, JournalBusyError, NotYourSessionError, UnreadableFileError
from tests.leaks import files_that_hold
from tests.orchestrator.test_grants import SECRET, Worker, folder, harness, the_question
from tests.orchestrator.written_plans import configure, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["folder", "harness"]

pytestmark = pytest.mark.row(2)


@pytest.mark.parametrize(
    ("service", "context"),
    [
        ("demo", "production production"),
        ("demo", "demo production"),
        ("demo production", None),
        ("demo-production", None),
        ("production", "demo"),
        ("db", None),
        ("db", "main"),
        ("postgres-main", None),
        ("main", "db"),
    ],
)
def test_a_rule_that_denies_holds_whatever_the_service_is_called(
    harness: Harness, root: Path, folder: Path, service: str, context: str | None
) -> None:
    """The files answer to all of these names."""
    for name in ("demo-production", "db", "db-main", "postgres-main"):
        (folder / f"{name}.env").write_text(f"DEMO_TOKEN={SECRET}\n")
        (folder / f"{name}.env").chmod(0o600)
    denied = [{"service": "demo", "context": "production"}, {"service": "postgres"}]
    configure(
        root, grants=[*({**one, "do": "deny"} for one in denied), {"service": "*", "context": "*", "do": "allow"}]
    )
    worker = Worker(harness)
    answer = worker.answer(worker.ask(service, "DEMO_TOKEN", context=context))
    assert (answer["found"], answer["error"]) == (False, "The settings deny these credentials.")


def test_an_answer_that_stands_on_an_earlier_yes_ends_with_it(harness: Harness) -> None:
    first, second = Worker(harness), Worker(harness)
    first.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve(scope="project", until=timedelta(seconds=2))
    assert second.answer(second.ask("demo", "DEMO_TOKEN"))["grant"]
    until(lambda: second.side.all_credentials() != ({"DEMO_TOKEN": SECRET}, []))
    assert second.side.all_credentials()[0] == {}


def test_a_yes_that_is_taken_back_ends_in_every_session_that_it_answered(harness: Harness) -> None:
    first, second = Worker(harness), Worker(harness)
    first.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve(scope="project", until="2h")
    assert second.answer(second.ask("demo", "DEMO_TOKEN"))["grant"]
    harness.revoke(harness.frames.grants().index[0])
    assert [one.side.all_credentials()[0] for one in (first, second)] == [{}, {}]


def test_nobody_can_say_that_an_answer_stands_on_a_yes_that_does_not_hold(harness: Harness) -> None:
    """Such an answer would be written down as no grant."""
    first, second = Worker(harness), Worker(harness)
    first.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve()
    [of_first] = harness.frames.grants().index
    asked = second.ask("demo", "DEMO_TOKEN")
    say = partial(harness.respond, "credentials_provided", second.session.id, in_response_to=asked)
    for name in ("made-up", of_first):
        with pytest.raises(InvalidMessageError, match=r"payload\.grant"):
            say({"found": True, "grant": name})
    assert second.side.all_credentials()[0] == {}
    assert [one.id for one in harness.get_pending()] == [asked]


def test_values_come_with_a_yes_alone_and_are_written_down_by_their_own_names(harness: Harness) -> None:
    worker = Worker(harness)
    asked = worker.ask("demo", "DEMO_TOKEN")
    say = partial(harness.respond, "credentials_provided", worker.session.id, in_response_to=asked)
    values = {"DEMO_TOKEN": SECRET}
    with pytest.raises(InvalidMessageError, match=r"payload\.credentials"):
        say({"found": False, "credentials": values})
    say({"found": True, "credentials": values, "envVars": ["DEMO_TOKEN", "DEMO_USER"]})
    assert harness._twin.store.grants.select()[0].env_vars == ("DEMO_TOKEN",)


def test_a_worker_gets_nothing_by_saying_that_it_does_another_plan(harness: Harness, root: Path) -> None:
    configure(root, grants=[{"service": "demo", "plan": "03-02", "do": "allow"}])
    worker, honest = Worker(harness), Worker(harness)
    asked = worker.ask("demo", "DEMO_TOKEN", plan="03-02")
    task = {"phase": "03", "plan": "03-02", "planPath": "", "specDir": "", "taskType": "execute"}
    harness._twin.desk.respond(
        "assign_task", honest.session.id, task, actor="ann", door="python", plan_is_known=True
    )  # fmt: skip
    question = honest.ask("demo", "DEMO_TOKEN", plan="03-02")
    assert honest.answer(question)["found"] is True
    assert [one.id for one in harness.get_pending()] == [asked]


def test_a_deadline_from_before_a_rule_that_asks_hands_nothing_over(
    root: Path, opened: Callable[..., Harness], folder: Path
) -> None:
    harness = opened(credentials=CredentialProvider(folder), policies=[Policy(do="approve", after=2)])
    worker = Worker(harness)
    worker.ask("demo", "DEMO_TOKEN")
    question = the_question(harness)
    store = harness._twin.store
    until(lambda: store.messages.get(question.id, worker.session.id).foreseen is not None)
    configure(root, grants=[{"service": "demo", "do": "ask"}])
    until(lambda: store.events.select(kind="policy_failed") or worker.side.all_credentials()[0])
    assert worker.side.all_credentials()[0] == {}
    question.approve()
    assert worker.side.all_credentials()[0] == {"DEMO_TOKEN": SECRET}


def test_a_value_that_a_worker_gives_as_a_session_is_masked_where_the_refusal_is_written(harness: Harness) -> None:
    worker = Worker(harness)
    worker.ask("demo", "DEMO_TOKEN")
    the_question(harness).approve()
    with pytest.raises(NotYourSessionError, match=r"\[credential:DEMO_TOKEN\]"):
        worker.side.require_own(SECRET)
    assert worker.side.store.refusals.settle()
    assert files_that_hold(harness.root, SECRET.encode()) == []


def test_a_start_that_a_busy_journal_interrupts_is_done_anew(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = harness._twin.desk.broker
    write_down, tries = broker.write_down_start, []

    def interrupted(*given: Any) -> None:
        write_down(*given)
        tries.append(given)
        if len(tries) == 1:
            raise JournalBusyError(harness._twin.store.layout.database)

    monkeypatch.setattr(broker, "write_down_start", interrupted)
    session = harness.start_session(command=["true"], env_credentials="demo")
    assert session.wait(60).state == "completed"
    assert (len(tries), len(harness.frames.grants())) == (2, 1)


def test_rules_that_cannot_be_read_allow_nothing(root: Path, opened: Callable[..., Harness], folder: Path) -> None:
    """Whoever never saw what they say cannot know that none of them denies it."""
    configure(root, grants=[{"service": "demo", "do": "deny"}])
    broken = (root / ".orchestration" / "config.yaml").read_text() + "policies: [\n"
    (root / ".orchestration" / "config.yaml").write_text(broken)
    harness = opened(credentials=CredentialProvider(folder))
    worker = Worker(harness)
    worker.ask("demo", "DEMO_TOKEN")
    question = the_question(harness)
    with pytest.raises(UnreadableFileError, match=r"config\.yaml"):
        question.approve()
    assert worker.side.all_credentials()[0] == {}
