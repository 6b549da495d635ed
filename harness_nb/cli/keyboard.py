"""Reading typed lines while other things may happen, and keeping the display clean of keys typed in between."""

from __future__ import annotations

import os
import sys
import termios
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


def is_interactive() -> bool:
    """Say whether somebody sits at a terminal, reads it and may type: not so for a job in the background."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


class Keyboard:
    """The terminal's keyboard: silent while a display is shown, and read by lines while something is asked.

    Waiting for a line can be cancelled at any time; no thread is left behind that would swallow the next line.
    """

    def __init__(self) -> None:
        self._terminal = sys.stdin.fileno()
        self._held = b""

    def __enter__(self) -> Self:
        self._original = termios.tcgetattr(self._terminal)
        self.mute()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._set(self._original)

    def mute(self) -> None:
        """Show typed keys no longer; those that send signals still do."""
        silent = [*self._original]
        silent[3] &= ~termios.ECHO
        self._set(silent)

    def listen(self) -> None:
        """Show typed keys again, and forget what was typed before: it was no answer to what is asked now."""
        self._set(self._original)
        self._held = b""

    async def line(self) -> str | None:
        """Wait for a typed line; None for Ctrl-D."""
        while b"\n" not in self._held:
            await anyio.wait_readable(self._terminal)
            typed = os.read(self._terminal, 4096)
            if not typed:
                return None
            self._held += typed
        line, _, self._held = self._held.partition(b"\n")
        return line.decode(errors="replace")

    def _set(self, attributes: list[int | list[bytes | int]]) -> None:
        termios.tcsetattr(self._terminal, termios.TCSAFLUSH, attributes)
