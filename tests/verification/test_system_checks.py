"""Environment variables, ports and processes, real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb.verification import VerificationEngine
from tests.verification.conftest import is_alive, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.verification.conftest import Verify

pytestmark = [pytest.mark.anyio, pytest.mark.row(5)]


class TestEnvVarSet:
    async def test_set_or_of_a_value(self, verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HARNESS_TEST_A", "1")
        assert (await verify("env_var_set", name="HARNESS_TEST_A")).passed
        assert (await verify("env_var_set", name="HARNESS_TEST_A", value=1)).passed
        engine = {"environment": {"HARNESS_TEST_B": "x"}}
        assert (await verify("env_var_set", name="HARNESS_TEST_B", value="x", engine=engine)).passed

    async def test_missing_empty_or_another_value_fails_and_shows_no_value(
        self, verify: Verify, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HARNESS_TEST_A", "secret")
        monkeypatch.setenv("HARNESS_TEST_EMPTY", "")
        result = await verify("env_var_set", name="HARNESS_TEST_A", value="x")
        assert result.error == "The environment variable HARNESS_TEST_A has another value."
        assert not (await verify("env_var_set", name="HARNESS_TEST_EMPTY")).passed
        assert (await verify("env_var_set", name="HARNESS_TEST_EMPTY", value="")).passed
        assert "is not set" in ((await verify("env_var_set", name="HARNESS_TEST_NONE")).error or "")


class TestPortAvailable:
    @pytest.fixture(params=["127.0.0.1", "::1", "0.0.0.0"])
    def listener(self, request: pytest.FixtureRequest) -> Iterator[socket.socket]:
        family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
        with socket.socket(family) as server:
            try:
                server.bind((request.param, 0))
            except OSError:
                pytest.skip(f"{request.param} cannot be used on this machine")
            server.listen()
            yield server

    async def test_a_port_that_is_used(self, listener: socket.socket, verify: Verify) -> None:
        port = listener.getsockname()[1]
        result = await verify("port_available", port=port)
        assert not result.passed
        assert f"Port {port} is in use" in (result.error or "")
        assert (await verify("port_available", port=port, available=False)).passed

    async def test_a_port_that_is_bound_and_does_not_listen_is_used(self, verify: Verify) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            assert not (await verify("port_available", port=server.getsockname()[1])).passed

    async def test_a_port_that_is_free(self, verify: Verify) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
        assert (await verify("port_available", port=port)).passed
        result = await verify("port_available", port=port, available=False)
        assert result.error == f"Nothing uses port {port}."

    async def test_a_number_that_is_no_port_is_not_a_pass(self, verify: Verify) -> None:
        assert "port: " in ((await verify("port_available", port=70000)).error or "")


class TestProcessRunning:
    @pytest.mark.parametrize("running", [True, False])
    async def test_a_blank_name_means_no_process(self, verify: Verify, running: bool) -> None:
        result = await verify("process_running", process="  ", running=running)
        assert "Could not run: the check's process is blank" in (result.error or "")

    @pytest.fixture
    def program(self, tmp_path: Path) -> Iterator[str]:
        """Run a script of a name that nothing else has."""
        script = tmp_path / f"worker-{os.getpid()}.py"
        script.write_text("import sys; print(1, flush=True); sys.stdin.read()")
        with subprocess.Popen(
            [sys.executable, script, "--queue=mail", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            process.stdout.readline()
            yield script.name
            assert process.stdin
            process.stdin.close()

    async def test_is_found_by_an_argument_its_last_part_or_the_command_line(
        self, program: str, verify: Verify
    ) -> None:
        for name in (program, f"{program} --queue=mail serve", f"/{program}"):
            assert (await verify("process_running", process=name)).passed, name
        result = await verify("process_running", process=program, running=False)
        assert not result.passed
        assert "1 process(es)" in (result.error or "")

    async def test_part_of_a_name_is_another_name(self, program: str, verify: Verify) -> None:
        assert not (await verify("process_running", process=program[:-3])).passed

    async def test_nothing_of_that_name(self, verify: Verify) -> None:
        result = await verify("process_running", process="no-such-process-x")
        assert result.error == "No process 'no-such-process-x' is running."
        assert (await verify("process_running", process="no-such-process-x", running=False)).passed

    async def test_neither_this_process_nor_those_that_started_it_count(self, tmp_path: Path) -> None:
        """A script that asks for itself, started by a shell whose command line has the same words."""
        name = f"asks-for-itself-{os.getpid()}.py"
        (tmp_path / name).write_text(
            "import sys\n"
            "from harness_nb.verification import VerificationEngine\n"
            "check = {'id': 'a', 'type': 'process_running', 'process': sys.argv[1], 'running': False}\n"
            "print(VerificationEngine('.').run([check]).passed)\n"
        )
        for asked in (name, f"{name} "):
            command = f"{sys.executable} {name} '{asked}'; true"
            done = await anyio.run_process(command, cwd=tmp_path)
            assert done.stdout == b"True\n", done.stderr

    async def test_the_commands_of_other_checks_do_not_count(self, project: Path) -> None:
        name = f"mentioned-{os.getpid()} x"
        waiting = f": '{name}'; touch on; while test -e on; do sleep 0.01; done"
        checks: list[dict[str, Any]] = [
            {"id": "a", "type": "command_succeeds", "command": waiting},
            {"id": "b", "type": "command_succeeds", "command": "while ! test -e on; do sleep 0.01; done"},
            {"id": "c", "type": "process_running", "process": name, "running": False},
        ]

        def let_go(done: int, total: int, result: object) -> None:
            if done == 2:
                (project / "on").unlink()

        engine = VerificationEngine(project, on_progress=let_go, max_concurrent=2)
        report = await engine.verify(checks)
        assert report.passed, str(report)

    async def test_what_ended_and_was_not_reaped_does_not_run(self, tmp_path: Path, verify: Verify) -> None:
        name = f"zombie{os.getpid() % 100000}"
        (tmp_path / name).symlink_to("/bin/true")
        process = subprocess.Popen([tmp_path / name])  # noqa: ASYNC220 - nobody may reap it
        try:
            assert wait_until(lambda: not is_alive(process.pid))
            assert not (await verify("process_running", process=name)).passed
        finally:
            process.wait()
