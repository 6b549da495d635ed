"""Values as people write them in YAML: one or a list, a number or its text, a comma list, a word for nothing."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_NOTHING = {"", "-", "none", "nothing", "n/a", "null", "~"}


def _as_text(value: object) -> object:
    return value if value is None or isinstance(value, str) else str(value)


def as_list(value: object) -> list[Any]:
    """Return what stands there as a list: nothing, one thing, or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def split_outside_parentheses(text: str) -> list[str]:
    """Return the parts of a comma list, with the commas inside parentheses left alone."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", text) if part.strip()]


def _as_references(value: object) -> list[str]:
    found: list[str] = []
    for item in as_list(value):
        found += split_outside_parentheses(item) if isinstance(item, str) else [str(item)]
    return [item for item in found if item.lower() not in _NOTHING]


def _as_texts(value: object) -> list[str]:
    found: list[str] = []
    for item in as_list(value):
        if isinstance(item, dict):  # an unquoted "like: this" is a mapping to YAML and a sentence to its author
            found += [f"{key}: {text}" for key, text in item.items()]
        elif item is not None:
            found.append(str(item))
    return found


Text = Annotated[str, BeforeValidator(_as_text)]
Texts = Annotated[list[str], BeforeValidator(_as_texts)]
References = Annotated[list[str], BeforeValidator(_as_references)]
Anything = Annotated[list[Any], BeforeValidator(as_list)]
