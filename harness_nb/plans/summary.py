"""What was done already: plans' summaries, phases' verification files, a spec's audit; and writing a summary.

A summary beside a plan, or in the results' folder of its phase, means that the plan was executed. It counts
as verified when it says ``Status: VERIFIED``, or when its phase has a verification that passed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness_nb.plans.discovery import phase_folders, relative
from harness_nb.plans.documents import create_document, edit_document, printable, read_document
from harness_nb.plans.frontmatter import read_frontmatter, split_frontmatter
from harness_nb.plans.frontmatter_edit import update_frontmatter
from harness_nb.plans.names import SUMMARY_ENDING, plan_id, read_folder, read_name
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.plans import normal_phase

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from harness_nb.plans.discovery import Spec
    from harness_nb.protocol.plans import Plan

VERIFIED = "VERIFIED"
NOT_VERIFIED = "not verified"

_STATUS = re.compile(r"^[ \t>*_-]*status[*_]*[ \t]*:[^\w\r\n]*(?P<what>[^\r\n]*)\r?$", re.IGNORECASE | re.MULTILINE)
_SAYS_VERIFIED = re.compile(r"verified\b[^\w\n]*(?:\(.*)?$", re.IGNORECASE)
_VERIFICATION = re.compile(r"^(?:(?P<phase>\d+(?:\.\d+)*[a-z]?)-)?VERIFICATION\.md$")


@dataclass(frozen=True)
class CheckLine:
    """One line of a summary's list of checks: what was checked, and how it came out."""

    name: str
    result: str


def find_summary(root: Path, spec: Spec, plan: Plan) -> str | None:
    """Return the path of a plan's summary within the project, or ``None`` when there is none."""
    if plan.path is None:
        return None
    name = plan.path.rsplit("/", 1)[-1]
    stem = name.removesuffix("PLAN.md")
    for folder in phase_folders(spec, plan.phase_slug):
        there = _listed(folder)
        if f"{stem}{SUMMARY_ENDING}" in there:
            return relative(root, folder / f"{stem}{SUMMARY_ENDING}")
        for candidate in there:
            if _is_summary_of(candidate, plan):
                return relative(root, folder / candidate)
    return None


def _is_summary_of(name: str, plan: Plan) -> bool:
    read = read_name(name, SUMMARY_ENDING)
    if read is None or read.plan is None:
        return False
    phase = read.phase or read_folder(plan.phase_slug)[0] or ""
    return plan_id(phase, read.plan) == plan.id and read.slug in ("", plan.slug)


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def is_verified_summary(file: Path) -> bool:
    """Whether a summary says ``Status: VERIFIED``, in its frontmatter or its text, bold or not."""
    try:
        text, _ = printable(read_document(file))
    except OSError:
        return False
    return _says_verified(text)


def _says_verified(text: str) -> bool:
    return any(_SAYS_VERIFIED.match(match["what"].strip().rstrip("*_")) for match in _STATUS.finditer(text))


def phase_verification(spec: Spec, slug: str, number: str) -> bool | None:
    """Return whether a phase's verification files say that it passed; ``None`` when it has none.

    ``passed`` or no status at all is a pass; ``gaps_found``, ``human_needed`` and any other word is not.
    """
    if not slug:
        return None
    states = [
        _passed(folder / name)
        for folder in phase_folders(spec, slug)
        for name in _listed(folder)
        if (match := _VERIFICATION.match(name)) and (not match["phase"] or normal_phase(match["phase"]) == number)
    ]
    return all(states) if states else None


def _passed(file: Path) -> bool:
    status = document_status(file)
    return status is None or status.strip().lower() == "passed"


def document_status(file: Path) -> str | None:
    """Return the ``status`` of a document's frontmatter, else of its text, or ``None`` when it says none.

    A file that cannot be read says ``unreadable``.
    """
    try:
        text, _ = printable(read_document(file))
    except OSError:
        return "unreadable"
    reading = read_frontmatter(text)
    for key, value in reading.values.items():
        if key.lower() == "status" and value not in (None, ""):
            return str(value).strip()
    if any(finding.key.lower() == "status" for finding in reading.findings):
        return "unreadable"
    split = split_frontmatter(text)
    match = _STATUS.search(split.body if split else text)
    return match["what"].strip(" \t*_") or None if match else None


