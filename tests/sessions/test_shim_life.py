"""How a shim starts, outlives its launcher, and ends with its worker."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import CommandNotFoundError, ShimFailedError, WorkingFolderNotFoundError
from harness_nb.sessions import Launch, launch
from harness_nb.sessions.launch import SHIM, orders_for
from harness_nb.store.locks import is_held
from tests.sessions.workers import Worker, alive, eventually

if TYPE_CHECKING:
    from tests.sessions.workers import Workers

LAUNCHER = """
import json, sys, time
from pathlib import Path
from harness_nb.sessions import Launch, launch
from harness_nb.sessions.launch import SHIM, orders_for
from harness_nb.store import Layout
layout = Layout(Path(sys.argv[1]))
layout.create()
layout.session("kept").create()
launch(layout, "kept", Launch(("sh", "-c", sys.argv[2]), layout.root))
print("started", flush=True)
time.sleep(600)
"""


@pytest.mark.row(3)
def test_a_worker_ends_with_its_status_and_all_it_printed(workers: Workers) -> None:
    worker = workers.sh("echo hello; exit 7")
    before = time.time()
    ended = worker.ends()
    assert worker.output == b"hello\r\n"
    assert ended["exitCode"] == 7
    assert abs(ended["endedAt"] - before) < 3600
    assert "stoppedBy" not in ended


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN + 5])
def test_the_end_by_a_signal_is_written_down_as_a_negative_status(workers: Workers, number: int) -> None:
    worker = workers.sh("echo up; exec sleep 600")
    worker.prints("up")
    os.kill(worker.pid, number)
    assert worker.ends()["exitCode"] == -number


@pytest.mark.row(11)
@pytest.mark.row(3)
def test_a_worker_outlives_the_whole_process_group_of_whoever_started_it(workers: Workers) -> None:
    """A kernel's restart kills its process group; the session goes on to its own end."""
    layout = workers.layout
    gate = layout.root / "go"
    script = f"echo one; while [ ! -e '{gate}' ]; do sleep 0.01; done; echo two; exit 3"
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, os.fspath(layout.root), script],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"started\n"
    folder = layout.session("kept")
    worker = Worker(folder, json.loads(folder.shim.read_text()))
    workers.started.append(worker)
    worker.prints("one")
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    assert os.getsid(worker.shim) == worker.shim != launcher.pid
    assert os.getsid(worker.pid) == worker.pid
    gate.touch()
    assert worker.ends()["exitCode"] == 3
    assert worker.text == "one\ntwo\n"


@pytest.mark.row(11)
def test_a_worker_goes_on_when_its_launcher_dies_before_it_heard_of_the_start(workers: Workers) -> None:
    folder = workers.layout.session("orphan")
    folder.create()
    order = Launch(("sh", "-c", "echo going on"), workers.layout.root)
    shim = subprocess.Popen(
        [sys.executable, "-I", "-S", os.fspath(SHIM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert shim.stdin is not None
    assert shim.stdout is not None
    shim.stdout.close()  # as when the launcher was killed: nobody will ever read what the shim says
    shim.stdin.write(json.dumps(orders_for(workers.layout, "orphan", order)).encode())
    shim.stdin.close()
    shim.wait()
    worker = Worker(folder, json.loads(eventually(lambda: folder.shim.exists() and folder.shim.read_text(), "a start")))
    workers.started.append(worker)
    assert worker.ends()["exitCode"] == 0
    assert worker.text == "going on\n"


@pytest.mark.row(11)
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipes"])
@pytest.mark.parametrize("dies", ["os.kill(os.getpid(), 9)", "os.write(2, b'!') and os.open('/nowhere/shim.json', 0)"])
def test_a_shim_that_dies_before_it_wrote_down_its_worker_leaves_none(
    workers: Workers, tmp_path: Path, dies: str, terminal: bool
) -> None:
    """Nobody would know of it, so nobody could end it."""
    folder = workers.layout.session("s")
    folder.create()
    begun = tmp_path / "begun"
    order = Launch(("touch", os.fspath(begun)), workers.layout.root, terminal=terminal)
    code = f"import sys, os; sys.path.append({os.fspath(SHIM.parent.parent)!r})\nfrom shim import loop, main\n"
    code += f"loop.write_json = lambda *_, **__: {dies}\nmain.main()"
    reads, writes = os.pipe()  # at its end when all that was started has gone
    shim = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[writes]
    )
    os.close(writes)
    shim.communicate(json.dumps(orders_for(workers.layout, "s", order)).encode())
    with os.fdopen(reads, "rb") as end:
        assert end.read() == b""
    assert not begun.exists()
    assert not folder.exit.exists()


@pytest.mark.row(11)
def test_the_lock_is_held_while_the_shim_lives_and_free_after_it_was_killed(workers: Workers) -> None:
    worker = workers.sh("exec sleep 600")
    assert is_held(worker.folder.lock)
    os.kill(worker.shim, signal.SIGKILL)
    eventually(lambda: not is_held(worker.folder.lock), "the lock is free")
    assert not worker.folder.exit.exists()


def test_the_lock_is_not_passed_on_to_the_worker(workers: Workers) -> None:
    worker = workers.python(
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'r+')\n"
        "try: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB); print('mine')\n"
        "except OSError: print('taken')",
        os.fspath(workers.layout.session("s1").lock),
    )
    worker.ends()
    assert worker.text == "taken\n"


@pytest.mark.row(2)
def test_the_socket_is_the_users_own(workers: Workers) -> None:
    worker = workers.sh("exec sleep 600")
    found = Path(worker.socket).stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    folder = workers.layout.sockets.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.getuid()
    assert stat.S_IMODE(worker.folder.output.stat().st_mode) == 0o600


def test_a_socket_is_short_however_long_the_projects_path_is(workers: Workers, tmp_path: Path) -> None:
    from harness_nb.store import Layout

    root = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 8)
    root.mkdir(parents=True)
    layout = Layout(root)
    layout.create()
    layout.session("s").create()
    worker = Worker(layout.session("s"), launch(layout, "s", Launch(("sh", "-c", "read line"), root)))
    workers.started.append(worker)
    try:
        assert worker.ask(do="input", data="Cg==")["ok"]
        assert worker.ends()["exitCode"] == 0
    finally:
        import shutil

        shutil.rmtree(layout.sockets)


