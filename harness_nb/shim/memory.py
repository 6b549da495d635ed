"""The values that a session was given: in this process's memory alone, each for as long as somebody allows it.

On the socket they are what four orders are about: ``grant`` (``id``, ``values`` to hold, ``until`` when in seconds of
the wall clock, ``masks``: by name the forms in which each is masked from now on; ``unmasked`` names the values without
any), ``take`` (``id``: hands those values out; ``ended`` says that it did once and does no more), ``forget`` (``id``:
hands them out no longer) and ``mask`` (``texts``: gives them back without any value that it masks).
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .joined import LineMasker, Masker


class Memory:
    """Values by the id of the answer that they came with; ``start`` is what the session was started with.

    ``masker`` is there once there is anything to mask: only sessions with credentials pay for it. A worker on pipes may
    write ``lines`` of JSON that have to be joined first.
    """

    def __init__(self, *, lines: bool = False) -> None:
        self.masker: Masker | LineMasker | None = None
        self._lines = lines
        self._values: dict[str, dict[str, str] | None] = {}
        self._until: dict[str, float] = {}

    def do(self, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Carry out an order, and return what its reply says."""
        if action == "grant":
            values, masks = request["values"], request["masks"]
            return {"unmasked": self.keep(request["id"], values, masks, request.get("until"))}
        if action == "take":
            return self._take(request["id"])
        if action == "mask":
            return {"texts": [self.masker.mask(text) if self.masker else text for text in request["texts"]]}
        self._forget(request["id"])
        return None

    def keep(
        self, answer_id: str, values: dict[str, str], masks: dict[str, list[str]], until: float | None = None
    ) -> list[str]:
        """Hold values and mask their forms; masks may also be of what the worker has without being given it here."""
        if masks and self.masker is None:
            from .joined import LineMasker, Masker

            self.masker = LineMasker() if self._lines else Masker()
        if self.masker is not None:
            self.masker.add(masks)
        self._values[answer_id] = values
        if until is not None:
            self._until[answer_id] = until
        return [name for name in values if name not in masks]

    def _take(self, answer_id: str) -> dict[str, Any]:
        values = self._values.get(answer_id)
        if values is not None and time.time() >= self._until.get(answer_id, float("inf")):
            self._forget(answer_id)
            values = None
        return {"values": values, "ended": values is None and answer_id in self._values}

    def _forget(self, answer_id: str) -> None:
        if answer_id in self._values:
            self._values[answer_id] = None
