"""The rules of the house, kept by tools: style, types, layers, and what a newcomer reads first."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness_nb

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [os.fspath(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",), ("lint-imports",)],
    ids=lambda command: " ".join(command),
)
def test_the_tools_find_nothing(command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in harness_nb.__all__:
        value = getattr(harness_nb, name)
        assert name in dir(harness_nb)
        assert isinstance(value, str) or value.__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        harness_nb.Nothing  # noqa: B018


def test_importing_the_harness_leaves_heavy_packages_alone() -> None:
    heavy = ("pandas", "numpy", "networkx", "ipywidgets", "mcp", "playwright", "httpx", "jsonschema", "rich", "typer")
    code = f"import sys; from harness_nb import Harness; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_modules_import_and_are_documented() -> None:
    for path in (ROOT / "harness_nb").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not name.endswith("__main__"):
            assert importlib.import_module(name).__doc__, f"{name} has no docstring"


def test_ci_runs_the_readmes_test_command() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    tests = next(block.strip() for block in blocks if "pytest" in block)
    assert tests.replace(" -q ", " ") in (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace(" -q ", " ")


def test_nothing_but_the_agreed_names_is_at_the_top() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    agreed = {
        "pyproject.toml",
        "harness_nb",
        "notebooks",
        "tests",
        "binder",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
    }
    top = {line.split("/", 1)[0] for line in listed.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= agreed


def test_errors_are_raised_somewhere() -> None:
    folder = ROOT / "harness_nb" / "errors"
    others = [
        path for path in (ROOT / "harness_nb").rglob("*.py") if path.name != "__init__.py" or path.parent != folder
    ]
    source = "\n".join(path.read_text(encoding="utf-8") for path in others)
    for file in folder.glob("*.py"):
        for name in re.findall(r"^class (\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE):
            assert len(re.findall(rf"\b{name}\b", source)) > 1, f"nobody uses {name}"
