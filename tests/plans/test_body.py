"""Tasks are found by simple rules that real, damaged plans survive; only complete run blocks may run."""

from __future__ import annotations

import pytest

from harness_nb.plans.body import read_body

PLAN = """<objective>
Make it work. Then more.
</objective>

<tasks>

<task type="auto" tdd="true">
  <name>Task 1: Build & test</name>
  <files>src/a.ts, src/[id]/b.ts (NEW)</files>
  <action>
    If x < 4 && y &amp;&amp; z, use Promise<Goal[]>:

    ```xml
    <name>not the task's</name>
    ```
  </action>
  <verify>
    <automated>npm test && echo <ok></automated>
    <automated>
      make
      make check
    </automated>
  </verify>
  <done>It works</done>
  <run lang="sh">
    set -e
    if true; then
      echo hi
    fi
  </run>
  <run lang='python'>print("</run>")</run>
</task>

</tasks>
"""


def test_a_task_is_read_with_raw_entities_and_its_line() -> None:
    body = read_body(PLAN, first_line=11)
    [task] = body.tasks
    assert (task.name, task.type, task.line) == ("Task 1: Build & test", "auto", 17)
    assert task.attributes == {"type": "auto", "tdd": "true"}
    assert task.files == ["src/a.ts", "src/[id]/b.ts"]
    assert task.action.startswith("If x < 4 && y &amp;&amp; z")
    assert "<name>not the task's</name>" in task.action
    assert task.automated == ["npm test && echo <ok>", "make\nmake check"]
    assert task.done == "It works"
    assert body.objective == "Make it work. Then more."
    assert not body.problems


def test_run_blocks_are_dedented_and_know_their_line() -> None:
    shell, python = read_body(PLAN, first_line=11).tasks[0].runs
    assert (shell.lang, shell.code) == ("sh", "set -e\nif true; then\n  echo hi\nfi\n")
    assert PLAN.split("\n")[shell.line - 11].strip() == "set -e" if shell.line else False
    assert (python.lang, python.code) == ("python", 'print("</run>")\n')


def test_line_endings_of_windows_make_no_difference() -> None:
    unix, windows = read_body(PLAN), read_body(PLAN.replace("\n", "\r\n"))
    assert windows.tasks[0].runs == unix.tasks[0].runs
    assert windows.tasks[0].automated == unix.tasks[0].automated
    assert windows.tasks[0].files == unix.tasks[0].files


@pytest.mark.parametrize(
    "inside",
    [
        '<run lang="sh">\nrm -r build\n',
        '<run lang="bash">\necho\n</run>\n',
        "<run>\necho\n</run>\n",
        '<run lang="sh"/>\n',
        '<run lang="sh">\n\n</run>\n',
        '<run lang="sh">\necho one\n<run lang="sh">\necho two\n</run>\n',
    ],
)
def test_a_run_block_that_is_not_complete_leaves_its_task_with_nothing_to_run(inside: str) -> None:
    text = f'<task type="auto">\n<name>x</name>\n<run lang="sh">\necho sound\n</run>\n{inside}</task>\n'
    body = read_body(text)
    assert body.tasks[0].runs == []
    assert any(line == 6 and "<run>" in message for line, message in body.problems)


def test_examples_in_code_fences_are_never_runnable() -> None:
    example = '```\n<run lang="sh">\nrm -rf /\n</run>\n```\n```bash\nls\n```\n'
    text = f'<task type="auto">\n<action>\n{example}</action>\n</task>'
    body = read_body(text)
    assert body.tasks[0].runs == []
    assert not body.problems


def test_a_stray_fence_hides_neither_tasks_nor_run_blocks() -> None:
    text = (
        '```\n<task type="auto">\n<action>\nx ```</action>\n```\n<run lang="sh">\nls\n</run>\n</task>\n<task>\n</task>'
    )
    body = read_body(text)
    assert [len(task.runs) for task in body.tasks] == [1, 0]


def test_only_the_start_of_a_line_begins_a_task() -> None:
    text = 'See `<task>` and tasks/<task>/x, Task<T>.\n<Task>no</Task>\n<task type="auto">\n<name>a</name>\n</task>\n'
    assert [task.name for task in read_body(text).tasks] == ["a"]


def test_unclosed_tasks_end_where_the_next_begins_and_are_reported() -> None:
    text = (
        '<tasks>\n<task type="checkpoint:human-verify">\n<name>a</name>\n<task type="auto">\n<name>b</name>\n'
        "<verify>\n<automated>npm te"
    )
    body = read_body(text)
    assert [(task.name, task.line) for task in body.tasks] == [("a", 2), ("b", 4)]
    assert body.tasks[1].automated == []  # half a command is no command
    assert sorted(line for line, _ in body.problems) == [2, 4, 7]


def test_swapped_end_tags_cost_one_element_alone() -> None:
    text = (
        '<task type="auto">\n<name>a</name>\n<action>\ndo it\n</verify><verify><automated>make</automated></verify>\n'
        "<done>done</done>\n</task>"
    )
    [task] = read_body(text).tasks
    assert (task.action, task.automated, task.done) == ("do it", ["make"], "done")


def test_a_task_on_one_line_is_read_too() -> None:
    [task] = read_body('<task type="auto"><name>a</name><files>x.py</files><done>b</done></task>').tasks
    assert (task.name, task.files, task.done) == ("a", ["x.py"], "b")


