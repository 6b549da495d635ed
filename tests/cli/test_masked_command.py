"""``harness-nb worker exec`` where others than the session read the output: an agent, a pipe, a file."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness_nb import Harness
from harness_nb.store import Layout
from tests.mcp_server.working import environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.row(2, 13)

SECRET = "s3cr3t-passw0rd-42"
EXEC = (sys.executable, "-m", "harness_nb.cli", "worker", "exec")
LIMIT = 60


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a session that was given a value; the test is its worker."""
    root = tmp_path_factory.mktemp("project")
    with Harness(root) as harness:
        session = harness.start_session(command=["sh", "-c", "read line"], env_credentials={"TOKEN": SECRET})
        yield environment_of(Layout(root).session(session.id))
        session.stop(grace=0.5)


def run(inside: dict[str, str], code: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = [*EXEC, *options, "--", "sh", "-c", code]
    return subprocess.run(words, env=inside, capture_output=True, text=True, timeout=LIMIT, check=False)


def test_what_comes_by_pipes_is_masked_on_both_and_the_status_is_the_command_s(inside: dict[str, str]) -> None:
    done = run(inside, 'echo "out $TOKEN"; echo "err $TOKEN" >&2; echo "${#TOKEN} letters"; exit 7')
    assert (done.returncode, done.stdout) == (7, f"out [credential:TOKEN]\n{len(SECRET)} letters\n")
    assert done.stderr == "err [credential:TOKEN]\n"


def test_what_comes_in_pieces_is_masked_and_other_bytes_are_left_alone(inside: dict[str, str]) -> None:
    code = "import os\nfor byte in os.environ['TOKEN'].encode() + bytes(range(256)): os.write(1, bytes([byte]))"
    words = [*EXEC, "--", sys.executable, "-c", code]
    done = subprocess.run(words, env=inside, capture_output=True, timeout=LIMIT, check=True)
    assert done.stdout == b"[credential:TOKEN]" + bytes(range(256))


def test_output_and_errors_that_share_a_pipe_keep_their_order(inside: dict[str, str]) -> None:
    code = "for number in 1 2 3 4 5; do echo out $number; echo err $number $TOKEN >&2; done"
    words = [*EXEC, "--", "sh", "-c", code]
    done = subprocess.run(
        words, env=inside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=True
    )
    assert done.stdout == "".join(f"out {number}\nerr {number} [credential:TOKEN]\n" for number in range(1, 6))


def test_an_answer_that_ends_as_a_value_begins_reaches_who_waits_for_it(inside: dict[str, str]) -> None:
    """Somebody who asks and waits for each whole line, as programs talk to one that serves them."""
    code = f"while read line; do echo {SECRET[:1]}; done"
    with subprocess.Popen(
        [*EXEC, "--", "sh", "-c", code], env=inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            process.stdin.write(b"ask\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{SECRET[:1]}\n".encode()
        process.stdin.close()


def test_a_full_disk_is_told_to_the_command_and_not_about_it(inside: dict[str, str]) -> None:
    code = "i=0; while [ $i -lt 50000 ]; do echo out || exit 9; i=$((i+1)); done"
    with open("/dev/full", "wb") as full:  # noqa: PTH123 — a device
        done = subprocess.run(
            [*EXEC, "--", "sh", "-c", code], env=inside, stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, check=False
        )
    assert done.returncode in (9, -signal.SIGPIPE)
    assert b"cannot be run" not in done.stderr


def test_what_goes_into_a_file_is_masked(inside: dict[str, str], tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        subprocess.run([*EXEC, "--", "sh", "-c", "echo $TOKEN"], env=inside, stdout=file, timeout=LIMIT, check=True)
    assert (tmp_path / "file").read_text() == "[credential:TOKEN]\n"


def test_raw_leaves_it_alone_for_a_program_that_takes_it_in(inside: dict[str, str]) -> None:
    assert run(inside, 'printf %s "$TOKEN"', "--raw").stdout == SECRET


def test_a_terminal_stays_the_command_s_own(inside: dict[str, str]) -> None:
    """The shim masks on the session's; a program that asks whether it has one is to be told so."""
    master, slave = pty.openpty()
    words = [*EXEC, "--", "sh", "-c", "test -t 1 && test -t 2 && echo both"]
    with subprocess.Popen(words, env=inside, stdout=slave, stderr=slave) as process:
        os.close(slave)
        assert os.read(master, 100) == b"both\r\n"
        assert process.wait(LIMIT) == 0
    os.close(master)


def test_a_signal_that_ends_the_command_ends_its_masker_by_the_same(inside: dict[str, str]) -> None:
    assert run(inside, "kill -KILL $$").returncode == -signal.SIGKILL
    assert run(inside, "kill -TERM $$").returncode == -signal.SIGTERM


def test_a_signal_to_the_masker_reaches_the_command(inside: dict[str, str]) -> None:
    code = "trap 'echo told $TOKEN; exit 4' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen([*EXEC, "--", "sh", "-c", code], env=inside, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "told [credential:TOKEN]\n"
        assert process.wait(LIMIT) == 4


def test_a_program_that_is_left_behind_holds_nobody_up_and_is_masked_to_its_end(
    inside: dict[str, str], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    code = f"(read go < {tmp_path}/go; echo later $TOKEN) & echo begun"
    with subprocess.Popen([*EXEC, "--", "sh", "-c", code], env=inside, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.wait(LIMIT) == 0
        (tmp_path / "go").write_text("go\n")
        assert process.stdout.read() == "begun\nlater [credential:TOKEN]\n"


def test_a_reader_that_goes_ends_the_command_as_ever(inside: dict[str, str]) -> None:
    with subprocess.Popen([*EXEC, "--", "yes"], env=inside, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"y\ny\n"
        process.stdout.close()
        assert process.wait(LIMIT) == -signal.SIGPIPE


def test_a_program_that_is_not_there_is_named(inside: dict[str, str]) -> None:
    words = [*EXEC, "--", "there-is-no-such-program"]
    done = subprocess.run(words, env=inside, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 2
    assert "there-is-no-such-program" in done.stderr
