"""Credentials in a session: in the worker's environment and in the shim's memory, and nowhere else."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness_nb.credentials.forms import masks_of
from harness_nb.sessions.masking import mask_texts
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


def without_first_letters(text: str) -> str:
    """Return a text without the letters before a mask: as a prompt may end in a value's first three, these show."""
    return re.sub(f"({SECRET[:3]}|{SECRET[:2]}|{SECRET[:1]})(?=\\[)", "", text)


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
    assert without_first_letters(worker.text) == f"<[credential:TOKEN]>{SECRET[:-1]}![credential:TOKEN]"


def test_a_value_split_over_writes_is_masked(workers: Workers) -> None:
    worker = workers.python(
        "import os, time\n"
        "value = os.environ['TOKEN'].encode()\n"
        "for at in range(1, len(value)):\n"
        "    os.write(1, value[:at]); time.sleep(0.002); os.write(1, value[at:] + b'\\n')",
        credentials={"TOKEN": SECRET},
    )
    worker.ends()
    assert without_first_letters(worker.text) == "[credential:TOKEN]\n" * (len(SECRET) - 1)


def test_granted_values_are_handed_out_and_masked_from_then_on(workers: Workers) -> None:
    worker = workers.sh('read value; echo "now $value"')
    worker.ask(do="grant", id="answer-1", values={"API_KEY": SECRET}, masks=masks_of({"API_KEY": SECRET}))
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
    values = {"API_KEY": "other-value", "PIN": "123"}
    assert worker.ask(do="grant", id="answer-1", values=values, masks=masks_of(values))["unmasked"] == ["PIN"]
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
    assert worker.text == "[credential:KEY]\n\n\n\n"  # as many lines as there were


def test_what_a_worker_inherits_is_masked_and_not_handed_out(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", SECRET)
    script = 'echo "$STRIPE_SECRET_KEY"; echo "<$GH_TOKEN>" | base64; read line'
    worker = workers.sh(script, env={"GH_TOKEN": "other-value"})
    worker.prints("[credential:GH_TOKEN]")
    assert "[credential:STRIPE_SECRET_KEY]" in worker.text
    assert not worker.ask(do="take", id="start")["values"]


def test_a_prompt_that_ends_in_a_values_first_letters_is_shown(workers: Workers) -> None:
    """Nothing follows it until somebody answers, so nothing but the silence tells that it is no value."""
    worker = workers.sh('printf "Which tests"; read line', credentials={"TOKEN": SECRET})
    worker.prints("Which tests")


def test_a_value_that_goes_on_after_its_first_letter_was_shown_is_masked(workers: Workers) -> None:
    script = 'stty -echo; printf "is it s"; read line; printf "%s" "${TOKEN#s}"; read line'
    worker = workers.sh(script, credentials={"TOKEN": SECRET})
    worker.prints("is it s")
    worker.ask(do="input", data="Cg==")
    worker.prints("is it s[credential:TOKEN]")


def test_the_environment_of_the_shim_itself_holds_no_credentials(workers: Workers) -> None:
    worker = workers.sh("read line", credentials={"TOKEN": SECRET})
    assert SECRET.encode() not in Path(f"/proc/{worker.shim}/environ").read_bytes()
    assert SECRET.encode() in Path(f"/proc/{worker.pid}/environ").read_bytes()
    assert "TOKEN" not in os.environ


def test_an_agent_on_pipes_that_speaks_in_pieces_is_masked_on_the_joined_text(workers: Workers) -> None:
    script = (
        "import json, os\n"
        "for letter in '<' + os.environ['TOKEN'] + '>':\n"
        "    print(json.dumps({'index': 0, 'delta': {'text': letter}}), flush=True)\n"
    )
    worker = workers.python(script, credentials={"TOKEN": SECRET}, terminal=False)
    worker.ends()
    texts = [json.loads(line)["delta"]["text"] for line in worker.text.splitlines()]
    assert texts == ["<", "[credential:TOKEN]", *[""] * (len(SECRET) - 1), ">"]
