"""What a page may ask for; all else that comes from there is told in one sentence."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError

from harness_nb.errors import UnknownOrderError
from harness_nb.protocol.base import WireModel

LONGEST = 200
"""Characters of a name."""
MOST = 2**63 - 1
"""The highest number that the journal can hold."""


class Order(WireModel):
    """Something that somebody did in a page."""

    do: Literal["hello", "here", "bye", "select", "stay", "output", "answer", "input", "interrupt", "stop"]
    page: str = Field(default="", max_length=LONGEST)
    number: int | None = None
    session: str | None = Field(default=None, max_length=LONGEST)
    plan: str | None = Field(default=None, max_length=LONGEST)
    text: str = ""
    seq: int = Field(default=0, ge=0, le=MOST)
    verb: Literal["option", "approve", "reject", "abort"] | None = None
    option: str | None = None
    notes: str = ""


def order_of(content: Any) -> Order:
    """Read what a page sent.

    Raises: UnknownOrderError.
    """
    try:
        order = Order.model_validate(content, strict=True)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UnknownOrderError(place) from None
    if order.do == "answer" and (order.verb is None or not order.seq):
        raise UnknownOrderError("verb" if order.seq else "seq")
    return order
