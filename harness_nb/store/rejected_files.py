"""Files of other programs that cannot be used: set aside with their reason, never fatal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness_nb.errors import UnreadableFileError
from harness_nb.protocol.files import CheckpointResponse
from harness_nb.store.atomic import move, read_json, write_text

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

    def set_aside(self, session_id: str, path: Path, reason: object, *, secret: bool = False) -> None:
        """Move a file to ``rejected/`` with a text file that says why beside it; what is ``secret`` is taken out."""
        folder = self._layout.session(session_id).rejected
        target = folder / f"{self._new_id()}-{path.name.lstrip('.')}"
        if not move(path, target):
            return
        if secret:
            remove_values(target)
        write_text(target.with_name(target.name + ".reason.txt"), f"{reason}\n", durable=False)
        self._events.add(
            "file_rejected",
            session_id=session_id,
            actor="a file",
            door="file",
            data={"file": str(target), "reason": str(reason)},
        )


def remove_values(path: Path) -> None:
    """Keep of an answer about credentials only the fields that answers have: any other may hold a value."""
    try:
        content = read_json(path)
    except FileNotFoundError:
        return
    except UnreadableFileError:
        write_text(path, "")
        return
    fields = CheckpointResponse.model_fields
    known = {*fields, *(str(field.alias) for field in fields.values())}
    kept = {key: value for key, value in content.items() if key in known}
    removed = sorted(set(content) - known)
    write_text(path, json.dumps({**kept, **({"removed": removed} if removed else {})}, indent=2) + "\n")
