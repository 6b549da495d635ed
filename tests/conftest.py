"""Fixtures every room's tests share, and the table of rows at the end of a run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.terminal import TerminalReporter

ROWS = {
    1: "credentials: provider, lookup, twelve services",
    2: "credentials never in logs, database or messages",
    3: "lifecycle: spawn, assign, monitor, respond, terminate",
    4: "parallel execution from graph and active files",
    5: "verification: automatic, browser, human, answer",
    6: ".orchestration files",
    7: "ROADMAP.md frontmatter as quick state",
    8: "workers use the machine's own Claude Code login",
    9: "worker failures: retry, report, abort",
    10: "checkpoint time-outs and answers by any door",
    11: "crash recovery",
    12: "ten MCP tools",
    13: "the worker's side of the protocol",
    14: "dashboard",
}

ROW = "row"
_shown: Counter[int] = Counter()
OWN_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the home and the habits of whoever runs the tests out of them; the kernels that they start inherit this."""
    folder = config.stash[OWN_FOLDER] = Path(tempfile.mkdtemp(prefix="harness-nb-tests-"))
    # VIRTUAL_ENV of another environment than this makes IPython warn; the width is each tested terminal's own
    for name in ("HARNESS_UNATTENDED", "VIRTUAL_ENV", "COLUMNS", "LINES"):
        os.environ.pop(name, None)
    for name in ("HARNESS_STATE_DIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        os.environ[name] = str(folder / name.lower())
        (folder / name.lower()).mkdir()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what ``pytest_configure`` made, unless it never came to that."""
    if OWN_FOLDER in config.stash:
        shutil.rmtree(config.stash[OWN_FOLDER], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``--soak`` run what takes minutes."""
    parser.addoption("--soak", action="store_true", help="also run the long soaks and kill tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the soaks out unless they are asked for."""
    if not config.getoption("--soak"):
        soaks = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soaks)
        items[:] = [item for item in items if item not in soaks]


@pytest.fixture
def anyio_backend() -> str:
    """Everything asynchronous runs on asyncio, the loop that Jupyter runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep whoever runs the tests out of them: the trusted projects, the credentials; and runs in this process."""
    monkeypatch.setenv("HARNESS_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("HARNESS_DETACH", "0")  # what a test puts in place of something is in this process alone
    monkeypatch.delenv("HARNESS_CREDENTIALS_DIR", raising=False)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Real projects kept beside a checkout; tests that read them are skipped where there are none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("no corpus of real projects beside this checkout")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which rows a test's markers name, in what the process that counts is told of it."""
    report = yield
    report.user_properties += [(ROW, row) for marker in item.iter_markers("row") for row in marker.args]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count each passed test for its rows; of several processes that test, all tell the one that began."""
    if report.when == "call" and report.passed:
        _shown.update(int(str(row)) for name, row in report.user_properties if name == ROW)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print which promise is shown by how many passed tests."""
    terminalreporter.section("the fourteen promises, and how many passed tests show each")
    for row, title in ROWS.items():
        terminalreporter.write_line(f"{row:>3}  {_shown[row]:>4} tests  {title}")
