"""The magics in a real IPython, and in a real kernel that a program drives."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient
from traitlets.config import Config

from harness_nb import Harness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT = 60


@pytest.fixture
def cell(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Return a function that runs a cell in an IPython with our magics, and gives what it showed; h is its harness."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config, user_ns={"h": harness})
    monkeypatch.setattr(shell, "ast_node_interactivity", "none")

    def run(code: str) -> str:
        with capture_output() as captured:
            shell.run_cell(code)  # type: ignore[no-untyped-call]
        texts = [one.data.get("text/plain", "") for one in captured.outputs]
        return "\n".join([*texts, captured.stdout, captured.stderr]).strip()

    run("%load_ext harness_nb")
    run.shell = shell  # type: ignore[attr-defined]
    yield run
    shell.run_cell("%unload_ext harness_nb")  # type: ignore[no-untyped-call]
    InteractiveShell.clear_instance()


def session_of(cell: Any, name: str = "s") -> Any:
    return cell.shell.user_ns[name]


SCRIPT = """%%session --name s --wait
set -e
name='a "quoted" word'
echo "$name {h} $h"
false
echo never
"""


@pytest.mark.row(3)
def test_a_cells_text_is_a_script_and_nothing_in_it_is_pythons(cell: Any) -> None:
    """Several lines, quotes and ``set -e`` mean what they mean in a script."""
    cell(SCRIPT)
    session = session_of(cell)
    assert session.output().text.splitlines() == ['a "quoted" word {h} ']
    assert (session.state, session.record.reason) == ("failed", "exit status 1")


def test_where_nobody_is_there_the_cell_ends_with_how_it_ended(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    shown = cell("%%session\necho hello; exit 3")
    assert "hello" in shown
    assert re.search(r"✕ .* failed: .*3", shown)


def test_the_cell_returns_at_once_where_somebody_may_watch_it(cell: Any) -> None:
    shown = cell("%%session --name s\nread line; echo got $line")
    session = session_of(cell)
    assert session.record.live
    assert shown
    session.send("it\n")
    assert session.wait(timeout=LIMIT).state == "completed"
    assert "got it" in session.output().text


def test_the_list_of_processes_shows_nothing_of_the_cell(cell: Any, root: Path) -> None:
    cell("%%session -n s --wait\ntoken=hunter2; tr '\\0' ' ' < /proc/$$/cmdline 2>/dev/null || ps -o args= -p $$")
    session = session_of(cell)
    assert "hunter2" not in session.output().text
    assert ".orchestration/cells/" in session.output().text
    assert "hunter2" not in " ".join(session.record.command)
    [script] = (root / ".orchestration" / "cells").iterdir()
    assert stat.S_IMODE(script.stat().st_mode) == 0o600


def test_the_working_folder_and_the_project_can_be_named(cell: Any, tmp_path: Path) -> None:
    other = tmp_path / "other project"
    (other / "inside").mkdir(parents=True)
    with Harness(other) as harness:
        cell(f"%%session -n s --wait -p '{other}' --dir '{other / 'inside'}'\npwd")
        assert session_of(cell).output().text.strip() == str(other / "inside")
        assert session_of(cell)._twin.harness.root == harness.root


def test_without_a_project_the_one_opened_last_is_meant(cell: Any, tmp_path: Path, root: Path) -> None:
    """Opened again counts, and a closed one does not."""
    other = tmp_path / "other"
    other.mkdir()
    with Harness(other):
        assert cell("%harness").startswith("other ")
        Harness(root)
        assert cell("%harness").startswith("project ")
        assert cell(f"%harness {other}").startswith("other ")
    assert cell("%harness").startswith("project ")


def test_the_boards_first_line_and_the_board(cell: Any) -> None:
    assert cell("%harness") == "project ○ not running · 0 of 0 plans"
    assert "0 of 0 plans" in cell("%harness --board")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("%%session nobody\nhello", "UsageError: There is no worker 'nobody'. Choose one of: command, runbook."),
        ("%%session runbook\nhello", "UsageError: The runbook worker does plans"),
        ("%%session -p /nowhere\necho", "UsageError: There is no folder /nowhere."),
        ("%%session --dir /nowhere\necho", "UsageError: The working folder /nowhere does not exist."),
        ("%%session\n  \n", "UsageError: There is nothing to run."),
        ("%%session --name 1x\necho", "UsageError: --name 1x is no name of a variable."),
        ("%%session --timeout soon\necho", "UsageError: argument -t/--timeout: invalid float value: 'soon'"),
        ("%%session --colour\necho", "UsageError: unrecognized arguments: --colour"),
        ("%harness /nowhere", "UsageError: There is no folder /nowhere."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(cell: Any, code: str, said: str) -> None:
    """Without a traceback of ours."""
    shown = cell(code)
    assert said in shown
    assert "Traceback" not in shown


def test_a_timeout_ends_only_the_waiting(cell: Any) -> None:
    shown = cell("%%session -n s --timeout 0.2\nread line")
    assert "UsageError: not within 0.2 s; session " in shown
    assert "Traceback" not in shown
    assert session_of(cell).record.live


def test_a_question_that_nobody_answers_is_one_sentence(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the session, which still asks, is shown and at hand."""
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    ask = "harness-nb worker report action_needed action='Turn it' instructions=x phase=1 plan=1"
    shown = cell(f"%%session -n s\n{ask}\nread line")
    assert "UsageError: " in shown
    assert "Turn it Nobody is there to answer" in shown
    assert "Traceback" not in shown
    assert session_of(cell).state == "checkpoint"


def test_help_and_completion_know_the_magics(cell: Any) -> None:
    found = cell.shell.find_line_magic("harness")
    assert "--board" in found.__doc__
    assert "--project" in cell.shell.find_cell_magic("session").__doc__
    with provisionalcompleter():
        assert "%%session" in [one.text for one in cell.shell.Completer.completions("%%sess", 6)]
        assert "%harness" in [one.text for one in cell.shell.Completer.completions("%harn", 5)]


@pytest.mark.row(3)
def test_in_a_kernel_that_a_program_drives_the_saved_output_is_the_end(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a cell that cannot be done fails there, so that a program notices."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = [
        "%load_ext harness_nb",
        "%%session -n s\necho hello; exit 3",
        "print(s.state)",
        "%harness",
        "%%session no\nx",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    resources = {"metadata": {"path": str(root)}}
    NotebookClient(notebook, allow_errors=True, timeout=LIMIT, kernel_name="python3", resources=resources).execute()
    [shown] = notebook.cells[1].outputs
    assert "hello" in shown["data"]["text/plain"]
    assert "hello" in shown["data"]["text/html"]
    assert notebook.cells[2].outputs[0]["text"] == "failed\n"
    assert "0 of 0 plans" in notebook.cells[3].outputs[0]["data"]["text/plain"]
    assert "There is no worker 'no'" in notebook.cells[4].outputs[0]["text"]
