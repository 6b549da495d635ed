"""The search itself: it finds what is leaked on purpose, in each kind of place and each form."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from harness_nb.credentials import CredentialProvider
from tests.leak_hunt.planting import Plant, sow, write_env_files
from tests.leak_hunt.searching import Search

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.row(2)

FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 one byte in": lambda value: base64.b64encode(b"x" + value.encode()).decode(),
    "base64 two bytes in": lambda value: base64.b64encode(b"xy" + value.encode()).decode(),
    "URL": lambda value: quote(value, safe=""),
    "JSON": json.dumps,
    "JSON twice": lambda value: json.dumps(json.dumps(value)),
    "shell": shlex.quote,
    "coloured": lambda value: f"{value[:12]}\x1b[1;31m{value[12:]}\x1b[0m",
    "coloured, in JSON": lambda value: json.dumps(f"{value[:12]}\x1b[31m{value[12:]}"),
    "wrapped": lambda value: "\r\n".join(value[at : at + 7] for at in range(0, len(value), 7)),
    "wrapped, in JSON": lambda value: json.dumps("\n".join(value[at : at + 7] for at in range(0, len(value), 7))),
}


@pytest.fixture(scope="module")
def plant() -> Plant:
    return sow()


@pytest.fixture(scope="module")
def search(plant: Plant) -> Search:
    return Search(plant)


def test_the_files_are_read_back_as_they_were_planted(plant: Plant, tmp_path: Path) -> None:
    write_env_files(tmp_path / "credentials", plant)
    provider = CredentialProvider(tmp_path / "credentials")
    for service, group in plant.values.items():
        result = provider.lookup(service, list(group))
        assert result.found, service
        assert result.reveal() == group
        assert not result.warnings


@pytest.mark.parametrize("form", FORMS)
def test_every_value_is_found_in_every_form(form: str, plant: Plant, search: Search) -> None:
    unseen = [name for name, value in plant.by_name.items() if not search.in_text(f"<{FORMS[form](value)}>", "here")]
    assert unseen == []


def test_a_piece_of_a_value_is_found(plant: Plant, search: Search) -> None:
    value = plant.values["vercel"]["VERCEL_TOKEN"]
    assert search.in_text(value[-30:], "here")
    assert search.in_text(value[:30], "here")


def test_nothing_is_found_where_nothing_is(plant: Plant, search: Search, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("[credential:VERCEL_TOKEN] and others\n" + sow().values["vercel"]["VERCEL_TOKEN"])
    assert search.in_folder(tmp_path) == []
    assert search.in_processes() == []


def leak_in_a_file(folder: Path, value: str) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "log").write_text(f"key={value}\n")


def leak_in_a_name(folder: Path, value: str) -> None:
    (folder / "kept").write_text("")
    (folder / value[:40].replace("/", "_")).write_text("")


def leak_in_a_link(folder: Path, value: str) -> None:
    (folder / "kept").write_text("")
    (folder / "link").symlink_to(value[:40])


def leak_in_a_zip(folder: Path, value: str) -> None:
    with zipfile.ZipFile(folder / "trace.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0-trace.network", json.dumps({"body": value}))


def leak_in_gzip(folder: Path, value: str) -> None:
    (folder / "body.gz").write_bytes(gzip.compress(value.encode()))


def leak_in_gzip_in_a_zip(folder: Path, value: str) -> None:
    with zipfile.ZipFile(folder / "trace.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("body", gzip.compress(value.encode()))


def leak_in_a_row(folder: Path, value: str) -> None:
    with closing(sqlite3.connect(folder / "harness.db")) as db:
        db.execute("CREATE TABLE messages (data TEXT)")
        db.execute("INSERT INTO messages VALUES (?)", (json.dumps({"text": value}),))
        db.commit()


def leak_in_a_long_row(folder: Path, value: str) -> None:
    """It goes over several pages, and each has bytes of its own between the text's."""
    with closing(sqlite3.connect(folder / "harness.db")) as db:
        db.execute("CREATE TABLE messages (data TEXT)")
        for before in range(3000, 5000, 5):
            db.execute("INSERT INTO messages VALUES (?)", ("x" * before + value[:60],))
        db.commit()


def leak_in_a_freed_page(folder: Path, value: str) -> None:
    leak_in_a_row(folder, value)
    with closing(sqlite3.connect(folder / "harness.db")) as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("DELETE FROM messages")
        db.commit()


def leak_in_utf16(folder: Path, value: str) -> None:
    (folder / "leveldb").write_bytes(value.encode("utf-16-le"))


@pytest.mark.parametrize(
    "leak",
    [
        leak_in_a_file, leak_in_a_name, leak_in_a_link, leak_in_a_zip, leak_in_gzip, leak_in_gzip_in_a_zip,
        leak_in_a_row, leak_in_a_long_row, leak_in_a_freed_page, leak_in_utf16,
    ],
)  # fmt: skip
def test_a_leak_on_purpose_is_found_in_a_folder(
    leak: Callable[[Path, str], None], plant: Plant, search: Search, tmp_path: Path
) -> None:
    leak(tmp_path, plant.values["aws"]["AWS_SECRET_ACCESS_KEY"])
    assert search.in_folder(tmp_path)


def test_a_leak_on_purpose_is_found_in_the_journal_s_log(plant: Plant, search: Search, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "harness.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE messages (data TEXT)")
        db.execute("INSERT INTO messages VALUES (?)", (plant.values["aws"]["AWS_SECRET_ACCESS_KEY"],))
        db.commit()
        assert {hit.place.rpartition("/")[2] for hit in search.in_folder(tmp_path)} >= {"harness.db-wal"}


@pytest.mark.parametrize("where", ["cmdline", "environ"])
def test_a_leak_on_purpose_is_found_among_the_processes(where: str, plant: Plant, search: Search) -> None:
    value = plant.values["aws"]["AWS_SECRET_ACCESS_KEY"]
    argument, environment = ([value], {}) if where == "cmdline" else ([], {"LEAKED": value})
    program = [sys.executable, "-c", "print(flush=True); input()", *argument]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert [hit.place for hit in search.in_processes() if hit.place.endswith(f" {process.pid}")]
        assert not search.in_processes(but=[process.pid]) or where == "cmdline"
        process.communicate(b"\n")
