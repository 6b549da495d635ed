"""The orchestrator's ten tools: each hands a client's arguments to one verb of the harness."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from harness_nb.errors import NoPlaceForStateError, PlanTakenError, PlanWaitsError, UnusableArgumentError
from harness_nb.harness.state import roadmap_without_frontmatter
from harness_nb.mcp_server import arguments as given_by
from harness_nb.mcp_server.replies import (
    ChangeReply,
    MessageReply,
    OutputReply,
    PendingReply,
    Reply,
    SessionReply,
    SessionsReply,
    StateReply,
)
from harness_nb.protocol.messages import UNASKED
from harness_nb.sessions import Quiet, read_output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from harness_nb.harness import AsyncHarness
    from harness_nb.mcp_server.caller import Caller
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.protocol.state import ProjectState
    from harness_nb.sessions import Output

LONGEST_PIECE = 1 << 16
"""Bytes of output in one answer: an agent has to read it."""


@dataclass(frozen=True)
class ToolEntry:
    """A tool: its name, what it takes and gives, and what clients are told of its effects."""

    name: str
    title: str
    takes: type[given_by.Arguments]
    gives: type[Reply]
    work: Callable[[Any, Caller], Awaitable[Reply]]
    reads_only: bool = False
    destroys: bool = False
    repeatable: bool = False
    note: str = ""


async def start_session(given: given_by.StartSession, caller: Caller) -> SessionReply:
    """Start a worker.

    Raises: OutsideProjectError, UnusableArgumentError, PlanTakenError, PlanWaitsError, and what
    ``AsyncHarness.start_session`` does.
    """
    _require_resume_alone(given)
    folder = await caller.folder_inside(given.working_dir)
    async with caller.starting:
        await _require_startable(caller.harness, given.plan)
        session = await caller.harness.start_session(
            command=_words(given.command),
            worker=given.worker,
            plan=given.plan,
            prompt=given.prompt,
            working_dir=folder.relative_to(caller.harness.root),
            task_type=given.task_type,
            resume=given.resume,
        )
    return SessionReply.of(await _record(caller.harness, session.id))


async def list_sessions(given: given_by.ListSessions, caller: Caller) -> SessionsReply:
    """Return the sessions, or those in a state."""
    store = caller.harness.store
    states = None if given.state is None else {given.state}
    return await anyio.to_thread.run_sync(
        lambda: SessionsReply.of(store.sessions.select(states=states), given.limit, Quiet(store))
    )


async def get_output(given: given_by.GetOutput, caller: Caller) -> OutputReply:
    """Return what a worker printed.

    Raises: SessionNotFoundError.
    """
    store = caller.harness.store

    def read() -> tuple[SessionRecord, Output, bool]:
        record = store.sessions.get(given.session_id)  # before the output: one that has ended then has all of it
        path = store.layout.session(given.session_id).output
        piece = read_output(path, lines=given.lines, since=given.since, limit=LONGEST_PIECE)
        return record, piece, piece.end < (path.stat().st_size if path.exists() else 0)

    record, piece, more = await anyio.to_thread.run_sync(read)
    return OutputReply.of(record, piece, more=more)


async def wait_for_state(given: given_by.WaitForState, caller: Caller) -> ChangeReply:
    """Wait for sessions to change.

    Raises: SessionNotFoundError.
    """
    longest = given.timeout_ms / 1000
    change = await caller.patiently(
        lambda: caller.harness.next_change(
            session_ids=given.session_ids, states=given.states, cursor=given.cursor, timeout=longest
        ),
        longest,
        "still waiting",
    )
    return ChangeReply.of(change.sessions, change.cursor)


async def respond(given: given_by.Respond, caller: Caller) -> MessageReply:
    """Send a worker a message.

    Raises: UnusableArgumentError, and what ``AsyncHarness.respond`` does.
    """
    if given.in_response_to is None and given.type not in UNASKED:
        problem = f"it is missing, and {given.type} answers a question"
        raise UnusableArgumentError("inResponseTo", problem, "Give the question's id, from harness_get_pending")
    record = await caller.harness.respond(given.type, given.session_id, given.payload, given.in_response_to)
    return MessageReply.of(record)


async def get_pending(given: given_by.GetPending, caller: Caller) -> PendingReply:
    """Return the open questions.

    Raises: SessionNotFoundError.
    """
    if given.session_id is not None:
        await _record(caller.harness, given.session_id)
    found = await caller.harness.get_pending(given.session_id, given.message_types)
    return PendingReply.of([one.record for one in found])


async def get_state(given: given_by.GetState, caller: Caller) -> StateReply:
    """Return where the project stands.

    Raises: OtherProjectError.
    """
    await caller.own_project(given.project_path)
    return await state_reply(caller.harness, caller.harness.get_state)


async def end_session(given: given_by.EndSession, caller: Caller) -> SessionReply:
    """End a session.

    Raises: SessionNotFoundError.
    """
    return SessionReply.of(
        await caller.patiently(lambda: caller.harness.end_session(given.session_id), None, "still ending")
    )


async def sync_state(given: given_by.SyncState, caller: Caller) -> StateReply:
    """Read the documents again.

    Raises: OtherProjectError.
    """
    await caller.own_project(given.project_path)
    return await state_reply(caller.harness, caller.harness.sync_state)


async def set_state(given: given_by.SetState, caller: Caller) -> StateReply:
    """Set the quick state.

    Raises: OtherProjectError, UnusableArgumentError, NoPlaceForStateError.
    """
    await caller.own_project(given.project_path)
    values = given.model_dump(by_alias=False, exclude={"project_path"}, exclude_none=True)
    if not values:
        raise UnusableArgumentError("what to set", "nothing is given", "Give phase, plan, status or completedPlans")
    without = await anyio.to_thread.run_sync(roadmap_without_frontmatter, caller.harness.store)
    if without is not None:
        raise NoPlaceForStateError(without)
    return await state_reply(caller.harness, partial(caller.harness.set_state, **values))


async def state_reply(harness: AsyncHarness, read: Callable[[], Awaitable[ProjectState]]) -> StateReply:
    """Return a project's state with the open questions."""
    # before the rest: what changes in between is told once more, not missed
    cursor = await anyio.to_thread.run_sync(lambda: harness.store.events.last)
    state = await read()
    questions = await anyio.to_thread.run_sync(harness.store.messages.pending)
    trusted = await anyio.to_thread.run_sync(lambda: harness.trusted)
    return await anyio.to_thread.run_sync(
        lambda: StateReply.of(state, questions, trusted=trusted, cursor=cursor, quiet=Quiet(harness.store))
    )


