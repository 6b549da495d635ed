"""What a worker writes by hand is taken in, and kept, without the values that its session was given."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import OutOfDescriptorsError
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import conclude, settle
from harness_nb.store import Store
from tests.hardship.descriptors import no_descriptors
from tests.leaks import files_that_hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sessions.workers import Worker, Workers

pytestmark = pytest.mark.row(2)

SECRET = "s3cr3t-passw0rd-42"
QUESTION = {
    "id": "q1",
    "type": "decision",
    "decision": f"Is {SECRET} right?",
    "options": [{"id": SECRET, "name": f"use {SECRET}"}, {"id": "no", "name": "no"}],
    SECRET: SECRET,
}


@pytest.fixture
def store(workers: Workers) -> Iterator[Store]:
    with closing(Store(workers.layout.root)) as opened:
        yield opened


def known(store: Store, worker: Worker) -> str:
    """Journal a session that was started beside the journal, and return its id."""
    session_id = worker.folder.path.name
    store.sessions.create(
        SessionRecord(id=session_id, worker="command", working_dir=".", created_at=store.clock(), state="running")
    )
    return session_id


def put(worker: Worker, name: str, content: str) -> None:
    part = worker.folder.path / f"{name}.part"
    part.write_text(content)
    part.rename(worker.folder.path / name)


def test_a_question_by_file_is_taken_in_masked_and_its_file_written_anew(store: Store, workers: Workers) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    session_id = known(store, worker)
    put(worker, "checkpoint.json", json.dumps(QUESTION))
    settle(store, session_id)
    [asked] = store.messages.pending(session_id)
    assert asked.id == "q1"
    assert asked.payload["decision"] == "Is [credential:TOKEN] right?"
    assert [one["id"] for one in asked.payload["options"]] == ["[credential:TOKEN]", "no"]
    assert json.loads(worker.folder.checkpoint.read_text())["decision"] == "Is [credential:TOKEN] right?"
    assert files_that_hold(workers.layout.root, SECRET.encode()) == []


def test_a_question_by_file_waits_until_its_shim_can_be_asked(
    store: Store, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness_nb.sessions.channel.REPLY_TIMEOUT", 0.1)
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    session_id = known(store, worker)
    put(worker, "checkpoint.json", json.dumps(QUESTION))
    os.kill(worker.shim, signal.SIGSTOP)
    try:
        assert settle(store, session_id) is False
        assert store.messages.pending(session_id) == []
    finally:
        os.kill(worker.shim, signal.SIGCONT)
    monkeypatch.undo()
    assert settle(store, session_id) is True
    assert store.messages.pending(session_id)[0].payload["decision"] == "Is [credential:TOKEN] right?"


def test_a_question_by_file_waits_until_it_can_be_read(store: Store, workers: Workers) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    session_id = known(store, worker)
    put(worker, "checkpoint.json", json.dumps(QUESTION))
    with no_descriptors(), pytest.raises(OutOfDescriptorsError):
        settle(store, session_id)
    assert store.messages.pending(session_id) == []
    assert settle(store, session_id) is True
    assert store.messages.pending(session_id)[0].payload["decision"] == "Is [credential:TOKEN] right?"


def test_escapes_that_hide_a_value_in_a_question_by_file_do_not_help_it(store: Store, workers: Workers) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    session_id = known(store, worker)
    hidden = "".join(f"\\u{ord(sign):04x}" for sign in SECRET)
    put(worker, "checkpoint.json", f'{{"id": "q1", "type": "decision", "decision": "Is it {hidden}?"}}')
    settle(store, session_id)
    assert store.messages.pending(session_id)[0].payload["decision"] == "Is it [credential:TOKEN]?"
    assert files_that_hold(workers.layout.root, hidden.encode()) == []


@pytest.mark.parametrize("content", [f'{{"type": "decision", "decision": "{SECRET}', f'{{"type": "{SECRET}"}}'])
def test_what_is_no_question_is_set_aside_masked(content: str, store: Store, workers: Workers) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    session_id = known(store, worker)
    put(worker, "checkpoint.json", content)
    settle(store, session_id)
    assert [event.kind for event in store.events.select(session_id=session_id)][-1] == "file_rejected"
    assert list(worker.folder.rejected.iterdir())
    assert files_that_hold(workers.layout.root, SECRET.encode()) == []


def test_a_question_without_a_value_stays_the_very_file(store: Store, workers: Workers) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    session_id = known(store, worker)
    put(worker, "checkpoint.json", json.dumps({"type": "action", "action": "Buy paint"}))
    inode = worker.folder.checkpoint.stat().st_ino
    settle(store, session_id)
    assert store.messages.pending(session_id)[0].payload["action"] == "Buy paint"
    assert worker.folder.checkpoint.stat().st_ino == inode


def test_what_a_worker_left_at_its_end_is_masked_by_the_shim(store: Store, workers: Workers) -> None:
    """Nobody may have been there to take the question in, and a result is read when the shim has gone."""
    result = {"success": False, "error": f"no {SECRET}", "filesModified": [SECRET]}
    script = (
        "import json, os\n"
        "for name, text in (('result', os.environ['RESULT']), ('checkpoint', os.environ['QUESTION'])):\n"
        "    open(os.path.join(os.environ['HARNESS_SESSION_DIR'], name + '.json'), 'w').write(text)"
    )
    given = {"TOKEN": SECRET}
    worker = workers.python(
        script.replace("os.environ['RESULT']", repr(json.dumps(result)).replace(SECRET, "' + os.environ['TOKEN'] + '"))
        .replace("os.environ['QUESTION']", repr(json.dumps(QUESTION)).replace(SECRET, "' + os.environ['TOKEN'] + '")),
        credentials=given,
    )  # fmt: skip
    session_id = known(store, worker)
    worker.ends()
    assert json.loads(worker.folder.result.read_text())["error"] == "no [credential:TOKEN]"
    ended = conclude(store, session_id)
    assert ended is not None
    assert ended.reason == "no [credential:TOKEN]"
    assert [one.type for one in store.messages.select(session_id)] == ["decision_needed"]
    assert files_that_hold(workers.layout.root, SECRET.encode()) == []


def test_a_question_that_a_dead_process_was_taking_in_is_masked_at_its_worker_s_end(
    store: Store, workers: Workers
) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    session_id = known(store, worker)
    worker.folder.asked.mkdir(exist_ok=True)
    (worker.folder.asked / ".incoming-1").write_text(json.dumps(QUESTION))
    worker.ask(do="input", data="Cg==")
    worker.ends()
    conclude(store, session_id)
    assert [one.payload["decision"] for one in store.messages.select(session_id)] == ["Is [credential:TOKEN] right?"]
    assert files_that_hold(workers.layout.root, SECRET.encode()) == []
