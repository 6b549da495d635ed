"""Cutting what a check says to a length that people read, once values are masked: half a value is known to nobody."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

Redact = Callable[[str], str]

current_redact: ContextVar[Redact | None] = ContextVar("current_redact", default=None)
"""What takes values out of the texts of the check that is run now."""
WITHHELD = "[withheld: the redaction of this text failed]"


def shortened(text: str, length: int) -> str:
    """Return a text without values, and of one that is longer its beginning."""
    masked = redacted(text, current_redact.get())
    return masked if len(masked) <= length else f"{masked[: length - 1]}…"


def redacted(text: str, redact: Redact | None) -> str:
    """Return a text without values; nothing of it where that failed."""
    if redact is None:
        return text
    try:
        return redact(text)
    except Exception:  # a text that may hold a secret is not shown, whatever went wrong
        return WITHHELD
