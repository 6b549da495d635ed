"""Which copy of the sample the quickstart works on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from harness_nb.sample import prepare_sample, sample_for_notebook

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

UNATTENDED = """
import json
from harness_nb import Harness
from harness_nb.sample import sample_for_notebook
folder = sample_for_notebook()
h = Harness(folder)
session = h.start_session(command=["sh", "-c", "echo $$; exec sleep {seconds}"])
if not {seconds}:
    session.wait(30)
print(json.dumps([str(folder), session.id]))
"""


def test_a_notebook_that_lies_in_a_copy_works_on_that_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = prepare_sample(tmp_path / "mine")
    monkeypatch.chdir(folder)
    assert sample_for_notebook() == folder
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    assert sample_for_notebook() == folder


def test_elsewhere_the_copy_is_beside_the_notebook_and_the_same_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = sample_for_notebook()
    (folder / "note.txt").write_text("mine")
    assert sample_for_notebook() == folder == tmp_path / "harness-nb-sample"
    assert (folder / "note.txt").exists()


def test_where_a_program_runs_the_notebook_it_starts_afresh_and_leaves_nothing_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = sample_for_notebook(), sample_for_notebook()
    assert first != second
    assert list((tmp_path / "here").iterdir()) == []


def unattended(tmp_path: Path, seconds: int) -> tuple[Path, Path]:
    """Let another process work on a copy of its own, and return where that was, and where what is trusted is kept."""
    around, state = tmp_path / "temporary", tmp_path / "state"
    around.mkdir()
    environment = {**os.environ, "HARNESS_UNATTENDED": "1", "TMPDIR": str(around), "HARNESS_STATE_DIR": str(state)}
    script = [sys.executable, "-c", UNATTENDED.format(seconds=seconds)]
    subprocess.run(script, check=True, env=environment, capture_output=True, timeout=60)
    return around, state / "trusted"


def test_what_an_unattended_run_made_goes_when_its_process_ends(tmp_path: Path) -> None:
    around, trusted = unattended(tmp_path, seconds=0)
    assert list(around.rglob("*")) == []
    assert list(trusted.iterdir()) == []


def test_a_copy_in_which_a_session_goes_on_stays(tmp_path: Path) -> None:
    from tests.sessions.workers import kill_session

    around, trusted = unattended(tmp_path, seconds=60)
    [shim] = around.rglob("shim.json")
    kill_session(json.loads(shim.read_text())["workerPid"])
    assert list(around.rglob("ROADMAP.md"))
    assert len(list(trusted.iterdir())) == 1
