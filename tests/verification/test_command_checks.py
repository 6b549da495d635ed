"""Checks that run commands: what passes, what fails, what cannot run, and what is left behind: nothing."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest

from harness_nb.verification import VerificationEngine, commands
from harness_nb.verification.commands import KEPT_BYTES, HeadAndTail, run_shell
from tests.verification.conftest import is_alive, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.verification.conftest import Verify

pytestmark = [pytest.mark.anyio, pytest.mark.row(5)]

PROGRAM = """import sys
block = ('x' * 99 + chr(10)) * 1000
sys.stdout.write('first' + chr(10))
for number in range(1000):
    sys.stdout.write(block)
    number == 500 and sys.stdout.write('nee' + 'dle' + chr(10))
sys.stdout.write('last' + chr(10))
"""
PRINT_100_MB = shlex.join([sys.executable, "-c", PROGRAM])


class TestCommandSucceeds:
    async def test_passes_with_status_0_in_its_folder_with_its_environment(self, project: Path, verify: Verify) -> None:
        (project / "sub").mkdir()
        result = await verify(
            "command_succeeds",
            command='test "$(basename "$PWD")" = sub && test "$A$B" = 12 && echo done',
            cwd="sub",
            env={"A": "1"},
            engine={"environment": {"B": "2"}},
        )
        assert result.passed, result.error
        assert result.output == "done\n"

    async def test_fails_with_status_and_last_line(self, verify: Verify) -> None:
        result = await verify("command_succeeds", command="echo out; echo why >&2; exit 3")
        assert not result.passed
        assert "ended with exit status 3. Last line: why" in (result.error or "")

    async def test_says_when_a_command_is_not_there_and_when_a_signal_ended_it(self, verify: Verify) -> None:
        assert "was not found" in ((await verify("command_succeeds", command="no-such-program-x")).error or "")
        assert "was ended by SIGKILL" in ((await verify("command_succeeds", command="kill -9 $$")).error or "")

    @pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="this system has no real-time signals")
    async def test_a_signal_without_a_name_is_told_by_its_number(self, verify: Verify) -> None:
        assert "was ended by signal 40." in ((await verify("command_succeeds", command="kill -40 $$")).error or "")

    @pytest.mark.parametrize("command", ["  ", "# all is well", "set -e\n\n# later: make test\n", "\n"])
    async def test_a_script_without_a_command_shows_nothing(self, verify: Verify, command: str) -> None:
        result = await verify("command_succeeds", command=command)
        assert not result.passed
        assert "Could not run" in (result.error or "")
        assert not (await verify("command_output", command=command, expects="^", regex=True)).passed
        assert not (await verify("build_succeeds", command=command)).passed

    @pytest.mark.parametrize("command", ["true # fine", "set -e; true", "# first\ntrue"])
    async def test_a_comment_beside_a_command_does_no_harm(self, verify: Verify, command: str) -> None:
        assert (await verify("command_succeeds", command=command)).passed

    async def test_a_folder_that_is_not_there_is_not_a_pass(self, verify: Verify) -> None:
        result = await verify("command_succeeds", command="true", cwd="none")
        assert not result.passed
        assert (result.error or "").startswith("Could not run: The folder")

    async def test_a_command_that_reads_gets_the_end_at_once(self, verify: Verify) -> None:
        assert (await verify("command_succeeds", command="cat; read x || true")).passed

    async def test_output_of_100_mb_is_kept_by_its_ends(self, verify: Verify) -> None:
        result = await verify("command_succeeds", command=PRINT_100_MB)
        assert result.passed, result.error
        assert result.output
        assert len(result.output) < KEPT_BYTES + 200
        assert result.output.startswith("first\nxxx")
        assert result.output.endswith("xxx\nlast\n")
        assert "bytes of output dropped here]" in result.output


class TestCommandOutput:
    async def test_finds_text_in_the_stream_asked_for(self, verify: Verify) -> None:
        command = "echo to-out; echo to-err >&2; exit 1"
        assert (await verify("command_output", command=command, expects="to-out")).passed
        assert not (await verify("command_output", command=command, expects="to-err")).passed
        assert (await verify("command_output", command=command, expects="to-err", stream="stderr")).passed
        for expected in ("to-out", "to-err"):
            assert (await verify("command_output", command=command, expects=expected, stream="combined")).passed

    async def test_finds_regular_expressions(self, verify: Verify) -> None:
        command = "printf 'a 1\\nb 22\\n'"
        assert (await verify("command_output", command=command, expects=r"^b \d+$", regex=True)).passed
        result = await verify("command_output", command=command, expects=r"^c \d+$", regex=True)
        assert "stdout has no match of" in (result.error or "")
        assert "no regular expression" in (
            (await verify("command_output", command=command, expects="(", regex=True)).error or ""
        )

    async def test_finds_text_in_the_middle_of_100_mb(self, verify: Verify) -> None:
        assert (await verify("command_output", command=PRINT_100_MB, expects="needle")).passed
        result = await verify("command_output", command=PRINT_100_MB, expects="nee.le", regex=True)
        assert not result.passed
        assert "bytes between unseen" in (result.error or "")

    async def test_says_how_the_command_ended(self, verify: Verify) -> None:
        result = await verify("command_output", command="exit 3", expects="x")
        assert result.error == "stdout has no 'x'; the command ended with exit status 3."

    async def test_a_command_that_is_not_there_did_not_print_what_was_asked_for(self, verify: Verify) -> None:
        result = await verify("command_output", command="no-such-program-x", expects="not found", stream="combined")
        assert not result.passed
        assert (result.error or "").startswith("Could not run: 'no-such-program-x' ended with exit status 127")

    async def test_our_own_remark_about_dropped_output_is_not_output(self, verify: Verify) -> None:
        result = await verify("command_output", command=PRINT_100_MB, expects="dropped here", regex=True)
        assert not result.passed


class TestNothingIsLeftBehind:
    async def test_a_time_limit_ends_the_command_and_its_grandchildren(self, project: Path, verify: Verify) -> None:
        script = "trap '' TERM\n(trap '' TERM; sh -c 'echo $$ > deep; exec sleep 600') & echo $$ > top; wait"
        result = await verify("command_succeeds", command=script, timeout=5_000)
        assert not result.passed
        assert "time limit of 5 s" in (result.error or "")
        for name in ("top", "deep"):
            pid = int((project / name).read_text())
            assert wait_until(lambda pid=pid: not is_alive(pid)), name  # type: ignore[misc]

    async def test_also_a_grandchild_that_left_the_session(self, project: Path, verify: Verify) -> None:
        code = "import os, time; os.setsid(); open('far', 'w').write(str(os.getpid())); time.sleep(600)"
        command = f'{sys.executable} -c "{code}" & wait'
        result = await verify("command_succeeds", command=command, timeout=10_000)
        assert not result.passed
        pid = int((project / "far").read_text())
        assert wait_until(lambda: not is_alive(pid))

    @pytest.mark.parametrize("where", ["", ">/dev/null 2>&1"])
    async def test_what_a_command_leaves_in_the_background_is_ended_and_not_waited_for(
        self, where: str, project: Path, verify: Verify
    ) -> None:
        result = await verify("command_succeeds", command=f"sleep 600 {where} & echo $! > pid")
        assert result.passed, result.error
        pid = int((project / "pid").read_text())
        assert wait_until(lambda: not is_alive(pid))

    async def test_who_escapes_with_a_pipe_in_hand_costs_no_descriptor(self, project: Path) -> None:
        code = "import os, time; os.setsid(); open('far', 'w').write(str(os.getpid())); time.sleep(600)"
        command = f'{sys.executable} -c "{code}" & while ! test -s far; do sleep 0.01; done'
        await run_shell("true", cwd=project, env=dict(os.environ))  # the loop opens what it needs for children
        before = psutil.Process().num_fds()
        try:
            result = await run_shell(command, cwd=project, env=dict(os.environ))
        finally:
            os.kill(int((project / "far").read_text()), signal.SIGKILL)
        assert result.exit_status == 0
        assert psutil.Process().num_fds() == before

    async def test_cancelling_ends_the_command(self, project: Path) -> None:
        engine = VerificationEngine(project)
        check = {"id": "a", "type": "command_succeeds", "command": "echo $$ > pid; mv pid ready; sleep 600"}
        async with anyio.create_task_group() as group:
            group.start_soon(engine.verify, [check])
            while not (project / "ready").exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        pid = int((project / "ready").read_text())
        assert wait_until(lambda: not is_alive(pid))

    async def test_a_command_gets_the_chance_to_clean_up(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(commands, "GRACE", 20.0)  # a busy machine may need more than a second for a touch
        script = "trap 'touch cleaned; exit' TERM; touch ready; sleep 600 & wait"
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: run_shell(script, cwd=project, env=dict(os.environ)))
            while not (project / "ready").exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert (project / "cleaned").exists()

    async def test_a_command_keeps_its_output_when_it_ends_itself(self, project: Path) -> None:
        result = await run_shell("echo a; kill -TERM $$", cwd=project, env=dict(os.environ))
        assert (result.exit_status, result.stdout) == (-signal.SIGTERM, "a\n")


class TestHeadAndTail:
    def test_it_keeps_all_that_fits_and_else_whole_lines_of_both_ends(self) -> None:
        small = HeadAndTail(20)
        small.add(b"0123456789")
        small.add(b"abcdefghij")
        assert (small.text(), small.dropped) == ("0123456789abcdefghij", 0)
        large = HeadAndTail(20)
        for number in range(1000):
            large.add(b"%d\n" % number)
        assert large.text() == "0\n1\n2\n3\n4\n[3,872 bytes of output dropped here]\n998\n999\n"

    def test_one_endless_line_is_cut_anywhere(self) -> None:
        held = HeadAndTail(8)
        held.add(b"x" * 1000)
        assert held.text() == "xxxx\n[992 bytes of output dropped here]\nxxxx"
