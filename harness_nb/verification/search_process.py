"""Search a file or standard input for a regular expression, as a process that can be killed.

Python's ``re`` holds the interpreter's lock until it is done, and a pattern like ``(a+)+b`` is not done in a
lifetime: inside the harness it would stop every session's view, and no time limit could end it. Run by path,
with the standard library alone: ``python -I -S search_process.py PATTERN FILE`` (``-`` is standard input).
Prints one JSON value: ``null``, or the line and the text of the first match. The system ends it once it has taken too
much processor time, since whoever would do so may have died.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import warnings
from pathlib import Path

LONGEST = 600
"""Seconds of processor time, as long as the longest time limit that a check has by itself."""

MOST_TEXT = 1 << 16
"""Characters of a match that are told; they are shortened for people where values can be masked before."""


def first_match(pattern: str, text: str) -> tuple[int, str] | None:
    """Return the line number and the text of the first match; ``^`` and ``$`` mean lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = re.compile(pattern, re.MULTILINE).search(text)
    return found and (text.count("\n", 0, found.start()) + 1, found.group())


def decode(data: bytes) -> str:
    """Return bytes as text in which every line ends with a newline alone."""
    return data.decode(errors="replace").replace("\r\n", "\n")


def main(pattern: str, file: str) -> None:
    """Search and print what was found."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    if most == resource.RLIM_INFINITY or most > LONGEST:
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, most))
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    match = first_match(pattern, decode(data))
    print(json.dumps(match and (match[0], match[1][:MOST_TEXT])))  # noqa: T201 - its output is its result


if __name__ == "__main__":
    main(*sys.argv[1:])
