"""A quiet session on everything that people look at: it comes to show, and goes, though nothing happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.cli.status import show_status
from harness_nb.notebook import html_of, text_of
from tests.orchestrator.written_plans import configure, plan, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb import Harness

pytestmark = pytest.mark.row(3, 14)

SILENT = "while ! test -e go; do sleep 0.05; done; echo on; while ! test -e end; do echo .; sleep 0.1; done"


@pytest.fixture
def silent(harness: Harness, root: Path) -> Any:
    """A run whose one session prints nothing until it is let go."""
    configure(root, quietAfter=1.0)
    write_plan(root, "01-01", SILENT)
    run = harness.run()
    harness.wait_for_state(states=["running"], timeout=60)
    yield run
    (root / "go").touch()
    (root / "end").touch()
    run.wait(timeout=60)


def test_every_view_says_that_a_session_is_quiet_and_none_that_it_waits(
    silent: Any, harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    [session] = harness.list_sessions()
    until(lambda: session.quiet_since)
    assert repr(session).endswith("runbook, running, quiet>")
    frame = harness.frames.sessions()
    assert frame.loc[session.id, "state"] == "running"
    assert frame.loc[session.id, "quiet_since"] == session.quiet_since
    assert frame["quiet_since"].notna().all()
    for shown in (html_of(session), html_of(harness.board)):
        assert "… quiet" in shown
        assert "no word and no output since" in shown
    assert "01-01 quiet" in text_of(session)
    show_status(harness.root, as_json=False)
    assert "… 01-01" in (said := capsys.readouterr().out)
    assert "quiet" in said
    assert "wait for you" not in html_of(harness.board)


def test_a_living_board_shows_it_as_time_goes_by_and_takes_it_back(
    silent: Any, harness: Harness, root: Path, shown: Callable[[Any], Any]
) -> None:
    """Nothing happens in between: no message, no change of a session."""
    view = shown(silent)
    view.follow()
    view.order("hello")
    until(lambda: "… quiet" in "".join(view.fragments("sessions").values()))
    assert "quiet" in "".join(view.fragments("nodes").values())
    (root / "go").touch()
    until(lambda: "● runs" in "".join(view.fragments("sessions").values()))


def test_an_ended_session_is_not_quiet_in_the_frame(harness: Harness) -> None:
    harness.run(plans=[plan("01-01")]).wait(timeout=60)
    assert harness.frames.sessions()["quiet_since"].isna().all()
