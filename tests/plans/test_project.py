"""Whatever state a project's documents are in, it is read, and what is wrong is named."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_nb.plans.body import read_body
from harness_nb.plans.frontmatter import read_frontmatter
from harness_nb.plans.paths import conflicts
from harness_nb.plans.project import load_project
from harness_nb.plans.roadmap import parse_roadmap
from harness_nb.protocol.plans import UNREADABLE_CHECK

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plans.conftest import WritePlan


def test_a_plan_is_read_with_all_its_keys(tmp_path: Path, write_plan: WritePlan) -> None:
    file = write_plan(
        "01-base/01-02-form-PLAN.md",
        """
phase: 01-base
plan: 02
type: execute
wave: 2
depends_on: ['01-01']
files_modified: [a.py, "b/"]
files_read: c.py
autonomous: false
checkpoints: [human-verify]
credentials_needed:
  - service: postgres
    env_vars: [DATABASE_URL]
    reason: to migrate
must_haves:
  truths: [it works, 'like: this', a: b]
  artifacts:
    - {path: a.py, exports: [main], min_lines: 3, contains: def}
    - b.py
  key_links:
    - {from: a.py, to: b.py, via: import, pattern: b}
must_pass:
  - {id: one, type: api_response, url: /x, expects: {status: 200}}
