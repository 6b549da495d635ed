"""Ending a session from the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.cli.opening import DOOR, project_root
from harness_nb.cli.output import opened_at_session

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.protocol.records import SessionRecord


def end_session(folder: Path, name: str, *, grace: float) -> None:
    """End a session's processes and say how it went; one that has ended stays as it is.

    Raises: SessionNotFoundError.
    """
    import anyio

    from harness_nb.harness import AsyncHarness

    with opened_at_session(folder, name) as (_, session):
        pass

    async def end() -> SessionRecord:
        async with AsyncHarness(project_root(folder), door=DOOR, judges=False) as harness:
            return await harness.end_session(session.id, grace=grace)

    record = anyio.run(end)
    print(f"{record.id} {record.state}{f': {record.reason}' if record.reason else ''}")  # noqa: T201
