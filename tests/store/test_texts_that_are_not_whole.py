"""Texts that are not whole UTF-8, numbers that are no JSON, nesting without end: mended or refused at the entrance."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import InvalidMessageError, MessageNotFoundError
from tests.store.conftest import ACTION, DECISION, get, new_session, only, only_text, put, reasons, reply, says

if TYPE_CHECKING:
    from harness_nb.store import SessionFolder, Store

HALF = "caf\udce9?"
CHOICES = {"decision": HALF, "options": [{"id": "a", "name": HALF}], HALF: {HALF: [HALF]}}


def is_whole(content: object) -> bool:
    return bool(json.dumps(content, ensure_ascii=False, allow_nan=False).encode())


def nested(depth: int) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for _ in range(depth):
        content = {"x": content}
    return content


@pytest.mark.row(13)
def test_a_question_is_made_whole_where_it_comes_in(store: Store, folder: SessionFolder) -> None:
    record = store.questions.ask(says("decision_needed", CHOICES, message_id=HALF))
    assert (record.id, record.payload["decision"]) == ("caf??", "caf??")
    assert record.payload["caf??"] == {"caf??": ["caf??"]}
    assert is_whole(store.messages.get(record.id).to_wire())
    assert get(folder.checkpoint)["options"][0]["name"] == "caf??"


@pytest.mark.row(13)
def test_an_answer_is_made_whole_where_it_comes_in(store: Store, folder: SessionFolder) -> None:
    put(folder.checkpoint, {**ACTION, "id": "q"})
    store.questions.settle("s1")
    store.questions.answer(reply("q", payload={"notes": HALF, HALF: HALF}), actor="ada", door="test")
    assert get(folder.response)["notes"] == "caf??"
    assert is_whole(only(store.messages.select("s1", direction="out")).to_wire())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_lacks_is_refused_by_its_place(store: Store, folder: SessionFolder, number: float) -> None:
    step = {"taskNumber": 1, "totalTasks": 1, "message": "x"}
    for payload, place in (({**step, "n": [1, {"m": number}]}, "payload.n.1.m"), ({**step, "n": number}, "payload.n")):
        with pytest.raises(InvalidMessageError, match=rf"{place}: .*is no JSON"):
            store.questions.ask(says("progress_update", payload))
    with pytest.raises(InvalidMessageError, match="percentComplete: input should be a finite number"):
        says("progress_update", {**step, "percentComplete": str(number)})
    with pytest.raises(InvalidMessageError, match=r"payload\.n"):
        reply("q", payload={"n": number})
    assert store.messages.select("s1") == []


def test_what_is_nested_too_deeply_is_refused(store: Store, folder: SessionFolder) -> None:
    for depth in (150, 5000):
        with pytest.raises(InvalidMessageError, match="nested too deeply"):
            says("action_needed", {"action": "x", "more": nested(depth)})
    put(folder.checkpoint, json.dumps({**ACTION, "more": nested(300)}))
    store.questions.settle("s1")
    assert store.messages.pending() == []
    assert "nested too deeply" in only_text(reasons(folder))


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(nested(300)).encode(),
        b'{"inResponseTo": "q", "n": NaN}',
        b'{"notes": "x\\ud800"}',
        b'{"notes": "\xe9"}',
    ],
)
def test_an_answers_file_that_cannot_be_kept_is_set_aside(store: Store, folder: SessionFolder, content: bytes) -> None:
    put(folder.checkpoint, {**ACTION, "id": "q"})
    store.questions.settle("s1")
    folder.response.write_bytes(content)
    store.questions.settle("s1")
    assert [one.id for one in store.messages.pending()] == ["q"]
    assert only_text(reasons(folder))
    store.questions.answer(reply("q"), actor="ada", door="test")


@pytest.mark.row(11)
def test_a_journal_that_holds_such_a_text_already_stops_nobody(store: Store, folder: SessionFolder) -> None:
    """An earlier version let them in; whoever opens the project must be able to read and answer them."""
    payload = {key: value for key, value in DECISION.items() if key != "type"}
    new_session(store, "s2")
    for session in ("s1", "s2"):
        store.messages.post(says("decision_needed", {**payload, "decision": "PLACE"}, message_id="q", session=session))
    with store.messages._journal.write() as connection:
        connection.execute("UPDATE messages SET data = replace(data, 'PLACE', 'x\\ud800y')")
    store.questions.settle("s1")
    assert get(folder.checkpoint)["decision"] == "x?y"
    assert all(is_whole(one.to_wire()) for one in store.messages.pending())
    store.questions.answer(reply("q", "decision_made", {"selectedOptionId": "a"}), actor="ada", door="test")
    assert [one.session_id for one in store.messages.pending()] == ["s2"]
    store.sessions.end("s2", state="failed")
    assert is_whole(store.messages.get("q", "s2").to_wire())


def test_an_id_that_is_not_whole_is_nobodys(store: Store, folder: SessionFolder) -> None:
    with pytest.raises(MessageNotFoundError):
        store.messages.get(HALF)
    assert store.messages.find("q", HALF) is None
