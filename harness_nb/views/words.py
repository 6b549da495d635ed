"""Texts and times as people read them."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters, which could move a terminal's cursor."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def clock(seconds: float) -> str:
    """Return a time span as people write it: 0:07, 1:02:03."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
