"""How a tool of ours becomes one of the SDK: its model is the schema, its docstring the description."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from mcp_types import CallToolResult, TextContent, ToolAnnotations

from harness_nb.mcp_server.sending import sendable

if TYPE_CHECKING:
    from harness_nb.mcp_server.arguments import Arguments
    from harness_nb.mcp_server.tools import ToolEntry


def register(entry: ToolEntry) -> Tool:
    """Return a tool as the SDK knows them."""

    async def call(given: Any, context: Any) -> Any:
        reply = await entry.work(given, context.request_context.lifespan_context.caller(context))
        text = sendable(reply.text)
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=reply.to_wire())

    call.__annotations__ = {"given": entry.takes, "context": Context, "return": Annotated[CallToolResult, entry.gives]}
    tool = Tool.from_function(
        call,
        name=entry.name,
        title=entry.title,
        description=_flowing(entry.takes.__doc__ or "") + entry.note,
        annotations=_annotations(entry),
    )
    # the model itself, instead of one that the SDK makes of a signature: it has descriptions, and refuses other fields
    tool.fn_metadata.arg_model = _one_argument(entry.takes)
    tool.parameters = {**plain_schema(entry.takes.model_json_schema(by_alias=True)), "description": entry.title}
    tool.fn_metadata.output_schema = plain_schema(tool.fn_metadata.output_schema)
    return tool


def _annotations(entry: ToolEntry) -> ToolAnnotations:
    return ToolAnnotations(
        title=entry.title,
        read_only_hint=entry.reads_only,
        destructive_hint=entry.destroys,
        idempotent_hint=entry.reads_only or entry.repeatable,
        open_world_hint=False,
    )


def _one_argument(takes: type[Arguments]) -> type[ArgModelBase]:
    def model_dump_one_level(self: ArgModelBase) -> dict[str, Any]:
        return {"given": self}

    return type(takes.__name__, (takes, ArgModelBase), {"model_dump_one_level": model_dump_one_level, "__doc__": ""})


def _flowing(text: str) -> str:
    """Return a docstring with one line a paragraph."""
    return "\n\n".join(" ".join(one.split()) for one in inspect.cleandoc(text).split("\n\n"))


def plain_schema(schema: Any) -> Any:
    """Return a JSON schema without the titles that pydantic makes of names: they say nothing and cost tokens."""
    if isinstance(schema, list):
        return [plain_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: plain_schema(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
