"""``harness-nb run`` without a terminal: plain lines, exit statuses, trust, interruption."""

from __future__ import annotations

import json
import re
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb.store import Store
from harness_nb.store.locks import is_held
from tests.cli.conftest import DECISION, question_id, sh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Program, Shell

    Begin = Callable[..., Program]
    WritePlan = Callable[..., Path]


def test_init_then_run_is_enough_for_a_first_project(shell: Shell) -> None:
    made = shell("init", "first")
    assert made.code == 0
    assert "harness-nb run first --trust" in made.out

    done = shell("run", "first", "--trust", "--yes")
    assert (done.code, done.err) == (0, "")
    assert "01-01 running\n" in done.out
    assert re.search(r"^01-01 complete \(\d checks\)$", done.out, re.MULTILINE)
    assert "01-02 decision answered by policy: Friendly" in done.out
    assert "✓ run passed: 2 of 2 plans complete" in done.out
    assert (shell.folder / "first" / "hello.txt").read_text() == "Hi there!\n"


def test_init_overwrites_nothing(shell: Shell) -> None:
    (shell.folder / "mine").mkdir()
    (shell.folder / "mine" / "ROADMAP.md").write_text("mine")
    refused = shell("init", "mine")
    assert refused.code == 2
    assert "ROADMAP.md is there already" in refused.err
    assert sorted(path.name for path in (shell.folder / "mine").iterdir()) == ["ROADMAP.md"]
    assert (shell.folder / "mine" / "ROADMAP.md").read_text() == "mine"


def test_what_init_makes_is_not_trusted_by_itself(shell: Shell) -> None:
    shell("init", "first")
    refused = shell("run", "first", "--yes")
    assert refused.code == 2
    assert "is not trusted yet" in refused.err
    assert "harness-nb trust" in refused.err
    assert refused.err.count("\n") == 1
    assert not (shell.folder / "first" / "hello.txt").exists()


def test_trust_given_and_taken_back_are_rows_in_the_journal(shell: Shell, write_plan: WritePlan) -> None:
    root = write_plan("p", "01-01", sh("true")).parents[3]
    for words in (["--yes"], ["--yes"], ["--remove"]):
        assert shell("trust", "p", *words).code == 0
    with closing(Store(root)) as store:
        rows = [(one.kind, one.door, bool(one.actor)) for one in store.events.select()]
    assert rows == [("trusted", "cli", True), ("trust_removed", "cli", True)]


def test_trust_can_be_given_once_and_taken_back(shell: Shell) -> None:
    shell("init", "first")
    given = shell("trust", "first", "--yes")
    assert given.code == 0
    assert "2 plans with 2 blocks to run" in given.out
    assert shell("run", "first", "--yes").code == 0
    assert shell("trust", "first", "--remove").code == 0
    assert shell("run", "first", "--yes", "--again").code == 2


@pytest.mark.row(9)
def test_a_failed_plan_holds_what_depends_on_it_and_the_status_is_1(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("echo broken; exit 4"))
    write_plan("p", "01-02", sh("true"), depends_on='["01-01"]')
    write_plan("p", "01-03", sh("true"))
    done = shell("run", "p", "--trust")
    assert done.code == 1
    assert re.search(
        r"^01-01 failed: task 1 \(work\) ended with exit status 4; see .*01-01-PLAN.md:\d+$", done.out, re.M
    )
    assert "01-02 held: waits for 01-01, which failed\n" in done.out
    assert "01-03 complete (1 check)\n" in done.out
    assert "✕ run failed: 1 of 3 plans complete" in done.out
    printed = shell("output", "01-01", "--project", "p")
    assert "broken" in printed.out


@pytest.mark.row(9)
def test_a_failure_that_can_be_mended_is_tried_again(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("test -e once || { touch once; exit 75; }"))
    (shell.folder / "p" / ".orchestration").mkdir()
    (shell.folder / "p" / ".orchestration" / "config.yaml").write_text("retryDelay: 0\n")
    done = shell("run", "p", "--trust")
    assert done.code == 0
    assert "01-01 tries again in 0 s: task 1 (work) ended with exit status 75" in done.out
    assert "01-01 complete (1 check, at try 2)" in done.out


def test_only_the_named_plans_run_with_the_given_parameters(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh('echo "$HARNESS_PARAM_CITY" > city.txt'))
    write_plan("p", "01-02", sh("touch other.txt"))
    done = shell("run", "p", "--trust", "--plans", "1-1", "--param", "city=Seattle=x")
    assert done.code == 0
    assert "1 of 1 plans complete" in done.out
    assert (shell.folder / "p" / "city.txt").read_text() == "Seattle=x\n"
    assert not (shell.folder / "p" / "other.txt").exists()


def test_a_complete_project_says_so_and_again_does_it_anew(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("echo x >> times.txt"))
    assert shell("run", "p", "--trust").code == 0
    second = shell("run", "p")
    assert second.code == 0
    assert "Everything was complete before, so nothing was done. --again does it anew." in second.out
    assert "01-01 running" not in second.out
    assert shell("run", "p", "--again").code == 0
    assert (shell.folder / "p" / "times.txt").read_text() == "x\nx\n"


@pytest.mark.row(3)
@pytest.mark.row(10)
def test_a_question_is_printed_with_the_commands_that_answer_it(
    shell: Shell, begin: Begin, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION + sh('echo "$HARNESS_DECISION" > colour.txt'))
    run = begin("run", "p", "--trust")
    asked = run.expect(r"\? 01-01 asks for a decision: Which colour\?\n    (harness-nb respond .*? --option red .*?)\n")
    answered = shell(*asked[1].split()[1:])
    assert (answered.code, answered.out) == (0, "01-01 is answered: Red\n")
    run.rest()
    assert run.process.returncode == 0
    assert "through the command line: Red" in run.seen
    assert (shell.folder / "p" / "colour.txt").read_text() == "red\n"


