"""Credentials in a session: in the worker's environment and in the shim's memory, and nowhere else."""

from __future__ import annotations

import base64
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_nb.sessions.masking import mask_texts
from harness_nb.shim.masker import Masker
from tests.leaks import files_that_hold

if TYPE_CHECKING:
    from tests.sessions.workers import Workers

pytestmark = pytest.mark.row(2)

SECRET = "s3cr3t-passw0rd-42"


def command_lines() -> bytes:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


def test_credentials_of_the_start_are_in_the_environment_and_masked_in_the_log(workers: Workers) -> None:
    worker = workers.sh('echo "url=$DB_URL end"; read line', credentials={"DB_URL": SECRET})
    worker.prints("end")
    assert worker.text == "url=[credential:DB_URL] end\n"
    assert SECRET.encode() not in command_lines()
    worker.ask(do="input", data="Cg==")
    worker.ends()
    assert files_that_hold(workers.layout.root, SECRET.encode(), base64.b64encode(SECRET.encode())) == []


def test_a_value_is_masked_when_it_comes_letter_by_letter(workers: Workers) -> None:
    """Each letter is a write of its own, made only when the shim has seen to what came before."""
    worker = workers.python(
        "import os, sys, termios\n"
        "mode = termios.tcgetattr(0); mode[3] &= ~termios.ECHO; termios.tcsetattr(0, termios.TCSANOW, mode)\n"
        "value = os.environ['TOKEN']\n"
        "for letter in '<' + value + '>' + value[:-1] + '!' + value:\n"
        "    os.write(1, letter.encode()); sys.stdin.readline()",
        credentials={"TOKEN": SECRET},
    )
    worker.prints("<")
    for _ in range(3 * len(SECRET) + 2):
        worker.ask(do="input", data="Cg==")
    worker.ends()
    assert worker.text == f"<[credential:TOKEN]>{SECRET[:-1]}![credential:TOKEN]"


def test_a_value_split_over_writes_is_masked(workers: Workers) -> None:
    worker = workers.python(
        "import os, time\n"
        "value = os.environ['TOKEN'].encode()\n"
        "for at in range(1, len(value)):\n"
        "    os.write(1, value[:at]); time.sleep(0.002); os.write(1, value[at:] + b'\\n')",
        credentials={"TOKEN": SECRET},
    )
    worker.ends()
    assert worker.text == "[credential:TOKEN]\n" * (len(SECRET) - 1)


def test_granted_values_are_handed_out_and_masked_from_then_on(workers: Workers) -> None:
    worker = workers.sh('read value; echo "now $value"')
    worker.ask(do="grant", id="answer-1", values={"API_KEY": SECRET})
    assert worker.ask(do="take", id="answer-1")["values"] == {"API_KEY": SECRET}
    assert worker.ask(do="take", id="answer-2")["values"] is None
    worker.ask(do="input", data=base64.b64encode(f"{SECRET}\n".encode()).decode())
    worker.ends()
    assert worker.text == "[credential:API_KEY]\nnow [credential:API_KEY]\n"
    assert files_that_hold(workers.layout.root, SECRET.encode()) == []
    assert SECRET.encode() not in command_lines()


def test_texts_are_masked_on_demand_with_every_value_that_was_granted(workers: Workers) -> None:
    """The values stay in the shim; the output's held-back tail is not touched."""
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    assert worker.ask(do="mask", texts=["plain", f"a{SECRET}b"])["texts"] == ["plain", "a[credential:TOKEN]b"]
    assert worker.ask(do="grant", id="answer-1", values={"API_KEY": "other-value", "PIN": "123"})["unmasked"] == ["PIN"]
    assert worker.ask(do="mask", texts=["other-value", "\ud800 123"])["texts"] == ["[credential:API_KEY]", "\ud800 123"]
    assert workers.sh("read line").ask(do="mask", texts=[SECRET])["texts"] == [SECRET]


def test_a_worker_that_speaks_before_its_shim_has_written_down_where_it_is_tells_no_value(workers: Workers) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    worker.folder.shim.unlink()
    assert mask_texts(worker.folder, [f"a{SECRET}b"]) == ["a[credential:TOKEN]b"]


def test_a_value_of_several_lines_is_masked_as_a_terminal_shows_it(workers: Workers) -> None:
    key = "-----BEGIN-----\nabcdefgh\nijklmnop\n-----END-----"
    worker = workers.sh('printf "%s\\n" "$KEY"', credentials={"KEY": key})
    worker.ends()
    assert worker.text == "[credential:KEY]\n"


def test_the_environment_of_the_shim_itself_holds_no_credentials(workers: Workers) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    assert SECRET.encode() not in Path(f"/proc/{worker.shim}/environ").read_bytes()
    assert SECRET.encode() in Path(f"/proc/{worker.pid}/environ").read_bytes()
    assert "TOKEN" not in os.environ


# --- Masker ------------------------------------------------------------------------------------

letters = st.sampled_from("xyz\n")
values = st.dictionaries(st.sampled_from("ABC"), st.text(letters, min_size=4, max_size=9), min_size=1, max_size=3)


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, str], bytes, list[int]]:
    secrets = draw(values)
    piece = st.one_of(st.text(letters, max_size=6), st.sampled_from(sorted(secrets.values())))
    data = "".join(draw(st.lists(piece, max_size=12))).encode()
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=8))
    return secrets, data, sorted(cuts)


def masked(secrets: dict[str, str], data: bytes, cuts: list[int]) -> bytes:
    masker = Masker()
    masker.add(secrets)
    places = [0, *cuts, len(data)]
    pieces = [data[one:other] for one, other in pairwise(places)]
    return b"".join(masker.feed(piece) for piece in pieces) + masker.flush()


@given(streams())
@settings(max_examples=400, deadline=None)
def test_no_value_comes_through_however_the_output_is_split(case: tuple[dict[str, str], bytes, list[int]]) -> None:
    secrets, data, cuts = case
    shown = masked(secrets, data, cuts)
    assert not any(value.encode() in shown for value in secrets.values())
    assert shown == masked(secrets, data, [])


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=200, deadline=None)
def test_output_without_values_is_left_byte_for_byte(data: bytes, cuts: list[int]) -> None:
    secrets = {"ONE": "never-in-there", "TWO": "nor-this-one"}
    assert masked(secrets, data, sorted(min(cut, len(data)) for cut in cuts)) == data


@given(st.binary(max_size=100))
def test_without_credentials_nothing_is_held_back(data: bytes) -> None:
    assert Masker().feed(data) == data


def test_the_longest_value_is_taken_also_when_a_shorter_one_is_complete_first() -> None:
    masker = Masker()
    masker.add({"SHORT": "abcd", "LONG": "abcdefgh"})
    assert masker.feed(b"<abcd") == b"<"
    assert masker.feed(b"efgh>") == b"[credential:LONG]>"
    assert masker.feed(b"abcd") == b""
    assert masker.flush() == b"[credential:SHORT]"


def test_a_value_too_short_to_be_told_from_text_is_not_masked() -> None:
    masker = Masker()
    masker.add({"PIN": "123"})
    assert masker.feed(b"123 tests") == b"123 tests"


def test_a_text_on_its_own_does_not_mix_with_the_stream() -> None:
    masker = Masker()
    assert masker.mask("abcd") == "abcd"
    assert masker.add({"ONE": "abcd", "PIN": "123"}) == ["PIN"]
    assert masker.feed(b"ab") == b""
    assert masker.mask("cd abcd é") == "cd [credential:ONE] é"
    assert masker.feed(b"cd") + masker.flush() == b"[credential:ONE]"
