"""A value that comes in pieces, a line of JSON each, is masked on the joined text; what has none is left as it was."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_nb.credentials.forms import masks_of
from harness_nb.shim.joined import MOST_STREAMS, LineMasker

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.row(2)

SECRET = "ghp_x8Kd02mPqLs7TzA91bVcNw3E"
HARD = "pg://ad'min:p@$$ w\"o\\rd/é&x@db.example/app"
VALUES = {"TOKEN": SECRET, "URL": HARD}


def delta(text: str, index: int = 0, kind: str = "text", session: str = "one") -> dict[str, Any]:
    event = {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", kind: text}}
    return {"type": "stream_event", "event": event, "session_id": session, "parent_tool_use_id": None}


def stop(index: int = 0, session: str = "one") -> dict[str, Any]:
    event = {"type": "content_block_stop", "index": index}
    return {"type": "stream_event", "event": event, "session_id": session, "parent_tool_use_id": None}


def acp(text: str) -> dict[str, Any]:
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}}


def openai(text: str) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def masker(clock: Callable[[], float] = lambda: 0.0) -> LineMasker:
    found = LineMasker(clock)
    found.add(masks_of(VALUES))
    return found


def masked(*data: bytes) -> bytes:
    one = masker()
    return b"".join(one.feed(piece) for piece in data) + one.flush()


def joined(shown: bytes, index: int = 0, kind: str = "text") -> str:
    events = [json.loads(one)["event"] for one in shown.splitlines()]
    return "".join(one["delta"][kind] for one in events if one["index"] == index and kind in one.get("delta", {}))


@pytest.mark.parametrize("kind", ["text", "partial_json", "thinking"])
@pytest.mark.parametrize("value", [SECRET, HARD, json.dumps(HARD)[1:-1]])
def test_a_value_split_at_any_letter_over_lines_is_masked(value: str, kind: str) -> None:
    for cut in range(len(value) + 1):
        texts = ["so: ", value[:cut], "", value[cut:], " done"]
        shown = masked(*(line(delta(text, kind=kind)) for text in texts), line(stop()))
        name = "TOKEN" if value == SECRET else "URL"
        assert joined(shown, kind=kind) == f"so: [credential:{name}] done"
        assert len(shown.splitlines()) == 6


@pytest.mark.parametrize("made_by", [delta, acp, openai])
def test_letter_by_letter_the_mask_is_in_the_first_line_and_nothing_in_the_others(made_by: Any) -> None:
    shown = masked(*(line(made_by(letter)) for letter in SECRET + "!"))
    assert shown == line(made_by("[credential:TOKEN]")) + line(made_by("")) * (len(SECRET) - 1) + line(made_by("!"))


@given(st.lists(st.sampled_from([SECRET, HARD, "gh", "p", "ghp_x8", " words ", "pg:", "\n"]), max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_wherever_texts_and_reads_are_split_no_value_comes_through(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    lines = b"".join(line(delta(text[a:b])) for a, b in pairwise([0, *cuts, len(text)])) + line(stop())
    reads = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=6)))
    shown = masked(*(lines[a:b] for a, b in pairwise([0, *reads, len(lines)])))
    assert shown == masked(lines)
    assert SECRET not in joined(shown)
    assert HARD not in joined(shown)
    assert joined(shown).count("[credential:") == sum(part in (SECRET, HARD) for part in parts)
    assert len(shown.splitlines()) == len(lines.splitlines())


@given(st.lists(st.text(alphabet='ghp_x8Kd :/é"\n', max_size=8), max_size=10))
@settings(max_examples=60, deadline=None)
def test_lines_without_a_value_are_left_byte_for_byte(texts: list[str]) -> None:
    lines = b"".join(json.dumps(delta(text), ensure_ascii=False).encode() + b"\n" for text in texts)
    assert masked(lines) == lines


def test_streams_that_alternate_are_joined_each_for_itself() -> None:
    half, rest = SECRET[:9], SECRET[9:]
    shown = masked(line(delta(half, 0)), line(delta("other", 1)), line(delta(rest, 0)), line(delta(rest, 1)))
    assert joined(shown, 0) == "[credential:TOKEN]"
    assert joined(shown, 1) == "other" + rest


def test_a_line_that_waits_is_written_as_soon_as_its_stream_ends_and_keeps_the_order() -> None:
    one = masker()
    first, second, end = line(delta("it begins with ghp_x8")), line(delta("other", 1)), line(stop())
    assert one.feed(first) == b""
    assert one.feed(second) == b""
    assert one.feed(b"a warning\n") == b""
    assert one.feed(end) == first + second + b"a warning\n" + end
    assert not one.waiting


def test_after_a_second_a_line_waits_no_longer_and_the_rest_of_its_value_is_masked() -> None:
    now = [0.0]
    one = masker(lambda: now[0])
    assert one.feed(line(delta(f"so {SECRET[:2]}"))) == b""
    assert one.waiting
    now[0] = 0.75
    assert one.feed(line(delta("other", 1))) == one.settle() == b""
    assert (one.waiting, one.silence) == (True, 0.25)
    now[0] = 1.0
    assert one.settle() == line(delta(f"so {SECRET[:2]}")) + line(delta("other", 1))
    assert one.feed(line(delta(SECRET[2:] + "!"))) == line(delta("[credential:TOKEN]!"))


def test_lines_that_are_no_json_are_masked_as_bytes() -> None:
    assert masked(f"{SECRET[:5]}".encode(), f"{SECRET[5:]} {{\n[1]\n{{ {SECRET}\n".encode()) == (
        b"[credential:TOKEN] {\n[1]\n{ [credential:TOKEN]\n"
    )
    assert masked(b"a prompt: ") == b"a prompt: "


def test_names_and_numbers_of_a_line_are_masked_too() -> None:
    one = LineMasker()
    one.add(masks_of({"A": "first-name", "B": "987654321"}))
    shown = one.feed(b'{"first-name": 987654321, "c": "x first-name"}\n')
    assert shown == b'{"[credential:A]": [credential:B], "c": "x [credential:A]"}\n'


def test_more_than_a_moderate_amount_does_not_wait() -> None:
    one = masker()
    held = line(delta("ghp_x8"))
    assert one.feed(held) == b""
    assert one.feed(line(delta("a" * (1 << 20), 1))).startswith(held)


def test_what_is_remembered_of_streams_that_ended_without_a_word_is_bounded() -> None:
    one = masker()
    for number in range(1000):
        one.feed(line({"toolCallId": str(number), "input": "g"}))
    assert len(one._streams) <= MOST_STREAMS


@pytest.mark.parametrize("depth", [90, 200, 985, 990, 995, 3000])
def test_a_line_however_deep_is_masked(depth: int) -> None:
    deep = b'{"a":' + b"[" * depth + json.dumps(SECRET).encode() + b"]" * depth + b"}\n"
    assert masked(deep) == deep.replace(SECRET.encode(), b"[credential:TOKEN]")


def test_a_value_that_is_no_text_and_the_end_of_a_sign_is_masked() -> None:
    one = LineMasker()
    one.add(masks_of({"TOKEN": b"\xa9bcdefgh-1234".decode(errors="surrogateescape")}))
    assert json.loads(one.feed(b'{"a":"caf\xc3\xa9bcdefgh-1234"}\n')) == {"a": "caf\ufffd[credential:TOKEN]"}
