"""``harness-nb trust``: people are shown what changed before they say yes, and nobody says it for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import sh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Shell, Terminal

    Start = Callable[..., Terminal]
    WritePlan = Callable[..., Path]


@pytest.fixture
def changed(shell: Shell, write_plan: WritePlan) -> Path:
    """A project of which one command changed after it was trusted."""
    path = write_plan("p", "01-01", sh("echo before"))
    assert shell("trust", "p", "--yes").code == 0
    write_plan("p", "01-01", sh("touch EXECUTED"))
    return path.parents[3]


def test_without_a_terminal_the_difference_is_shown_and_nothing_is_trusted(shell: Shell, changed: Path) -> None:
    done = shell("trust", "p")
    assert done.code == 2
    assert "-echo before\n+touch EXECUTED" in done.out
    assert f"harness-nb trust --yes {changed}" in done.err
    assert shell("run", "p").code == 2
    assert not (changed / "EXECUTED").exists()


def test_show_only_shows(shell: Shell, changed: Path) -> None:
    done = shell("trust", "p", "--show")
    assert (done.code, done.err) == (0, "")
    assert "+touch EXECUTED" in done.out
    refused = shell("run", "p")
    assert refused.code == 2
    assert "+touch EXECUTED" in refused.err
    assert not (changed / "EXECUTED").exists()


def test_yes_trusts_what_was_shown_and_then_nothing_is_left_to_be_shown(shell: Shell, changed: Path) -> None:
    done = shell("trust", "p", "--yes")
    assert done.code == 0
    assert done.out.index("+touch EXECUTED") < done.out.index("Trusted: ")
    assert "Nothing new" in shell("trust", "p", "--show").out
    assert shell("run", "p").code == 0
    assert (changed / "EXECUTED").exists()


def test_a_terminal_shows_the_difference_in_colours_and_takes_no_for_an_answer(
    shell: Shell, terminal: Start, changed: Path
) -> None:
    asked = terminal("trust", "p")
    asked.expect(r"-echo before\n\+touch EXECUTED.*\[y/N\] ")
    assert b"\x1b[31m-echo before" in asked._raw
    assert b"\x1b[32m+touch EXECUTED" in asked._raw
    asked.type("\n")
    assert "Nothing was trusted." in asked.rest()
    assert asked.process.returncode == 1
    assert shell("run", "p").code == 2

    asked = terminal("trust", "p")
    asked.expect(r"\[y/N\] ")
    asked.type("y\n")
    assert "Trusted: " in asked.rest()
    assert shell("run", "p").code == 0
    assert (changed / "EXECUTED").exists()


def test_what_was_changed_while_somebody_read_is_not_trusted(
    shell: Shell, terminal: Start, write_plan: WritePlan, changed: Path
) -> None:
    asked = terminal("trust", "p")
    asked.expect(r"\[y/N\] ")
    write_plan("p", "01-01", sh("touch ANOTHER"))
    asked.type("y\n")
    asked.rest()
    refused = shell("run", "p")
    assert refused.code == 2
    assert "-touch EXECUTED" in refused.err
    assert "+touch ANOTHER" in refused.err
    assert not (changed / "ANOTHER").exists()


def test_a_run_at_a_terminal_shows_what_changed_and_asks(terminal: Start, changed: Path) -> None:
    run = terminal("run", "p")
    run.expect(r"\+touch EXECUTED.*\[y/N\] ")
    run.type("y\n")
    run.rest()
    assert run.process.returncode == 0
    assert (changed / "EXECUTED").exists()


def test_the_status_says_that_a_plan_waits_for_a_yes(shell: Shell, changed: Path) -> None:
    assert changed.is_dir()
    assert "its commands changed since you trusted them" in " ".join(shell("status", "p").out.split())
