"""What the names of plan files and phase folders say, and how ids and phase numbers compare."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness_nb.protocol.plans import normal_phase

PLAN_ENDING = "PLAN.md"
SUMMARY_ENDING = "SUMMARY.md"

# A letter belongs to a number only after two digits: "05a" is a phase, "3d-view" is a name.
_NUMBER = r"\d+(?:\.\d+)*(?:(?<=\d\d)[a-z](?![A-Za-z0-9]))?"
_PLAN = r"(?:\d{2,}[a-z]|\d+|W\d+|[A-Z])(?:-W\d+)?"
_BOTH = re.compile(rf"^(?P<phase>{_NUMBER})-(?P<plan>{_PLAN})(?:-(?P<slug>.+))?$")
_ONE = re.compile(rf"^(?P<number>{_NUMBER})(?:-(?P<slug>.+))?$")
_FOLDER = re.compile(rf"^(?:[A-Za-z]\w*-)*?(?P<number>{_NUMBER})(?:-(?P<slug>.+))?$")


@dataclass(frozen=True)
class DocumentName:
    """What a file's name says: a phase and a plan number, as far as they are in it, and the rest."""

    phase: str | None
    plan: str | None
    slug: str
    stem: str


def read_name(filename: str, ending: str = PLAN_ENDING) -> DocumentName | None:
    """Return what ``03-02-login-PLAN.md`` and its like say, or ``None`` when this is no such file's name.

    ``PLAN.md`` is one too and says nothing. ``03-PLAN-CHECK.md``, ``plan.md`` or ``TRADING_PLAN.md`` are not.
    """
    if filename == ending:
        return DocumentName(None, None, "", "")
    if not filename.endswith(f"-{ending}"):
        return None
    stem = filename[: -len(ending) - 1]
    if match := _BOTH.match(stem):
        return DocumentName(match["phase"], match["plan"], match["slug"] or "", stem)
    if match := _ONE.match(stem):
        inserted = "." in match["number"]  # a plan's own number has no decimals, an inserted phase's has
        phase, plan = (match["number"], None) if inserted else (None, match["number"])
        return DocumentName(phase, plan, match["slug"] or "", stem)
    return None


def read_folder(name: str) -> tuple[str | None, str]:
    """Return a phase folder's number, unpadded, and its slug; a folder without a number gives ``None``."""
    match = _FOLDER.match(name)
    return (normal_phase(match["number"]), match["slug"] or "") if match else (None, name)


def plan_id(phase: str, plan: str) -> str:
    """Return the id that a phase's and a plan's number make: ``("2.1", "3")`` is ``02.1-03``."""
    return f"{_padded(normal_phase(phase))}-{_padded(plan)}"


def _padded(number: str) -> str:
    match = re.match(r"0*(\d+)(.*)", number, re.DOTALL)
    return f"{match[1].zfill(2)}{match[2]}" if match else number


def normal_id(text: str) -> str:
    """Return an id as this package writes it: ``4.1-1`` becomes ``04.1-01``, anything else stays."""
    match = _BOTH.match(text)
    if not match:
        return text
    slug = f"-{match['slug']}" if match["slug"] else ""
    return plan_id(match["phase"], match["plan"]) + slug


def split_id(text: str) -> tuple[str, str, str] | None:
    """Return the phase, plan number and trailing words of an id, or ``None`` when it is of another shape."""
    match = _BOTH.match(text)
    return (match["phase"], match["plan"], match["slug"] or "") if match else None


def phase_order(number: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key for phase numbers: 2 before 2.1 before 3, 4.9 before 4.10, text before all."""
    parts = []
    for part in number.split("."):
        match = re.match(r"(\d+)(.*)", part)
        parts.append((int(match[1]), match[2]) if match else (-1, part))
    return tuple(parts)


def plan_order(identity: str) -> tuple[object, ...]:
    """Return a sort key for plan ids: by phase, then by the plan's number, then by the rest."""
    parts = split_id(identity)
    if parts is None:
        return (phase_order(""), (), identity)
    digits = re.match(r"\d+", parts[1])
    return (phase_order(normal_phase(parts[0])), (int(digits[0]) if digits else 0, parts[1]), identity)
