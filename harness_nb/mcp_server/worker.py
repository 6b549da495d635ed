"""The worker's MCP server: a session's agent reports and waits for answers through two tools, and has no others.

It speaks for the session that started it and for no other (see ``sessions.worker_side``). An ``await`` that is
cancelled takes nothing along: a message that was on its way to a client that had stopped listening is given back.
"""

from __future__ import annotations

import inspect
import json
import time
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations
from pydantic import BeforeValidator, Field

from harness_nb import __version__
from harness_nb.errors import UnknownToolError
from harness_nb.mcp_server.arguments import Arguments
from harness_nb.mcp_server.failures import sentence
from harness_nb.mcp_server.registration import plain_schema
from harness_nb.mcp_server.replies import Reply
from harness_nb.mcp_server.stdio import serve_stdio
from harness_nb.protocol.base import Timestamp  # noqa: TC001 — a model's field
from harness_nb.protocol.messages import ANSWERS, PAYLOADS, WORKER_TYPES
from harness_nb.protocol.shown import short_line
from harness_nb.sessions.worker_side import FILLED_IN, LOOK_AGAIN, WorkerSide
from harness_nb.store import Bell
from harness_nb.store.store import require_project
from harness_nb.templates import text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from harness_nb.protocol.records import MessageRecord

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_WAIT_MS = 50_000
"""Milliseconds after which a wait says "call again": clients give a call up after a minute."""
MOST_HANDED_OVER = 100
"""Messages that are remembered with the calls that got them: a client gives up none but its latest calls."""

STILL_WAITING = "Still waiting: nobody has answered yet. Call harness_worker_await again with the same arguments."
ADVICE = {
    "assign_task": "This is your task. Report task_started, then do it.",
    "abort_task": "Stop this task now: start nothing new, report task_failed and end.",
    "session_ready": "Now call harness_worker_await with this id as messageId: the answer is your task.",
    "question": "Now call harness_worker_await with this id as messageId, until the answer comes.",
    "ended": "This session has ended, so nobody will answer. Stop.",
}


def _fields_of(message_type: str) -> str:
    fields = PAYLOADS[message_type].model_fields
    needed = [str(one.alias) for name, one in fields.items() if one.is_required() and name not in FILLED_IN]
    others = [f"{one.alias}?" for name, one in fields.items() if not one.is_required() and name not in FILLED_IN]
    return f"{message_type} {{{', '.join((*needed, *others))}}}"


