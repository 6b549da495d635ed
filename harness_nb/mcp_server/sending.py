"""What can be sent to a client, and how much of it an agent that reads text alone is given."""

from __future__ import annotations

import json
import math
from typing import Any

LONGEST_TEXT = 100_000
"""Characters of an answer's text: the structured part has it all, and an agent reads both."""
LONGEST_VALUE = 2_000
"""Characters that each text in an answer keeps where the answer is too long."""
ENDED = ("completed", "failed")


def sendable(value: Any) -> Any:
    """Return a JSON value that every client can read: texts whole in UTF-8, and no number that JSON does not have."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {sendable(key): sendable(one) for key, one in value.items()}
        case list() | tuple():
            return [sendable(one) for one in value]
    return value


def shortened(wire: dict[str, Any]) -> str:
    """Return an answer as JSON that is not too long: first long texts are cut, then lists lose whole entries."""
    text = _json(wire)
    if len(text) <= LONGEST_TEXT:
        return text
    wire = _cut(wire)
    while len(text := _json(wire)) > LONGEST_TEXT:
        lists = _lists(wire)
        if not lists:
            return _json({"leftOut": f"all of {len(text):,} characters; ask for less"})
        holder, name = max(lists, key=lambda one: len(_json(one[0][one[1]])))
        holder[name], gone = _half(holder[name])
        missing = "leftOut" if name == "sessions" and holder is wire else f"{name}LeftOut"
        holder[missing] = (holder.get(missing) or 0) + gone
    return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(value: Any) -> Any:
    match value:
        case str() if len(value) > LONGEST_VALUE:
            return f"{value[:LONGEST_VALUE]}… ({len(value) - LONGEST_VALUE:,} characters left out)"
        case dict():
            return {key: _cut(one) for key, one in value.items()}
        case list():
            return [_cut(one) for one in value]
    return value


def _lists(wire: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    holders = [wire, *(one for one in wire.values() if isinstance(one, dict))]
    return [(holder, name) for holder in holders for name, one in holder.items() if isinstance(one, list) and one]


def _half(entries: list[Any]) -> tuple[list[Any], int]:
    """Return a list with about half its entries: of sessions the living and the newest stay, else the first."""
    going = len(entries) - len(entries) // 2
    if not _are_sessions(entries):
        return entries[:-going], going
    ended = [number for number, one in enumerate(entries) if one["state"] in ENDED]
    dropped = set(ended[: max(1, len(ended) - len(ended) // 2)] or range(going))
    return [one for number, one in enumerate(entries) if number not in dropped], len(dropped)


def _are_sessions(entries: list[Any]) -> bool:
    return all(isinstance(one, dict) and "sessionId" in one and "attempt" in one for one in entries)
