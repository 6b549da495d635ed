"""Sources and services of ``config.yaml``: every process looks up the same, and people hear what is wrong."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING, Any

import keyring
import pytest

from harness_nb import ACCEPT_ALL, CredentialProvider, Harness
from harness_nb.errors import CredentialsNotFoundError
from harness_nb.harness.exporting import export
from harness_nb.orchestrator import Desk
from harness_nb.protocol.frame import frame_page, styled_class
from harness_nb.store import Store
from harness_nb.views.frames import Frames
from harness_nb.views.troubles import troubles_of
from tests.credentials.shelves import SECRET, ShelfKeyring, file_keyring, install
from tests.leaks import files_that_hold
from tests.orchestrator.written_plans import configure, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pytestmark = pytest.mark.row(1)

LIMIT = 100
ASKS = """
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    asked = side.report("credentials_needed", {"service": "acme", "envVars": ["ACME_TOKEN"], "reason": "to load"})
    print("found", side.wait(asked.id).payload.get("found"))
"""
SERVICES = {"acme": {"variables": ["ACME_TOKEN"], "stems": ["anvil"]}}
OWN = f"""
class Vault:
    name = "vault"
    def find(self, service, variables, context):
        return {{"VAULT_KEY": "{SECRET}-vault"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for files of credentials."""
    made = tmp_path / "secrets"
    made.mkdir(mode=0o700)
    return made


def put(file: Path, content: str, mode: int = 0o600) -> None:
    file.write_text(content)
    file.chmod(mode)


def test_a_runs_own_process_asks_the_sources_of_the_settings(
    root: Path, folder: Path, tmp_path: Path, opened: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the four: a file under a service's own stem, the environment, a keyring, and a source of a package."""
    monkeypatch.delenv("HARNESS_DETACH")
    install(tmp_path / "site", "vault_of_the_settings", OWN, vault="Vault")  # modules stay in a process
    environ = file_keyring(tmp_path / "shelf")
    environ["PYTHONPATH"] = os.pathsep.join((environ["PYTHONPATH"], str(tmp_path / "site")))
    monkeypatch.syspath_prepend(tmp_path / "site")
    for name, value in {**environ, "ACME_URL": f"{SECRET}-url"}.items():
        monkeypatch.setenv(name, value)
    put(tmp_path / "shelf" / "values.json", f'{{"harness-nb:acme/ACME_KEY": "{SECRET}-key"}}')
    put(folder / "anvil.env", f"ACME_TOKEN={SECRET}-token\n")
    configure(
        root, credentialsDir=str(folder), credentialSources=["files", "environment", "keyring", "vault"],
        services={"acme": {"variables": ["ACME_TOKEN", "ACME_URL", "ACME_KEY", "VAULT_KEY"], "stems": ["anvil"]}},
    )  # fmt: skip
    every = [f'test "$ACME_{name.upper()}" = {SECRET}-{name}' for name in ("token", "url", "key")]
    keeps = 'mkdir -p "$HARNESS_SESSION_DIR/late"; echo "[\\"$VAULT_KEY\\"]" > "$HARNESS_SESSION_DIR/late/kept.json"'
    write_plan(
        root, "01-01", " && ".join((*every, f"( {keeps} )")),
        credentials_needed=[{"service": "acme", "reason": "to look"}],
    )  # fmt: skip
    run = opened().run(policies=[ACCEPT_ALL])
    assert run.detached
    assert run.wait(timeout=LIMIT).passed
    [planted] = files_that_hold(root, f"{SECRET}-vault".encode())
    assert planted.name == "kept.json"
    with closing(Store(root)) as store:  # here the keyring cannot be asked, which hides no other source
        out = export(store, Desk(store), tmp_path / "out", run=None, actor="ann", door="cli")
    assert files_that_hold(out, f"{SECRET}-vault".encode()) == []


@pytest.mark.parametrize("sources", [("files",), ("files", "environment")])
def test_sources_that_were_given_in_python_keep_a_run_in_their_process(
    root: Path, folder: Path, opened: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch, sources: tuple[str, ...]
) -> None:
    monkeypatch.delenv("HARNESS_DETACH")
    write_plan(root, "01-01")
    configure(root, credentialSources=["environment"])
    run = opened(credentials=CredentialProvider(folder, sources=sources)).run(policies=[ACCEPT_ALL])
    assert run.detached is (sources == ("files",))
    assert run.wait(timeout=LIMIT).passed


def asking(harness: Harness) -> Any:
    session = harness.start_session(command=[sys.executable, "-c", ASKS])
    harness.wait_for_state(session_ids=[session.id], states=["checkpoint"], timeout=60)
    [question] = harness.get_pending(session.id)
    return session, question


@pytest.mark.row(2)
def test_that_others_can_read_a_file_reaches_the_journal_and_the_board_once(
    harness: Harness, root: Path, folder: Path
) -> None:
    put(folder / "anvil.env", f"ACME_URL={SECRET}\n", 0o644)
    configure(root, credentialsDir=str(folder), services=SERVICES)
    session, question = asking(harness)
    for _ in range(2):
        with pytest.raises(CredentialsNotFoundError, match="acme lacks ACME_TOKEN"):
            question.approve()
    warning = f"{folder}/anvil.env is open to other users (mode 644); close it with: chmod 600 {folder}/anvil.env"
    assert warning in harness.board._repr_html_()
    assert warning in str(troubles_of(harness._twin.store))
    put(folder / "anvil.env", f"ACME_TOKEN={SECRET}\n", 0o644)
    question.approve()
    session.wait(timeout=LIMIT)
    [event] = harness._twin.store.events.select(kind="credentials_warning")
    assert (event.session_id, event.data) == (session.id, {"question": question.id, "reason": warning})
    assert files_that_hold(root, SECRET.encode()) == []


@pytest.mark.row(2)
@pytest.mark.parametrize("by", ["a person", "a policy"])
def test_what_a_source_raises_is_in_no_file_error_or_log(
    opened: Callable[..., Harness], root: Path, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Vault:
        name = "vault"

        def find(self, service: str, variables: Sequence[str], context: str | None) -> dict[str, str]:
            raise PermissionError(f"403 for {SECRET}")

    harness = opened(credentials=CredentialProvider(root, sources=[Vault()]))
    session, question = asking(harness)
    said = "The source of credentials 'vault' failed (PermissionError)."
    if by == "a person":
        with pytest.raises(CredentialsNotFoundError) as caught:
            question.approve()
        assert said in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        [event] = harness._twin.store.events.select(kind="credentials_missing")
        assert event.data["error"] == said
    else:
        harness._twin.desk.approve(question.record, actor="policy", door="policy", strict=False)
        assert session.wait(timeout=LIMIT).state == "completed"
        [answer] = harness._twin.store.messages.select(session.id, direction="out")
        assert (answer.payload["found"], answer.payload["error"]) == (False, said)
    assert files_that_hold(root, SECRET.encode()) == []
    assert SECRET not in caplog.text


def test_while_somebody_unlocks_the_keyring_everything_else_goes_on(harness: Harness, root: Path) -> None:
    configure(root, credentialSources=["keyring"])
    before, shelf = keyring.get_keyring(), ShelfKeyring({("harness-nb:acme", "ACME_TOKEN"): SECRET})
    shelf.open.clear()
    keyring.set_keyring(shelf)
    try:
        session, question = asking(harness)
        person = Thread(target=question.approve)
        person.start()
        assert shelf.entered.wait(LIMIT)
        assert harness.get_state().plans == ()
        other = harness.start_session(command=["true"])
        assert other.wait(timeout=LIMIT).state == "completed"
        assert harness.get_pending(session.id), "nobody answered yet"
        shelf.open.set()
        person.join(LIMIT)
        assert session.wait(timeout=LIMIT).state == "completed"
        assert "found True" in session.output().text
    finally:
        shelf.open.set()
        keyring.set_keyring(before)


@pytest.mark.row(2)
def test_the_frame_has_what_is_there_and_where_from_and_no_value(harness: Harness, root: Path, folder: Path) -> None:
    put(folder / "anvil-production.env", f"ACME_TOKEN={SECRET}\nOTHER=\n", 0o640)
    empty = harness.frames.credentials()
    configure(root, credentialsDir=str(folder), services=SERVICES)
    made = harness.frames.credentials()
    assert list(made.columns) == ["service", "context", "variable", "source", "note"]
    assert made[["service", "context", "variable", "source"]].to_numpy().tolist() == [
        ["acme", "production", "ACME_TOKEN", "anvil-production.env"],
        ["acme", "production", "OTHER", "anvil-production.env"],
    ]
    assert made["note"].str.contains("mode 640").all()
    assert str(made["note"].tolist()).count("empty; ") == 1
    assert made.equals(harness.frames.credentials())
    assert type(made) is styled_class()
    assert (list(empty.dtypes), empty.index.dtype) == (list(made.dtypes), made.index.dtype)
    documented = str(Frames.credentials.__doc__)
    assert [column for column in made.columns if f"``{column}``" not in documented] == []
    assert SECRET not in f"{made!r} {frame_page(made)} {made.to_csv()} {made.to_json()} {harness.frames!r}"
    assert files_that_hold(root, SECRET.encode()) == []


def test_services_and_sources_follow_the_settings_as_they_are_now(harness: Harness, root: Path, folder: Path) -> None:
    put(folder / "anvil.env", "ACME_TOKEN=x\n")
    configure(root, credentialsDir=str(folder))
    assert list(harness.frames.credentials()["service"]) == ["anvil"]
    configure(root, credentialsDir=str(folder), services=SERVICES)
    until(lambda: list(harness.frames.credentials()["service"]) == ["acme"])
