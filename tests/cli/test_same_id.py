"""Questions of several sessions that share an id, as scripts that number their own questions will."""

from __future__ import annotations

import json
import re
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Harness, Policy
from harness_nb.harness.answering import Answering
from harness_nb.orchestrator import Desk
from harness_nb.orchestrator.policies import Rules, prospect
from harness_nb.protocol.outcome import RunReport
from harness_nb.store import Store
from harness_nb.views.snapshot import Observer
from tests.cli.conftest import sh
from tests.cli.test_bad_input import assert_one_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Program, Shell, Terminal

    WritePlan = Callable[..., Path]


def asking(text: str, kind: str = "action", **fields: object) -> str:
    """A shell script that asks ``q1`` by file and prints its answer."""
    question = {"id": "q1", "type": kind, "action": text, "decision": text, "instructions": "", **fields}
    return f"""\
cd "$HARNESS_SESSION_DIR"
cat > question.tmp <<'END'
{json.dumps(question)}
END
mv question.tmp checkpoint.json
until mv checkpoint_response.json answered/q1.json 2>/dev/null; do sleep 0.01; done
cat answered/q1.json"""


def commands(text: str, ends: str) -> list[list[str]]:
    """Return the words of each printed command with this end, without the program's name."""
    return [line.split()[1:] for line in text.splitlines() if re.match(rf" +harness-nb respond .*{ends}", line)]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[str]]:
    """Two sessions in the project p that both ask q1: First and Second; their ids."""
    (tmp_path / "p").mkdir()
    with Harness(tmp_path / "p", trust=True) as harness:
        sessions = []
        for number, text in enumerate(["First", "Second"], 1):
            sessions.append(harness.start_session(command=["sh", "-c", asking(text)]).id)
            harness.wait_for_state(session_ids=sessions[-1:], states=["checkpoint", "failed"], timeout=30)
            assert len(harness.get_pending()) == number
        yield sessions
        for session in harness.list_sessions():
            harness.end_session(session.id)


def open_in(folder: Path) -> list[str]:
    """Return the sessions whose question is open."""
    with closing(Store(folder)) as store:
        return [one.session_id for one in store.messages.pending()]


def test_each_printed_command_answers_the_question_that_it_stands_under(shell: Shell, two: list[str]) -> None:
    listed = shell("respond", "--project", "p").out
    approve = commands(listed, "--approve.*")
    assert len({tuple(words) for words in approve}) == 2
    assert shell(*approve[0]).out.startswith(f"{two[0]} is answered: done by ")
    assert open_in(shell.folder / "p") == two[1:]
    assert shell(*approve[1]).code == 0
    again = shell(*approve[0])
    assert_one_sentence(again)
    assert "was already answered by" in again.err


def test_an_id_that_several_sessions_use_is_refused_with_what_to_add(shell: Shell, two: list[str]) -> None:
    done = shell("respond", "q1", "--approve", "--project", "p")
    assert_one_sentence(done)
    assert all(f"--session {one}" in done.err for one in two)
    assert open_in(shell.folder / "p") == two


def test_an_id_that_one_session_has_open_is_enough(shell: Shell, two: list[str]) -> None:
    assert shell("respond", "q1", "--session", two[1], "--approve", "--project", "p").code == 0
    done = shell("respond", "q1", "--approve", "--project", "p")
    assert (done.code, done.out.split()[0]) == (0, two[0])


def test_a_session_that_did_not_ask_it_is_named(shell: Shell, two: list[str]) -> None:
    nobody = shell("respond", "q1", "--session", "nobody", "--approve", "--project", "p")
    assert_one_sentence(nobody)
    assert "There is no session 'nobody'" in nobody.err
    other = shell("respond", "q2", "--session", two[0], "--approve", "--project", "p")
    assert_one_sentence(other)
    assert f"There is no question 'q2' of session {two[0]!r} in " in other.err


