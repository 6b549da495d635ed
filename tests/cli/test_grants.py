"""``harness-nb grants`` and a yes from a shell: for whom, until when, and taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness_nb import Harness
from harness_nb.sessions.worker_side import WorkerSide

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Shell

pytestmark = pytest.mark.row(2)

SECRET = "hush-4711-hush"  # pretended


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    """A project beside pretended credentials, with a session whose worker is the test."""
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / "demo.env").write_text(f"DEMO_TOKEN={SECRET}\n")
    (credentials / "demo.env").chmod(0o600)
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(credentials))
    (tmp_path / "p").mkdir()
    with Harness(tmp_path / "p") as harness:
        harness.start_session(command=["sh", "-c", "read line"])
        yield harness
        for session in harness.list_sessions():
            session.stop(grace=0)


def ask(harness: Harness) -> str:
    [session] = harness.list_sessions()
    folder = harness._twin.store.layout.session(session.id)
    side = WorkerSide({"HARNESS_SESSION_DIR": str(folder.path), "HARNESS_TOKEN_FILE": str(folder.token)})
    payload = {"phase": "", "plan": "", "service": "demo", "envVars": ["DEMO_TOKEN"], "reason": "to look"}
    return side.report("credentials_needed", payload).id


def test_a_yes_from_a_shell_says_for_whom_and_until_when(project: Harness, shell: Shell) -> None:
    where = ("--project", project.root)
    assert "Nobody was allowed" in shell("grants", project.root).out
    asked = ask(project)
    for wrong, said in (
        (("--approve", "--for", "ever"), "'ever' is none. Use one of: session, plan, run, project"),
        (("--approve", "--until", "soon"), "'soon' is no moment"),
        (("--approve", "--for", "run"), "the session belongs to no run"),
        (("--reject", "no", "--for", "run"), "go with --approve"),
    ):
        done = shell("respond", asked, *wrong, *where)
        assert done.code != 0
        assert said in " ".join(done.err.split()), done.err
    assert shell("respond", asked, "--approve", "--for", "project", "--until", "2h", *where).code == 0
    [grant] = json.loads(shell("grants", project.root, "--json").out)
    assert (grant["scope"], grant["state"], grant["door"], grant["envVars"]) == (
        "project", "in force", "cli", ["DEMO_TOKEN"],
    )  # fmt: skip
    table = shell("grants", project.root).out
    assert "demo" in table
    assert "in force" in table
    done = shell("grants", project.root, "--revoke", grant["id"])
    assert "Revoked: DEMO_TOKEN of demo for this project." in done.out
    assert json.loads(shell("grants", project.root, "--json").out)[0]["state"] == "revoked"
    assert "No grant 'x'" in shell("grants", project.root, "--revoke", "x").err
    assert SECRET not in table + done.out
