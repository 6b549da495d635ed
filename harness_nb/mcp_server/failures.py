"""What went wrong in a call of a tool, as one sentence for an agent: it has tools, and no Python."""

from __future__ import annotations

import logging
import re
import traceback
from typing import TYPE_CHECKING

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import ValidationError

from harness_nb.errors import HarnessError, ToolArgumentsError, UnforeseenError
from harness_nb.protocol.base import problems_of
from harness_nb.protocol.shown import short_line

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_PROBLEMS = 1000
WORKERS_TOOLS = "harness_worker_"
TO_A_WORKER = (
    (re.compile(r"\bget_pending\(\) shows what waits for an answer"), "Use an id that harness_worker_report returned"),
)
IN_TOOLS = (
    (re.compile(r"\blist_sessions\(\) or `harness-nb status` shows"), "harness_list_sessions shows"),
    (re.compile(r"\bStart it anew: run\(\), or start_session\(\) with the same command\b"),
     "Start it anew: harness_start_session with the same plan or command"),
    (re.compile(r"\bwait_for_state\(\) tells how it ended\b"),
     "harness_list_sessions tells whether it lives; if it does, try again later"),
    (re.compile(r"\bOpen the project again: Harness\(.*\)\.$"), "Start this server again."),
    (re.compile(r"\bThis harness is not open\. Use .*$"), "This server is about to end. Connect again."),
    (re.compile(r" \(or h\.trust\(\), or Harness\(…, trust=True\)\)"), ""),
    (re.compile(r"\bwhere it is right, run `"), "only the user can say yes to it, with `"),
    (re.compile(r" \(or pass --trust, or Harness\(…, trust=True\)\)"), ""),
    (re.compile(r", or pass plans=\[Plan\(…\)\]"), ""),
    (re.compile(r"\banother working_dir\b"), "another workingDir"),
    (re.compile(r"^working_dir cannot be used\b"), "workingDir cannot be used"),
    (re.compile(r"\bFor a command give command=\[…\]"), 'For a command give command: ["…"]'),
    (re.compile(r"\bstart_session\((plan|command)=([^)]+)\)"), r"harness_start_session(\1: \2)"),
    (re.compile(r"\b(start_session|list_sessions|get_output|wait_for_state|respond|get_pending|get_state|end_session"
                r"|sync_state|set_state)\(\)"), r"harness_\1"),
)  # fmt: skip
"""What errors say to people in Python, and what an agent does instead."""
PLAINLY = {"extra inputs are not permitted": "there is no such field", "value error, ": ""}
"""What pydantic says, and what that means."""
logger = logging.getLogger(__name__)


def sentence(tool: str, cause: BaseException, fields: Iterable[str]) -> str:
    """Return what an agent is told of a call that failed; ``fields`` are the names that the tool knows."""
    if isinstance(cause, ToolError) and cause.__cause__ is not None:
        cause = cause.__cause__  # the SDK wraps what a tool raises
    if isinstance(cause, ValidationError):
        cause = ToolArgumentsError(tool, short_line(_plainly(problems_of(cause)), LONGEST_PROBLEMS), fields)
    if not isinstance(cause, (HarnessError, ToolError)):
        _note(tool, cause)
        cause = UnforeseenError(tool, type(cause).__name__)
    return _in_tools(tool, str(cause)).encode("utf-8", "replace").decode()


def _in_tools(tool: str, text: str) -> str:
    for python, instead in (*(TO_A_WORKER if tool.startswith(WORKERS_TOOLS) else ()), *IN_TOOLS):
        text = python.sub(instead, text)
    return text


def _plainly(problems: str) -> str:
    for found, instead in PLAINLY.items():
        problems = problems.replace(found, instead)
    return problems


def _note(tool: str, cause: BaseException) -> None:
    places = traceback.extract_tb(cause.__traceback__)
    place = f"{places[-1].filename}:{places[-1].lineno}" if places else "an unknown place"
    logger.error("%s: %s at %s", tool, type(cause).__name__, place)  # not its text: that may hold a secret
