"""What every error here is."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class HarnessError(Exception):
    """The base of every error that this package raises on purpose.

    One by which a door refuses somebody has a short word for that as ``refusal``, and names in ``tried`` what was
    tried: both are journalled.
    """

    refusal: ClassVar[str | None] = None
    tried: Mapping[str, str] = MappingProxyType({})
