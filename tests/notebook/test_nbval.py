"""The sanitize file for users' own notebooks: what differs each time is let through, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

from harness_nb.notebook import NBVAL_SANITIZE

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 60


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("session 03-02-1a2b3c4d and command-00ff00ff", "session 03-02-ID and command-ID"),
        ("harness-nb respond 0123456789abcdef --approve", "harness-nb respond ID --approve"),
        ("at 2026-11-22T23:14:10.123Z", "at TIME"),
        ("at 2026-11-22 23:14:10 UTC.", "at TIME."),
        ("took 0:07, 1:02:03, 1.2 s and 350 ms", "took SPAN, SPAN, SPAN and SPAN"),
        ("--project /tmp/pytest-1/x --approve", "--project TEMP --approve"),
        ("in /private/var/folders/ab/c_1/T/x: no", "in TEMP: no"),
        ('<div data-saved="00ff00ff"><style>a { b: c }\n</style>x', '<div data-saved="ID"><style/>x'),
        ("3 of 4 plans, 2 sessions, task 2 / 4, exit status 3", None),
        ("127.0.0.1:4173 sqlite decade-facade 03-02", None),
    ],
)
def test_what_differs_each_time_is_replaced_and_all_else_stays(text: str, kept: str | None) -> None:
    patterns = re.findall(r"^regex: (.*)$\n^replace: (.*)$", NBVAL_SANITIZE.read_text(), re.MULTILINE)
    shown = text
    for pattern, replacement in patterns:
        shown = re.sub(pattern, replacement, shown)
    assert shown == (text if kept is None else kept)


CODE = """\
import tempfile
from harness_nb import Harness
h = Harness(tempfile.mkdtemp())
s = h.start_session(command=["sh", "-c", "echo $(pwd) $(date +%Y-%m-%dT%H:%M:%SZ); echo WORD"])
s.wait()
print(s, h)
print(h.root, h.ask.__name__, s.record.created_at)
s
"""


def nbval(notebook: Path) -> str:
    """Run nbval on a notebook, away from the settings of this repository."""
    command = (sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(notebook.parent), "--nbval",
               f"--nbval-sanitize-with={NBVAL_SANITIZE}", "-p", "no:cacheprovider", str(notebook))  # fmt: skip
    done = subprocess.run(command, cwd=notebook.parent, capture_output=True, text=True, timeout=2 * LIMIT, check=False)
    return done.stdout + done.stderr


def test_a_notebook_passes_again_and_again_and_fails_when_a_word_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE.replace("WORD", "fine"))], metadata=spec)
    NotebookClient(made, timeout=LIMIT, kernel_name="python3").execute()
    notebook = tmp_path / "tiny.ipynb"
    nbformat.write(made, notebook)
    for _ in range(2):
        said = nbval(notebook)
        assert "1 passed" in said, said
    made.cells[0].source = CODE.replace("WORD", "broken")
    nbformat.write(made, notebook)
    assert "1 failed" in nbval(notebook)