def audit_status(spec: Spec) -> str | None:
    """Return the status of a spec's ``AUDIT.md``, or ``None`` when it has no audit."""
    for place in (spec.folder, spec.folder / "planning", spec.folder / "execution", spec.plans_folder):
        file = place / "AUDIT.md"
        if file.is_file():
            return document_status(file) or "pending"
    return None


def summary_target(root: Path, spec: Spec, plan: Plan) -> Path | None:
    """Return where a plan's summary belongs: with the phase's results where a spec keeps those apart, else beside it.

    A plan without a file has no such place.
    """
    if plan.path is None:
        return None
    folder = (root / plan.path).parent
    results = spec.results_folder
    if results is not None and results.is_dir() and plan.phase_slug:
        folder = results / plan.phase_slug
    stem = plan.path.rsplit("/", 1)[-1].removesuffix("PLAN.md")
    return folder / f"{stem}{SUMMARY_ENDING}"


def write_summary(
    file: Path,
    plan: Plan,
    *,
    verified: bool,
    completed: datetime,
    duration: float | None = None,
    tasks: Sequence[str] = (),
    checks: Sequence[CheckLine] = (),
) -> bool:
    """Write what was done, and return whether the file was new; ``duration`` is in seconds.

    A summary that is there is never overwritten: where it does not say so yet, only ``Status: VERIFIED`` is
    added to it, and that only when the plan was verified.

    Raises:
        OSError: the folder cannot be written.
    """
    text = _summary_text(plan, verified, completed, duration, tasks, checks)
    if create_document(file, text):
        return True
    if verified:
        mark_verified(file)
    return False


def mark_verified(file: Path) -> bool:
    """Make a summary say ``Status: VERIFIED`` and return whether that changed it; nothing else changes.

    Raises:
        OSError: the file cannot be read or written.
    """
    return edit_document(file, _marked_verified)


def _marked_verified(text: str) -> str:
    if _says_verified(text):
        return text
    reading = read_frontmatter(text)
    ours = next((key for key in reading.values if key.lower() == "status"), None)
    if ours is not None and str(reading.values[ours]).strip().lower() == NOT_VERIFIED:
        return update_frontmatter(text, {ours: VERIFIED})
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if text.endswith("\n") or not text else newline
    return f"{text}{gap}{newline}Status: {VERIFIED}{newline}"


def withdraw_verified(file: Path) -> bool:
    """Make a summary that says ``Status: VERIFIED`` say that it is not, and return whether that changed it.

    Raises:
        OSError: the file cannot be read or written.
    """

    def withdrawn(match: re.Match[str]) -> str:
        if not _SAYS_VERIFIED.match(match["what"].strip().rstrip("*_")):
            return match[0]
        return match[0][: match.start("what") - match.start()] + NOT_VERIFIED

    return edit_document(file, lambda text: _STATUS.sub(withdrawn, text))


def _summary_text(
    plan: Plan,
    verified: bool,  # noqa: FBT001
    completed: datetime,
    duration: float | None,
    tasks: Sequence[str],
    checks: Sequence[CheckLine],
) -> str:
    values: dict[str, object] = {
        "phase": plan.phase_slug or plan.phase,
        "plan": plan.number,
        "Status": VERIFIED if verified else NOT_VERIFIED,
    }
    if duration is not None:
        values["duration"] = _spoken(duration)
    values["completed"] = format_timestamp(completed)
    lines = [f"# {plan.id}: {plan.title}", "", plan.objective.strip() or plan.title]
    if tasks:
        lines += ["", "## Tasks", "", *(f"- {_one_line(task)}" for task in tasks)]
    if checks:
        lines += ["", "## Checks", "", *(f"- {_one_line(check.name)}: {_one_line(check.result)}" for check in checks)]
    return update_frontmatter("\n".join(lines) + "\n", values, insert=True)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes or hours else "", f"{rest}s"]
    return "".join(part for part in parts if part)
