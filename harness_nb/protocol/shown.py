"""How texts and times look where they are shown, and what IPython prints as plain text."""

from __future__ import annotations

import re
from typing import Any

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Return a text without a terminal's escape sequences and control characters, and whole in UTF-8."""
    plain = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    return _CONTROLS.sub("", plain).encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """Return a text without line breaks and without what could move a terminal's cursor."""
    plain = _ESCAPES.sub("", text)
    return " ".join("".join(sign if sign.isprintable() else " " for sign in plain).split())


def short_line(text: str, limit: int = 160) -> str:
    """Return a text as one line, cut with an ellipsis where it is longer than ``limit`` characters."""
    line = one_line(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def clock(seconds: float) -> str:
    """Return a time span as people write it: 0:07, 1:02:03."""
    minutes, left = divmod(max(0, int(seconds)), 60)  # a clock that was set back takes no time
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def dropped_text(size: object) -> str:
    """Return how much output is not kept any more, as people say it; ``size`` is in bytes."""
    return f"{int(str(size or 0)) / 1_000_000:,.1f} MB"


def tail(text: str, limit: int) -> str:
    """Return the last ``limit`` characters of a text, since a failure is told at the end, and say what is left out."""
    text = clean(text).strip("\n")
    if len(text) <= limit:
        return text
    return f"… {len(text) - limit:,} characters before\n{text[-limit:]}"


def print_whole(shown: object, printer: Any, _: bool) -> None:  # noqa: FBT001 — IPython's way of calling
    """Print a cell's last value as ``str``, all its lines; inside a list it stays the one line of its ``repr``.

    It is a class's own ``_repr_pretty_``: one that is inherited loses against the class's ``__repr__``.
    """
    alone = len(getattr(printer, "stack", ())) <= 1
    printer.text(str(shown) if alone else repr(shown))
