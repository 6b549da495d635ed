"""Binder's files bring what the quickstart needs; this stands in for repo2docker, which does it in a container."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installing import pip_for

ROOT = Path(__file__).resolve().parents[2]
BINDER = ROOT / "binder"
PATIENCE = 400
PASSED_ON = ("PATH", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "HTTPS_PROXY")
KEPT_OUT = shutil.ignore_patterns(".*", "__pycache__", "shared", "harness-nb-sample")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Almost nothing of the user's: pip's settings and cache, and a home and folders of their own for the rest."""
    home = Path.home()
    passed = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("PIP_")}
    settings = home / ".config" / "pip" / "pip.conf"
    if settings.is_file():
        passed.setdefault("PIP_CONFIG_FILE", os.fspath(settings))
    passed.setdefault("PIP_CACHE_DIR", os.fspath(home / ".cache" / "pip"))
    (tmp_path / "home").mkdir()
    own = {"HOME": tmp_path / "home", "HARNESS_STATE_DIR": tmp_path / "state"}
    return passed | {name: os.fspath(path) for name, path in own.items()}


@pytest.mark.timeout(2 * PATIENCE)
def test_what_binder_installs_is_enough_to_run_the_quickstart(tmp_path: Path, environment: dict[str, str]) -> None:
    python, checkout = tmp_path / "venv" / "bin" / "python", tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=KEPT_OUT)  # pip builds in there

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(_python(), "-m", "venv", "--without-pip", tmp_path / "venv")
    run(*pip_for(python), "install", "-q", "-r", "binder/requirements.txt")
    notebook = tmp_path / "opened" / "quickstart.ipynb"
    run(
        python, "-m", "nbconvert", "--to", "notebook", "--execute", "notebooks/quickstart.ipynb",
        "--output-dir", notebook.parent,
    )  # fmt: skip
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    installed = run(python, "-P", "-c", "import harness_nb, jupyterlab; print(harness_nb.__file__)")
    assert installed.startswith(str(tmp_path / "venv"))


def test_the_link_that_is_explained_opens_a_notebook_that_is_there() -> None:
    text = (BINDER / "requirements.txt").read_text()
    path = text.partition("urlpath=lab/tree/")[2].split()[0]
    assert (ROOT / path).is_file()


def _python() -> str:
    """Return the Python that binder names, or this one where that is not here (then it says so)."""
    named = (BINDER / "runtime.txt").read_text().strip().replace("-", "")
    if found := shutil.which(named):
        return found
    print(f"There is no {named} here, so {sys.executable} stands in.")
    return sys.executable
