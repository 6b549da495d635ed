"""What a session printed, and what it goes on printing."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness_nb.cli.app import INTERRUPTED
from harness_nb.cli.opening import opened, used_root
from harness_nb.errors import HarnessError, SessionNotFoundError
from harness_nb.sessions import conclude, read_output, watch_shim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import Store


def print_output(folder: Path, name: str, *, lines: int, follow: bool) -> int:
    """Print the last lines of a session, and with ``follow`` what comes until it ends.

    Raises: SessionNotFoundError.
    """
    with opened_at_session(folder, name) as (store, session):
        note = read_output(store.layout.session(session.id).output, lines=0).note
        if note:  # not among what was printed, which others may read
            print(note, file=sys.stderr)  # noqa: T201
        place = _print(store, session, lines=lines)
        if not follow or not session.live:
            return 0
        import anyio

        try:
            anyio.run(_follow, store, session, place)
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


@contextmanager
def opened_at_session(folder: Path, name: str) -> Iterator[tuple[Store, SessionRecord]]:
    """Open a project's journal for one session; where nothing ever happened there is none.

    Raises: SessionNotFoundError.
    """
    if not used_root(folder)[1]:
        raise SessionNotFoundError(name)
    with opened(folder) as store:
        yield store, session_named(store, name)


def session_named(store: Store, name: str) -> SessionRecord:
    """Return a session by its id, or the newest attempt at a plan.

    Raises: SessionNotFoundError.
    """
    attempts = [one for one in store.sessions.select(plan_id=name) if one.worker != "python"]
    return attempts[-1] if attempts else store.sessions.get(name)


def _print(store: Store, session: SessionRecord, *, lines: int | None = None, since: int | None = None) -> int:
    """Print a piece of the output and return the place behind it; since a place, all there is."""
    path = store.layout.session(session.id).output
    found = read_output(path, lines=lines, since=since)
    while found.text:
        sys.stdout.write(found.text)
        found = read_output(path, since=found.end)
    sys.stdout.flush()
    return found.end


async def _follow(store: Store, session: SessionRecord, place: int) -> None:
    import anyio

    while store.sessions.get(session.id).live:
        try:
            async for news in watch_shim(store.layout.session(session.id)):
                if "output" in news:
                    place = _print(store, session, since=place)
        except (OSError, HarnessError):  # it is just starting or ending
            await anyio.sleep(0.05)
        conclude(store, session.id)
    _print(store, session, since=place)
