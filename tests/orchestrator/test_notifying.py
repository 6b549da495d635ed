"""People are told of what waits for them, of failures and of ends: once, at a real address, and never blocking."""

from __future__ import annotations

import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Harness, Policy
from harness_nb.errors import UnansweredQuestionError
from harness_nb.orchestrator import notifying
from harness_nb.orchestrator.notices import Notice
from harness_nb.orchestrator.notifying import INSTALL, deliver, name_of_address
from harness_nb.protocol.files import NotifyAddress
from tests.leaks import files_that_hold
from tests.orchestrator.written_plans import configure, end_everything, plan, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT = 60
TOKEN = "hunter2-very-secret-token"
ASKS = 'id=$(harness-nb worker report action_needed action="Plug it in"); harness-nb worker await "$id"'
DONE = Policy(kind="action", do="approve", after=0)


class Inbox:
    """A web server that takes what apprise posts to a ``json://`` address."""

    def __init__(self, status: int = 200) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.let_go = threading.Event()
        self.let_go.set()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.let_go.wait(LIMIT)
                inbox.got.append(json.loads(body))
                inbox.paths.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base's word
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self._server.server_port}/{TOKEN}"

    @property
    def titles(self) -> list[str]:
        return [one["title"] for one in self.got]

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


def events(harness: Harness, kind: str) -> list[dict[str, Any]]:
    return [one.data for one in harness._twin.store.events.select(kind=kind)]


def asking(harness: Harness) -> Any:
    harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
    return harness.get_pending()[0]


@pytest.mark.row(10)
def test_a_run_tells_who_waits_and_how_it_ended(harness: Harness, root: Path, inbox: Inbox) -> None:
    configure(root, notify=[inbox.address])
    run = harness.run(plans=[plan("01-01", ASKS)])
    question = asking(harness)
    until(lambda: inbox.got)
    [told] = inbox.got
    assert told["title"] == "project: 01-01 waits for you (action)"
    assert "Plug it in" in told["message"]
    assert f"harness-nb respond {question.id}" in told["message"]
    question.answer("done")
    assert run.wait(timeout=LIMIT).passed
    assert inbox.titles[1:] == [f"project: {run.report.headline}"]
    assert "passed" in inbox.titles[1]


@pytest.mark.row(9)
def test_a_plan_that_fails_for_good_is_told_once_and_not_at_each_try(
    harness: Harness, root: Path, inbox: Inbox
) -> None:
    configure(root, maxRetries=1, notify=[{"url": inbox.address, "events": ["failed"]}])
    run_plans = [plan("01-01", "echo try >> tries; exit 75"), plan("01-02", depends_on=["01-01"])]
    harness.run(plans=run_plans).wait(timeout=LIMIT)
    assert (root / "tries").read_text() == "try\n" * 2
    assert inbox.titles == ["project: plan 01-01 failed"]
    assert "exit status 75" in inbox.got[0]["message"]
    assert inbox.got[0]["type"] == "failure"


@pytest.mark.row(10)
def test_what_a_policy_settles_is_not_told_and_what_it_could_not_settle_is(
    harness: Harness, root: Path, inbox: Inbox
) -> None:
    configure(root, notify=[{"url": inbox.address, "events": ["question"]}])
    harness.run(plans=[plan("01-01", ASKS)], policies=[DONE]).wait(timeout=LIMIT)
    assert inbox.got == []
    decides = ASKS.replace(
        'action_needed action="Plug it in"', """decision_needed decision=Which? 'options=[{"id": "a"}]'"""
    )
    run = harness.run(plans=[plan("01-02", decides)], policies=[Policy(do="answer", answer="z", after=0)])
    until(lambda: inbox.got)
    assert inbox.titles == ["project: 01-02 waits for you (decision)"]
    run.stop()


@pytest.mark.row(10)
def test_a_reminder_is_told_too(harness: Harness, root: Path, inbox: Inbox) -> None:
    configure(root, policies=[{"kind": "action", "after": 0.3, "do": "remind"}],
              notify=[{"url": inbox.address, "events": ["reminder"]}])  # fmt: skip
    run = harness.run(plans=[plan("01-01", ASKS)])
    until(lambda: inbox.got)
    assert inbox.titles == ["project: 01-01 still waits for you (action)"]
    asking(harness).answer("done")
    run.wait(timeout=LIMIT)


@pytest.mark.row(10)
@pytest.mark.parametrize("of_a_run", [True, False])
def test_a_program_that_goes_since_nobody_answers_has_told_who_waits(
    harness: Harness, root: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, of_a_run: bool
) -> None:
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    configure(root, notify=[inbox.address])
    if of_a_run:
        waiting: Any = harness.run(plans=[plan("01-01", ASKS)])
    else:
        waiting = harness.start_session(command=["sh", "-c", ASKS])
    with pytest.raises(UnansweredQuestionError):
        waiting.wait(timeout=LIMIT)
    harness.close()
    assert [title.partition(" (")[2] for title in inbox.titles] == ["action)"]
    end_everything(harness)


@pytest.mark.row(11)
def test_who_takes_a_run_up_tells_nothing_again(opened: Callable[..., Harness], root: Path, inbox: Inbox) -> None:
    configure(root, notify=[inbox.address])
    first = opened()
    write_plan(root, "01-01", ASKS)
    first.run()
    asking(first)
    until(lambda: inbox.got)
    first.close()
    again = opened()
    run = again.run()
    asking(again).answer("done")
    assert run.wait(timeout=LIMIT).passed
    assert [title.partition(" (")[0] for title in inbox.titles[:1]] == ["project: 01-01 waits for you"]
    assert len(inbox.got) == 2, "the question, and the run's end"
    assert len(events(again, "notified")) == 2


