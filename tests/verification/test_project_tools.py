"""Build, tests, types and lint, with a check's own command and with what the project is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification.defaults import Purpose, Wanted, default_command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.verification.conftest import Verify

pytestmark = [pytest.mark.anyio, pytest.mark.row(5)]

TOOLS = ("build_succeeds", "tests_pass", "type_check", "lint_clean")
PYPROJECT = "[project]\nname = 'x'\nversion = '1'\n"


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not works(program), reason=f"{program} is not installed here, or cannot run")


def works(program: str) -> bool:
    """Say whether a program can be run: one that only passes on to another may be there without that other."""
    asked = [program, "version" if program == "go" else "--version"]
    return shutil.which(program) is not None and subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("check_type", TOOLS)
async def test_an_own_command_decides_by_its_status(check_type: str, project: Path, verify: Verify) -> None:
    (project / "sub").mkdir()
    passed = await verify(check_type, command="pwd", cwd="sub")
    assert passed.passed
    assert (passed.output or "").strip().endswith("/sub")
    failed = await verify(check_type, command="echo broken; false")
    assert (failed.passed, "Last line: broken" in (failed.error or "")) == (False, True)


@pytest.mark.parametrize("check_type", TOOLS)
async def test_a_project_of_no_known_kind_is_not_a_pass(check_type: str, verify: Verify) -> None:
    result = await verify(check_type)
    assert not result.passed
    assert "there is no pyproject.toml, setup.cfg, package.json, Cargo.toml, go.mod or Makefile" in (result.error or "")
    assert "Give the check a command" in (result.error or "")


@pytest.mark.parametrize("check_type", TOOLS)
async def test_tools_end_at_their_time_limit(check_type: str, verify: Verify) -> None:
    result = await verify(check_type, command="sleep 600", timeout=100)
    assert "time limit of 0.1 s" in (result.error or "")


async def test_a_pattern_and_files_go_after_an_own_command(verify: Verify) -> None:
    result = await verify("tests_pass", command="echo run", testPattern="a b")
    assert result.output == "run a b\n"
    result = await verify("lint_clean", command="echo lint", files=["a.py", "b c.py"])
    assert result.output == "lint a.py b c.py\n"
    result = await verify("type_check", command="echo tsc", tsconfig="tsconfig.web.json")
    assert result.output == "tsc -p tsconfig.web.json\n"


class TestPython:
    @pytest.fixture(autouse=True)
    def python_project(self, project: Path) -> None:
        (project / "pyproject.toml").write_text(PYPROJECT)
        (project / "good.py").write_text("def half(n: int) -> float:\n    return n / 2\n")

    async def test_tests(self, project: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # quicker, and this is not about plugins
        (project / "test_it.py").write_text("def test_good(): pass\ndef test_bad(): assert False\n")
        failed = await verify("tests_pass")
        assert (failed.passed, "1 failed, 1 passed" in (failed.output or "")) == (False, True)
        assert "pyproject.toml, pytest is installed" in (failed.notes or "")
        assert (await verify("tests_pass", testPattern="good")).passed
        assert (await verify("tests_pass", testPattern="test_it.py::test_good")).passed
        assert not (await verify("tests_pass", testPattern="nothing_like_it")).passed

    async def test_types(self, project: Path, verify: Verify) -> None:
        assert (await verify("type_check")).passed
        (project / "bad.py").write_text("x: int = 'text'\n")
        result = await verify("type_check")
        assert not result.passed
        assert "bad.py:1" in (result.output or "")

    async def test_lint(self, project: Path, verify: Verify) -> None:
        (project / "bad.py").write_text("import os\n")
        assert not (await verify("lint_clean")).passed
        assert (await verify("lint_clean", files=["good.py"])).passed

    async def test_build(self, project: Path, verify: Verify) -> None:
        result = await verify("build_succeeds")
        assert result.passed, result.error
        assert "every Python file is compiled" in (result.notes or "")
        (project / "bad.py").write_text("def (:\n")
        assert not (await verify("build_succeeds")).passed

    def test_the_projects_own_environment_is_used(self, project: Path) -> None:
        (project / ".venv/bin").mkdir(parents=True)
        (project / ".venv/bin/python").symlink_to(sys.executable)
        python = project / ".venv/bin/python"
        found = default_command(Wanted("test", project))
        assert (found.command, found.reason) == (
            f"{python} -m unittest discover",
            "pyproject.toml, pytest is not installed",
        )
        (project / ".venv/lib/python3.11/site-packages/pytest").mkdir(parents=True)
        assert default_command(Wanted("test", project)).command == f"{python} -m pytest -q"
        with pytest.raises(CheckCouldNotRunError, match="none of ruff, flake8 and pylint is installed"):
            default_command(Wanted("lint", project))

    async def test_unittest_that_finds_nothing_is_not_a_pass(self, project: Path, verify: Verify) -> None:
        (project / ".venv/bin").mkdir(parents=True)
        (project / ".venv/bin/python").symlink_to(sys.executable)
        result = await verify("tests_pass")
        assert not result.passed
        assert "found no tests" in (result.error or "") or "NO TESTS RAN" in (result.output or "")
        (project / "test_it.py").write_text(
            "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"
        )
        assert (await verify("tests_pass")).passed

    async def test_a_pyproject_that_cannot_be_read_is_not_a_pass(self, project: Path, verify: Verify) -> None:
        (project / "pyproject.toml").write_text("[")
        result = await verify("lint_clean")
        assert "pyproject.toml cannot be read" in (result.error or "")


class TestNode:
    @needs("npm")
    async def test_scripts(self, project: Path, verify: Verify) -> None:
        scripts = '{"build": "echo built", "test": "echo tested", "typecheck": "exit 2", "lint": "echo linted"}'
        (project / "package.json").write_text(f'{{"name": "x", "version": "1.0.0", "scripts": {scripts}}}')
        result = await verify("build_succeeds")
        assert result.passed, result.error
        assert "package.json, script 'build'" in (result.notes or "")
        assert "tested" in ((await verify("tests_pass")).output or "")
        assert not (await verify("type_check")).passed
        assert "linted a.js" in ((await verify("lint_clean", files=["a.js"])).output or "")

    @needs("npx")
    async def test_a_tool_that_is_not_installed_is_not_fetched(self, project: Path, verify: Verify) -> None:
        (project / "package.json").write_text('{"name": "x", "version": "1.0.0"}')
        (project / "tsconfig.json").write_text("{}")
        result = await verify("type_check")
        assert not result.passed
        assert not (project / "node_modules").exists()

    def test_the_package_manager_is_the_projects(self, project: Path) -> None:
        (project / "package.json").write_text('{"scripts": {"build": "x", "lint": "x"}}')
        for lock, manager in (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn")):
            (project / lock).touch()
            assert default_command(Wanted("build", project)).command == f"{manager} run build"
            (project / lock).unlink()
        (project / "package.json").write_text('{"packageManager": "pnpm@9.1.0", "scripts": {"lint": "x"}}')
        assert default_command(Wanted("lint", project, ["a.js"])).command == "pnpm run lint a.js"
        with pytest.raises(CheckCouldNotRunError, match=r"package\.json has no script 'build'"):
            default_command(Wanted("build", project))

    def test_a_tsconfig_is_for_the_typescript_compiler(self, project: Path) -> None:
        (project / "pyproject.toml").write_text(PYPROJECT)
        found = default_command(Wanted("type", project, tsconfig="tsconfig.web.json"))
        assert found.command == "npx --no-install tsc --noEmit -p tsconfig.web.json"


class TestOthers:
    @needs("make")
    async def test_make(self, project: Path, verify: Verify) -> None:
        (project / "Makefile").write_text("X := 1\n.PHONY: test\ntest build:\n\t@echo made $@\nlint:\n\t@false\n")
        result = await verify("tests_pass")
        assert (result.passed, result.output) == (True, "made test\n")
        assert "Makefile, target 'test'" in (result.notes or "")
        assert (await verify("build_succeeds")).passed
        assert not (await verify("lint_clean")).passed
        assert "no target" in ((await verify("type_check")).error or "")
        assert "cannot be limited" in ((await verify("tests_pass", testPattern="x")).error or "")

    @needs("cargo")
    async def test_cargo(self, project: Path, verify: Verify) -> None:
        (project / "Cargo.toml").write_text('[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n')
        (project / "src").mkdir()
        (project / "src/lib.rs").write_text("pub fn one() -> u8 { 1 }\n")
        assert (await verify("build_succeeds")).passed
        result = await verify("tests_pass")
        assert "found no tests to run" in (result.error or "")
        (project / "src/lib.rs").write_text("#[test]\nfn one() { assert_eq!(1, 1); }\n")
        result = await verify("tests_pass")
        assert result.passed, result.error
        (project / "src/lib.rs").write_text("pub fn one() -> u8 { oops }\n")
        assert not (await verify("type_check")).passed

    @pytest.mark.parametrize(
        ("purpose", "command"),
        [
            ("build", "go build ./..."),
            ("test", "go test -run TestA ./..."),
            ("type", "go vet ./..."),
        ],
    )
    def test_go(self, purpose: Purpose, command: str, project: Path) -> None:
        (project / "go.mod").write_text("module x\n")
        selection = ["TestA"] if purpose == "test" else []
        assert default_command(Wanted(purpose, project, selection)).command == command

    def test_the_first_kind_with_an_answer_is_taken(self, project: Path) -> None:
        (project / "package.json").write_text('{"scripts": {}}')
        (project / "Makefile").write_text("test:\n\ttrue\n")
        assert default_command(Wanted("test", project)).command == "make test"
