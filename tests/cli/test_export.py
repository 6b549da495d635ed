"""``harness-nb export``: a run as a folder, from the shell."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb.store import Store
from tests.cli.conftest import sh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Shell, Terminal

    WritePlan = Callable[..., Path]

pytestmark = pytest.mark.row(11)


def test_the_newest_run_is_written_beside_you_and_opens_there(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("echo hello from the worker"))
    assert shell("run", "p", "--trust").code == 0
    done = shell("export", "--project", "p")
    assert done.code == 0, done.err
    [out] = shell.folder.glob("p-run-*")
    assert done.out.startswith(f"{out.name.removeprefix('p-')} is in {out}")
    assert "hello from the worker" in shell("output", "01-01", "--project", out).out
    assert "1 of 1 plans complete" in shell("status", out).out
    refused = shell("run", out, "--trust")
    assert refused.code == 2
    assert "record of what happened elsewhere" in refused.err

    again = shell("export", "--project", "p", "-o", out.name)
    assert again.code == 2
    assert again.err.count("\n") == 1
    assert "an export overwrites nothing" in again.err
    with closing(Store(shell.folder / "p")) as store:
        assert [(one.door, one.data["folder"]) for one in store.events.select(kind="exported")] == [("cli", str(out))]


def test_a_run_that_is_not_there_and_a_folder_without_any_are_one_sentence(shell: Shell, write_plan: WritePlan) -> None:
    (shell.folder / "empty").mkdir()
    nothing = shell("export", "--project", "empty")
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)
    assert "nothing to export" in nothing.err
    write_plan("p", "01-01", sh("true"))
    shell("run", "p", "--trust")
    unknown = shell("export", "run-7", "--project", "p", "-o", "out")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "There is no run 'run-7'" in unknown.err
    assert not (shell.folder / "out").exists()


def test_at_a_terminal_one_line_is_left(shell: Shell, write_plan: WritePlan, terminal: Callable[..., Terminal]) -> None:
    write_plan("p", "01-01", sh("seq 100000"))
    assert shell("run", "p", "--trust").code == 0
    seen = terminal("export", "--project", "p", "-o", "out").rest()
    assert "is in " in seen
    assert (shell.folder / "out" / "report.html").exists()
