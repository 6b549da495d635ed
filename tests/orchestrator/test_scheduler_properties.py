"""Whatever plans there are and however they end, the scheduler brings a run to its end and breaks no rule."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness_nb.orchestrator.scheduler import Decision, Gate, Limits, PlanFacts, decide
from harness_nb.plans.paths import conflicts

PATHS = ("a.txt", "src/", "src/x.py", "src/*.py", "docs/**", "docs/n.md")


@st.composite
def projects(draw: st.DrawFn) -> dict[str, PlanFacts]:
    """Return up to nine plans in up to three phases, each depending on some before it."""
    plans: dict[str, PlanFacts] = {}
    for number in range(draw(st.integers(1, 9))):
        name = f"p{number}"
        plans[name] = PlanFacts(
            id=name,
            phase=str(min(number // 3, 2)),
            depends_on=frozenset(draw(st.sets(st.sampled_from([*plans, "gone"]), max_size=3))),
            writes=tuple(draw(st.sets(st.sampled_from(PATHS), max_size=2))),
            reads=tuple(draw(st.sets(st.sampled_from(PATHS), max_size=2))),
            state=draw(st.sampled_from(["waiting"] * 6 + ["complete", "failed"])),
            selected=draw(st.integers(0, 9)) > 0,
            research=draw(st.booleans()),
            refusal="nobody can" if draw(st.integers(0, 11)) == 0 else None,
        )
    return plans


class Simulation:
    """A run without processes: what was decided is done, and one thing after another comes to its end."""

    def __init__(self, plans: dict[str, PlanFacts], limits: Limits, data: st.DataObject) -> None:
        self.plans = plans
        self.limits = limits
        self.data = data
        self.gates: dict[str, Gate] = {}
        self.tries: dict[str, int] = {}
        self.stopping = False

    def run(self) -> Decision:
        for _ in range(400):
            decision = decide(self.plans, gates=self.gates, limits=self.limits, stopping=self.stopping)
            self.obey(decision)
            self.check_rules(decision)
            if decision.finished:
                return decision
            if not decision.start and not decision.check:
                self.let_something_end(decision)
        raise AssertionError("the run did not end")

    def obey(self, decision: Decision) -> None:
        for name in decision.start:
            plan = self.plans[name]
            assert plan.selected
            assert not plan.refusal
            assert not plan.ready_in
            assert all(self.plans[one].state == "complete" for one in plan.depends_on if one in self.plans)
            self.become(name, "running")
        for phase in decision.check:
            self.gates[phase] = "checking"

    def check_rules(self, decision: Decision) -> None:
        busy = [plan for plan in self.plans.values() if plan.state in ("running", "verifying")]
        for one, other in combinations(busy, 2):
            assert not conflicts(one.writes, one.reads, other.writes, other.reads)
        running = [plan.research for plan in busy if plan.state == "running"]
        assert running.count(True) <= self.limits.research
        assert running.count(False) <= self.limits.executions
        idle = {plan.id for plan in self.plans.values() if plan.state == "waiting" and plan.selected}
        assert idle == decision.waiting.keys() | decision.held.keys(), "each plan that does not run has a reason"
        if decision.finished:
            assert not busy
            assert "checking" not in self.gates.values()

    def let_something_end(self, decision: Decision) -> None:
        busy = [plan.id for plan in self.plans.values() if plan.state in ("running", "verifying")]
        checking = [f"gate {phase}" for phase, gate in self.gates.items() if gate == "checking"]
        delayed = [f"delay {plan.id}" for plan in self.plans.values() if plan.ready_in]
        assert busy or checking or (delayed and decision.wake_in), "unfinished, and nothing can happen any more"
        what, _, name = self.data.draw(st.sampled_from(busy + checking + delayed)).partition(" ")
        if what == "gate":
            self.gates[name] = self.data.draw(st.sampled_from(["open", "open", "failed"]))
        elif what == "delay":
            self.plans[name] = replace(self.plans[name], ready_in=0.0)
        else:
            self.end(what)
        if self.data.draw(st.integers(0, 60)) == 0:
            self.stopping = True

    def end(self, name: str) -> None:
        if self.plans[name].state == "running":
            outcome = self.data.draw(st.sampled_from(["verifying"] * 4 + ["failed", "aborted", "again"]))
            self.tries[name] = self.tries.get(name, 0) + 1
            if outcome == "again":
                retry = self.tries[name] <= 2 and not self.stopping
                self.become(name, "waiting" if retry else "failed", ready_in=1.0 if retry else 0.0)
                return
        else:
            outcome = self.data.draw(st.sampled_from(["complete", "complete", "failed"]))
        self.become(name, outcome)
        members = [one for one in self.plans.values() if one.phase == self.plans[name].phase]
        if outcome == "complete" and all(one.state == "complete" for one in members):
            self.gates[self.plans[name].phase] = "due"

    def become(self, name: str, state: str, *, ready_in: float = 0.0) -> None:
        self.plans[name] = replace(self.plans[name], state=state, ready_in=ready_in)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(projects(), st.builds(Limits, st.integers(1, 3), st.integers(1, 2)), st.data())
def test_every_run_ends_and_keeps_the_rules(plans: dict[str, PlanFacts], limits: Limits, data: st.DataObject) -> None:
    """Plans end complete, failed, aborted or held; no two that conflict run at once; the limits hold."""
    simulation = Simulation(plans, limits, data)
    last = simulation.run()
    for plan in simulation.plans.values():
        if plan.selected and not simulation.stopping:
            assert plan.state in ("complete", "failed", "aborted") or plan.id in last.held
    assert not last.start
    assert not last.check
