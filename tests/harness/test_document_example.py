"""The orchestrator's example of looking credentials up and handing them over, as the document has it, in Python."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from harness_nb import Harness, lookup_credentials
from tests.leaks import files_that_hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.row(1), pytest.mark.row(2), pytest.mark.row(3)]

SECRET = "postgresql://user:hush-4711@host:5432/db"  # pretended
WORKER = """
id=$(nb report credentials_needed service=postgres 'envVars=["DATABASE_URL"]' context=production reason="to migrate")
nb await "$id" > "$1"
nb exec -- sh -c 'test "$DATABASE_URL" = "$(cat "$0")" && echo "it has the address"' "$2"
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, a folder of credentials beside it, and one that no file of the project may be a copy of."""
    for name in ("project/.orchestration", "credentials", "outside"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "credentials" / "postgres-production.env").write_text(f"DATABASE_URL={SECRET}\nPGPASSWORD=unasked\n")
    (tmp_path / "credentials" / "postgres-staging.env").write_text("DATABASE_URL=postgresql://staging\n")
    (tmp_path / "outside" / "wanted").write_text(SECRET)
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(tmp_path / "credentials"))
    return tmp_path


@pytest.fixture
def h(folders: Path) -> Iterator[Harness]:
    with Harness(folders / "project") as opened:
        yield opened
        for session in opened.list_sessions():
            opened.end_session(session.id)


def hand_over(h: Harness, folders: Path) -> str:
    """Start a worker that asks, do what the document does, and return the answer that the worker got."""
    script = f'nb() {{ "{sys.executable}" -m harness_nb.cli worker "$@"; }}\n{WORKER}'
    answer = folders / "outside" / "answer.json"
    session = h.start_session(command=["sh", "-eu", "-c", script, "sh", str(answer), str(folders / "outside/wanted")])
    h.wait_for_state(session_ids=[session.id], states=["checkpoint", "failed"], timeout=60)
    [message] = h.get_pending()

    result = lookup_credentials(
        message.payload["service"],  # for example 'postgres'
        message.payload["envVars"],  # for example ['DATABASE_URL']
        message.payload["context"],  # for example 'production'
    )
    h.respond(
        type="credentials_provided",
        session_id=message.session_id,
        in_response_to=message.id,
        payload={
            "phase": message.payload["phase"],
            "plan": message.payload["plan"],
            "service": message.payload["service"],
            "credentials": result.credentials,
            "found": result.found,
            "error": result.error,
            "instructions": result.instructions,
        },
    )

    assert session.wait(timeout=60).state == "completed", session.output()
    assert "it has the address" in str(session.output())
    return answer.read_text()


def test_the_worker_has_the_values_by_reference_and_no_file_of_the_project_does(h: Harness, folders: Path) -> None:
    answer = hand_over(h, folders)
    assert SECRET not in answer
    assert '"credentials": {}' in answer
    assert files_that_hold(folders / "project", b"hush-4711") == []


def test_with_deliver_message_they_are_inside_the_answer_too(h: Harness, folders: Path) -> None:
    (folders / "project" / ".orchestration" / "config.yaml").write_text("deliver: message\n")
    answer = hand_over(h, folders)
    assert f'"credentials": {{"DATABASE_URL": "{SECRET}"}}' in answer
    assert files_that_hold(folders / "project", b"hush-4711") == []


def test_what_is_not_found_is_told(h: Harness, folders: Path) -> None:
    result = lookup_credentials("postgres", ["DATABASE_URL"], "nowhere")
    assert (result.found, result.credentials) == (False, {})
    assert result.error
    assert result.instructions