def test_checkpoints_of_all_kinds_carry_their_fields() -> None:
    text = """
<task type="checkpoint:human-verify" gate="blocking">
  <what-built>A page</what-built>
  <how-to-verify>
    1. Open it
       - look
    2. Click

  </how-to-verify>
  <resume-signal>Type "approved"</resume-signal>
</task>
<task type="checkpoint:decision">
  <decision>Which store?</decision>
  <context>It must be small.</context>
  <options>
    <option id="sqlite"><name>SQLite (recommended)</name><pros>one file</pros><cons>one writer</cons></option>
    <option id="pg" recommended="false">
      <name>PostgreSQL</name>
    </option>
    <option>Neither</option>
  </options>
</task>
<task type="checkpoint:human-action">
  <action>Create the account</action>
  <instructions>Go there.</instructions>
</task>
<task type="checkpoint:credentials">
  <service>postgres</service>
  <env-vars>DATABASE_URL, PGUSER</env-vars>
  <reason>to migrate</reason>
  <context>staging</context>
</task>
<task type="manual"><name>by hand</name></task>
"""
    verify, decide, act, ask, manual = read_body(text).tasks
    kinds = [task.checkpoint for task in (verify, decide, act, ask, manual)]
    assert kinds == ["verification", "decision", "action", "credentials", "action"]
    assert (verify.what_built, verify.resume_signal) == ("A page", 'Type "approved"')
    assert verify.how_to_verify == ["1. Open it", "   - look", "2. Click"]
    assert [(option.id, option.recommended) for option in decide.options] == [
        ("sqlite", True),
        ("pg", False),
        ("option-3", False),
    ]
    assert (decide.options[0].pros, decide.options[0].cons, decide.options[2].name) == (
        "one file",
        "one writer",
        "Neither",
    )
    assert (decide.decision, decide.context) == ("Which store?", "It must be small.")
    assert (act.action, act.instructions) == ("Create the account", "Go there.")
    assert (ask.service, ask.env_vars, ask.reason, ask.context) == (
        "postgres",
        ["DATABASE_URL", "PGUSER"],
        "to migrate",
        "staging",
    )


def test_a_task_that_begins_where_the_one_before_ends_is_not_lost() -> None:
    body = read_body('<task type="auto">\n<name>a</name>\n</task><task type="auto">\n<name>b</name>\n</task>\n')
    assert [task.name for task in body.tasks] == ["a", "b"]


def test_a_run_block_within_a_line_is_not_run_and_said() -> None:
    body = read_body('<task type="auto"><name>a</name><run lang="sh">echo hi</run></task>\n')
    assert body.tasks[0].runs == []
    assert body.problems == [
        (1, "This <run> does not begin its line, so its task has nothing to run; give the tag a line of its own")
    ]


@pytest.mark.row(5)
@pytest.mark.parametrize(
    ("verify", "commands"),
    [
        ("<verify><automated>false\n</verify>", []),
        ("<verify>Run: <automated>false</verify>", []),
        ("<verify>\n<automated>true\n<automated>make</automated>\n</verify>", ["make"]),
        ("<automated>false\n<done>it</done>", []),
        ("<automated>\nfalse\n<automated>true</automated>", []),
    ],
)
def test_a_command_that_is_never_closed_is_kept_as_such_with_its_own_line(verify: str, commands: list[str]) -> None:
    text = f'<task type="auto">\n<name>a</name>\n<run lang="sh">\necho\n</run>\n{verify}\n</task>\n'
    line = 6 + verify[: verify.index("<automated>")].count("\n")
    body = read_body(text)
    assert (body.tasks[0].automated, body.tasks[0].unclosed_automated) == (commands, [line])
    assert body.problems == [(line, "This <automated> is never closed, so it cannot pass; end it with </automated>")]


def test_a_sentence_about_a_command_is_no_command() -> None:
    body = read_body("<task>\n<verify>The `<automated>` below:\n<automated>make</automated></verify>\n</task>\n")
    assert (body.tasks[0].automated, body.tasks[0].unclosed_automated) == (["make"], [])
    assert not body.problems


@pytest.mark.parametrize(
    ("verify", "message"),
    [
        ("<Automated>make</Automated>", "<Automated> is not read"),
        ("<automated/>", "<automated> is not read"),
        ("<automated> \n</automated>", "This <automated> is empty"),
    ],
)
@pytest.mark.parametrize("frame", ["<verify>\n{}\n</verify>", "\n{}\n"])
def test_what_is_almost_a_command_is_noted_with_its_line(verify: str, message: str, frame: str) -> None:
    body = read_body(f"<task>\n{frame.format(verify)}\n</task>\n")
    [(line, said)] = body.problems
    assert line == 3
    assert said.startswith(message)
    assert (body.tasks[0].automated, body.tasks[0].unclosed_automated) == ([], [])


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("checkpoint:decision", "<option>"), ("checkpoint:credentials", "<service>")],
)
def test_a_question_that_nobody_can_answer_is_reported(kind: str, wanted: str) -> None:
    body = read_body(f'\n<task type="{kind}">\n<name>a</name>\n</task>\n')
    [(line, message)] = body.problems
    assert line == 2
    assert wanted in message
    assert not body.tasks[0].is_answerable
