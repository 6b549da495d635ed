"""``harness-nb credentials`` and the doctor's lines: what there is and where from, never a value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness_nb.credentials import KNOWN_SERVICES
from tests.credentials.shelves import SECRET, file_keyring, install

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Shell

pytestmark = [pytest.mark.row(1), pytest.mark.row(2)]

SETTINGS = """
credentialsDir: secrets
credentialSources: {sources}
services:
  acme: {{variables: [ACME_TOKEN, ACME_URL], stems: [anvil]}}
"""
OWN = f"def broken():\n    raise RuntimeError('{SECRET}')\n"


@pytest.fixture
def project(shell: Shell) -> Path:
    folder = shell.folder / "p"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "anvil-production.env").write_text(f"ACME_TOKEN={SECRET}\nACME_URL=\n")
    (folder / "secrets" / "anvil-production.env").chmod(0o600)
    (folder / ".orchestration").mkdir()
    configure(folder, "[files, environment, keyring]")
    return folder


def configure(folder: Path, sources: str) -> None:
    (folder / ".orchestration" / "config.yaml").write_text(SETTINGS.format(sources=sources))


def test_what_is_there_is_a_table_and_json_without_values(shell: Shell, project: Path, tmp_path: Path) -> None:
    environ = {**file_keyring(tmp_path / "shelf"), "ACME_URL": SECRET}
    (tmp_path / "shelf" / "values.json").write_text(json.dumps({"harness-nb:acme:production/ACME_URL": SECRET}))
    done = shell("credentials", "p", "--json", env=environ)
    assert (done.code, done.err) == (0, "")
    file = {"service": "acme", "context": "production", "source": "anvil-production.env"}
    rows = [one for one in json.loads(done.out) if one["service"] == "acme"]
    assert rows == [
        {"service": "acme", "variable": "ACME_URL", "source": "environment"},
        {**file, "variable": "ACME_TOKEN"},
        {**file, "variable": "ACME_URL", "note": "empty"},
        {"service": "acme", "context": "production", "variable": "ACME_URL", "source": "keyring"},
    ]
    table = shell("credentials", "p", env=environ)
    lines = [line.split() for line in table.out.splitlines()]
    assert lines[0] == ["service", "context", "variable", "source", "note"]
    assert ["acme", "production", "ACME_URL", "anvil-production.env", "empty"] in lines
    assert ["acme", "production", "ACME_URL", "keyring"] in lines
    assert SECRET not in done.out + table.out + table.err
    assert [one.name for one in (project / ".orchestration").iterdir()] == ["config.yaml"], "looking writes nothing"


def test_where_nothing_is_it_says_so_and_settings_that_cannot_be_read_are_named(shell: Shell, project: Path) -> None:
    configure(project, "[environment]")
    clean = {name: "" for known in KNOWN_SERVICES.values() for name in known.variables}
    assert json.loads(shell("credentials", "p", "--json", env=clean).out) == []
    assert shell("credentials", "p", env=clean).out == "No credentials are in environment.\n"
    configure(project, "[]")
    done = shell("credentials", "p")
    assert (done.code, done.out) == (2, "")
    assert "config.yaml" in done.err
    assert "credentialSources" in done.err
    assert shell("credentials", "nowhere").code == 2


def lines_of(shell: Shell, environ: dict[str, str]) -> dict[str, str]:
    done = shell("doctor", "p", env=environ)
    assert done.code == 0
    assert SECRET not in done.out + done.err
    return {line[2:].split("  ")[0].strip(): line for line in done.out.splitlines() if line[0] in "✓!✕"}


def test_doctor_looks_at_every_source_of_the_settings(shell: Shell, project: Path, tmp_path: Path) -> None:
    environ = file_keyring(tmp_path / "shelf")
    found = lines_of(shell, environ)
    assert found["credentials"].endswith("1 files in " + str(project / "secrets") + ", readable by you alone")
    assert found["keyring source"] == "✓ keyring source      asked in turn: files, environment, keyring"
    found = lines_of(shell, {**environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"})
    assert found["keyring source"].endswith("This machine has no keyring that can be used.")
    install(tmp_path / "site", "own_source", OWN, vault="broken")
    configure(project, "[vault, nowhere]")
    found = lines_of(shell, {"PYTHONPATH": str(tmp_path / "site")})
    assert found["vault source"].endswith("The source of credentials 'vault' could not be loaded (RuntimeError).")
    assert found["nowhere source"].startswith("! nowhere source  No source of credentials is called 'nowhere'")
    assert "credentials" not in found, "no folder is asked"
    (project / "secrets").chmod(0o777)
    configure(project, "[files]")
    assert "others can replace files in" in lines_of(shell, {})["credentials"]
