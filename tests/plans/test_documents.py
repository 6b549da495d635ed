"""Writing beside a document and moving it there: what a killed writer leaves is swept away, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness_nb.plans.documents import create_document, edit_document

if TYPE_CHECKING:
    from pathlib import Path

KILLED_WHILE_IT_WROTE = """
import os, sys
from pathlib import Path
from harness_nb.plans import documents
documents.os.fsync = lambda _: os.kill(os.getpid(), 9)
documents.edit_document(Path(sys.argv[1]), lambda old: old + "never", missing="")
"""


@pytest.mark.row(11)
def test_what_a_killed_writer_left_goes_with_the_next_look_though_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "ROADMAP.md"
    path.write_text("text")
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_WROTE, str(path)], check=False, timeout=60)
    assert done.returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    assert not edit_document(path, lambda old: old)
    assert [one.name for one in tmp_path.iterdir()] == ["ROADMAP.md"]
    assert path.read_text() == "text"


def test_the_draft_of_a_living_writer_and_files_of_others_stay(tmp_path: Path) -> None:
    others = {f".new.md.{os.getpid()}-abc.tmp", ".new.md.tmp", ".old.md.999999999-abc.tmp", ".new.md.q0ttxa5v.tmp"}
    for name in others:
        (tmp_path / name).touch()
    assert create_document(tmp_path / "new.md", "text")
    assert {one.name for one in tmp_path.iterdir()} == {*others, "new.md"}
