"""``harness-nb run --sample``: the user's own copy, from nothing to the report, twice."""

from __future__ import annotations

import os
import re
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Program, Shell

    Begin = Callable[..., Program]

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "sample"
TOKEN = (SOURCE / "credentials" / "weather-demo.env").read_text().strip().rpartition("=")[2].strip("'\"")


@pytest.mark.timeout(240)
@pytest.mark.row(1)
@pytest.mark.row(2)
@pytest.mark.row(3)
@pytest.mark.row(4)
@pytest.mark.row(5)
@pytest.mark.row(10)
def test_the_sample_runs_from_nothing_to_its_end_and_again(shell: Shell, begin: Begin) -> None:
    before = _contents(SOURCE)
    run = begin("run", "weather", "--sample", "--yes")
    text = run.rest()
    assert run.process.returncode == 0, text
    copy = shell.folder / "weather"
    assert text.startswith(f"Your copy of the sample is in {copy}\n")
    assert "✓ run passed: 9 of 9 plans complete" in text
    for kind in ("decision", "credentials", "verification", "action"):
        assert f"{kind} answered by policy: " in text
    assert (copy / "site" / "index.html").is_file()

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", _port_of(copy))) != 0
    assert stat.S_IMODE((copy / "credentials" / "weather-demo.env").stat().st_mode) == 0o600
    settings = yaml.safe_load((copy / ".orchestration" / "config.yaml").read_text())
    assert settings["credentialsDir"] == "credentials"
    holders = [path for path, content in _contents(copy).items() if TOKEN.encode() in content]
    assert holders == [Path("credentials/weather-demo.env")]

    again = begin("run", "weather", "--sample", "--yes")
    text = again.rest()
    assert again.process.returncode == 0
    assert text.startswith(f"Going on with your copy of the sample in {copy}\n")
    assert "✓ run passed: 9 of 9 plans complete" in text
    assert "credentials answered by policy: allowed" in text, "the work was done anew, with the same end"
    assert _contents(SOURCE) == before


def test_the_copy_is_trusted_and_lies_here_by_default(shell: Shell, begin: Begin) -> None:
    run = begin("run", "--sample", "--plans", "01-01")
    run.rest()
    assert run.process.returncode == 0
    copy = shell.folder / "harness-nb-sample"
    assert (copy / "ROADMAP.md").is_file()
    assert b"8765" not in b"".join(_contents(copy / "planning").values())
    assert shell("status", "harness-nb-sample").out.count("not trusted") == 0


def test_another_folder_is_never_taken_for_the_copy(shell: Shell) -> None:
    (shell.folder / "mine").mkdir()
    (shell.folder / "mine" / "letter.txt").write_text("dear reader")
    done = shell("run", "mine", "--sample", "--yes")
    assert done.code == 2
    assert "is there already" in done.err
    assert [path.name for path in (shell.folder / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.timeout(240)
@pytest.mark.row(11)
def test_killed_in_the_middle_and_called_again_it_comes_to_the_same_end(shell: Shell, begin: Begin) -> None:
    run = begin("run", "weather", "--sample", "--yes")
    run.expect("01-02 running")
    run.process.kill()
    run.process.wait()
    after = begin("run", "weather", "--sample", "--yes")
    text = after.rest()
    assert after.process.returncode == 0, text
    assert re.search(r"Going on with run run-\w+, which was left unfinished", text)
    assert "✓ run passed: 9 of 9 plans complete" in text


def _port_of(copy: Path) -> int:
    plan = next((copy / "planning").rglob("03-03-*-PLAN.md")).read_text()
    found = re.search(r"port: (\d+)", plan)
    assert found
    return int(found[1])


def _contents(folder: Path) -> dict[Path, bytes]:
    found: dict[Path, bytes] = {}
    for parent, _, names in os.walk(folder):  # it passes over folders that go while others still write there
        for path in (Path(parent, name) for name in names):
            with suppress(FileNotFoundError):
                if path.is_file():
                    found[path.relative_to(folder)] = path.read_bytes()
    return found
