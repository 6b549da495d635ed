"""Which plans start now, which wait or are held and why, and when a run has ended: a pure function of what is known.

No clock, no files, no processes; ``run.py`` does what is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from harness_nb.plans.paths import conflicts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_nb.protocol.records import PlanState

Gate = Literal["open", "due", "checking", "failed"]
"""A phase's own checks: nothing to wait for or passed, to be run, running, failed."""

BUSY = ("running", "verifying")
LOST_CAUSES = ("failed", "aborted")


@dataclass(frozen=True)
class PlanFacts:
    """What the scheduler knows of a plan.

    ``state`` is ``waiting`` for every plan that has not begun. ``refusal`` says why it cannot be done at all (a
    document to mend, or no worker that can). ``ready_in`` is what is left of a retry's delay in seconds.
    """

    id: str
    phase: str = ""
    depends_on: frozenset[str] = frozenset()
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    state: PlanState = "waiting"
    selected: bool = True
    research: bool = False
    refusal: str | None = None
    ready_in: float = 0.0


@dataclass(frozen=True)
class Limits:
    """How many plans run at the same time; those of type ``research`` have a limit of their own."""

    executions: int = 2
    research: int = 2


@dataclass(frozen=True)
class Decision:
    """What to do now, and what to tell about every plan that does not run.

    ``start``: plans to start, in order; ``check``: phases whose own checks are to be run; ``waiting`` and ``held``:
    reasons by plan; ``finished``: nothing runs and nothing can start any more; ``wake_in``: seconds until a retry.
    """

    start: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)
    finished: bool = False
    wake_in: float | None = None


def decide(
    plans: Mapping[str, PlanFacts],
    *,
    gates: Mapping[str, Gate] | None = None,
    limits: Limits = Limits(),
    stopping: bool = False,
) -> Decision:
    """Decide what a run does next; ``plans`` are all of the project in its order, ``gates`` the phases' own checks."""
    return _Round(plans, gates or {}, limits, stopping=stopping).decide()


class _Round:
    def __init__(
        self, plans: Mapping[str, PlanFacts], gates: Mapping[str, Gate], limits: Limits, *, stopping: bool
    ) -> None:
        self.plans = plans
        self.gates = gates
        self.limits = limits
        self.stopping = stopping
        self.busy = [plan for plan in plans.values() if plan.state in BUSY]
        self.waiting: dict[str, str] = {}
        self.held: dict[str, str] = {}
        self.hopeless: dict[str, str] = {}

    def decide(self) -> Decision:
        start = []
        candidates = [plan for plan in self.plans.values() if plan.selected and plan.state == "waiting"]
        self._find_hopeless(candidates)
        for plan in candidates:
            if plan.id in self.hopeless:
                self.held[plan.id] = self.hopeless[plan.id]
            elif not self._must_wait(plan):
                start.append(plan.id)
                self.busy.append(plan)
        due = tuple(phase for phase, gate in self.gates.items() if gate == "due") if not self.stopping else ()
        delays = [plan.ready_in for plan in candidates if plan.ready_in > 0 and plan.id not in self.hopeless]
        return Decision(
            start=tuple(start),
            check=due,
            waiting=self.waiting,
            held=self.held,
            finished=not self.busy and not due and "checking" not in self.gates.values() and self._nothing_more(delays),
            wake_in=min(delays) if delays and not self.stopping else None,
        )

    def _nothing_more(self, delays: list[float]) -> bool:
        # with nothing running, what waits can only wait for a retry; anything else would wait for ever
        return self.stopping or not delays

    def _find_hopeless(self, candidates: list[PlanFacts]) -> None:
        """Find the plans that cannot start any more in this run, and all that depend on them."""
        for plan in candidates:
            if plan.refusal:
                self.hopeless[plan.id] = plan.refusal
        found = True
        while found:
            found = False
            for plan in candidates:
                reason = None if plan.id in self.hopeless else self._lost_cause(plan)
                if reason:
                    self.hopeless[plan.id] = reason
                    found = True

    def _lost_cause(self, plan: PlanFacts) -> str | None:
        for name in sorted(plan.depends_on):
            before = self.plans.get(name)
            if before is None or before.state == "complete":
                if before is not None and before.phase != plan.phase and self.gates.get(before.phase) == "failed":
                    return f"waits for phase {before.phase}, whose checks failed"
            elif before.state in LOST_CAUSES:
                return f"waits for {name}, which {'failed' if before.state == 'failed' else 'was aborted'}"
            elif name in self.hopeless:
                return f"waits for {name}, which is held"
            elif not before.selected and before.state == "waiting":
                return f"waits for {name}, which is not part of this run"
        return None

    def _must_wait(self, plan: PlanFacts) -> bool:
        before = [self.plans[name] for name in sorted(plan.depends_on) if name in self.plans]
        unfinished = [one.id for one in before if one.state != "complete"]
        if unfinished:
            shown = ", ".join(unfinished[:3]) + (f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else "")
            self.waiting[plan.id] = f"waits for {shown}"
        elif closed := self._closed_gates(plan, before):
            self.waiting[plan.id] = f"waits for the checks of phase {', '.join(closed)}"
        elif plan.ready_in > 0:
            self.waiting[plan.id] = f"tries again in {plan.ready_in:.0f} s"
        elif conflict := self._conflict(plan):
            self.held[plan.id] = conflict
        elif self.stopping:
            self.waiting[plan.id] = "the run is stopping"
        elif self._full(plan):
            self.waiting[plan.id] = "waits for a free place"
        else:
            return False
        return True

    def _closed_gates(self, plan: PlanFacts, before: list[PlanFacts]) -> list[str]:
        phases = dict.fromkeys(one.phase for one in before if one.phase != plan.phase)
        return [phase for phase in phases if self.gates.get(phase, "open") != "open"]

    def _conflict(self, plan: PlanFacts) -> str | None:
        for other in self.busy:
            paths = conflicts(plan.writes, plan.reads, other.writes, other.reads)
            if paths:
                return f"waits for {paths[0]}, which {other.id} is working on"
        return None

    def _full(self, plan: PlanFacts) -> bool:
        same = sum(one.research == plan.research for one in self.busy if one.state != "verifying")
        return same >= (self.limits.research if plan.research else self.limits.executions)
