"""Finding the plans that an author meant in ``depends_on``.

Besides exact ids, real projects write ``4.1-01`` for ``04.1-01``, a bare number for a plan of the same phase
(or, where there is none, for a whole phase), a phase's folder, and ids with words behind them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from harness_nb.plans.names import normal_id, plan_id, read_folder, split_id
from harness_nb.protocol.plans import normal_phase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness_nb.protocol.plans import Plan

_BARE = re.compile(r"^(?:plan[ -]?)?(\d+(?:\.\d+)*[a-z]?|W\d+)$", re.IGNORECASE)
_PHASE = re.compile(r"^phase[ -]?(\d+(?:\.\d+)*[a-z]?)\b", re.IGNORECASE)
_LEADING_ID = re.compile(r"^(\d+(?:\.\d+)*[a-z]?-(?:\d+[a-z]?|W\d+)(?:-W\d+)?)(?=[\s(:;,-]|$)")


class PlanIndex:
    """The plans of a project, found by whatever their authors call them."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self._ids: dict[str, str] = {}
        self._slugs: dict[str, str] = {}
        self._numbers: dict[tuple[str, str], str] = {}
        self._phases: dict[str, list[str]] = defaultdict(list)
        self._folders: dict[str, str] = {}
        for plan in plans:
            self._add(plan)

    def _add(self, plan: Plan) -> None:
        self._ids.setdefault(plan.id, plan.id)
        self._ids.setdefault(normal_id(plan.id), plan.id)
        self._numbers.setdefault((plan.phase, _plain(plan.number)), plan.id)
        if plan.id not in self._phases[plan.phase]:
            self._phases[plan.phase].append(plan.id)
        if plan.phase_slug:
            self._folders.setdefault(plan.phase_slug, plan.phase)
        if plan.slug:
            self._slugs.setdefault(plan.slug, plan.id)

    def resolve(self, reference: str, plan: Plan) -> list[str]:
        """Return the ids that a reference in this plan means; an empty list when there are no such plans."""
        text = re.sub(r"(?:-PLAN)?\.md$", "", reference.strip().strip("`'\"").rsplit("/", 1)[-1])
        return (
            self._exact(text)
            or self._bare(text, plan)
            or self._whole_phase(text)
            or self._leading(text)
            or ([self._slugs[text]] if text in self._slugs else [])
        )

    def _exact(self, text: str) -> list[str]:
        found = self._ids.get(text) or self._ids.get(normal_id(text))
        return [found] if found else []

    def _bare(self, text: str, plan: Plan) -> list[str]:
        match = _BARE.match(text)
        if not match:
            return []
        same_phase = self._numbers.get((plan.phase, _plain(match[1])))
        phase = self._phases.get(normal_phase(match[1]), [])
        if same_phase and not (same_phase == plan.id and phase and plan.id not in phase):
            return [same_phase]
        return list(phase)

    def _whole_phase(self, text: str) -> list[str]:
        if match := _PHASE.match(text):
            return list(self._phases.get(normal_phase(match[1]), []))
        if text in self._folders:
            return list(self._phases.get(self._folders[text], []))
        number, slug = read_folder(text)
        if number and slug and split_id(text) is None:
            known = [folder for folder, phase in self._folders.items() if phase == number]
            if any(slug in folder or read_folder(folder)[1] in slug for folder in known):
                return list(self._phases.get(number, []))
        return []

    def _leading(self, text: str) -> list[str]:
        match = _LEADING_ID.match(text)
        return self._exact(match[1]) if match else []


def named_id(reference: str, phase: str) -> str | None:
    """Return the id that a reference in a plan of this phase spells out, whether or not there is such a plan."""
    text = re.sub(r"(?:-PLAN)?\.md$", "", reference.strip())
    if bare := _BARE.match(text):
        return plan_id(phase, bare[1])
    match = _LEADING_ID.match(text)
    parts = split_id(match[1]) if match else None
    return plan_id(parts[0], parts[1]) if parts else None


def _plain(number: str) -> str:
    return re.sub(r"^0+(?=\d)", "", number.strip())
