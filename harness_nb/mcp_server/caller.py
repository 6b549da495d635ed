"""Who calls a tool: the harness as this client uses it, and a way to tell that a long call goes on."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from harness_nb.errors import OtherProjectError, OutsideProjectError, UnusableArgumentError
from harness_nb.harness.patience import only
from harness_nb.protocol.shown import short_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from mcp.server.mcpserver import Context

    from harness_nb.harness import AsyncHarness
    from harness_nb.mcp_server.news import News

TELL_EVERY = 15.0
"""Seconds between two signs of life of a long call."""
LONGEST_NAME = 60

T = TypeVar("T")
to_thread = anyio.to_thread.run_sync


class Caller:
    """A client, while it calls one tool or reads one resource."""

    def __init__(
        self, harness: AsyncHarness, news: News, context: Context[Any, Any], starting: AbstractAsyncContextManager[Any]
    ) -> None:
        self.harness = speaking_as(harness, _name_of(context))
        self.starting = starting
        self._news = news
        self._context = context

    async def own_project(self, path: str | None) -> None:
        """Make sure that a path is this server's project.

        Raises: OtherProjectError, UnusableArgumentError.
        """
        root = self.harness.root
        if path is not None and (found := await to_thread(_full, root, path, "projectPath")) != root:
            raise self.harness.store.refusals.refuse(OtherProjectError(found, root))

    async def folder_inside(self, path: str) -> Path:
        """Return a folder of the project as a full path.

        Raises: OutsideProjectError, UnusableArgumentError.
        """
        root = self.harness.root
        try:
            found = await to_thread(_full, root, path, "workingDir")
        except UnusableArgumentError as error:
            self.harness.store.refusals.note("mcp", "unusable_path", str(error), {"path": path})
            raise
        if not found.is_relative_to(root):
            raise self.harness.store.refusals.refuse(OutsideProjectError(found, root))
        return found

    async def patiently(self, work: Callable[[], Awaitable[T]], longest: float | None, word: str) -> T:
        """Await something that takes long, and tell the client from time to time that it goes on.

        Raises: whatever ``work`` raises.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, longest, word)
                result = await work()
                tasks.cancel_scope.cancel()
        except Exception as error:
            raise only(error) from None
        return result

    async def _tell(self, longest: float | None, word: str) -> None:
        begun = time.monotonic()
        while True:
            await anyio.sleep(TELL_EVERY)
            passed = round(time.monotonic() - begun, 1)
            await self._context.report_progress(passed, longest, f"{word}: {self._news.summary}")


def speaking_as(harness: AsyncHarness, actor: str | None) -> AsyncHarness:
    """Return the same harness for one of several clients: what it does is written down under that client's name."""
    same = copy.copy(harness)
    same.actor = actor or harness.actor
    return same


def _name_of(context: Context[Any, Any]) -> str | None:
    known = context.request_context.session.client_params
    return short_line(known.client_info.name, LONGEST_NAME) or None if known is not None else None


def _full(root: Path, path: str, argument: str) -> Path:
    try:
        found = (root / Path(path).expanduser()).resolve()
        found.exists()  # asks the system, which knows how long a path may be
    except (OSError, ValueError, RuntimeError) as error:  # no text for a path, no such user, links in a circle
        problem = (getattr(error, "strerror", None) or str(error)).lower()
        raise UnusableArgumentError(argument, short_line(problem), "Give a folder's path") from None
    return found
