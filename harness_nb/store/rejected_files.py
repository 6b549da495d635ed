"""Files of other programs that cannot be used: set aside with their reason, never fatal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness_nb.errors import UnreadableFileError
from harness_nb.protocol.files import CheckpointResponse
from harness_nb.store.atomic import move, names_in, read_json, write_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.store.events import Events
    from harness_nb.store.layout import Layout


TAKEN_UP = ("checkpoint.json", "checkpoint_response.json")
"""What is of use once it is whole; a session's result is read when nobody writes it any more."""


class RejectedFiles:
    """The folders ``rejected/`` of the sessions."""

    def __init__(self, layout: Layout, events: Events, new_id: Callable[[], str]) -> None:
        self._layout = layout
        self._events = events
        self._new_id = new_id

    def set_aside(
        self, session_id: str, path: Path, reason: object, *, secret: bool = False, name: str | None = None
    ) -> None:
        """Move a file to ``rejected/`` with a text file that says why beside it; what is ``secret`` is taken out.

        ``name`` is what it was called where its writer put it.
        """
        folder = self._layout.session(session_id).rejected
        target = folder / f"{self._new_id()}-{name or path.name.lstrip('.')}"
        if not move(path, target):
            return
        if secret:
            remove_values(target)
        write_text(_reason_of(target), f"{reason}\n", durable=False)
        self._events.add(
            "file_rejected",
            session_id=session_id,
            actor="a file",
            door="file",
            data={"file": str(target), "reason": str(reason)},
        )

    def take_up(self, session_id: str) -> None:
        """Put back what its writer, who had it open all the time, has completed since it was set aside."""
        folder = self._layout.session(session_id)
        for name in names_in(folder.rejected):
            kind = next((one for one in TAKEN_UP if name.endswith(f"-{one}")), None)
            path = folder.rejected / name
            if kind is not None and _was_completed(path):
                self._put_back(session_id, path, folder.path / kind)

    def _put_back(self, session_id: str, path: Path, place: Path) -> None:
        if place.name == "checkpoint.json":  # ours may be there: it is taken in from beside it
            place = place.parent / "asked" / f".incoming-{self._new_id()}"
        elif place.exists():
            return
        if move(path, place):
            _reason_of(path).unlink(missing_ok=True)
            self._events.add("file_completed", session_id=session_id, door="file", data={"file": str(path)})


def _reason_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.reason.txt")


def _was_completed(path: Path) -> bool:
    """Say whether a file was written on after it was set aside, and can be read now."""
    try:
        if path.stat().st_mtime_ns < _reason_of(path).stat().st_mtime_ns:
            return False
        read_json(path)
    except (FileNotFoundError, UnreadableFileError):
        return False
    return True


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
