"""What every error here is."""

from __future__ import annotations


class HarnessError(Exception):
    """The base of every error that this package raises on purpose."""
