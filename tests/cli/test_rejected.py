"""A question that is written wrong is set aside; whoever watches is told, since its worker may wait for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import sh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Program, Shell, Terminal

    WritePlan = Callable[..., Path]

ASKS_WRONGLY = """\
cd "$HARNESS_SESSION_DIR"
echo '{"type": "decision", "options": []}' > question.tmp
mv question.tmp checkpoint.json
until test -e "$HARNESS_PROJECT/seen"; do sleep 0.01; done"""
SENTENCE = r"! 01-01-\w+ wrote a file that was set aside as .*rejected/.*payload\.decision: field required"


@pytest.mark.row(10)
@pytest.mark.parametrize("watch", ["begin", "terminal"])
def test_who_watches_a_run_is_told(
    watch: str, shell: Shell, write_plan: WritePlan, request: pytest.FixtureRequest
) -> None:
    write_plan("p", "01-01", sh(ASKS_WRONGLY))
    start: Callable[..., Program | Terminal] = request.getfixturevalue(watch)
    run = start("run", "p", "--trust")
    run.expect(SENTENCE)
    (shell.folder / "p" / "seen").touch()
    run.rest()
    assert run.process.returncode == 0


def test_status_tells_it_of_a_session_that_goes_on_and_of_none_that_ended(
    shell: Shell, begin: Callable[..., Program], write_plan: WritePlan
) -> None:
    write_plan("p", "01-01", sh(ASKS_WRONGLY))
    run = begin("run", "p", "--trust")
    run.expect(SENTENCE)
    assert "was set aside as" in shell("status", "p").out
    (shell.folder / "p" / "seen").touch()
    run.rest()
    assert "was set aside as" not in shell("status", "p").out
