"""Waking those who wait for a change: of a project's sessions, of their output, of whatever is shown."""

from __future__ import annotations

import anyio


class Changes:
    """Wakes everyone who waits, each time that something has changed."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def happened(self) -> None:
        """Wake all who wait now."""
        event, self._event = self._event, anyio.Event()
        event.set()

    @property
    def next(self) -> anyio.Event:
        """What will be set at the next change; take it before looking, then wait for it."""
        return self._event


async def any_of(*events: anyio.Event) -> None:
    """Wait until one of several events is set."""

    async def wait(event: anyio.Event) -> None:
        await event.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for event in events:
            tasks.start_soon(wait, event)
