"""Bringing a browser where there is none; package managers and sudo are scripts that stand in for the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import chromium
from tests.browser.chromium import NoBrowserError, bring_chromium

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Stand = Callable[[str, str], Path]

INSTALLS = """\
echo "$@" >> "$0.calls"
case $* in *chromium) : > {0}/chromium; /bin/chmod +x {0}/chromium;; esac
"""
FAILS = "echo 'no network'; exit 100"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Put a script of this name on a PATH where there is nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "MAC", ())

    def make(name: str, script: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def as_user(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("os.geteuid", lambda: number)


def test_the_one_that_is_there_is_taken_and_nothing_is_installed(stand_in: Stand) -> None:
    there = stand_in("google-chrome", "")
    manager = stand_in("apt-get", 'echo "$@" >> "$0.calls"')
    assert bring_chromium() == str(there)
    assert not manager.with_name("apt-get.calls").exists()


def test_the_one_that_playwright_keeps_is_taken_where_the_system_has_none(stand_in: Stand, tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere"
    kept.touch()
    assert bring_chromium(str(kept)) == str(kept)


def test_root_installs_it(stand_in: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    stand_in("apt-get", INSTALLS.format(tmp_path))
    assert bring_chromium() == str(tmp_path / "chromium")
    calls = (tmp_path / "apt-get.calls").read_text()
    assert calls == "update\ninstall -y --no-install-recommends chromium\n"


def test_others_install_it_with_a_sudo_that_asks_for_no_password(
    stand_in: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_user(monkeypatch, 1000)
    stand_in("true", "")
    stand_in("sudo", '[ "$1" = -n ] || exit 9; shift; exec "$@"')
    stand_in("dnf", INSTALLS.format(tmp_path))
    assert bring_chromium() == str(tmp_path / "chromium")


@pytest.mark.parametrize("sudo", ["exit 1", None], ids=["sudo wants a password", "no sudo"])
def test_who_may_not_install_is_told_what_to_install(
    stand_in: Stand, monkeypatch: pytest.MonkeyPatch, sudo: str | None
) -> None:
    as_user(monkeypatch, 1000)
    manager = stand_in("apt-get", 'echo "$@" >> "$0.calls"')
    if sudo:
        stand_in("sudo", sudo)
    with pytest.raises(NoBrowserError, match=r"^Install Chromium or Google Chrome[^.]*\.\napt-get needs root"):
        bring_chromium()
    assert not manager.with_name("apt-get.calls").exists()


def test_what_a_package_manager_said_is_in_the_failure(stand_in: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    stand_in("apt-get", FAILS)
    with pytest.raises(NoBrowserError, match=r"(?s)^Install Chromium.*\$ apt-get update\nno network\nexit status 100"):
        bring_chromium()


def test_one_that_never_ends_is_given_up(stand_in: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    monkeypatch.setattr(chromium, "PATIENCE", 0.2)
    stand_in("apk", "exec /bin/sleep 60")
    with pytest.raises(NoBrowserError, match=r"It took longer than 0\.2 s"):
        bring_chromium()


def test_a_system_without_a_known_package_manager_is_told_so(stand_in: Stand) -> None:
    with pytest.raises(NoBrowserError, match=r"No package manager that is known here was found"):
        bring_chromium()