def _as_object(value: Any) -> Any:
    """Read the object that some clients send as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"this is not JSON ({error})") from None


SESSION = Field(default=None, description="Your session's id. Leave it out: you speak for your own session only.")


class Report(Arguments):
    """Tell the harness, and through it the people and the orchestrator, how far you are, or ask them something.

    First report session_ready. Then, for each task, task_started, progress_update while it takes long, and
    task_completed or task_failed. Ask with verification_needed, decision_needed, action_needed or credentials_needed,
    and wait for the answer with harness_worker_await. Never guess what you could ask.
    """

    session_id: str | None = SESSION
    message_type: str = Field(description="What you report.", json_schema_extra={"enum": list(WORKER_TYPES)})
    payload: Annotated[dict[str, Any], BeforeValidator(_as_object)] = Field(
        default_factory=dict,
        description="The message's fields ('?' may be left out; plan and task number are filled in from the session): "
        + "; ".join(_fields_of(name) for name in WORKER_TYPES)
        + ". options is [{id, name, description, recommended?, pros?, cons?}].",
    )


class Await(Arguments):
    """Wait for the answer to a question of yours, or without messageId for the next message to you.

    Call it after session_ready and after each question. When nothing came within timeoutMs (at most 50 s) the answer is
    {"waiting": true}: that is no error, call again with the same arguments. An abort_task may come instead of an
    answer: stop then.
    """

    session_id: str | None = SESSION
    message_id: str | None = Field(
        default=None, description="The id that harness_worker_report returned. Left out: the next message to you."
    )
    timeout_ms: int = Field(
        default=LONGEST_WAIT_MS, ge=0, description="Milliseconds to wait, at most 50000 of them in one call."
    )


class Reported(Reply):
    """A report that the harness has."""

    id: str = Field(description="Wait for the answer with this as messageId.")
    session_id: str
    type: str
    status: str = Field(description="pending while somebody is to answer it, responded where nobody is.")
    advice: str | None = Field(default=None, description="What to do next.")


class Awaited(Reply):
    """A message to the worker, or that there is none yet."""

    waiting: bool = Field(description="True: nothing has come yet, so call again; false: the message is in here.")
    session_id: str
    id: str | None = None
    type: str | None = Field(
        default=None,
        description="assign_task, verification_result, decision_made, action_completed, credentials_provided or"
        " abort_task.",
    )
    timestamp: Timestamp | None = None
    in_response_to: str | None = Field(default=None, description="The id of the question that this answers.")
    payload: dict[str, Any] | None = Field(default=None, description="What the message says.")
    advice: str | None = Field(default=None, description="What to do next.")


class WorkerServer(MCPServer[Any]):
    """The two tools, and the guide as instructions and as a prompt, for the worker of one session."""

    def __init__(self, side: WorkerSide) -> None:
        guide = f"You are the worker of session {side.session_id}.\n\n{text_of('worker_guide.md')}"
        super().__init__(
            "harness-worker", title="harness-nb, for a worker", version=__version__, instructions=guide,
            log_level="WARNING", middleware=[self._notice_cancel],
        )  # fmt: skip
        self.add_prompt(
            Prompt.from_function(lambda: guide, name="worker", description="How to work in a session of harness-nb.")
        )
        self._side = side
        self._one_at_a_time = anyio.Lock()
        self._handed_over: dict[str, MessageRecord] = {}
        self._tools: dict[str, tuple[type[Arguments], type[Reply], Callable[..., Awaitable[Reply]]]] = {
            "harness_worker_report": (Report, Reported, self._report),
            "harness_worker_await": (Await, Awaited, self._await),
        }

    async def list_tools(self) -> list[Tool]:
        """Return the two tools; nothing but the named arguments is taken."""
        return [
            Tool(
                name=name,
                description=inspect.cleandoc(takes.__doc__ or ""),
                input_schema=plain_schema(takes.model_json_schema(by_alias=True)),
                output_schema=plain_schema(returns.model_json_schema(by_alias=True, mode="serialization")),
                annotations=ToolAnnotations(destructive_hint=False, open_world_hint=False),
            )
            for name, (takes, returns, _) in self._tools.items()
        ]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult:
        """Call a tool; what its caller can mend is a tool error with a sentence."""
        try:
            reply = await self._call(name, arguments, context)
        except Exception as error:  # this is a door: the agent learns of it and goes on
            takes = self._tools[name][0].model_fields.values() if name in self._tools else ()
            told = sentence(short_line(name), error, [str(field.alias) for field in takes])
            return CallToolResult(content=[TextContent(type="text", text=told)], is_error=True)
        return CallToolResult(
            content=[TextContent(type="text", text=reply.text)], structured_content=reply.to_wire(), is_error=False
        )

    async def _call(self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None) -> Reply:
        if name not in self._tools:
            raise UnknownToolError(short_line(name), self._tools)
        takes, _, do = self._tools[name]
        understood = takes.model_validate(arguments)
        self._side.require_own(getattr(understood, "session_id", None))  # without a wait: reports keep their order
        return await do(understood, context)

    async def _in_thread(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        def do() -> T:
            require_project(self._side.store)
            return work(*given, **named)

        return await anyio.to_thread.run_sync(do)

    # --- report --------------------------------------------------------------------------------

    async def _report(self, what: Report, _: Context[Any, Any] | None) -> Reported:
        # a report that was sent is stored, in its order, even if its sender goes or no longer waits for the receipt
        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                record = await self._in_thread(self._side.report, what.message_type, what.payload)
                unread = (await self._in_thread(self._side.mask, {"unread": _unread(what)}))["unread"]
        return Reported(
            id=record.id, session_id=record.session_id, type=record.type, status=record.status,
            advice=" ".join(filter(None, (unread, _next_step(record)))) or None,
        )  # fmt: skip

    # --- await ---------------------------------------------------------------------------------

    async def _await(self, what: Await, context: Context[Any, Any] | None) -> Awaited:
        if what.message_id is not None:
            await self._in_thread(self._side.require_answerable, what.message_id)
        found = await self._next(what.message_id, min(what.timeout_ms, LONGEST_WAIT_MS) / 1000, context)
        if found is None:
            return Awaited(waiting=True, session_id=self._side.session_id, advice=await self._while_waiting())
        known = {key: found[key] for key in ("id", "type", "timestamp", "inResponseTo", "payload") if key in found}
        return Awaited(waiting=False, session_id=self._side.session_id, advice=ADVICE.get(found["type"]), **known)

    async def _while_waiting(self) -> str:
        session = await self._in_thread(self._side.store.sessions.get, self._side.session_id)
        return STILL_WAITING if session.live else ADVICE["ended"]

    async def _next(
        self, message_id: str | None, seconds: float, context: Context[Any, Any] | None
    ) -> dict[str, Any] | None:
        """Return the next message once it is there, or None at the time limit; whoever writes one rings."""
        begun = told = time.monotonic()
        bell = Bell(self._side.store.layout)  # listening before looking, so that nothing falls in between
        try:
            await self._tell(context, 0.0, seconds)
            while (found := await self._take(message_id, context)) is None:
                now = time.monotonic()
                if now - begun >= seconds:
                    return None
                if now - told >= LOOK_AGAIN:
                    told = now
                    await self._tell(context, now - begun, seconds)
                with anyio.move_on_after(min(LOOK_AGAIN, begun + seconds - now)):
                    await anyio.wait_readable(bell.socket)
                bell.drain()
        finally:
            bell.close()
        return found

    async def _take(self, message_id: str | None, context: Context[Any, Any] | None) -> dict[str, Any] | None:
        with anyio.CancelScope(shield=True):  # what was taken must not be dropped with a thread's result
            found = await self._in_thread(self._side.take, message_id)
        if found is None:
            return None
        record, answer = found
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._side.give_back, record)
            raise
        if context is not None:
            self._handed_over[context.request_id] = record
            if len(self._handed_over) > MOST_HANDED_OVER:
                del self._handed_over[next(iter(self._handed_over))]
        return answer

    async def _tell(self, context: Context[Any, Any] | None, passed: float, seconds: float) -> None:
        if context is not None:
            await context.report_progress(round(passed, 3), seconds, "waiting for a message to this session")

    async def _notice_cancel(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Give back the message of a call that its client cancelled while the answer was already on its way."""
        if ctx.method != "notifications/cancelled":
            return await call_next(ctx)
        request = str((ctx.params or {}).get("requestId"))
        await self._give_back(request)
        result = await call_next(ctx)
        await self._give_back(request)  # taken before the call ended, and after the look before
        return result

    async def _give_back(self, request: str) -> None:
        record = self._handed_over.pop(request, None)
        if record is not None:
            await anyio.to_thread.run_sync(self._side.give_back, record)


def serve() -> None:
    """Serve the session that this process belongs to on standard input and output, until the client goes.

    Raises: NotAWorkerError, NotYourSessionError, UnsafeTokenFileError.
    """
    with WorkerSide() as side:
        serve_stdio(WorkerServer(side))


def _next_step(record: MessageRecord) -> str | None:
    return ADVICE.get(record.type, ADVICE["question"]) if record.type in ANSWERS else None


def _unread(what: Report) -> str | None:
    """Say which fields of a payload nobody reads: they are kept, but were hardly meant that way."""
    model = PAYLOADS[what.message_type]
    known = {word for name, field in model.model_fields.items() for word in (name, str(field.alias))}
    unknown = [name for name in what.payload if name not in known]
    return f"Nobody reads {', '.join(unknown)}: the fields are {_fields_of(what.message_type)}." if unknown else None
