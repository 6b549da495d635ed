"""``harness-nb run`` at a real terminal: the board, questions that are typed at, and answers from elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import DECISION, question_id, sh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Shell, Terminal

    Start = Callable[..., Terminal]
    WritePlan = Callable[..., Path]

OTHERS = """\
<task type="checkpoint:human-verify">
<name>look</name>
<what-built>A page</what-built>
<how-to-verify>
1. Open it
2. Read it
</how-to-verify>
</task>
<task type="checkpoint:human-action">
<name>tell</name>
<action>Tell the users</action>
<instructions>By telephone.</instructions>
</task>
<task type="checkpoint:credentials">
<name>token</name>
<service>demo</service>
<env-vars>DEMO_TOKEN</env-vars>
<reason>The service wants it</reason>
</task>
"""
SECRET = "hush-4711-hush"  # pretended


@pytest.mark.row(3)
@pytest.mark.row(10)
def test_every_kind_of_question_is_answered_by_typing(
    shell: Shell, terminal: Start, write_plan: WritePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = shell.folder / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / "demo.env").write_text(f"DEMO_TOKEN={SECRET}\n")
    (credentials / "demo.env").chmod(0o600)
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(credentials))
    write_plan(
        "p", "01-01", DECISION + OTHERS + sh('echo "$HARNESS_DECISION ${#DEMO_TOKEN}" > seen.txt'), title="Ask all"
    )

    run = terminal("run", "p", "--trust")
    run.expect(r"\? 01-01 asks for a decision\n\s+Ask all\n\s+session 01-01-\w+ · asked 0:0\d ago")
    run.expect(r"Which colour\?\n\s+It is for the door\.")
    run.expect(r"1  Red\n\s+\+ warm\n\s+− loud\n\s+2  Blue  recommended")
    run.expect(r"\[2\] › ")
    assert run.echoes()
    run.type("green\n")
    run.expect("There is no option 'green'")
    run.type("1 it is warmer\n")
    run.expect("01-01 goes on: Red")

    run.expect(r"asks you to look at something.*A page\n\s+1\. Open it\n\s+2\. Read it.*› ")
    run.type("perhaps\n")
    run.expect("Type pass, or fail and what is wrong")
    run.type("fail\n")
    run.expect("And why")
    run.type("pass well done\n")

    run.expect(r"asks you to do something.*Tell the users\n\s+By telephone\..*› ")
    run.type("done this morning\n")
    run.expect(r"asks for credentials.*demo: DEMO_TOKEN\n\s+The service wants it.*› ")
    run.type("allow\n")
    text = run.rest()

    assert run.process.returncode == 0
    assert SECRET not in text
    assert "✓ run passed: 1 of 1 plans complete" in text
    assert (shell.folder / "p" / "seen.txt").read_text() == f"red {len(SECRET)}\n"


@pytest.mark.row(10)
def test_a_question_answered_at_another_door_goes_away_and_takes_half_typed_words_with_it(
    shell: Shell, terminal: Start, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION + DECISION.replace("Which colour?", "And the window?"))
    run = terminal("run", "p", "--trust")
    run.expect("Which colour.*› ")
    run.type("re")
    asked = question_id(shell("respond", "--project", "p").out)
    assert shell("respond", asked, "--option", "blue", "--project", "p").code == 0
    run.expect("Answered by .* through the command line: Blue")
    run.expect("And the window.*› ")
    run.type("blue\n")  # had "re" been kept, this would be "reblue"
    run.expect("01-01 goes on: Blue")
    run.rest()
    assert run.process.returncode == 0


@pytest.mark.row(10)
def test_an_answer_typed_here_is_not_told_again_as_one_from_elsewhere(
    shell: Shell, terminal: Start, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", "".join(DECISION.replace("Which colour", f"Colour {n}") for n in range(20)))
    run = terminal("run", "p", "--trust")
    for number in range(20):
        run.expect(rf"Colour {number}\?.*› ")
        run.type("blue\n")
    text = run.rest()
    assert run.process.returncode == 0
    assert text.count("01-01 goes on") == 20
    assert "Answered by" not in text


def test_enter_takes_the_recommended_option_and_abort_ends_the_task(
    shell: Shell, terminal: Start, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION + DECISION.replace("Which colour?", "And the window?"))
    run = terminal("run", "p", "--trust")
    run.expect("Which colour.*› ")
    run.type("\n")
    run.expect("01-01 goes on: Blue")
    run.expect("And the window.*› ")
    run.type("abort no paint left\n")
    text = run.rest()
    assert run.process.returncode == 1
    assert re.search(r"✕ 01-01 .*aborted", text)
    assert "no paint left" in text


def test_ctrl_d_leaves_a_question_open_while_the_board_goes_on(
    shell: Shell, terminal: Start, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION, title="Paint the door")
    run = terminal("run", "p", "--trust")
    run.expect("Which colour.*› ")
    run.type("\x04")
    command = run.expect(r"Left open\. Answer it from any shell:\s+(harness-nb respond .*?red)")[1]
    run.expect(r"0 of 1 plans complete .*\? 1 asks.*\? 01-01  Paint the door +asks +decision: Which colour\?")
    assert not run.echoes()
    assert shell("respond", command.split()[2], "--option", "red", "--project", "p").code == 0
    run.rest()
    assert run.process.returncode == 0


def test_the_terminal_asks_for_trust_and_takes_no_for_an_answer(
    shell: Shell, terminal: Start, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", sh("touch done.txt"))
    run = terminal("run", "p")
    run.expect(r"1 plan with 1 block to run and 1 check that run a command\.\nTrust the commands .* \[y/N\] ")
    run.type("\n")
    assert "is not trusted yet" in run.rest()
    assert run.process.returncode == 2
    assert not (shell.folder / "p" / "done.txt").exists()

    run = terminal("run", "p")
    run.expect(r"\[y/N\] ")
    run.type("y\n")
    run.rest()
    assert run.process.returncode == 0
    assert (shell.folder / "p" / "done.txt").exists()


def test_ctrl_c_says_how_to_go_on_and_gives_the_keyboard_back(
    shell: Shell, terminal: Start, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", sh("sleep 300"))
    run = terminal("run", "p", "--trust")
    run.expect("● 01-01 .* running")
    assert not run.echoes()
    run.type("\x03")
    run.expect(r"Interrupted\. What runs goes on by itself \(01-01\)\.\s+To go on with the run:\s+harness-nb run")
    assert run.echoes()
    run.rest()
    assert run.process.returncode == 130
    assert "Traceback" not in run.seen


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_of_the_board_is_wider_than_the_terminal(
    shell: Shell, terminal: Start, write_plan: WritePlan, columns: int
) -> None:
    title = "A title that is much longer than any line of a terminal has ever had room for, and then some more"
    write_plan("p", "01-01", sh("true"), title=title)
    write_plan("p", "01-02", sh("exit 3", name="a task with a name that is long as well"), title=title)
    run = terminal("run", "p", "--trust", columns=columns)
    text = run.rest()
    assert run.process.returncode == 1
    drawn = [line.split("\r")[-1] for line in text.splitlines() if re.match(r"\r?[✓✕●○] 01-0", line)]
    assert drawn
    assert max(map(len, drawn)) <= columns


def test_a_question_can_be_answered_by_its_id_at_a_terminal(
    shell: Shell, terminal: Start, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION)
    run = terminal("run", "p", "--trust")
    run.expect("Which colour.*› ")
    other = terminal("respond", question_id(shell("respond", "--project", "p").out), "--project", "p")
    other.expect("Which colour.*› ")
    other.type("what\n")
    other.expect("There is no option")
    other.type("2\n")
    other.expect("01-01 is answered: Blue")
    other.rest()
    run.rest()
    assert (run.process.returncode, other.process.returncode) == (0, 0)


@pytest.mark.row(10)
def test_at_a_terminal_a_policy_without_a_deadline_leaves_the_question_to_whoever_sits_there(
    shell: Shell, terminal: Start, write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", DECISION)
    (shell.folder / "p" / ".orchestration").mkdir()
    settings = "policies: [{kind: decision, do: answer, answer: red}]\n"
    (shell.folder / "p" / ".orchestration" / "config.yaml").write_text(settings)
    run = terminal("run", "p", "--trust")
    run.expect(r"Which colour\?.*› ")
    run.type("blue\n")
    run.expect("01-01 goes on: Blue")
    run.rest()
    assert run.process.returncode == 0


@pytest.mark.row(10)
def test_a_terminal_that_nobody_sits_at_is_asked_nothing(
    terminal: Start, write_plan: WritePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs drive terminals too; the environment has the last word."""
    write_plan("p", "01-01", DECISION)
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    run = terminal("run", "p", "--trust")
    assert "Nobody is there to answer" in run.rest()
    assert run.process.returncode == 1