def test_a_run_without_a_terminal_prints_and_tells_both(
    shell: Shell, begin: Callable[..., Program], write_plan: WritePlan
) -> None:
    for plan in ("01-01", "01-02"):
        write_plan("p", plan, sh(asking(f"Look at {plan}", plan=plan)))
    run = begin("run", "p", "--trust", "--max-parallel", "2")
    run.expect(r"\? 01-0\d asks .*\? 01-0\d asks .*?--reject REASON.*?\n")
    for words in commands(run.seen, "--approve.*"):
        assert shell(*words).code == 0
    text = run.rest()
    assert run.process.returncode == 0
    for plan in ("01-01", "01-02"):
        assert f"? {plan} asks you to do something: Look at {plan}\n" in text
        assert f"{plan} action answered by " in text


def test_a_policy_that_cannot_answer_is_told_of_each(
    shell: Shell, begin: Callable[..., Program], write_plan: WritePlan
) -> None:
    options = [{"id": "red", "name": "Red"}]
    for plan in ("01-01", "01-02"):
        write_plan("p", plan, sh(asking("Which colour?", "decision", plan=plan, options=options)))
    (shell.folder / "p" / ".orchestration").mkdir()
    (shell.folder / "p" / ".orchestration" / "config.yaml").write_text(
        "policies: [{kind: decision, do: answer, answer: green}]\n"
    )
    run = begin("run", "p", "--trust", "--max-parallel", "2")
    told = [run.expect(r"(01-0\d) decision could not be answered by policy")[1] for _ in range(2)]
    assert sorted(told) == ["01-01", "01-02"]


def test_what_one_policy_left_to_a_person_leaves_the_other_question_alone(two: list[str], tmp_path: Path) -> None:
    with closing(Store(tmp_path / "p")) as store:
        report = RunReport(run_id="r", state="running", passed=False)
        rules = Rules((Policy(do="approve"),))
        run: Any = SimpleNamespace(
            report=report, prospect_of=lambda one: prospect(one, rules), ended=False, carries=lambda _: True
        )
        host: Any = SimpleNamespace(store=store)
        answering = Answering(host, Desk(store), lambda: run, policies=(), told=None)
        observer = Observer(store, run, answering.prospect_of)
        assert observer.look().questions == ()
        store.events.add("policy_failed", session_id=two[0], data={"question": "q1", "reason": "no"})
        later = Observer(store, run, answering.prospect_of)
        for one in (observer, later):
            assert [asked.session_id for asked in one.look().questions] == two[:1]


@pytest.mark.row(10)
def test_a_terminal_asks_both_and_sees_what_becomes_of_each(
    shell: Shell, terminal: Callable[..., Terminal], write_plan: WritePlan
) -> None:
    for plan in ("01-01", "01-02", "01-03"):
        write_plan("p", plan, sh(asking(f"Look at {plan}", plan=plan)), writes=f"[{plan}.txt]")
    run = terminal("run", "p", "--trust", "--max-parallel", "3", columns=200)
    left = run.expect(r"\? (01-0\d) asks you to do something.*› ")[1]
    run.type("\x04")
    command = run.expect(r"Left open\. Answer it from any shell: (harness-nb respond .*?--approve.*?)\n")[1]
    here = run.expect(r"\? (01-0\d) asks you to do something.*› ")[1]
    run.type("done\n")
    run.expect(f"{here} goes on: done by ")
    elsewhere = run.expect(r"\? (01-0\d) asks you to do something\n.*session (\S+) .*› ")
    assert {left, here, elsewhere[1]} == {"01-01", "01-02", "01-03"}
    answered = shell("respond", "q1", "--session", elsewhere[2], "--approve", "--project", "p")
    assert answered.code == 0
    run.expect("Answered by .* through the command line: done by ")
    assert shell(*command.split()[1:]).out.startswith(f"{left} is answered")
    run.rest()
    assert run.process.returncode == 0
