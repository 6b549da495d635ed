"""Ending a session, or a run, from the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.cli.opening import DOOR, project_root, used_root
from harness_nb.cli.output import opened_at_session

if TYPE_CHECKING:
    from pathlib import Path


def end_session(folder: Path, name: str, *, grace: float) -> None:
    """End a session's processes, or a run, and say how it went; what has ended stays as it is.

    Raises: SessionNotFoundError, UnknownRunError, HolderFailedError.
    """
    import anyio

    from harness_nb.harness import AsyncHarness, AsyncRun

    is_run = name.startswith("run-") and used_root(folder)[1]
    session_id = ""
    if not is_run:
        with opened_at_session(folder, name) as (_, session):
            session_id = session.id

    async def end() -> str:
        async with AsyncHarness(project_root(folder), door=DOOR, judges=False) as harness:
            if is_run:
                return str(await AsyncRun(harness, harness.store.runs.get(name)).stop())
            record = await harness.end_session(session_id, grace=grace)
            return f"{record.id} {record.state}{f': {record.reason}' if record.reason else ''}"

    print(anyio.run(end))  # noqa: T201
