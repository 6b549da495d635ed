"""What an agent is told when a call fails: tools where people in Python have methods, and nothing that was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp.server.mcpserver.exceptions import ToolError

from harness_nb import errors
from harness_nb.mcp_server.arguments import WaitForState
from harness_nb.mcp_server.failures import sentence

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.row(12)

SECRET = "hunter2-is-no-password"
IN_PYTHON = (
    errors.SessionNotFoundError("nobody"),
    errors.MessageNotFoundError("nothing", "one"),
    errors.MissingCommandError(),
    errors.MissingPlanError("runbook"),
    errors.NotResumableError("one", "command"),
    errors.ShimFailedError("one", "its shim is gone"),
    errors.WorkingFolderNotFoundError(Path("/nowhere")),
    errors.UnusableArgumentError("working_dir", "5 is no path", "Give a folder's path"),
    errors.UntrustedProjectError(Path("/project")),
    errors.NoPlansError(Path("/project")),
    errors.JournalGoneError(Path("/project")),
    errors.HarnessClosedError(),
)  # fmt: skip


def test_no_sentence_sends_an_agent_to_python() -> None:
    for error in IN_PYTHON:
        told = sentence("harness_start_session", error, ())
        for python in ("()", "Harness(", "trust=", "working_dir", "plans=", "command=", "plan=", "run("):
            assert python not in told, told
        assert told.endswith("."), told


def test_each_sentence_names_what_the_agent_has() -> None:
    told = sentence("harness_get_output", errors.SessionNotFoundError("nobody"), ())
    assert told == "There is no session 'nobody'. harness_list_sessions shows the ids there are."
    told = sentence("harness_respond", errors.MessageNotFoundError("nothing"), ())
    assert told == "There is no message 'nothing'. harness_get_pending shows what waits for an answer."
    told = sentence("harness_worker_await", errors.MessageNotFoundError("nothing"), ())
    assert told == "There is no message 'nothing'. Use an id that harness_worker_report returned."
    told = sentence("harness_start_session", errors.MissingCommandError(), ())
    assert told == "The command worker needs a command: harness_start_session(command: ['pytest', '-q'])."


def test_fields_that_do_not_fit_are_named_and_their_values_are_not() -> None:
    try:
        WaitForState.model_validate({"nonsense": SECRET, "timeoutMs": SECRET})
    except ValueError as error:
        told = sentence("harness_wait_for_state", error, ["sessionIds", "timeoutMs"])
    assert "nonsense: there is no such field" in told
    assert "timeoutMs: input should be a valid integer" in told
    assert told.endswith("Its fields are: sessionIds, timeoutMs.")
    assert SECRET not in told


def test_what_nobody_foresaw_is_named_by_its_kind_alone(caplog: pytest.LogCaptureFixture) -> None:
    told = sentence("harness_get_state", raised(lambda: json.loads(SECRET)), ())
    assert told.startswith("harness_get_state failed (JSONDecodeError)")
    assert "JSONDecodeError at " in caplog.text
    assert SECRET not in told + caplog.text


def test_what_the_sdk_wrapped_is_told_as_itself() -> None:
    wrapped = ToolError("Error executing tool")
    wrapped.__cause__ = errors.NoPlaceForStateError("ROADMAP.md")
    assert sentence("harness_set_state", wrapped, ()).startswith("ROADMAP.md has no frontmatter")


def test_a_sentence_can_always_be_sent() -> None:
    told = sentence("harness_get_output", errors.SessionNotFoundError("caf\udce9"), ())
    assert told.encode()


def raised(work: Callable[[], object]) -> Exception:
    try:
        work()
    except ValueError as error:
        return error
    raise AssertionError