api_base_url: http://localhost:1
timeout: 5000
mood: good
""",
        "<objective>\nBuild the form. And more.\n</objective>\n<task>\n<name>x</name>\n</task>\n",
    )
    write_plan("01-base/01-01-PLAN.md")
    project = load_project(tmp_path)
    assert not project.problems
    plan = project.plan("1-2")
    assert plan is not None
    front = plan.frontmatter
    assert (plan.title, plan.slug, plan.path) == ("Build the form", "form", file.relative_to(tmp_path).as_posix())
    assert (front.wave, front.autonomous, front.timeout, front.unknown_keys) == (2, False, 5000, ("mood",))
    assert (plan.writes, plan.reads) == (["a.py", "b/"], ["c.py"])
    assert front.credentials_needed[0].env_vars == ["DATABASE_URL"]
    assert plan.must_haves.truths == ["it works", "like: this", "a: b"]
    assert [artifact.path for artifact in plan.must_haves.artifacts] == ["a.py", "b.py"]
    assert (plan.must_haves.artifacts[0].exports, plan.must_haves.artifacts[0].contains) == (["main"], ["def"])
    assert plan.must_haves.key_links[0].source == "a.py"
    assert plan.must_pass[0]["expects"] == {"status": 200}
    assert file.read_text().split("\n")[(plan.tasks[0].line or 0) - 1] == "<task>"


def test_checks_that_cannot_be_read_never_leave_an_empty_manifest(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("01-a/01-01-PLAN.md", 'phase: 1\nmust_pass:\n  - id: "a\\.b"\ndepends_on: []')
    write_plan("01-a/01-02-PLAN.md", "must_pass: [make test, {id: x, type: y}]")
    first, second = load_project(tmp_path).plans
    assert [check["type"] for check in first.must_pass] == [UNREADABLE_CHECK]
    assert [check["type"] for check in second.must_pass] == [UNREADABLE_CHECK, "y"]
    assert first.problems[0].line == 4


def test_a_value_of_the_wrong_kind_costs_its_key_and_names_its_line(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("01-a/01-01-PLAN.md", "phase: 1\nwave: first\nautonomous: maybe\ncredentials_needed: [x]\ntitle: T")
    [plan] = load_project(tmp_path).plans
    assert (plan.title, plan.frontmatter.wave, plan.frontmatter.autonomous) == ("T", None, None)
    assert sorted(problem.line or 0 for problem in plan.problems) == [3, 4, 5]


def test_files_that_cannot_be_read_are_listed_and_held(tmp_path: Path, write_plan: WritePlan) -> None:
    good = write_plan("01-a/01-01-PLAN.md")
    (good.parent / "01-02-PLAN.md").mkdir()
    (good.parent / "01-03-PLAN.md").symlink_to("nowhere.md")
    project = load_project(tmp_path)
    assert [plan.id for plan in project.plans] == ["01-01", "01-02", "01-03"]
    assert set(project.held) == {"01-02", "01-03"}


def test_bytes_that_are_not_utf8_windows_endings_and_a_mark_are_no_obstacle(
    tmp_path: Path, write_plan: WritePlan
) -> None:
    file = write_plan("01-a/01-01-PLAN.md")
    file.write_bytes(b"\xef\xbb\xbf---\r\nphase: 1\r\ntitle: T\r\n---\r\n<task>\r\n<name>caf\xe9</name>\r\n</task>\r\n")
    [plan] = load_project(tmp_path).plans
    assert (plan.title, plan.tasks[0].name, plan.tasks[0].line) == ("T", "caf\ufffd", 5)
    assert [(problem.line, problem.kind) for problem in plan.problems] == [(6, "encoding")]
    assert plan.to_wire()["title"] == "T"


def test_a_plan_without_frontmatter_or_tasks_is_still_a_plan(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("03-x/PLAN.md", None, "# The whole phase\n\n- [ ] do it\n")
    [plan] = load_project(tmp_path).plans
    assert (plan.id, plan.title, plan.tasks) == ("03-01", "The whole phase", [])


def test_runnable_means_that_every_automatic_task_has_something_to_run(tmp_path: Path, write_plan: WritePlan) -> None:
    run = '<task>\n<name>a</name>\n<run lang="sh">\nls\n</run>\n</task>\n'
    ask = '<task type="checkpoint:human-verify">\n</task>\n'
    write_plan("01-a/01-01-PLAN.md", body=run + ask)
    write_plan("01-a/01-02-PLAN.md", body=run + "<task>\n<name>b</name>\n</task>\n")
    runnable, not_runnable = load_project(tmp_path).plans
    assert (len(runnable.tasks), runnable.tasks_without_run) == (2, [])
    assert [task.name for task in not_runnable.tasks_without_run] == ["b"]


def test_importing_the_room_loads_neither_yaml_nor_networkx() -> None:
    code = "import sys, harness_nb.plans; print([name for name in ('yaml', 'networkx') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PIECES = st.sampled_from(
    [
        "---",
        "\n",
        "\r\n",
        "<task",
        ">",
        "</task>",
        '<run lang="sh">',
        "</run>",
        "<verify>",
        "<automated>",
        "```",
        "phase: 1",
        "depends_on: [",
        "]",
        "'",
        '"',
        "- ",
        "\t",
        ": ",
        "&a",
        "*a",
        "## Phase 2: x",
        "**Depends on**: Phase 1",
        "é",
        "�",
        "</verify>",
        "<option id=",
        "{",
        "}",
        "|",
        "#",
        "<name>",
        "must_haves:",
        "**/*",
        "(",
        ")",
        "[x]",
        "src/",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_text_is_fatal(text: str) -> None:
    read_frontmatter(text)
    read_frontmatter(f"---\n{text}\n---\n")
    read_body(text.replace("\udcff", "?"))
    parse_roadmap(text.replace("\udcff", "?"))
    conflicts([text], [], ["src/*.py", text[::-1]], [])


CHECKS = "must_pass: [{id: a, type: file_exists, path: a}]\n"


@pytest.mark.row(5)
@pytest.mark.parametrize("broken", ["", 'odd: "a\\.b"\n'], ids=["whole", "block by block"])
@pytest.mark.parametrize("second", [CHECKS, "must-pass: []\n", "mustPass: []\n"])
def test_a_manifest_that_is_written_twice_cannot_be_used(
    tmp_path: Path, write_plan: WritePlan, broken: str, second: str
) -> None:
    write_plan("01-a/01-01-PLAN.md", f"phase: 1\n{CHECKS}{broken}{second}")
    [plan] = load_project(tmp_path).plans
    assert [(check["id"], check["type"]) for check in plan.must_pass] == [("must_pass", UNREADABLE_CHECK)]
    line = 4 + bool(broken)
    sentence = f"must_pass is written twice, on lines 3 and {line}, and only one can count; keep one"
    assert (line, sentence) in [(problem.line, problem.message) for problem in plan.problems]


def test_a_key_that_is_written_twice_is_reported_and_holds_the_plan_where_it_says_when_to_start(
    tmp_path: Path, write_plan: WritePlan
) -> None:
    write_plan("01-a/01-01-PLAN.md", "wave: 1\nwave: 2\ndepends_on: [01-00]\nmood: 1\ndepends-on: []")
    [plan] = load_project(tmp_path).plans
    found = {problem.line: problem for problem in plan.problems}
    assert found[3].message.startswith("wave is written twice, on lines 2 and 3")
    assert found[6].message.endswith("until then the plan is held")


@pytest.mark.row(5)
def test_a_check_with_a_key_that_is_written_twice_cannot_be_used(tmp_path: Path, write_plan: WritePlan) -> None:
    checks = "must_pass:\n  - id: a\n    type: command_succeeds\n    command: 'false'\n    command: 'true'"
    write_plan("01-a/01-01-PLAN.md", checks)
    [plan] = load_project(tmp_path).plans
    assert [check["type"] for check in plan.must_pass] == [UNREADABLE_CHECK]
    assert [problem.line for problem in plan.problems] == [6]


def test_a_broken_manifest_under_another_spelling_is_not_lost(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("01-a/01-01-PLAN.md", 'phase: 1\nmust-pass:\n  - id: "a\\.b"\n')
    [plan] = load_project(tmp_path).plans
    assert [check["type"] for check in plan.must_pass] == [UNREADABLE_CHECK]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("must-pass: []", 3, "must-pass is read as must_pass"),
        ("must_passes: []", 3, "must_passes is not read; write must_pass"),
        ("Should_Pass: []", 3, "Should_Pass is not read; write should_pass"),
        ("verification:\n  must_pass: []", 4, "must_pass within verification is not read"),
        ("verification: {should_pass: []}", 3, "should_pass within verification is not read"),
    ],
)
def test_what_is_almost_a_manifest_is_noted_with_its_line(
    tmp_path: Path, write_plan: WritePlan, text: str, line: int, message: str
) -> None:
    write_plan("01-a/01-01-PLAN.md", f"phase: 1\n{text}")
    [problem] = load_project(tmp_path).plans[0].problems
    assert problem.line == line
    assert problem.message.startswith(message)
