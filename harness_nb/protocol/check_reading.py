"""Reading one check, and naming what it has that nobody looks at.

The engine refuses to pass a check with an unknown field, because a misspelt one would otherwise be a condition
that is never judged.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import ValidationError

from harness_nb.errors import InvalidCheckError, UnknownCheckTypeError
from harness_nb.protocol.base import WireModel, problems_of
from harness_nb.protocol.checks import CHECK_ADAPTER, CHECK_TYPES, CheckSpec


class UnknownField(WireModel):
    """A field that a check does not have, and the nearest one that it has."""

    name: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"unknown field {self.name!r}{hint}"


def unknown_fields(model: WireModel, prefix: str = "") -> tuple[UnknownField, ...]:
    """Return the fields that a check and the models inside it do not have."""
    found = []
    names = [field.alias or name for name, field in type(model).model_fields.items()] if model.unknown_keys else []
    for key in model.unknown_keys:
        near = difflib.get_close_matches(key, names, n=1)
        found.append(UnknownField(name=prefix + key, suggestion=prefix + near[0] if near else None))
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        for index, item in enumerate(value if isinstance(value, tuple) else [value]):
            if isinstance(item, WireModel):
                place = f"[{index}]" if isinstance(value, tuple) else ""
                found += unknown_fields(item, f"{prefix}{field.alias or name}{place}.")
    return tuple(found)


def parse_check(raw: object, source: str | None = None) -> CheckSpec:
    """Return the typed check that a mapping describes; ``source`` is where it stands, as ``file:line``.

    Raises:
        UnknownCheckTypeError: the type is missing or not one of the twenty-seven.
        InvalidCheckError: a field is missing or has the wrong kind of value.

    """
    if isinstance(raw, CheckSpec):
        return raw
    if not isinstance(raw, Mapping):
        raise InvalidCheckError(None, None, "it must be a mapping with an id and a type", source)
    name, check_type = raw.get("id"), raw.get("type")
    if check_type not in CHECK_TYPES:
        raise UnknownCheckTypeError(name, check_type, CHECK_TYPES, source)
    try:
        checked: CheckSpec = CHECK_ADAPTER.validate_python(dict(raw))
    except ValidationError as error:
        # The union's own tag is the first part of every location and tells a reader nothing.
        problems = problems_of(error).replace(f"{check_type}.", "")
        raise InvalidCheckError(name, check_type, problems, source) from None
    return checked
