"""Looking for a text or a regular expression in files, output and responses, whatever their size."""

from __future__ import annotations

import json
import mmap
import re
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification import search_process
from harness_nb.verification.shortening import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SMALL = 16 * 1024


@dataclass(frozen=True)
class Match:
    """Where a pattern was found first; ``line`` counts from 1."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {shortened(self.text, 200)}"


class LiteralSearch:
    """Looks for a text in a stream that comes in pieces, remembering only what may begin a match."""

    def __init__(self, text: str) -> None:
        self._wanted = text.encode()
        self._kept = b""
        self.found = False

    def add(self, chunk: bytes) -> None:
        """Take in the next piece."""
        if self.found:
            return
        window = self._kept + chunk
        self.found = self._wanted in window
        self._kept = window[max(0, len(window) - len(self._wanted) + 1) :]


def check_regex(pattern: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        CheckCouldNotRunError: it cannot be compiled.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise CheckCouldNotRunError(f"{pattern!r} is no regular expression of Python: {error}.") from error


def is_regex(text: str) -> bool:
    """Say whether a text can be used as a regular expression."""
    try:
        check_regex(text)
    except CheckCouldNotRunError:
        return False
    return True


async def find_in_file(path: Path, pattern: str, *, regex: bool) -> Match | None:
    """Return the first place in a file where a text, or a match of a regular expression, stands."""
    if not regex:
        return await anyio.to_thread.run_sync(_find_literal, path, pattern, abandon_on_cancel=True)
    check_regex(pattern)
    size = await anyio.to_thread.run_sync(lambda: path.stat().st_size, abandon_on_cancel=True)
    if _is_quick(pattern, size):
        data = await anyio.to_thread.run_sync(path.read_bytes, abandon_on_cancel=True)
        return _as_match(search_process.first_match(pattern, search_process.decode(data)))
    return await _search_apart(pattern, str(path), None)


async def find_in_text(text: str, pattern: str, *, regex: bool) -> Match | None:
    """Return the first place in a text where another text, or a match of a regular expression, stands."""
    if not regex:
        at = text.find(pattern)
        return None if at < 0 else Match(text.count("\n", 0, at) + 1, pattern)
    check_regex(pattern)
    if _is_quick(pattern, len(text)):
        return _as_match(search_process.first_match(pattern, text))
    return await _search_apart(pattern, "-", text.encode(errors="replace"))


def _is_quick(pattern: str, size: int) -> bool:
    """Say whether a search takes little time whatever the text: no repetition, or one and a small text."""
    repetitions = sum(pattern.count(sign) for sign in "*+{")
    return repetitions == 0 or (repetitions == 1 and size <= _SMALL)


async def _search_apart(pattern: str, file: str, text: bytes | None) -> Match | None:
    argv = [sys.executable, "-I", "-S", "-X", "utf8", search_process.__file__, pattern, file]
    # In a session of its own: Jupyter interrupts a kernel's whole group when it means the cell, and a kernel that shuts
    # down ends the rest of its group before itself, which might still journal that a check failed.
    done = await anyio.run_process(argv, input=text or b"", check=False, start_new_session=True)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise CheckCouldNotRunError(f"The search for {pattern!r} broke off: {last or 'it was ended'}.")
    return _as_match(json.loads(done.stdout))


def _as_match(found: Sequence[object] | None) -> Match | None:
    return None if found is None else Match(int(str(found[0])), str(found[1]))


def _find_literal(path: Path, text: str) -> Match | None:
    wanted = text.encode()
    with path.open("rb") as file:
        if not path.stat().st_size:  # an empty file cannot be mapped
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(wanted)
            if at < 0 and b"\n" in wanted:
                at = data.find(wanted.replace(b"\n", b"\r\n"))
            if at < 0:
                return None
            return Match(_lines_before(data, at) + 1, text)


def _lines_before(data: mmap.mmap, end: int) -> int:
    step = 1 << 20
    return sum(data[start : min(start + step, end)].count(b"\n") for start in range(0, end, step))
