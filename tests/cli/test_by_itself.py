"""What happens by itself is shown where people look, from what is written down with the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cli.conftest import DECISION, sh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Program, Shell

    Begin = Callable[..., Program]
    WritePlan = Callable[..., Path]

pytestmark = pytest.mark.row(10)


def configure(project: Path, **settings: Any) -> None:
    (project / ".orchestration").mkdir(exist_ok=True)
    (project / ".orchestration" / "config.yaml").write_text(yaml.safe_dump(settings))


def test_status_shows_the_deadline_while_somebody_keeps_it(shell: Shell, begin: Begin, write_plan: WritePlan) -> None:
    """It is the one written down, also after the settings changed; with nobody to keep it there is none."""
    write_plan("p", "01-01", DECISION)
    configure(shell.folder / "p", policies=[{"kind": "decision", "after": 7200, "do": "answer", "answer": "blue"}])
    run = begin("run", "p", "--trust")
    run.expect("--option blue")
    assert "    answers “blue” by itself in 1:5" in shell("status", "p").out
    configure(shell.folder / "p")
    assert "    answers “blue” by itself in 1:5" in shell("status", "p").out
    run.process.kill()
    run.process.wait()
    assert "by itself" not in shell("status", "p").out


def test_a_bad_pattern_is_one_clear_line(shell: Shell, write_plan: WritePlan) -> None:
    write_plan("p", "01-01", sh("true"))
    configure(shell.folder / "p", policies=[{"pattern": "colou?r (", "do": "wait"}])
    done = shell("run", "p", "--trust")
    assert done.code != 0
    assert "is no regular expression" in done.err
    assert "config.yaml" in done.err
    assert len(done.err.strip().splitlines()) == 1