def test_the_socket_goes_with_the_session(workers: Workers) -> None:
    worker = workers.sh("true")
    worker.ends()
    assert not Path(worker.socket).exists()
    with pytest.raises(ShimFailedError, match="s1"):
        worker.ask(do="watch")


def test_what_the_shim_holds_open_is_not_open_in_the_worker(workers: Workers) -> None:
    worker = workers.start("ls", "/proc/self/fd")
    worker.ends()
    assert sorted(worker.text.split()) == ["0", "1", "2", "3"]  # the last one is the listing itself


def test_a_worker_starts_with_the_signals_and_the_mask_of_a_fresh_program(workers: Workers) -> None:
    before = os.umask(0o027)
    try:
        worker = workers.sh("grep Sig /proc/self/status; umask")
    finally:
        os.umask(before)
    worker.ends()
    lines = dict(line.split(":\t") for line in worker.text.splitlines() if ":\t" in line)
    assert int(lines["SigIgn"], 16) == 0
    assert int(lines["SigBlk"], 16) == 0
    assert worker.text.splitlines()[-1] == "0027"


def test_a_worker_knows_its_session(workers: Workers) -> None:
    worker = workers.sh('echo "$HARNESS_SESSION_ID $HARNESS_SESSION_DIR $HARNESS_PROJECT $(pwd) $EXTRA"; tty',
                        env={"EXTRA": "more"})  # fmt: skip
    worker.ends()
    first, terminal = worker.text.splitlines()
    root = workers.layout.root
    assert first == f"s1 {workers.layout.session('s1').path} {root} {root} more"
    assert terminal.startswith("/dev/pts/")


def test_python_is_the_python_in_use_here(workers: Workers) -> None:
    worker = workers.sh("command -v python")
    worker.ends()
    assert worker.text.strip() == str(Path(sys.executable).parent / "python")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("no-such-command-here",), "Cannot start 'no-such-command-here': there is no such command"),
        (("/etc/passwd",), "Cannot start '/etc/passwd': it is not an executable program"),
        (("echo", "a\0b"), "Cannot start 'echo': embedded null byte"),
    ],
)
def test_a_command_that_cannot_be_run_is_said_in_one_sentence(
    workers: Workers, argv: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(CommandNotFoundError) as caught:
        workers.start(*argv)
    assert str(caught.value).startswith(sentence)
    folder = workers.layout.session("s1")
    eventually(lambda: not is_held(folder.lock), "the shim's end")
    assert not folder.shim.exists()


def test_a_script_without_an_interpreter_is_not_executable(workers: Workers) -> None:
    script = workers.layout.root / "script"
    script.write_bytes(b"\x00\x01 nothing that runs")
    script.chmod(0o755)
    with pytest.raises(CommandNotFoundError, match="not an executable program"):
        workers.start("./script")


def test_a_working_folder_that_is_not_there_is_named(workers: Workers) -> None:
    missing = workers.layout.root / "missing"
    with pytest.raises(WorkingFolderNotFoundError, match="missing"):
        launch(workers.layout, "s1", Launch(("true",), missing))


def test_a_session_folder_that_is_not_there_is_no_missing_command(workers: Workers) -> None:
    with pytest.raises(ShimFailedError, match=r"No such file or directory .*shim\.lock"):
        launch(workers.layout, "never-made", Launch(("true",), workers.layout.root))


@pytest.mark.row(11)
def test_a_new_life_of_a_session_forgets_how_the_last_one_ended(workers: Workers) -> None:
    first = workers.sh("echo first; exit 4")
    assert first.ends()["exitCode"] == 4
    info = launch(workers.layout, "s1", Launch(("sh", "-c", "echo second; read line"), workers.layout.root))
    second = Worker(first.folder, info)
    workers.started.append(second)
    second.prints("second")
    assert not second.folder.exit.exists()
    assert second.text == "first\nsecond\n"
    second.ask(do="input", data="Cg==")
    assert second.ends()["exitCode"] == 0


def test_the_shim_uses_nothing_but_the_standard_library() -> None:
    """It is run without site-packages: whatever it imports must be there then too."""
    done = subprocess.run([sys.executable, "-I", "-S", os.fspath(SHIM)], input=b"{", capture_output=True, check=False)
    assert b"JSONDecodeError" in done.stderr
    assert b"ModuleNotFoundError" not in done.stderr


def test_a_lock_taken_in_a_second_process_waits_for_the_shim(workers: Workers) -> None:
    """What ``is_held`` says is what any other program sees."""
    worker = workers.sh("read line")
    with worker.folder.lock.open("r+") as file, pytest.raises(BlockingIOError):
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    worker.ask(do="input", data="Cg==")
    worker.ends()
    assert not alive(worker.pid)
    with worker.folder.lock.open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