def _require_resume_alone(given: given_by.StartSession) -> None:
    if given.resume is None:
        return
    beside = {"command": given.command, "plan": given.plan, "prompt": given.prompt, "worker": given.worker}
    more = [name for name, value in beside.items() if value is not None]
    more += ["taskType"] if given.task_type != "execute" else []
    if more:
        problem = f"{', '.join(more)} is given, too, and a session goes on with what it was started with"
        raise UnusableArgumentError("resume", problem, "Give resume alone, or leave it out for a new session")


async def _require_startable(harness: AsyncHarness, plan: str | None) -> None:
    """Make sure that nobody does a plan already, and that it waits for none: agents repeat calls that timed out."""
    if plan is None or not await anyio.to_thread.run_sync(lambda: harness.trusted):
        return  # it is refused for that
    state = await harness.get_state()
    known = {one.id: one for one in state.plans}
    if plan not in known:
        return
    taken = await anyio.to_thread.run_sync(lambda: harness.store.sessions.select(plan_id=plan, live=True))
    if taken:
        raise PlanTakenError(plan, taken[-1].id, taken[-1].state)
    waits_for = [one for one in known[plan].depends_on if one in known and known[one].state != "complete"]
    if waits_for:
        raise PlanWaitsError(plan, waits_for)


async def _record(harness: AsyncHarness, session_id: str) -> SessionRecord:
    return await anyio.to_thread.run_sync(harness.store.sessions.get, session_id)


def _words(command: list[str] | str | None) -> list[str] | None:
    if not isinstance(command, str):
        return command
    try:
        return shlex.split(command)
    except ValueError as error:
        remedy = "Give a list of words: ['pytest', '-q']"
        raise UnusableArgumentError("command", str(error).lower().rstrip("."), remedy) from None


def _state_tool(name: str, note: str = "") -> ToolEntry:
    return ToolEntry(name, "Project's state", given_by.GetState, StateReply, get_state, reads_only=True, note=note)


TOOLS = (
    ToolEntry("harness_start_session", "Start a session", given_by.StartSession, SessionReply, start_session),
    ToolEntry(
        "harness_list_sessions", "List sessions", given_by.ListSessions, SessionsReply, list_sessions, reads_only=True
    ),
    ToolEntry("harness_get_output", "Read output", given_by.GetOutput, OutputReply, get_output, reads_only=True),
    ToolEntry(
        "harness_wait_for_state", "Wait for changes", given_by.WaitForState, ChangeReply, wait_for_state,
        reads_only=True,
    ),
    ToolEntry("harness_respond", "Answer a worker", given_by.Respond, MessageReply, respond),
    ToolEntry(
        "harness_get_pending", "List open questions", given_by.GetPending, PendingReply, get_pending, reads_only=True
    ),
    _state_tool("harness_get_state"),
    _state_tool("harness_get_project_state", " The same as harness_get_state, by its other name."),
    ToolEntry(
        "harness_end_session", "End a session", given_by.EndSession, SessionReply, end_session,
        destroys=True, repeatable=True,
    ),
    ToolEntry("harness_sync_state", "Read plans again", given_by.SyncState, StateReply, sync_state, repeatable=True),
    ToolEntry("harness_set_state", "Set the quick state", given_by.SetState, StateReply, set_state, repeatable=True),
)  # fmt: skip
"""The tools of the document, with its names; ``harness_get_state`` has two."""
