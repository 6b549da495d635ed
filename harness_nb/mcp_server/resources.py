"""What clients may read and watch: sessions, output, state, open questions and reports, as ``harness://`` addresses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from mcp.shared.uri_template import UriTemplate

from harness_nb.errors import NoReportError, ResourceNotFoundError
from harness_nb.mcp_server.replies import PendingReply, Reply, SessionReply, SessionsReply
from harness_nb.mcp_server.sending import sendable
from harness_nb.mcp_server.tools import LONGEST_PIECE, state_reply
from harness_nb.protocol.shown import short_line
from harness_nb.sessions import Quiet, read_output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from harness_nb.harness import AsyncHarness
    from harness_nb.protocol.records import SessionRecord

STATE = "harness://state"
SESSIONS = "harness://sessions"
PENDING = "harness://pending"
RUN_REPORT = "harness://reports/run"
ENDED_IN_LIST = 20
"""How many ended sessions the list of resources names; the others can be read by their addresses."""
JSON, TEXT = "application/json", "text/plain"


def session_uri(session_id: str) -> str:
    """Return the address of a session."""
    return f"{SESSIONS}/{session_id}"


def output_uri(session_id: str) -> str:
    """Return the address of what a session printed."""
    return f"{SESSIONS}/{session_id}/output"


def report_uri(plan_id: str) -> str:
    """Return the address of a plan's verification report."""
    return f"harness://reports/plans/{plan_id}"


@dataclass(frozen=True)
class ResourceEntry:
    """A resource, or a template of many: its address, what it is, and how it is read."""

    uri: str
    name: str
    description: str
    read: Callable[..., Awaitable[str]]
    mime_type: str = JSON

    @property
    def is_template(self) -> bool:
        """Whether the address has parts to fill in."""
        return "{" in self.uri

    def match(self, uri: str) -> dict[str, Any] | None:
        """Return the parts that an address fills in, or None where it is another resource's."""
        return dict(found) if (found := UriTemplate.parse(self.uri).match(uri)) is not None else None


async def read(harness: AsyncHarness, uri: str) -> tuple[str, str]:
    """Return a resource's text and its MIME type.

    Raises: ResourceNotFoundError, SessionNotFoundError, NoReportError.
    """
    entry, parts = find(uri)
    return await entry.read(harness, **parts), entry.mime_type


def find(uri: str) -> tuple[ResourceEntry, dict[str, Any]]:
    """Return the resource with an address, and the parts that the address fills in.

    Raises: ResourceNotFoundError.
    """
    for entry in RESOURCES:
        if (parts := entry.match(uri)) is not None:
            return entry, parts
    raise ResourceNotFoundError(short_line(uri), [one.uri for one in RESOURCES])


async def listed_sessions(harness: AsyncHarness) -> list[SessionRecord]:
    """Return the sessions that the list of resources names: the living ones and the newest of the others."""
    records = await anyio.to_thread.run_sync(harness.store.sessions.select)
    ended = [one for one in records if not one.live][-ENDED_IN_LIST:]
    return [one for one in records if one.live] + ended


async def _state(harness: AsyncHarness) -> str:
    return _json(await state_reply(harness, harness.get_state))


async def _sessions(harness: AsyncHarness) -> str:
    store = harness.store
    return _json(
        await anyio.to_thread.run_sync(lambda: SessionsReply.of(store.sessions.select(), quiet=Quiet(store)))
    )  # fmt: skip


async def _session(harness: AsyncHarness, session_id: str) -> str:
    store = harness.store
    return _json(
        await anyio.to_thread.run_sync(lambda: SessionReply.of(store.sessions.get(session_id), Quiet(store)))
    )  # fmt: skip


async def _output(harness: AsyncHarness, session_id: str) -> str:
    def tail() -> str:
        harness.store.sessions.get(session_id)
        path = harness.store.layout.session(session_id).output
        return read_output(path, lines=None, limit=LONGEST_PIECE).text

    return await anyio.to_thread.run_sync(tail)


async def _pending(harness: AsyncHarness) -> str:
    return _json(PendingReply.of(await anyio.to_thread.run_sync(harness.store.messages.pending)))


async def _run_report(harness: AsyncHarness) -> str:
    runs = await anyio.to_thread.run_sync(harness.store.runs.select)
    report = next((one.report for one in reversed(runs) if one.report is not None), None)
    if report is None:
        raise NoReportError("no run has ended yet")
    return json.dumps(sendable(report), ensure_ascii=False)


async def _plan_report(harness: AsyncHarness, plan_id: str) -> str:
    attempts = await anyio.to_thread.run_sync(lambda: harness.store.sessions.select(plan_id=plan_id))
    judged = next((one for one in reversed(attempts) if one.report is not None), None)
    if judged is None:
        raise NoReportError(f"no attempt at the plan {short_line(plan_id)!r} was verified yet")
    found = {"sessionId": judged.id, "plan": plan_id, "verdict": judged.verdict, "report": judged.report}
    return json.dumps(sendable(found), ensure_ascii=False)


def _json(reply: Reply) -> str:
    return json.dumps(reply.to_wire(), ensure_ascii=False)


RESOURCES = (
    ResourceEntry(STATE, "state", "Phases, plans, dependency graph, living sessions and open questions.", _state),
    ResourceEntry(
        SESSIONS, "sessions", "The sessions, oldest first: all that live, and the newest of the others.", _sessions
    ),
    ResourceEntry(PENDING, "pending", "The questions that wait for an answer, and how to answer each.", _pending),
    ResourceEntry(RUN_REPORT, "run report", "How the last run of the project's plans ended.", _run_report),
    ResourceEntry(session_uri("{session_id}"), "session", "One session: state, progress, how it ended.", _session),
    ResourceEntry(output_uri("{session_id}"), "output", "The end of what a session's worker printed.", _output, TEXT),
    ResourceEntry(report_uri("{plan_id}"), "plan report", "What verification said of a plan's last try.", _plan_report),
)
"""The resources, and those of them that are templates."""
