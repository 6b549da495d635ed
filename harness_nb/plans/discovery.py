"""Finding a project's plan files, in the places where such projects keep them.

The first of these that holds a plan is the project's form: ``planning/plans/`` (the project is itself a spec
folder), ``specs/*/planning/plans/``, ``.planning/phases/``. Plans lie in a folder for their phase, or
directly in the place. Where ``specs/`` has several specs with plans, one is worked on: the chosen one, else
the first by name, and a problem names the others. So plan ids never have to say which spec they belong to.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from harness_nb.plans.names import SUMMARY_ENDING, DocumentName, normal_id, plan_id, read_folder, read_name
from harness_nb.protocol.plans import PlanProblem

_PLACES = ("planning/plans", "phases")


@dataclass(frozen=True)
class PlanFile:
    """A plan's file: ``path`` and ``folder`` are absolute, ``folder`` is the phase's or ``None``."""

    path: Path
    name: DocumentName
    folder: Path | None


@dataclass(frozen=True)
class Spec:
    """A place with plans: its own folder (where ``ROADMAP.md`` lies), and the folder that holds the phases."""

    folder: Path
    plans_folder: Path

    @property
    def results_folder(self) -> Path | None:
        """Where results of phases may lie beside the plans, for the form that separates the two."""
        planned = self.plans_folder == self.folder / "planning" / "plans"
        return self.folder / "execution" / "phases" if planned else None


@dataclass
class Found:
    """What was found: the spec that is worked on, its plan files, and what should be said about it."""

    spec: Spec | None = None
    files: list[PlanFile] = field(default_factory=list)
    problems: list[PlanProblem] = field(default_factory=list)


def relative(root: Path, path: Path) -> str:
    """Return a path as the project names it, with forward slashes."""
    text = Path(os.path.relpath(path, root)).as_posix()
    return "" if text == "." else text


def find_specs(root: Path) -> list[Spec]:
    """Return every spec of the project's form that holds at least one plan, in order of name."""
    own = Spec(root, root / "planning" / "plans")
    if find_plan_files(own):
        return [own]
    several = [Spec(folder, folder / "planning" / "plans") for folder in _folders(root / "specs")]
    with_plans = [spec for spec in several if find_plan_files(spec)]
    if with_plans:
        return with_plans
    dotted = Spec(root / ".planning", root / ".planning" / "phases")
    return [dotted] if find_plan_files(dotted) else []


def find_plans(root: Path, spec_dir: str | None = None) -> Found:
    """Return the project's plan files; ``spec_dir`` chooses a spec by its folder, relative to the project.

    A place that lies outside of the project, also by a link, holds none: plans are read and written there.
    """
    found = _find_chosen(root, root / spec_dir) if spec_dir else _find_usual(root)
    if found.spec is None or found.spec.plans_folder.resolve().is_relative_to(root.resolve()):
        return found
    place = relative(root, found.spec.plans_folder)
    message = f"{place} leads out of the project, so the plans there are not used; put them inside of it"
    return Found(problems=[PlanProblem(message=message, path=place, kind="specs")])


def _find_usual(root: Path) -> Found:
    specs = find_specs(root)
    if not specs:
        return Found()
    found = Found(specs[0], find_plan_files(specs[0]))
    if len(specs) > 1:
        others = ", ".join(relative(root, spec.folder) for spec in specs[1:])
        message = (
            f"Only the plans of {relative(root, specs[0].folder)} are used; choose another with spec_dir: {others}"
        )
        found.problems.append(PlanProblem(message=message, path=relative(root, specs[0].folder), kind="specs"))
    return found


def _find_chosen(root: Path, folder: Path) -> Found:
    for place in _PLACES:
        spec = Spec(folder, folder / place)
        if files := find_plan_files(spec):
            return Found(spec, files)
    others = ", ".join(relative(root, spec.folder) or "the project itself" for spec in find_specs(root))
    hint = f"choose one that has: {others}" if others else "write one under planning/plans/NN-name/NN-MM-PLAN.md"
    message = f"The chosen spec_dir {relative(root, folder)!r} holds no plans; {hint}"
    return Found(problems=[PlanProblem(message=message, path=relative(root, folder), kind="specs")])


def find_plan_files(spec: Spec) -> list[PlanFile]:
    """Return a spec's plan files, in order of folder and name."""
    found = _plan_files_in(spec.plans_folder, None)
    for folder in _folders(spec.plans_folder):
        found += _plan_files_in(folder, folder)
    return found


def _plan_files_in(place: Path, folder: Path | None) -> list[PlanFile]:
    return [PlanFile(place / name, read, folder) for name in _names(place) if (read := read_name(name)) is not None]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names only, and quicker than paths
    except OSError:
        return []


def _folders(place: Path) -> list[Path]:
    return [place / name for name in _names(place) if not name.startswith(".") and (place / name).is_dir()]


def phase_folders(spec: Spec, slug: str) -> list[Path]:
    """Return the folders where a phase's own documents may lie: the plans' folder, then the results'."""
    places = [spec.plans_folder, spec.results_folder]
    return [place / slug if slug else place for place in places if place is not None]


def ids_with_summary(spec: Spec) -> set[str]:
    """Return the ids of all plans that a summary says were executed, those without a plan file and shipped ones too.

    A milestone that was shipped has its phases moved to ``milestones/*-phases/``; later plans still name them.
    """
    places = [spec.plans_folder, spec.results_folder, spec.folder / "phases"]
    places += [folder for folder in _folders(spec.folder / "milestones") if folder.name.endswith("-phases")]
    found: set[str] = set()
    for place in places:
        for folder in [place, *_folders(place)] if place is not None else []:
            found |= _ids_in(folder)
    return found


def _ids_in(folder: Path) -> set[str]:
    phase, _ = read_folder(folder.name)
    found = set()
    for name in _names(folder):
        read = read_name(name, SUMMARY_ENDING)
        if read is None or read.plan is None:
            continue
        if read.phase or phase:
            found.add(normal_id(plan_id(read.phase or phase or "", read.plan)))
    return found
