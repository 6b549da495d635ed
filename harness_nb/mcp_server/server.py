"""The orchestrator's MCP server: one project, one harness, and every client's calls told in sentences."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.lowlevel import NotificationOptions
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.server.mcpserver.exceptions import ResourceNotFoundError as UnknownResourceError
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    EmptyResult,
    NotificationParams,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

from harness_nb import __version__, errors
from harness_nb.harness import AsyncHarness
from harness_nb.mcp_server import resources
from harness_nb.mcp_server.caller import Caller
from harness_nb.mcp_server.failures import sentence
from harness_nb.mcp_server.news import News
from harness_nb.mcp_server.registration import register
from harness_nb.mcp_server.sending import sendable
from harness_nb.mcp_server.tools import TOOLS
from harness_nb.protocol.shown import short_line
from harness_nb.store import require_project
from harness_nb.templates import text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from mcp.server.context import ServerRequestContext
    from mcp.server.mcpserver import Context
    from mcp_types import CallToolResult, GetPromptResult, InputRequiredResult
    from pydantic.networks import AnyUrl

NAME = "harness-nb"
GUIDE = "orchestrator_guide.md"
ARGUMENTS = {one.name: [str(field.alias) for field in one.takes.model_fields.values()] for one in TOOLS}
PROMPTS = {
    "orchestrator": (GUIDE, "How to orchestrate a project with these tools."),
    "worker": ("worker_guide.md", "How a worker reports, asks and waits; for agents that a session is started with."),
}


@dataclass(frozen=True)
class Served:
    """What a server has open while it serves."""

    harness: AsyncHarness
    news: News
    starting: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while a session is started: two calls for one plan must not both find that nobody does it."""

    def caller(self, context: Context[Any, Any]) -> Caller:
        """Return who makes this call."""
        return Caller(self.harness, self.news, context, self.starting)


def make_server(root: Path) -> ProjectServer:
    """Return the server of a project, with nothing opened yet."""
    return ProjectServer(root)


class ProjectServer(MCPServer[Served]):
    """An MCP server that fails in one sentence, without a traceback and without a value that was given."""

    def __init__(self, root: Path) -> None:
        self._bus = InMemorySubscriptionBus()
        self._opened: Served | None = None
        super().__init__(
            NAME,
            title="harness_nb",
            version=__version__,
            instructions=text_of(GUIDE).partition("\n## ")[0].partition("\n")[2].strip(),
            tools=[register(entry) for entry in TOOLS],
            lifespan=lambda _: self._serving(root),
            subscriptions=self._bus,
            log_level="WARNING",
        )
        for name, (file, description) in PROMPTS.items():
            self.add_prompt(Prompt.from_function(_text(file), name=name, description=description))
        self._serve_earlier_clients()

    @asynccontextmanager
    async def _serving(self, root: Path) -> AsyncIterator[Served]:
        # attended: the client is there to be asked, and people at the other doors may be
        async with AsyncHarness(root, door="mcp", attended=True) as harness:
            news = News(harness, self._bus)
            await news.begin()
            await harness.keep(news.serve)
            self._opened = Served(harness, news)
            yield self._opened

    @property
    def _harness(self) -> AsyncHarness:
        if self._opened is None:
            raise errors.HarnessClosedError
        return self._opened.harness

    # --- tools -------------------------------------------------------------------------------

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Served, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool.

        Raises: ToolError, whose text is for the client.
        """
        if name not in ARGUMENTS:
            raise ToolError(sentence(name, errors.UnknownToolError(short_line(name), ARGUMENTS), ()))
        try:
            await anyio.to_thread.run_sync(require_project, self._harness.store)
            return await super().call_tool(name, arguments, context)
        except MCPError:
            raise
        except Exception as error:  # a door: what is not foreseen must not take the server along
            raise ToolError(sentence(name, error, ARGUMENTS[name])) from None

    # --- resources ---------------------------------------------------------------------------

    async def list_resources(self) -> list[Resource]:
        """Return the resources, with those of the sessions that somebody may look for."""
        found = [
            Resource(uri=one.uri, name=one.name, description=one.description, mime_type=one.mime_type)
            for one in resources.RESOURCES
            if not one.is_template
        ]
        for session in await resources.listed_sessions(self._harness):
            what = sendable(f"{session.plan_id or session.worker}, {session.state}")
            uri = resources.session_uri(session.id)
            found.append(Resource(uri=uri, name=session.id, description=f"Session: {what}", mime_type=resources.JSON))
            uri, name = resources.output_uri(session.id), f"{session.id} output"
            found.append(Resource(uri=uri, name=name, description=f"Output: {what}", mime_type=resources.TEXT))
        return found

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """Return the templates of addresses."""
        return [
            ResourceTemplate(uri_template=one.uri, name=one.name, description=one.description, mime_type=one.mime_type)
            for one in resources.RESOURCES
            if one.is_template
        ]

    async def read_resource(
        self,
        uri: AnyUrl | str,
        context: Context[Served, Any] | None = None,  # noqa: ARG002 — the SDK passes it
    ) -> Iterable[ReadResourceContents]:
        """Read a resource.

        Raises: ResourceError, whose text is for the client.
        """
        try:
            text, mime_type = await resources.read(self._harness, str(uri))
        except (errors.ResourceNotFoundError, errors.SessionNotFoundError, errors.NoReportError) as error:
            raise UnknownResourceError(sentence(str(uri), error, ())) from None
        except Exception as error:  # a door: what is not foreseen must not take the server along
            raise ResourceError(sentence(short_line(str(uri)), error, ())) from None
        return [ReadResourceContents(content=sendable(text), mime_type=mime_type)]

    # --- prompts -----------------------------------------------------------------------------

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Served, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Return a prompt.

        Raises: MCPError for one that there is not.
        """
        if name not in PROMPTS:
            raise MCPError(code=INVALID_PARAMS, message=str(errors.UnknownPromptError(short_line(name), PROMPTS)))
        return await super().get_prompt(name, arguments, context)

    # --- clients of the earlier protocol -----------------------------------------------------

    def _serve_earlier_clients(self) -> None:
        """Take subscriptions the way that came before ``subscriptions/listen``: most clients speak it."""
        low = self._lowlevel_server
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, _subscribe)
        low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, _unsubscribe)
        low.add_notification_handler("notifications/initialized", NotificationParams, _greet)
        # both transports ask for these options without saying that the list of resources changes
        options = partial(low.create_initialization_options, NotificationOptions(resources_changed=True))
        low.create_initialization_options = options  # type: ignore[method-assign]


def _text(file: str) -> Callable[[], str]:
    return lambda: text_of(file)


async def _greet(context: ServerRequestContext[Served], _: NotificationParams) -> None:
    await context.lifespan_context.news.listen(context.session)


async def _subscribe(context: ServerRequestContext[Served], given: SubscribeRequestParams) -> EmptyResult:
    _require_resource(given.uri)
    listener = await context.lifespan_context.news.listen(context.session)
    listener.subscribe(given.uri)
    return EmptyResult()


async def _unsubscribe(context: ServerRequestContext[Served], given: UnsubscribeRequestParams) -> EmptyResult:
    listener = await context.lifespan_context.news.listen(context.session)
    listener.unsubscribe(given.uri)
    return EmptyResult()


def _require_resource(uri: str) -> None:
    try:
        resources.find(uri)
    except errors.ResourceNotFoundError as error:
        raise MCPError(code=INVALID_PARAMS, message=str(error)) from None
