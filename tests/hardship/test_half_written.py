"""Files that another program has written half: set aside with a reason, never fatal, taken once they are whole."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import UnreadableFileError
from harness_nb.harness.state import read_state
from harness_nb.sessions import conclude
from harness_nb.views.troubles import troubles_of
from tests.sessions.living import happens, opened, printed, question
from tests.store.conftest import ask_by_file, get, names, new_session, only, only_text, reasons

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.store import SessionFolder, Store
    from tests.store.conftest import Stores

pytestmark = [pytest.mark.anyio, pytest.mark.row(6, 11)]

QUESTION = json.dumps({"id": "q1", "type": "action", "action": "Log in"})
ANSWER = json.dumps({"inResponseTo": "q1", "actionCompleted": True, "notes": "done by hand"})


@pytest.fixture
def folder(store: Store) -> SessionFolder:
    return new_session(store, state="running")


@contextmanager
def half_written(path: Path, text: str) -> Iterator[None]:
    """Have a file's first half there for as long as this lasts, and all of it afterwards."""
    half = len(text) // 2
    with path.open("w") as writer:
        writer.write(text[:half])
        writer.flush()
        yield
        writer.write(text[half:])


def notes(store: Store) -> Any:
    """Return what the answer to the question says in words."""
    answer = store.messages.answer_to("q1")
    assert answer is not None
    return answer.payload["notes"]


def test_a_question_is_set_aside_while_it_is_half_there_and_asked_once_it_is_whole(
    store: Store, folder: SessionFolder
) -> None:
    with half_written(folder.checkpoint, QUESTION):
        store.questions.settle("s1")
        assert store.messages.pending() == []
        assert "cannot be read" in only_text(reasons(folder))
        assert "was set aside" in only_text(list(troubles_of(store)))
        store.questions.settle("s1")
        assert len(reasons(folder)) == 1
    store.questions.settle("s1")
    assert only(store.messages.pending()).id == "q1"
    assert names(folder.rejected) == []
    assert troubles_of(store) == ()


def test_an_answer_is_set_aside_while_it_is_half_there_and_counts_once_it_is_whole(
    store: Store, folder: SessionFolder
) -> None:
    ask_by_file(store, folder, "q1")
    with half_written(folder.response, ANSWER):
        store.questions.settle("s1")
        assert only(store.messages.pending()).id == "q1"
    store.questions.settle("s1")
    assert store.messages.pending() == []
    assert notes(store) == "done by hand"


def test_an_answer_that_is_completed_after_another_one_came_does_not_get_in_its_way(
    store: Store, folder: SessionFolder
) -> None:
    ask_by_file(store, folder, "q1")
    with half_written(folder.response, ANSWER):
        store.questions.settle("s1")
        folder.response.write_text(json.dumps({"inResponseTo": "q1", "actionCompleted": True, "notes": "first"}))
        store.questions.settle("s1")
    store.questions.settle("s1")
    assert get(folder.response)["notes"] == "first"
    assert notes(store) == "first"


async def test_a_worker_that_writes_its_question_bit_by_bit_is_asked_for_all_the_same(project: Path) -> None:
    script = f"""cd "$HARNESS_SESSION_DIR"; echo up; exec 3> checkpoint.json; printf '%s' '{QUESTION[:20]}' >&3
    until test -d rejected; do sleep 0.01; done; sleep 0.2; printf '%s' '{QUESTION[20:]}' >&3; exec 3>&-
    until test -e checkpoint_response.json; do sleep 0.01; done; cat checkpoint_response.json"""
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", script])
        await printed(h, session.id, "up")
        await happens(h, lambda: h.store.events.select(kind="file_rejected"))
        asked = await question(h)
        await asked.approve(notes="here you are")
        record = await session.wait()
        assert record.state == "completed"
        assert "here you are" in session.output().text


def test_half_a_result_is_set_aside_and_the_session_has_a_whole_one(store: Store, folder: SessionFolder) -> None:
    folder.result.write_text('{"success": true, "summ')
    folder.exit.write_text('{"exitCode": 3, "endedAt": 1767323045.0}')
    record = conclude(store, "s1")
    assert record is not None
    assert (record.state, record.reason) == ("failed", "exit status 3")
    assert "result.json" in only_text(reasons(folder))
    assert (get(folder.result)["success"], get(folder.result)["error"]) == (False, "exit status 3")


@pytest.mark.parametrize("half", ["maxRetries: [1,", "policies:\n  - {kind: dec", "max\tRetries: 2\n\t- x"])
def test_settings_that_are_half_written_are_a_sentence_and_count_again_once_they_are_whole(
    stores: Stores, half: str
) -> None:
    store = stores.open()
    store.layout.config.write_text(half)
    with pytest.raises(UnreadableFileError, match=r"config\.yaml:\d+ cannot be read"):
        store.config()
    store.layout.config.write_text("maxRetries: 7\n")
    assert store.config().max_retries == 7


async def test_sessions_start_and_end_while_the_settings_are_half_written(project: Path) -> None:
    async with opened(project) as h:
        h.store.layout.config.write_text("maxRetries: [1,")
        session = await h.start_session(command=["true"])
        assert (await session.wait()).state == "completed"


@pytest.mark.parametrize("half", ["---\nversion: 1\nphase", "---\nversion: [1", "---\n", "# Roadm", "\udce9"])
def test_a_roadmap_that_is_half_written_hides_no_plan(stores: Stores, half: str) -> None:
    store = stores.open()
    plans = stores.root / "planning" / "plans" / "01-a"
    plans.mkdir(parents=True)
    (plans / "01-01-PLAN.md").write_text("---\nphase: 1\nplan: 1\n---\n")
    (stores.root / "planning" / "ROADMAP.md").write_text(half, errors="surrogateescape")
    assert [plan.id for plan in read_state(store).plans] == ["01-01"]