def test_sessions_of_no_run_are_told_of_too(harness: Harness, root: Path, inbox: Inbox) -> None:
    """Not those that somebody ended, nor those that end well."""
    configure(root, notify=[inbox.address])
    harness.start_session(command=["true"]).wait(timeout=LIMIT)
    harness.start_session(command=["sleep", "600"]).stop()
    failed = harness.start_session(command=["sh", "-c", "exit 3"])
    failed.wait(timeout=LIMIT)
    until(lambda: inbox.got)
    asks = harness.start_session(command=["sh", "-c", ASKS])
    question = asking(harness)
    until(lambda: len(inbox.got) > 1)
    question.answer("done")
    asks.wait(timeout=LIMIT)
    assert inbox.titles == [f"project: session {failed.id} failed", f"project: {asks.id} waits for you (action)"]


@pytest.mark.row(2)
def test_an_address_is_in_nothing_that_is_kept_or_logged(
    harness: Harness, root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Neither when it works nor when it does not, whatever the loggers are set to."""
    taking, refusing = Inbox(), Inbox(status=403)
    monkeypatch.setenv("HOOK", refusing.address)
    configure(root, notify=[taking.address, "${HOOK}", f"nonsense://{TOKEN}", TOKEN, "${NOT_THERE}"])
    caplog.set_level(logging.DEBUG)
    try:
        harness.run(plans=[plan("01-01", "exit 3")]).wait(timeout=LIMIT)
    finally:
        taking.close()
        refusing.close()
    assert taking.paths == [f"/{TOKEN}"] * 2
    assert len(refusing.got) == 2
    said = {one["address"]: one["reason"] for one in events(harness, "notify_failed")}
    assert said == {
        "address 2 (${HOOK})": "the notice was not taken there",
        "address 3 (nonsense)": "apprise cannot read it; its documentation has the form of each service's address",
        "address 4": "apprise cannot read it; its documentation has the form of each service's address",
        "address 5 (${NOT_THERE})": "the variable NOT_THERE is not set where the plans are run from",
    }
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capfd.readouterr())
    assert TOKEN not in harness.frames.events().to_csv() + str(harness.get_state())
    assert {path.name for path in files_that_hold(root / ".orchestration", TOKEN.encode())} <= {"config.yaml"}


def test_a_failure_to_send_is_said_once(harness: Harness, root: Path) -> None:
    refusing = Inbox(status=500)
    configure(root, maxRetries=0, notify=[refusing.address])
    try:
        harness.run(plans=[plan("01-01", "exit 3"), plan("01-02", "exit 3")]).wait(timeout=LIMIT)
    finally:
        refusing.close()
    assert len(refusing.got) == 3
    assert len(events(harness, "notify_failed")) == 1


def test_an_address_that_hangs_holds_no_plan_up(
    harness: Harness, root: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has come to its end for everybody while it waits, and it does not wait for long."""
    monkeypatch.setattr(notifying, "LIMIT", 1.0)
    inbox.let_go.clear()
    configure(root, notify=[inbox.address])
    run = harness.run(plans=[plan("01-01", ASKS), plan("01-02", "echo done > done")])
    until((root / "done").exists)
    asking(harness).answer("done")
    assert run.wait(timeout=LIMIT).passed
    assert inbox.got == []
    assert {one["reason"] for one in events(harness, "notify_failed")} == {"it took longer than 1 s"}


def test_without_the_package_one_sentence_says_what_to_install(
    harness: Harness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    configure(root, notify=["json://127.0.0.1:1/x"])
    assert harness.run(plans=[plan("01-01"), plan("01-02", "exit 3")]).wait(timeout=LIMIT).plans
    [said] = events(harness, "notify_failed")
    assert said["reason"] == INSTALL


def test_of_several_processes_one_tells(opened: Callable[..., Harness], root: Path, inbox: Inbox) -> None:
    """Several that judge sessions of no run look at the same project."""
    configure(root, notify=[inbox.address])
    harness = opened()
    store = harness._twin.store
    notices = [Notice(f"failed:{n}", "failed", f"title {n}", "body") for n in range(5)]
    others = [notifying.Notifier(harness._twin.host, lambda: (notices, None)) for _ in range(6)]
    threads = [threading.Thread(target=one._look, args=((),)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.events.select(kind="notified")) == len(notices)


def test_no_address_no_trace(harness: Harness) -> None:
    harness.run(plans=[plan("01-01", "exit 3")]).wait(timeout=LIMIT)
    assert events(harness, "notified") == []
    assert events(harness, "notify_failed") == []


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("slack://a/b/c", "address 3 (slack)"),
        ("${SLACK_URL}", "address 3 (${SLACK_URL})"),
        ("mailto://me:${PASSWORD}@example.com", "address 3 (mailto)"),
        ("xoxb-a-token", "address 3"),
        ("${A}${B}", "address 3"),
    ],
)
def test_what_an_address_is_called_tells_nothing_of_it(url: str, name: str) -> None:
    assert name_of_address(3, NotifyAddress.model_validate({"url": url})) == name


def test_a_variable_may_be_a_part_of_an_address(inbox: Inbox) -> None:
    host, token = inbox.address.rsplit("/", 1)
    address = NotifyAddress.model_validate({"url": host + "/${TOKEN}"})
    notice = Notice("s", "ended", "title", "body")
    assert deliver(address, notice, {"TOKEN": token}) is None
    assert inbox.paths == [f"/{TOKEN}"]
