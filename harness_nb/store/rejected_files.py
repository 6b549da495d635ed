"""Files of other programs that cannot be used: set aside with their reason, never fatal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.store.atomic import move, write_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.store.events import Events
    from harness_nb.store.layout import Layout


class RejectedFiles:
    """The folders ``rejected/`` of the sessions."""

    def __init__(self, layout: Layout, events: Events, new_id: Callable[[], str]) -> None:
        self._layout = layout
        self._events = events
        self._new_id = new_id

    def set_aside(self, session_id: str, path: Path, reason: object) -> None:
        """Move a file to ``rejected/`` with a text file that says why beside it."""
        folder = self._layout.session(session_id).rejected
        target = folder / f"{self._new_id()}-{path.name.lstrip('.')}"
        if not move(path, target):
            return
        write_text(target.with_name(target.name + ".reason.txt"), f"{reason}\n", durable=False)
        self._events.add(
            "file_rejected", session_id=session_id, door="file", data={"file": str(target), "reason": str(reason)}
        )
