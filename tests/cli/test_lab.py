"""``harness-nb run --sample --lab``: JupyterLab on the user's own copy of the quickstart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from harness_nb.cli.lab import copy_notebooks, lab_command
from tests.cli.conftest import Program
from tests.installing import pip_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Shell, Terminal

    Begin = Callable[..., Program]

QUICKSTART = Path(__file__).resolve().parents[2] / "notebooks" / "quickstart.ipynb"
MASK = """\
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "jupyterlab" else real(name)
"""
CALL = "from harness_nb.cli import main; sys.argv = ['harness-nb', 'run', '--sample', '--lab']; sys.exit(main())"


@pytest.fixture(autouse=True)
def own_jupyter(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own JupyterLab out of this."""
    folder = tmp_path_factory.mktemp("jupyter")
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, os.fspath(folder))
    monkeypatch.setenv("JUPYTER_PORT", "0")


def test_it_serves_the_quickstart_in_the_copy_until_a_signal_ends_it(shell: Shell, begin: Begin) -> None:
    lab = begin("run", "weather", "--sample", "--lab")
    lab.expect(r"Opening \S+/weather/quickstart\.ipynb in JupyterLab")
    url = _url(lab)
    assert "/lab/tree/quickstart.ipynb?token=" in url
    assert httpx.get(url, follow_redirects=True, timeout=60).status_code == 200
    served = httpx.get(url.replace("/lab/tree/", "/api/contents/"), timeout=60).json()
    assert served["content"]["cells"][0]["source"].startswith("# ")
    assert (shell.folder / "weather" / "quickstart.ipynb").read_bytes() == QUICKSTART.read_bytes()
    assert (shell.folder / "weather" / "ROADMAP.md").is_file()
    lab.process.terminate()
    lab.process.wait(20)


def test_what_the_user_changed_in_the_copy_stays(tmp_path: Path) -> None:
    copy_notebooks(tmp_path)
    (tmp_path / "quickstart.ipynb").write_text("mine")
    copy_notebooks(tmp_path)
    assert (tmp_path / "quickstart.ipynb").read_text() == "mine"


@pytest.mark.timeout(240)
def test_with_yes_the_sample_is_run_here_first(terminal: Callable[..., Terminal]) -> None:
    lab = terminal("run", "--sample", "--yes", "--lab", "--plans", "01-01")
    lab.expect("run passed: 1 of 1 plans complete")
    lab.expect("Opening ")
    url = lab.expect(r"(http://\S+/lab/tree/quickstart\S*)")[1]
    # it says the address before it heeds signals
    assert httpx.get(url, follow_redirects=True, timeout=60).status_code == 200
    lab.process.terminate()
    lab.process.wait(20)


@pytest.mark.timeout(240)
def test_with_yes_and_nobody_at_a_terminal_no_server_is_left_behind(shell: Shell) -> None:
    done = shell("run", "--sample", "--yes", "--lab", "--plans", "01-01")
    assert done.code == 0
    assert "run passed: 1 of 1 plans complete" in done.out
    assert "To open the quickstart: harness-nb run " in done.out
    assert (shell.folder / "harness-nb-sample" / "quickstart.ipynb").is_file()


def test_without_jupyterlab_one_sentence_says_what_to_install(shell: Shell) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MASK + CALL],
        cwd=shell.folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "harness-nb: There is no jupyterlab here. Install it with: pip install 'harness-nb[lab]'\n"
    assert not list(shell.folder.iterdir()), "nothing is made that cannot be opened"


def test_it_goes_with_the_sample_only(shell: Shell) -> None:
    done = shell("run", "--lab")
    assert done.code == 2
    assert "add --sample" in " ".join(done.err.split())


def test_no_browser_is_opened_where_nobody_is_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_nb.cli.lab.is_interactive", lambda: False)
    assert "--no-browser" in lab_command()
    monkeypatch.setattr("harness_nb.cli.lab.is_interactive", lambda: True)
    monkeypatch.setattr("webbrowser.get", lambda: object())
    assert "--no-browser" not in lab_command()


@pytest.mark.timeout(240)
def test_the_wheel_brings_every_notebook(tmp_path: Path) -> None:
    root = QUICKSTART.parents[1]
    command = [*pip_for(sys.executable), "install", "-q", "--no-deps", "--target", str(tmp_path / "site"), str(root)]
    subprocess.run(command, check=True, timeout=200, capture_output=True)
    packed = {path.name: path for path in (tmp_path / "site" / "harness_nb" / "_notebooks").iterdir()}
    assert packed.keys() == {path.name for path in QUICKSTART.parent.glob("*.ipynb")}
    assert json.loads(packed["quickstart.ipynb"].read_text())["cells"] == json.loads(QUICKSTART.read_text())["cells"]


def _url(lab: Program) -> str:
    assert lab.process.stderr is not None
    log = Program(lab.process, lab.process.stderr.fileno())
    return log.expect(r"copy and paste one of these URLs:\s+(http\S+)\n")[1]
