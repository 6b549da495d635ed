"""Reading ROADMAP.md: its frontmatter as quick state, and the phases that its text names.

Of the text only phase headings, phase items of lists and ``Depends on`` lines count. Boxes and tables go
stale in real projects; whether a plan was done is said by its summary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness_nb.plans.documents import edit_document, printable, read_document
from harness_nb.plans.frontmatter import read_frontmatter, split_frontmatter, validated
from harness_nb.plans.frontmatter_edit import update_frontmatter
from harness_nb.protocol.plans import PlanProblem, RoadmapFrontmatter, normal_phase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NUMBER = r"\d+(?:\.\d+)*[a-z]?(?![A-Za-z])"
_HEADING = re.compile(
    rf"^(?P<marks>#{{2,5}})[ \t]+[^\w\n]*Phase[ \t]+(?P<number>{_NUMBER})\**[ \t]*(?:(?::|—|–|-)[ \t]*(?P<name>.*))?$",
    re.IGNORECASE,
)
_ANY_HEADING = re.compile(r"^(?P<marks>#{1,6})[ \t]")
_ITEM = re.compile(
    rf"^[ \t]*[-*][ \t]+(?:\[[^\]]?\][ \t]*)?[*_]*Phase[ \t]+(?P<number>{_NUMBER})[*_]*[ \t]*"
    r"(?::|—|–)[ \t]*(?P<name>.*)$"
)
_DEPENDS = re.compile(r"^[ \t]*(?:[-*][ \t]+)?[*_]*depends[ \t]+on[*_]*[ \t]*:[*_]*[ \t]*(?P<what>.*)$", re.IGNORECASE)
_NOTHING = re.compile(r"^[\W_]*(?:nothing|none|n/a|no phase)\b|^[-–—]+$", re.IGNORECASE)
_REMARK = re.compile(r"\([^()]*\)(?=[ \t]*(?:,|;|&|\+|and\b|$))")
_END = re.compile(r"\(|\.(?=\s)|;|\bnot\b", re.IGNORECASE)
_FIRST = re.compile(rf"\bphase(?P<plural>s?)[ \t]+(?P<number>{_NUMBER})", re.IGNORECASE)
_MORE = re.compile(
    r"[ \t]*(?:(?P<range>[-–—]|to\b|through\b)|,[ \t]*(?:and\b)?|and\b|&|\+)[ \t]*"
    rf"(?:phases?[ \t]+)?(?P<number>{_NUMBER})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RoadmapPhase:
    """A phase that the roadmap names; ``depends_on`` is ``None`` where it says nothing that can be read."""

    number: str
    name: str
    line: int
    depends_on: tuple[str, ...] | None = None
    depends_line: int | None = None


@dataclass
class Roadmap:
    """A roadmap that was read: its path within the project, its quick state, its phases by number."""

    path: str
    frontmatter: RoadmapFrontmatter | None = None
    phases: dict[str, RoadmapPhase] = field(default_factory=dict)
    problems: list[PlanProblem] = field(default_factory=list)


def read_roadmap(file: Path, path: str) -> Roadmap | None:
    """Return what a roadmap says, or ``None`` when there is none; ``path`` is its name within the project."""
    try:
        text, _ = printable(read_document(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = PlanProblem(message=f"The roadmap cannot be read: {error.strerror}", path=path, kind="unreadable")
        return Roadmap(path, problems=[problem])
    return parse_roadmap(text, path)


def parse_roadmap(text: str, path: str = "ROADMAP.md") -> Roadmap:
    """Return what the text of a roadmap says."""
    roadmap = Roadmap(path)
    reading = read_frontmatter(text)
    if reading.present:
        roadmap.frontmatter, problems = validated(RoadmapFrontmatter, reading, path)
        roadmap.problems += problems
    roadmap.problems += [
        PlanProblem(message=item.message, path=path, line=item.line, kind="yaml") for item in reading.findings
    ]
    split = split_frontmatter(text)
    body, first_line = (split.body, split.body_line) if split else (text, 1)
    roadmap.phases = _read_phases(body, first_line)
    return roadmap


def write_roadmap(file: Path, changes: Mapping[str, Any], *, insert: bool = False) -> bool:
    """Set keys of a roadmap's frontmatter and return whether the file changed.

    Every other byte stays. Without a frontmatter nothing is written, unless ``insert``; a missing file is
    made only then.

    Raises:
        OSError: the file or its folder cannot be read or written.
    """
    return edit_document(file, lambda old: update_frontmatter(old, changes, insert=insert), missing="")


def _read_phases(body: str, first_line: int) -> dict[str, RoadmapPhase]:
    phases: dict[str, RoadmapPhase] = {}
    current: str | None = None
    depth = 0
    for line_number, raw in enumerate(body.split("\n"), first_line):
        line = raw.rstrip()
        if heading := _HEADING.match(line):
            current, depth = normal_phase(heading["number"]), len(heading["marks"])
            _add(phases, current, _plain_name(heading["name"] or ""), line_number)
        elif other := _ANY_HEADING.match(line):
            current = current if len(other["marks"]) > depth else None
        elif item := _ITEM.match(line):
            _add(phases, normal_phase(item["number"]), _plain_name(item["name"]), line_number)
        elif current and (depends := _DEPENDS.match(line)):
            _depend(phases, current, depends["what"], line_number)
    return phases


def _add(phases: dict[str, RoadmapPhase], number: str, name: str, line: int) -> None:
    known = phases.get(number)
    if known is None:
        phases[number] = RoadmapPhase(number, name, line)
    elif name and not known.name:
        phases[number] = RoadmapPhase(number, name, known.line, known.depends_on, known.depends_line)


def _depend(phases: dict[str, RoadmapPhase], number: str, what: str, line: int) -> None:
    phase = phases[number]
    if phase.depends_on is None:
        phases[number] = RoadmapPhase(number, phase.name, phase.line, phases_named(what), line)


def _plain_name(text: str) -> str:
    text = re.split(r"\*\*|[ \t]+(?:-{1,2}|–|—)[ \t]+|<!--", text.replace("`", "").removeprefix("**"))[0]
    before = ""
    while before != text:
        before = text
        text = re.sub(r"(?:[ \t]*\([^()]*\)|[^\w)\]!?\"'.]+)$", "", text)
    return text.strip()


def phases_named(text: str) -> tuple[str, ...] | None:
    """Return the phases that a ``Depends on`` names: ``Phases 5 and 6 (done)`` is 5 and 6, ``Nothing`` none.

    ``None`` means that nothing can be read from it (as from ``All previous phases``), so that order by number
    holds.
    """
    plain = re.sub(r"[*`]", "", text).strip()
    if _NOTHING.match(plain):
        return ()
    plain = _END.split(_REMARK.sub("", plain), maxsplit=1)[0]
    found: list[str] = []
    for first in _FIRST.finditer(plain):
        numbers = [normal_phase(first["number"])]
        position = first.end()
        while more := _MORE.match(plain, position):
            if more["range"] and not first["plural"]:
                break  # "Phase 4.5-03" names a plan of one phase, not a range
            number = normal_phase(more["number"])
            numbers += _between(numbers[-1], number) if more["range"] else [number]
            position = more.end()
        found += numbers
    return tuple(dict.fromkeys(found)) or None


def _between(first: str, last: str) -> list[str]:
    if first.isdigit() and last.isdigit() and int(first) < int(last) < int(first) + 1000:
        return [str(number) for number in range(int(first) + 1, int(last) + 1)]
    return [last]
