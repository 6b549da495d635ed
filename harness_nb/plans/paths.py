"""Whether two plans touch the same files, from the paths, folders and globs that their authors wrote.

A path that lies inside another conflicts with it, so a folder need not end in a slash. ``[id]`` and
``(group)`` are names of real folders, never patterns; ``*``, ``**`` and ``?`` are patterns, and ``{a,b}`` is
taken as anything. Where two patterns might meet, they do.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from harness_nb.protocol.written import split_outside_parentheses

if TYPE_CHECKING:
    from collections.abc import Iterable

_NOT_A_PATH = re.compile(r"^\(?(?:none|n/?a|nothing|tbd)(?=[\s):]|$)|^[-–—]+$", re.IGNORECASE)
_ANNOTATION = re.compile(r"(?:\s+\([^()]*\)|\s+#.*|\s+(?:-|--|–|—)\s.*|:\d+(?:-\d+)?)$")
_GLOBSTAR = "**"


@dataclass(frozen=True)
class PathPattern:
    """A path as its author meant it: its segments, and whether it may be a folder."""

    text: str
    segments: tuple[str, ...]
    has_wildcard: bool
    may_be_folder: bool


def listed_paths(text: str) -> list[str]:
    """Return the paths in a task's ``<files>``: one a line or a comma list, bullets and remarks taken off."""
    found = []
    for line in text.splitlines():
        for part in split_outside_parentheses(re.sub(r"^\s*(?:[-*+]|\d+\.)\s+", "", line)):
            found += [pattern.text for pattern in read_paths(part)]
    return list(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def read_paths(written: str) -> tuple[PathPattern, ...]:
    """Return what an entry of ``files_modified`` names: mostly one path, two for ``a or b``, none for ``(none)``."""
    text = written.strip()
    found = []
    for part in re.split(r"\s+or\s+", text):
        name = _bare(part)
        if name and not _NOT_A_PATH.match(name):
            found.append(_pattern(name))
    return tuple(found)


def _bare(text: str) -> str:
    """Return a path without quotes and without remarks such as ``(NEW)`` or ``# lines 1-40``."""
    before = ""
    text = text.strip()
    while before != text:
        before = text
        text = _ANNOTATION.sub("", text).strip().strip("`'\"").strip()
    return text


def _pattern(name: str) -> PathPattern:
    is_folder = name.endswith("/") or name in (".", "./")
    normal = posixpath.normpath(re.sub(r"\{[^{}/]*,[^{}/]*\}", "*", name))
    normal = re.sub(r"^//+", "/", normal)
    segments = () if normal == "." else tuple(normal.split("/"))
    has_wildcard = any("*" in segment or "?" in segment for segment in segments)
    last = segments[-1] if segments else ""
    looks_like_file = "." in last.strip(".")
    text = normal + "/" if is_folder and normal not in (".", "/") else normal
    return PathPattern(text, segments, has_wildcard, is_folder or not looks_like_file)


def conflicts(
    a_writes: Iterable[str], a_reads: Iterable[str], b_writes: Iterable[str], b_reads: Iterable[str]
) -> list[str]:
    """Return the paths, as ``a`` names them, that one writes while the other writes or reads them.

    An empty list means that both may run at once; readers never conflict with readers.
    """
    writes_a, writes_b = _all(a_writes), _all(b_writes)
    found = _meeting(writes_a, [*writes_b, *_all(b_reads)]) | _meeting(_all(a_reads), writes_b)
    return sorted(found)


def _all(written: Iterable[str]) -> list[PathPattern]:
    return [pattern for entry in written for pattern in read_paths(entry)]


def _meeting(ours: list[PathPattern], theirs: list[PathPattern]) -> set[str]:
    return {mine.text for mine in ours if any(overlap(mine, other) for other in theirs)}


@lru_cache(maxsize=65536)
def overlap(a: PathPattern, b: PathPattern) -> bool:
    """Whether some file may belong to both, a folder holding all that lies in it."""
    if not a.has_wildcard and not b.has_wildcard:
        shared = min(len(a.segments), len(b.segments))
        return a.segments[:shared] == b.segments[:shared]
    return _meet(a, b, 0, 0, by_globstar=False, seen=set())


def _meet(
    a: PathPattern, b: PathPattern, i: int, j: int, *, by_globstar: bool, seen: set[tuple[int, int, bool]]
) -> bool:
    if (i, j, by_globstar) in seen:
        return False
    seen.add((i, j, by_globstar))
    rest_a, rest_b = a.segments[i:], b.segments[j:]
    if not rest_a or not rest_b:
        return _ended(a, b, rest_a, rest_b, by_globstar=by_globstar)
    if rest_a[0] == _GLOBSTAR:
        return _meet(a, b, i + 1, j, by_globstar=by_globstar, seen=seen) or _meet(
            a, b, i, j + 1, by_globstar=True, seen=seen
        )
    if rest_b[0] == _GLOBSTAR:
        return _meet(a, b, i, j + 1, by_globstar=by_globstar, seen=seen) or _meet(
            a, b, i + 1, j, by_globstar=True, seen=seen
        )
    return _segments_meet(rest_a[0], rest_b[0]) and _meet(a, b, i + 1, j + 1, by_globstar=by_globstar, seen=seen)


def _ended(
    a: PathPattern, b: PathPattern, rest_a: tuple[str, ...], rest_b: tuple[str, ...], *, by_globstar: bool
) -> bool:
    longer = rest_a or rest_b
    if all(segment == _GLOBSTAR for segment in longer):
        return True
    # What is left lies inside the shorter one. A path that walked there by its own names says it is a folder;
    # "**" proves nothing, and README.md holds no "**/*.ts".
    shorter = b if rest_a else a
    return shorter.may_be_folder or not by_globstar


@lru_cache(maxsize=65536)
def _segments_meet(p: str, q: str) -> bool:
    """Whether some name matches both patterns of one segment each."""
    if not p or not q:
        return not (p or q).strip("*")
    if p[0] == "*":
        return _segments_meet(p[1:], q) or _segments_meet(p, q[1:])
    if q[0] == "*":
        return _segments_meet(q, p)
    return (p[0] == q[0] or "?" in (p[0], q[0])) and _segments_meet(p[1:], q[1:])