@pytest.mark.row(11)
def test_an_interrupted_run_leaves_its_sessions_alive_and_the_next_goes_on(
    shell: Shell, begin: Begin, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION + sh("echo x >> times.txt"))
    run = begin("run", "p", "--trust")
    asked = question_id(run.expect(r"respond \w+ --option red")[0].replace("respond", "harness-nb respond"))
    run.process.send_signal(signal.SIGINT)
    run.rest()
    assert run.process.returncode == 130
    assert run.process.stderr is not None
    said = run.process.stderr.read().decode()
    assert "Interrupted. What runs goes on by itself (01-01)." in said
    assert f"harness-nb run {shell.folder / 'p'}" in said

    state = json.loads(shell("status", "p", "--json").out)
    assert [one["planId"] for one in state["sessions"]] == ["01-01"]
    assert state["runId"]
    assert shell("respond", asked, "--approve", "--project", "p").code == 0

    after = shell("run", "p")
    assert after.code == 0
    assert f"Going on with run {state['runId']}" in after.out
    assert (shell.folder / "p" / "times.txt").read_text() == "x\n"


def test_a_second_run_of_the_same_project_is_told_who_runs_it(
    shell: Shell, begin: Begin, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION)
    run = begin("run", "p", "--trust")
    run.expect("--option blue")
    second = shell("run", "p")
    assert second.code == 2
    assert f"is going on already: process {run.process.pid} (cli, since " in second.err
    status = shell("status", "p")
    assert f"goes on in process {run.process.pid} (cli," in status.out


def test_an_answer_by_policy_that_cannot_be_given_is_left_to_a_person(
    shell: Shell, begin: Begin, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION)
    (shell.folder / "p" / ".orchestration").mkdir()
    (shell.folder / "p" / ".orchestration" / "config.yaml").write_text(
        "policies: [{kind: decision, do: answer, answer: green}]\n"
    )
    run = begin("run", "p", "--trust")
    run.expect("could not be answered by policy: There is no option 'green'")
    asked = question_id(shell("respond", "--project", "p").out)
    assert shell("respond", asked, "--option", "blue", "--project", "p").code == 0
    run.rest()
    assert run.process.returncode == 0


def test_a_run_leaves_no_session_behind_when_it_ends(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    assert shell("run", "p", "--trust", "--max-parallel", "1").code == 0
    with closing(Store(shell.folder / "p")) as store:
        assert store.sessions.select(live=True) == []
        assert store.runs.unfinished() is None


def test_help_and_version(shell: Shell) -> None:
    from harness_nb import __version__

    assert shell("--version").out == f"harness-nb {__version__}\n"
    helped = shell("--help")
    assert helped.code == 0
    for command in ("init", "run", "status", "respond", "sync", "trust", "doctor", "output", "worker"):
        assert command in helped.out


@pytest.mark.row(10)
def test_where_nobody_is_there_a_question_that_no_policy_answers_ends_the_watching(
    shell: Shell, write_plan: WritePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session goes on, and so does the run once the question is answered from any shell."""
    write_plan("p", "01-01", DECISION)
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    left = shell("run", "p", "--trust")
    assert left.code == 1
    assert left.err.startswith("harness-nb: 01-01 asks (decision): Which colour? Nobody is there to answer")
    assert "What runs goes on by itself (01-01). To go on with the run: harness-nb run" in left.err
    asked = question_id(left.err)
    assert shell("respond", asked, "--option", "blue", "--project", "p").code == 0
    again = shell("run", "p")
    assert (again.code, again.err) == (0, "")


@pytest.mark.row(10)
def test_yes_says_that_nobody_is_there_and_without_a_terminal_nobody_knows(shell: Shell, write_plan: WritePlan) -> None:
    """A policy of the settings that names no time acts in both."""
    write_plan("p", "01-01", DECISION)
    (shell.folder / "p" / ".orchestration").mkdir()
    (shell.folder / "p" / ".orchestration" / "config.yaml").write_text("policies: [{kind: decision, do: answer}]\n")
    assert shell("run", "p", "--trust", "--yes").code == 0
    assert shell("run", "p", "--again").code == 0
    with closing(Store(shell.folder / "p")) as store:
        assert [one.options.attended for one in store.runs.select()] == [False, None]


@pytest.mark.row(11)
def test_a_run_can_be_left_to_a_process_of_its_own_and_ended_from_any_shell(
    shell: Shell, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION)
    left = shell("run", "p", "--trust", "--detach")
    assert left.code == 0
    found = re.fullmatch(
        r"Run (run-\w+) goes on by itself\. To watch it: .* · to end it: harness-nb end .*\n", left.out
    )
    assert found, left.out
    joined = shell("run", "p", "--detach")
    assert f"Going on with run {found[1]}" in joined.out
    ended = shell("end", found[1], "--project", "p")
    assert ended.code == 0
    assert "run stopped: 0 of 1 plans complete" in ended.out
    with closing(Store(shell.folder / "p")) as store:
        [record] = store.runs.select()
        assert (record.state, record.detached) == ("stopped", True)
        [asked] = store.events.select(kind="run_stop_asked")
        assert asked.door == "cli"
        limit = time.monotonic() + 30
        while is_held(store.layout.lease):
            assert time.monotonic() < limit
            time.sleep(0.02)
