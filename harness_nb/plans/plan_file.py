"""Reading one plan file into a :class:`Plan`, whatever state the file is in.

The file's name is trusted first, then its folder's, then what the frontmatter says: in real projects the
first is the one that is kept right.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from harness_nb.plans.body import Body, clean, read_body
from harness_nb.plans.discovery import relative
from harness_nb.plans.documents import printable, read_document
from harness_nb.plans.frontmatter import Reading, plain_key, read_frontmatter, split_frontmatter, validated
from harness_nb.plans.names import plan_id, read_folder
from harness_nb.protocol.plans import UNREADABLE_CHECK, Plan, PlanFrontmatter, PlanProblem, normal_phase

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.plans.discovery import PlanFile, Spec

SCHEDULING_KEYS = ("depends_on", "files_modified", "files_read")
"""Keys without which nobody can say when a plan may start; a plan where one is broken is held."""

SCHEDULE_UNREADABLE = "schedule-unreadable"
"""The kind of a problem that keeps a plan from starting until its file is mended."""

_CHECK_LISTS = ("must_pass", "should_pass")

_LONGEST_TITLE = 100


def read_plan(root: Path, spec: Spec, file: PlanFile) -> Plan:
    """Return the plan in a file; what could not be read is among its problems, and never an exception."""
    path = relative(root, file.path)
    try:
        text, odd_line = printable(read_document(file.path))
    except OSError as error:
        return _unreadable(root, spec, file, path, error.strerror or str(error))
    reading = read_frontmatter(text)
    _keep_broken_checks(reading)
    frontmatter, problems = validated(PlanFrontmatter, reading, path)
    phase, number, name_problems = _numbers(file, frontmatter, reading, path)
    identity = plan_id(phase, number)
    problems += name_problems + _problems_of_reading(reading, path) + _near_misses(reading, path)
    if odd_line is not None:
        message = "This line holds bytes that are not UTF-8; save the file as UTF-8"
        problems.append(PlanProblem(message=message, path=path, line=odd_line, kind="encoding"))
    split = split_frontmatter(text)
    body = read_body(split.body, split.body_line) if split else read_body(text)
    problems += [PlanProblem(message=message, path=path, line=line, kind="task") for line, message in body.problems]
    return Plan(
        id=identity,
        phase=phase,
        phase_slug=file.folder.name if file.folder else "",
        number=number,
        slug=file.name.slug,
        title=_title(frontmatter, body, file, identity),
        path=path,
        spec_dir=relative(root, spec.folder),
        frontmatter=frontmatter,
        objective=body.objective,
        tasks=body.tasks,
        problems=[problem.model_copy(update={"plan_id": identity}) for problem in problems],
        lines=reading.lines,
    )


def _unreadable(root: Path, spec: Spec, file: PlanFile, path: str, reason: str) -> Plan:
    phase, number, _ = _numbers(file, PlanFrontmatter(), Reading(), path)
    identity = plan_id(phase, number)
    problem = PlanProblem(
        message=f"This plan cannot be read ({reason}), so it is held; mend the file",
        path=path,
        line=1,
        plan_id=identity,
        kind=SCHEDULE_UNREADABLE,
    )
    return Plan(
        id=identity,
        phase=phase,
        phase_slug=file.folder.name if file.folder else "",
        number=number,
        slug=file.name.slug,
        path=path,
        spec_dir=relative(root, spec.folder),
        problems=[problem],
    )


def _numbers(
    file: PlanFile, frontmatter: PlanFrontmatter, reading: Reading, path: str
) -> tuple[str, str, list[PlanProblem]]:
    """Return the numbers of the phase and of the plan, and where the frontmatter disagrees with the name."""
    folder_phase = read_folder(file.folder.name)[0] if file.folder else None
    said_phase = read_folder(frontmatter.phase.strip())[0] if frontmatter.phase else None
    said_plan = _said_plan(frontmatter.plan)
    problems = []
    phase = file.name.phase or folder_phase or said_phase
    if phase is None:
        message = "No phase is named by this file's name, its folder or its frontmatter; call it NN-MM-PLAN.md"
        problems.append(PlanProblem(message=message, path=path, line=1, kind="name"))
    elif said_phase is not None and normal_phase(said_phase) != normal_phase(phase):
        message = (
            f"The frontmatter says phase {said_phase}, the name of the file says {normal_phase(phase)}, which counts"
        )
        problems.append(PlanProblem(message=message, path=path, line=reading.lines.get("phase"), kind="name"))
    number = file.name.plan or said_plan or "01"
    return normal_phase(phase or "0"), number, problems


def _said_plan(text: str | None) -> str | None:
    """Return the plan's number in ``2``, ``02``, ``14-02`` or ``03a``, and ``None`` for a slug."""
    match = re.fullmatch(r"(?:\d+(?:\.\d+)*-)?(\d+[a-z]?|W\d+)", (text or "").strip())
    return match[1] if match else None


