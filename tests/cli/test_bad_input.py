"""What a user can get wrong: one clear sentence each, exit status 2, and the rest of the project goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness_nb import sample
from harness_nb.cli.new_project import make_project
from harness_nb.cli.respond import answer_question
from harness_nb.errors import (
    FileInTheWayError,
    MessageNotFoundError,
    NothingChosenError,
    QuestionNotFoundError,
    SampleMissingError,
)
from harness_nb.sample import prepare_sample
from harness_nb.views.questions import Reply
from tests.cli.conftest import DECISION, question_id, sh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Done, Program, Shell

    Begin = Callable[..., Program]
    WritePlan = Callable[..., Path]


def assert_one_sentence(done: Done) -> None:
    assert done.code == 2, done
    assert done.err.startswith("harness-nb: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.out + done.err


@pytest.mark.parametrize("command", ["run", "status", "sync"])
def test_a_folder_without_plans_is_named_and_left_as_it_was(shell: Shell, command: str) -> None:
    (shell.folder / "empty").mkdir()
    done = shell(command, "empty")
    assert_one_sentence(done)
    assert f"There are no plans in {shell.folder / 'empty'}" in done.err
    assert "harness-nb init" in done.err
    assert list((shell.folder / "empty").iterdir()) == []


def test_a_folder_that_is_not_there(shell: Shell) -> None:
    done = shell("run", "nowhere")
    assert_one_sentence(done)
    assert f"There is no folder {shell.folder / 'nowhere'}" in done.err


def test_broken_yaml_is_named_by_file_and_line_while_the_rest_goes_on(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("touch done.txt"))
    write_plan("p", "01-02", sh("touch other.txt"), extra="depends_on: [01-01, {\n")
    done = shell("run", "p", "--trust")
    assert done.code == 1
    assert done.out.startswith("! planning/plans/01-phase/01-02-PLAN.md:")
    assert "01-01 complete (1 check)" in done.out
    assert "01-02 held: planning/plans/01-phase/01-02-PLAN.md:" in done.out
    assert (shell.folder / "p" / "done.txt").exists()
    assert not (shell.folder / "p" / "other.txt").exists()


def test_a_cycle_is_named_and_holds_only_its_own_plans(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"), depends_on='["01-02"]')
    write_plan("p", "01-02", sh("true"), depends_on='["01-01"]')
    write_plan("p", "01-03", sh("touch done.txt"))
    done = shell("run", "p", "--trust")
    assert done.code == 1
    problem = next(line for line in done.out.splitlines() if line.startswith("! "))
    assert "01-01" in problem
    assert "01-02" in problem
    assert "PLAN.md:" in problem
    assert "01-03 complete" in done.out
    assert "01-01 held: " in done.out


def test_a_worker_that_there_is_not(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    done = shell("run", "p", "--trust", "--worker", "nobody")
    assert_one_sentence(done)
    assert "There is no worker 'nobody'. Choose one of: command, runbook" in done.err


def test_a_plan_that_there_is_not(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    done = shell("run", "p", "--trust", "--plans", "09-09")
    assert_one_sentence(done)
    assert "There is no plan '09-09'. The project has: 01-01." in done.err


def test_a_plan_that_no_worker_can_do_says_why_and_what_to_choose(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", '<task type="auto"><name>Think</name><action>Think hard.</action></task>')
    done = shell("run", "p", "--trust")
    assert done.code == 1
    assert "01-01 held: " in done.out
    assert "task 'Think' has no <run> block" in done.out
    assert "or hand the plan to a program of yours: start_session(plan=" in done.out


def test_a_command_that_does_not_exist_fails_its_plan_alone(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("there-is-no-such-program"))
    write_plan("p", "01-02", sh("true"))
    done = shell("run", "p", "--trust")
    assert done.code == 1
    assert (
        "01-01 failed: task 1 (work) ended with exit status 127; see planning/plans/01-phase/01-01-PLAN.md:" in done.out
    )
    assert "01-02 complete" in done.out
    assert "there-is-no-such-program" in shell("output", "01-01", "--project", "p").out


def test_a_place_where_nothing_can_be_written(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    (shell.folder / "p" / ".orchestration").write_text("in the way")
    for command in ("run", "status"):
        done = shell(command, "p", *(["--trust"] if command == "run" else []))
        assert_one_sentence(done)
        assert "Cannot write in " in done.err
    assert (shell.folder / "p" / ".orchestration").read_text() == "in the way"


def test_settings_that_cannot_be_read_are_named_by_file_and_line(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    (shell.folder / "p" / ".orchestration").mkdir()
    config = shell.folder / "p" / ".orchestration" / "config.yaml"
    config.write_text("version: 1\nworker: [a\n")
    done = shell("run", "p", "--trust")
    assert_one_sentence(done)
    assert f"{config}:" in done.err


def test_a_question_answered_twice_tells_who_was_first(shell: Shell, begin: Begin, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", DECISION + DECISION)
    run = begin("run", "p", "--trust")
    asked = question_id(run.expect("harness-nb respond .*?blue")[0])
    assert shell("respond", asked, "--option", "red", "--project", "p").code == 0
    second = shell("respond", asked, "--option", "blue", "--project", "p")
    assert_one_sentence(second)
    assert "was already answered by " in second.err
    assert " through the command line at " in second.err
    assert second.err.endswith("Red. That answer holds.\n")


def test_wrong_answers_change_nothing(shell: Shell, begin: Begin, write_plan: WritePlan) -> None:
    action = '<task type="checkpoint:human-action"><name>go</name><action>Open the door</action></task>\n'
    write_plan("p", "01-01", action + DECISION)
    run = begin("run", "p", "--trust")
    asked = question_id(run.expect("harness-nb respond .*?--reject")[0])
    wrong_type = shell("respond", asked, "--option", "red", "--project", "p")
    assert_one_sentence(wrong_type)
    assert "A 'action_needed' message cannot be answered with 'decision_made'" in wrong_type.err
    assert_one_sentence(shell("respond", asked, "--project", "p"))
    assert shell("respond", asked, "--approve", "--notes", "it was open", "--project", "p").code == 0
    choice = question_id(run.expect("harness-nb respond .*?blue")[0])
    wrong_option = shell("respond", choice, "--option", "green", "--project", "p")
    assert_one_sentence(wrong_option)
    assert "Choose one of: red, blue" in wrong_option.err
    assert shell("respond", choice, "--abort", "enough", "--project", "p").code == 0
    run.rest()
    assert run.process.returncode == 1
    assert "aborted: enough" in run.seen


def test_an_answer_to_a_question_that_is_not_there(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    done = shell("respond", "0123", "--approve", "--project", "p")
    assert_one_sentence(done)
    assert "There is no question '0123'" in done.err
    assert "harness-nb respond --project" in done.err


def test_a_session_that_is_not_there(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    done = shell("output", "nobody", "--project", "p")
    assert_one_sentence(done)
    assert "There is no session 'nobody'" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--param", "novalue"],
        ["run", "--max-parallel", "0"],
        ["respond", "--approve"],
        ["respond", "0123", "--approve", "--reject", "no"],
        ["nonsense"],
    ],
)
def test_wrong_options_are_usage_errors(shell: Shell, words: list[str]) -> None:
    done = shell(*words)
    assert done.code == 2
    assert "Usage: " in done.err
    assert "Traceback" not in done.err


def test_output_into_a_closed_pipe_is_no_traceback(shell: Shell, begin: Begin, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    run = begin("run", "p", "--trust")
    assert run.process.stdout is not None
    run.process.stdout.close()
    assert run.process.stderr is not None
    said = run.process.stderr.read().decode()
    run.process.wait(30)
    assert "Traceback" not in said
    assert run.process.returncode == 1


@pytest.mark.parametrize("command", ["run", "init", "status", "doctor"])
def test_a_file_where_a_folder_is_meant(shell: Shell, command: str) -> None:
    (shell.folder / "afile").write_text("")
    done = shell(command, "afile")
    assert_one_sentence(done)
    assert done.err == f"harness-nb: {shell.folder / 'afile'} is a file; give the project's folder.\n"


@pytest.mark.parametrize("names", ["", " , "])
def test_a_selection_of_no_plans_is_refused(shell: Shell, write_plan: WritePlan, names: str) -> None:
    write_plan("p", "01-01", sh("touch done.txt"))
    done = shell("run", "p", "--trust", "--plans", names)
    assert done.code == 2
    assert "--plans names none" in done.err
    assert "complete before" not in done.out
    assert not (shell.folder / "p" / "done.txt").exists()


@pytest.mark.parametrize("command", ["output", "end"])
def test_a_session_that_there_is_not_is_looked_for_with_status(shell: Shell, command: str) -> None:
    """Also where nothing ever happened, and no journal is made by asking."""
    done = shell(command, "99")
    assert_one_sentence(done)
    assert "There is no session '99'" in done.err
    assert "`harness-nb status` shows the ids" in done.err
    assert list(shell.folder.iterdir()) == []


def test_where_nothing_ever_happened_no_question_is_open(shell: Shell) -> None:
    listed = shell("respond")
    assert (listed.code, listed.out) == (0, "No question is open.\n")
    answered = shell("respond", "0123", "--approve")
    assert_one_sentence(answered)
    assert "There is no question '0123'" in answered.err
    assert list(shell.folder.iterdir()) == []


def test_settings_that_have_no_effect_are_named_and_never_fatal(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    (shell.folder / "p" / ".orchestration").mkdir()
    (shell.folder / "p" / ".orchestration" / "config.yaml").write_text("version: 1\nmaxParalelExecutions: 1\n")
    said = ".orchestration/config.yaml:2: unknown setting 'maxParalelExecutions'; did you mean 'maxParallelExecutions'?"
    looked = shell("doctor", "p")
    assert looked.code == 0
    assert said in looked.out
    done = shell("run", "p", "--trust")
    assert done.code == 0
    assert done.err == f"! {said}\n"


def test_signs_that_the_encoding_lacks_are_no_reason_to_fail(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("echo grün"), title="Türen")
    for words in (["run", "p", "--trust"], ["status", "p"], ["doctor", "p"], ["output", "01-01", "--project", "p"]):
        done = shell(*words, env={"PYTHONIOENCODING": "ascii"})
        assert done.code == 0, done
        assert done.out.isascii()
        assert "Traceback" not in done.err
    assert "gr??n" in done.out or "gr?n" in done.out


def test_what_is_chosen_in_no_way_is_not_sent() -> None:
    error = NothingChosenError("harness-nb respond 0123 --approve")
    assert "Nothing was chosen, so nothing was sent." in str(error)
    assert str(error).endswith("harness-nb respond 0123 --approve")


def test_a_question_that_there_is_not_is_also_a_message_that_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with pytest.raises(QuestionNotFoundError, match="There is no question '0123'") as error:
        answer_question(tmp_path / "p", "0123", Reply("approve"))
    assert isinstance(error.value, MessageNotFoundError)


def test_a_starter_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "ROADMAP.md").write_text("mine")
    (tmp_path / "planning").mkdir()
    with pytest.raises(FileInTheWayError, match=r"planning is there already, and init overwrites nothing\."):
        make_project(tmp_path)
    assert (tmp_path / "ROADMAP.md").read_text() == "mine"


def test_the_sample_without_its_data_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "find_spec", lambda name: None)
    with pytest.raises(SampleMissingError, match=r"its data is missing\. Install it with: pip install"):
        prepare_sample(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
