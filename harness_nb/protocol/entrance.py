"""What may come in from other programs: JSON that every reader can take, with texts that are whole in UTF-8."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from harness_nb.protocol.base import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 100
"""Lists and objects inside one another: readers give up at a few hundred of them, each at its own number."""

Place = tuple[object, ...]


def whole(content: Any) -> Any:
    """Return content whose texts and keys are whole in UTF-8: half a character becomes a question mark."""
    if isinstance(content, str):
        return content if content.isascii() else content.encode("utf-8", "replace").decode()
    if isinstance(content, dict):
        return {whole(key): whole(part) for key, part in content.items()}
    if isinstance(content, list | tuple):
        return [whole(part) for part in content]
    return content


def require_json(content: Any) -> None:
    """Make sure that all can be written as JSON.

    Raises: ValueError, whose text names the place.
    """
    open_parts: list[Iterator[tuple[Place, Any]]] = [iter([((), content)])]
    while open_parts:
        place, part = next(open_parts[-1], (None, None))
        if place is None:
            open_parts.pop()
        elif isinstance(part, float) and not math.isfinite(part):
            raise ValueError(f"{place_of(place)}: {json.dumps(part)} is no JSON; leave it out, or send it as a text")
        elif isinstance(part, dict | list | tuple):
            if len(place) > DEEPEST:
                raise ValueError(f"{place_of(place[:2])}: it is nested too deeply; put it into a file and name that")
            open_parts.append(_parts_of(part, place))


def _parts_of(part: dict[Any, Any] | list[Any] | tuple[Any, ...], place: Place) -> Iterator[tuple[Place, Any]]:
    inside = part.items() if isinstance(part, dict) else enumerate(part)
    return (((*place, key), one) for key, one in inside)
