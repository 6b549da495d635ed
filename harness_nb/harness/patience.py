"""How long somebody waits, and what they are told when that was in vain."""

from __future__ import annotations

from typing import Any

import anyio


def only(error: Exception) -> Exception:
    """Return what went wrong without the groups around it, if it was one thing."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class patience:  # noqa: N801 — reads as a verb where it is used
    """Raises a TimeoutError after so many seconds, None for never, that says what goes on ``meanwhile``."""

    def __init__(self, timeout: float | None, meanwhile: str) -> None:
        self._timeout = timeout
        self._scope = anyio.CancelScope()
        self._meanwhile = meanwhile

    def __enter__(self) -> None:
        if self._timeout is not None:
            self._scope.deadline = anyio.current_time() + self._timeout
        self._scope.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._scope.__exit__(*error)
        if self._scope.cancelled_caught:
            raise TimeoutError(f"not within {self._timeout:g} s; {self._meanwhile}")
