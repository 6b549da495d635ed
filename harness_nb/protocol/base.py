"""What every model that crosses a process boundary has in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, ValidationError
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Iterable

CREDENTIALS = "credentials"
"""The field whose values, and whatever stands in their place, are quoted nowhere."""


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def format_timestamp(moment: datetime) -> str:
    """Return a moment as ISO 8601 UTC with milliseconds and a ``Z``, as other programs write it."""
    return _as_utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[
    datetime, AfterValidator(_as_utc), PlainSerializer(format_timestamp, return_type=str, when_used="json")
]
"""A moment in UTC; one without a zone is taken as UTC."""

VerifiedBy = Literal["auto", "playwright", "human"]
"""Who or what judged a check."""


class WireModel(BaseModel):
    """A frozen model with camelCase keys outside, snake_case attributes inside, and unknown keys kept."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        defer_build=True,  # built at first use: importing the package stays quick
    )

    def to_wire(self) -> dict[str, Any]:
        """Return plain JSON types under camelCase keys, without the fields that are ``None``."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def replace(self, **changes: Any) -> Self:
        """Return a validated copy with some attributes changed."""
        return self.model_validate({**self.model_dump(by_alias=False), **changes})

    @property
    def unknown_keys(self) -> tuple[str, ...]:
        """The keys that this version of the protocol does not know, in their order."""
        return tuple(self.__pydantic_extra__ or ())


def problems_of(error: ValidationError) -> str:
    """Return pydantic's findings as one line: ``field: what is wrong; …``, without the rejected values."""
    found = (
        f"{place_of(item['loc'])}: {item['msg'][:1].lower()}{item['msg'][1:]}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    )
    return "; ".join(dict.fromkeys(found))


def place_of(path: Iterable[object]) -> str:
    """Return where in a message something stands; of credentials no more, since a key there may be a value."""
    parts = [str(part) for part in path]
    if CREDENTIALS in parts:
        parts = parts[: parts.index(CREDENTIALS) + 1]
    return ".".join(parts) or "the whole"
