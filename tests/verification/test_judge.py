"""What judges a plan: its own checks, its automated commands, its must-haves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.protocol.checks import CommandSucceeds, FileContains
from harness_nb.protocol.plans import Plan, Task
from harness_nb.verification import VerificationEngine, judge_manifest
from harness_nb.verification.judge import as_script, looks_like_path

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(5)]


def plan(**fields: Any) -> Plan:
    return Plan(id="01-01", **fields)


def ids(made: Plan) -> list[str]:
    return [spec.id for spec in judge_manifest(made).must_pass]


def test_its_own_checks_come_first_with_all_that_the_manifest_says() -> None:
    made = plan(
        must_pass=[{"id": "a", "type": "file_exists", "path": "a"}],
        should_pass=[{"id": "b", "type": "file_exists", "path": "b"}],
        api_base_url="http://localhost:1",
        timeout=5000,
    )
    manifest = judge_manifest(made)
    assert [(spec.id, required) for spec, required in manifest.checks] == [("a", True), ("b", False)]
    assert (manifest.api_base_url, manifest.timeout) == ("http://localhost:1", 5000)


def test_a_plan_with_nothing_to_check_gives_an_empty_manifest() -> None:
    made = plan(must_haves={"truths": ["it works"]}, tasks=[Task(name="do", automated=["  \n"])])
    assert judge_manifest(made).checks == ()


def test_a_check_that_cannot_be_read_says_where_it_stands() -> None:
    made = plan(
        must_pass=[{"id": "a", "type": "nope"}],
        path="planning/01-01-PLAN.md",
        lines={"must_pass": 11, "must_pass.0": 12},
    )
    [spec] = judge_manifest(made).must_pass
    assert "(planning/01-01-PLAN.md:12)" in str(spec)


def test_automated_commands_are_named_by_task_and_number() -> None:
    tasks = [Task(name="one", automated=["true"]), Task(name="two", automated=["true", "false"])]
    made = plan(tasks=tasks, must_pass=[{"id": "task-1-automated-1", "type": "file_exists", "path": "a"}])
    assert ids(made) == [
        "task-1-automated-1",
        "task-1-automated-1-2",
        "task-2-automated-1",
        "task-2-automated-2",
    ]
    last = judge_manifest(made).must_pass[-1]
    assert isinstance(last, CommandSucceeds)
    assert (last.command, last.description) == ("false", "two")


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("  make test  ", "make test"),
        ("\ncd sub\nmake\n", "set -e\ncd sub\nmake"),
        ("```bash\nmake\n```", "make"),
        ("```\na\nb\n```\n", "set -e\na\nb"),
    ],
)
def test_a_block_of_several_lines_is_one_script_in_which_each_must_succeed(text: str, script: str) -> None:
    assert as_script(text) == script


def test_must_haves_become_what_can_be_looked_at() -> None:
    must_haves = {
        "artifacts": [
            {"path": "src/a.py", "provides": "the thing", "contains": ["def a", "import.*b"], "min_lines": 3},
            {"path": "src/*.py"},
            {"path": "the whole module"},
        ],
        "key_links": [
            {"from": "src/a.py", "to": "src/b.py", "via": "import", "pattern": r"import\s+b"},
            {"from": "src/a.py", "to": "src/c.py"},
            {"from": "main()", "to": "b", "pattern": "b"},
            {"from": "src/b.py", "to": "x", "pattern": "call("},
        ],
    }
    found = {spec.id: spec for spec in judge_manifest(plan(must_haves=must_haves)).must_pass}
    assert list(found) == [
        "artifact-1", "artifact-1-contains-1", "artifact-1-contains-2", "artifact-1-lines", "link-1", "link-4",
    ]  # fmt: skip
    regexes = {name: spec.regex for name, spec in found.items() if isinstance(spec, FileContains)}
    assert regexes == {
        "artifact-1-contains-1": False, "artifact-1-contains-2": True, "artifact-1-lines": True,
        "link-1": True, "link-4": False,
    }  # fmt: skip


async def test_the_manifest_judges_a_real_folder(project: Path) -> None:
    must_haves = {
        "artifacts": [{"path": "a.py", "contains": "def a", "min_lines": 3}],
        "key_links": [{"from": "a.py", "to": "os", "pattern": r"import\s+os"}],
    }
    manifest = judge_manifest(plan(must_haves=must_haves, tasks=[Task(automated=["false\ntrue", "grep -q os a.py"])]))
    engine = VerificationEngine(project)
    (project / "a.py").write_text("import os\ndef a(): ...\n")
    failed = [result.spec_id for result in (await engine.verify(manifest)).failures]
    assert failed == ["task-1-automated-1", "artifact-1-lines"]
    for text in (
        "import os\ndef a():\n    ...\n",
        "import os\ndef a():\n    ...",
        "import os\r\ndef a():\r\n    ...\r\n",
    ):
        (project / "a.py").write_bytes(text.encode())
        assert [result.spec_id for result in (await engine.verify(manifest)).failures] == ["task-1-automated-1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("src/a.py", True), ("package.json", True), (".github/workflows/test.yml", True), ("Makefile", True),
        ("app/(site)/[id]/page.tsx", True), ("src/", True), (".gitignore", True), ("/etc/hosts", True),
        ("docs/My Notes.md", True), ("src/$id.tsx", True), ("Dockerfile", True),
        ("main()", False), ("src/*.py", False), ("command files", False), ("package.json bin field", False),
        ("server/rust.go Start()", False), ("cmd/serve.go runServe()", False), ("a.kt (conditional)", False),
        ("server", False), ("NOTICE", True), ("", False), ("server/x.go (s.AddTool calls)", False),
        ("flowstate/memory.py search()", False),
        ("src/memory.py MemoryStore.add", False), ("poll_convoy_status()", False),
    ],
)  # fmt: skip
def test_what_looks_like_a_path(text: str, expected: bool) -> None:
    assert looks_like_path(text) is expected


def test_real_plans_give_manifests_whose_checks_can_all_be_read(corpus: Path) -> None:
    """Only the shape is taken from real plans here: each automated block is a script, each path a path."""
    blocks = [
        block
        for path in corpus.rglob("*PLAN.md")
        for block in re.findall(r"<automated>(.*?)</automated>", path.read_text(errors="replace"), re.DOTALL)
    ]
    manifest = judge_manifest(plan(tasks=[Task(automated=[block]) for block in blocks]))
    assert len(manifest.must_pass) == len([block for block in blocks if block.strip()])
    assert not manifest.duplicate_ids


async def test_a_command_that_is_never_closed_cannot_pass_beside_checks_that_do(project: Path) -> None:
    task = Task(name="one", automated=["true"], unclosed_automated=[9])
    made = plan(must_pass=[{"id": "a", "type": "command_succeeds", "command": "true"}], tasks=[task], path="p-PLAN.md")
    report = await VerificationEngine(project).verify(judge_manifest(made))
    assert [(result.spec_id, result.error) for result in report.failures] == [
        (
            "task-1-automated-2",
            "Could not run: the <automated> of task 'one' (p-PLAN.md:9) is never closed. End it with </automated>.",
        )
    ]


async def test_a_manifest_that_could_not_be_read_says_why_and_where(project: Path) -> None:
    check = {"id": "must_pass", "type": "unreadable", "line": 5, "description": "must_pass is written twice"}
    made = plan(must_pass=[check], path="p-PLAN.md", lines={"must_pass": 3})
    [result] = (await VerificationEngine(project).verify(judge_manifest(made))).failures
    assert result.error == "Could not run (p-PLAN.md:5): must_pass is written twice."


@pytest.mark.parametrize("text", ["# make test", "# one\n\n  # two\n", "```\n# one\n```"])
async def test_an_automated_block_of_comments_alone_shows_nothing(project: Path, text: str) -> None:
    report = await VerificationEngine(project).verify(judge_manifest(plan(tasks=[Task(automated=[text])])))
    [result] = report.failures
    assert "holds no command" in (result.error or "")
