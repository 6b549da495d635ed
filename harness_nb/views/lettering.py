"""How wide a text will be in a picture that nobody has drawn yet: an estimate, since an SVG breaks and cuts nothing."""

from __future__ import annotations

import unicodedata

NARROW = frozenset("ijl.,:;|!' ")
SLIM = frozenset('frtI()[]{}/\\-"`*')
WIDE = frozenset("mwMW@%&—…")

ELLIPSIS = "…"


def width_of(text: str, size: float) -> float:
    """Return about how many pixels a text takes in a sans-serif of that size: rather too many than too few."""
    return size * sum(_share(sign) for sign in text)


def cut(text: str, width: float, size: float) -> str:
    """Return as much of a text as fits, with an ellipsis where something was cut."""
    if width_of(text, size) <= width:
        return text
    left = width - width_of(ELLIPSIS, size)
    kept = ""
    for sign in text:
        left -= size * _share(sign)
        if left < 0:
            break
        kept += sign
    return kept.rstrip() + ELLIPSIS


def _share(sign: str) -> float:
    """Return a sign's width in units of the font's size, measured at DejaVu Sans, the widest of the usual ones."""
    if sign in NARROW:
        return 0.35
    if sign in SLIM:
        return 0.46
    if sign in WIDE or unicodedata.east_asian_width(sign) in "WF":
        return 1.02
    if unicodedata.combining(sign):
        return 0.0
    return 0.72 if sign.isupper() else 0.63
