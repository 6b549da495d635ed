"""The values that a session was given: in this process's memory alone, each for as long as somebody allows it."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Memory:
    """Values by the id of the answer that they came with; ``start`` is what the session was started with."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, str] | None] = {}
        self._until: dict[str, float] = {}

    def keep(self, answer_id: str, values: dict[str, str], until: float | None) -> None:
        """Hold values; ``until`` is in seconds of the wall clock."""
        self._values[answer_id] = values
        if until is not None:
            self._until[answer_id] = until

    def take(self, answer_id: str) -> dict[str, Any]:
        """Return what came with an answer; ``ended`` says that it was there and is handed out no more."""
        values = self._values.get(answer_id)
        if values is not None and time.time() >= self._until.get(answer_id, float("inf")):
            self.forget(answer_id)
            values = None
        return {"values": values, "ended": values is None and answer_id in self._values}

    def forget(self, answer_id: str) -> None:
        """Hand out what came with an answer no longer."""
        if answer_id in self._values:
            self._values[answer_id] = None