def _keep_broken_checks(reading: Reading) -> None:
    """Put a check that nobody knows in place of a manifest that cannot be read: it must not count as empty.

    What is lost of ``must_haves`` is noted under its ``other``, for the same reason.
    """
    for finding in reading.findings:
        key = plain_key(finding.key).split(".")[0]
        if key == "must_haves":
            there = reading.values.get("must_haves")
            kept = there if isinstance(there, dict) else {}
            lost = {"type": UNREADABLE_CHECK, "key": finding.key, "line": finding.line}
            reading.values["must_haves"] = {**kept, "other": [*kept.get("other", []), lost]}
        if key in _CHECK_LISTS:
            check = {"id": key, "type": UNREADABLE_CHECK, "line": finding.line, "description": finding.message}
            for spelling in [name for name in reading.values if plain_key(name) == key]:
                del reading.values[spelling]
            reading.values[key] = [check]


def _near_misses(reading: Reading, path: str) -> list[PlanProblem]:
    """Return a note for each key that was probably meant to hold checks and is not read as such."""
    problems = []
    for key, value in reading.values.items():
        plain = plain_key(key)
        if plain in _CHECK_LISTS:
            note = f"{key} is read as {plain}; write it {plain}" if "-" in key else ""
            problems += [_note(note, path, reading.lines.get(key))] if note else []
        elif near := difflib.get_close_matches(key.lower().replace("-", "_"), _CHECK_LISTS, n=1, cutoff=0.8):
            problems.append(
                _note(f"{key} is not read; write {near[0]} if it holds checks", path, reading.lines.get(key))
            )
        elif isinstance(value, dict):
            for inner in value:
                if plain_key(str(inner)) in _CHECK_LISTS:
                    line = reading.lines.get(f"{key}.{inner}", reading.lines.get(key))
                    problems.append(_note(f"{inner} within {key} is not read; put it at the left margin", path, line))
    return problems


def _note(message: str, path: str, line: int | None) -> PlanProblem:
    return PlanProblem(message=message, path=path, line=line, kind="key")


def _problems_of_reading(reading: Reading, path: str) -> list[PlanProblem]:
    problems = []
    for finding in reading.findings:
        held = plain_key(finding.key) in SCHEDULING_KEYS or not finding.key
        message = f"{finding.message}; until then the plan is held" if held else finding.message
        kind = SCHEDULE_UNREADABLE if held else "yaml"
        problems.append(PlanProblem(message=message, path=path, line=finding.line, kind=kind))
    return problems


def _title(frontmatter: PlanFrontmatter, body: Body, file: PlanFile, identity: str) -> str:
    extra: dict[str, Any] = frontmatter.__pydantic_extra__ or {}
    words = file.name.slug.replace("-", " ").strip()
    for text in (frontmatter.title, extra.get("name"), _first_sentence(body.objective), words, body.heading):
        if isinstance(text, str) and text.strip():
            return clean(text)
    return identity


def _first_sentence(text: str) -> str:
    paragraph = re.split(r"\n\s*\n|\n(?=[A-Z][a-z]+:)", text.strip(), maxsplit=1)[0]
    sentence = re.split(r"(?<=[.!?])\s", " ".join(paragraph.split()), maxsplit=1)[0].rstrip(".")
    return sentence if len(sentence) <= _LONGEST_TITLE else sentence[: _LONGEST_TITLE - 1].rsplit(" ", 1)[0] + "…"
