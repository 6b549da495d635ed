"""A project of its own for each test, with one session, and the worker at the other end of its files."""

from __future__ import annotations

import itertools
import json
import os
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.protocol.messages import parse_orchestrator_message, parse_worker_message
from harness_nb.protocol.records import SessionRecord
from harness_nb.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.protocol.messages import OrchestratorMessage, WorkerMessage
    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store import SessionFolder

OPTIONS = [{"id": "a", "name": "Option A"}, {"id": "b", "name": "Option B"}]
ACTION: dict[str, Any] = {"type": "action", "phase": "1", "plan": "01-01", "action": "Log in"}
DECISION: dict[str, Any] = {"type": "decision", "phase": "1", "plan": "01-01", "decision": "Which?", "options": OPTIONS}
VERIFICATION: dict[str, Any] = {"type": "verification", "whatBuilt": "a page"}

_numbers = itertools.count(1)


def new_session(store: Store, session_id: str = "s1", **more: Any) -> SessionFolder:
    store.sessions.create(
        SessionRecord.model_validate(
            {"id": session_id, "worker": "command", "workingDir": ".", "createdAt": datetime.now(UTC), **more}
        )
    )
    return store.layout.session(session_id)


def says(kind: str, payload: dict[str, Any], *, message_id: str | None = None, session: str = "s1") -> WorkerMessage:
    return parse_worker_message(
        {
            "id": message_id or f"m{next(_numbers)}",
            "sessionId": session,
            "type": kind,
            "timestamp": datetime.now(UTC),
            "payload": payload,
        }
    )


def reply(
    question: str, kind: str = "action_completed", payload: dict[str, Any] | None = None, *, session: str = "s1"
) -> OrchestratorMessage:
    return parse_orchestrator_message(
        {
            "id": f"r{next(_numbers)}",
            "sessionId": session,
            "type": kind,
            "timestamp": datetime.now(UTC),
            "inResponseTo": question or None,
            "payload": payload or {},
        }
    )


def put(path: Path, content: object) -> None:
    """Write a file as the protocol asks of others: a temporary file, then a rename."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    temporary.rename(path)


def get(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def take(folder: SessionFolder) -> dict[str, Any]:
    """Take the answer as the protocol asks of a worker: read it, and rename it to ``answered/``."""
    content = get(folder.response)
    os.rename(folder.response, folder.answered / f"{content['inResponseTo']}.json")  # noqa: PTH104 — as a shell does
    return content


def shown(folder: SessionFolder) -> str | None:
    """Return which question ``checkpoint.json`` shows, by the text that tells the tests' questions apart."""
    if not folder.checkpoint.exists():
        return None
    content = get(folder.checkpoint)
    return str(content.get("action") or content.get("decision") or content.get("whatBuilt"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def only(records: list[MessageRecord]) -> MessageRecord:
    [record] = records
    return record


def ask_by_file(store: Store, folder: SessionFolder, question_id: str | None = None, **more: Any) -> str:
    """Put a question where a worker does, let it be taken in, and return its id."""
    before = {one.id for one in store.messages.pending("s1")}
    put(folder.checkpoint, {**ACTION, **({"id": question_id} if question_id else {}), **more})
    store.questions.settle("s1")
    [new] = {one.id for one in store.messages.pending("s1")} - before
    return new


def answer(store: Store, question: str, notes: str = "by a door", **how: str) -> None:
    who = {"actor": "ada", "door": "test", **how}
    store.questions.answer(reply(question, payload={"notes": notes}), actor=who["actor"], door=who["door"])


def late(folder: SessionFolder) -> list[dict[str, Any]]:
    return [get(folder.late / name) for name in names(folder.late)]


def reasons(folder: SessionFolder) -> list[str]:
    return [(folder.rejected / name).read_text() for name in names(folder.rejected) if name.endswith(".reason.txt")]


def only_text(texts: list[str]) -> str:
    [text] = texts
    return text


class Stores:
    """Stores on one project, each as another process would have it."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        self._stack = stack

    def open(self) -> Store:
        store = Store(self.root)
        self._stack.callback(store.close)
        return store


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    project = tmp_path / "project"
    project.mkdir()
    with ExitStack() as stack:
        yield Stores(project, stack)


@pytest.fixture
def store(stores: Stores) -> Store:
    return stores.open()


@pytest.fixture
def folder(store: Store) -> SessionFolder:
    return new_session(store)
