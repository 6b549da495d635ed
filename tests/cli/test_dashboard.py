"""``harness-nb dashboard`` at a terminal: what it prints, what it opens, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness_nb.store.layout import Layout
from tests.sessions.workers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Program, Terminal

pytestmark = pytest.mark.row(14)
BROWSER = r"""#!/bin/sh
file="${1#file://}"
ls -l "$file" | cut -c 1-10 > "$0.mode"
cp "$file" "$0.page"
echo "$@" > "$0.words"
"""


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is opened as the browser, and writes down how."""
    program = tmp_path / "browser"
    program.write_text(BROWSER)
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    monkeypatch.setenv("DISPLAY", ":0")
    return program


def test_a_terminal_gets_the_address_and_the_browser_a_private_file_that_leads_there(
    terminal: Callable[..., Terminal], tmp_path: Path, browser: Path
) -> None:
    shown = terminal("dashboard", "--port", 0)
    address = shown.expect(r"http://localhost:\d+/\?token=([\w-]+)")
    token = Layout(tmp_path).door_token("dashboard").read_text().strip()
    assert address[1] == token
    words = browser.with_name("browser.words")
    eventually(words.exists, "the browser is opened")
    eventually(lambda: words.read_text().endswith(".html\n"), "its words are written down")
    assert token not in words.read_text()  # a command line is public
    assert f"url={address[0]}" in browser.with_name("browser.page").read_text()
    assert browser.with_name("browser.mode").read_text().strip() == "-rw-------"
    shown.type("\x03")
    assert "Traceback" not in shown.rest()
    assert shown.process.returncode == 0


def test_no_browser_is_opened_when_it_is_not_wanted(
    terminal: Callable[..., Terminal], tmp_path: Path, browser: Path
) -> None:
    shown = terminal("dashboard", "--port", 0, "--no-browser")
    shown.expect("Ctrl-C ends the page")
    shown.type("\x03")
    shown.rest()
    assert not browser.with_name("browser.words").exists()


def test_on_a_hub_it_says_where_the_hub_shows_it(
    begin: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/somebody/")
    begin("dashboard", "--port", 0).expect("/user/somebody/harness-nb/")
