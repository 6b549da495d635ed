"""What the scheduler decides, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from harness_nb.orchestrator.scheduler import Decision, Gate, Limits, PlanFacts, decide


def facts(plan_id: str, *before: str, **more: Any) -> PlanFacts:
    for key in ("writes", "reads"):
        more[key] = tuple(more.get(key, ()))
    return PlanFacts(id=plan_id, depends_on=frozenset(before), **more)


def decided(*plans: PlanFacts, **more: Any) -> Decision:
    return decide({plan.id: plan for plan in plans}, **more)


@pytest.mark.row(4)
@pytest.mark.parametrize(
    ("plans", "start", "waiting", "held"),
    [
        pytest.param([facts("a"), facts("b")], "ab", {}, {}, id="free plans start together"),
        pytest.param([facts("a"), facts("b", "a")], "a", {"b": "waits for a"}, {}, id="a dependency is waited for"),
        pytest.param([facts("a", state="complete"), facts("b", "a")], "b", {}, {}, id="a complete one is not"),
        pytest.param([facts("a", state="running"), facts("b", "a")], "", {"b": "waits for a"}, {}, id="running"),
        pytest.param([facts("a", state="verifying"), facts("b", "a")], "", {"b": "waits for a"}, {}, id="verifying"),
        pytest.param(
            [facts(name, state="running") for name in "abcde"] + [facts("z", *"abcde")],
            "",
            {"z": "waits for a, b, c and 2 more"},
            {},
            id="many are counted",
        ),
        pytest.param([facts("b", "shipped-long-ago")], "b", {}, {}, id="one without a plan is no obstacle"),
        pytest.param(
            [facts("a", state="failed"), facts("b", "a"), facts("c", "b"), facts("d")],
            "d",
            {},
            {"b": "waits for a, which failed", "c": "waits for b, which is held"},
            id="a failure holds all behind it and nobody else",
        ),
        pytest.param(
            [facts("a", state="aborted"), facts("b", "a")],
            "",
            {},
            {"b": "waits for a, which was aborted"},
            id="an abort holds all behind it",
        ),
        pytest.param(
            [facts("a", refusal="a.md:3: no <run>"), facts("b", "a")],
            "",
            {},
            {"a": "a.md:3: no <run>", "b": "waits for a, which is held"},
            id="what nobody can do holds all behind it",
        ),
        pytest.param(
            [facts("a", selected=False), facts("b", "a")],
            "",
            {},
            {"b": "waits for a, which is not part of this run"},
            id="what is not in this run holds all behind it",
        ),
        pytest.param(
            [facts("a", selected=False, state="complete"), facts("b", "a")], "b", {}, {}, id="unless it is complete"
        ),
        pytest.param(
            [facts("a", selected=False, state="running"), facts("b", "a")],
            "",
            {"b": "waits for a"},
            {},
            id="or runs all the same",
        ),
        pytest.param(
            [facts("a", "b", refusal="a and b wait for each other"), facts("b", "a", refusal="the same"), facts("c")],
            "c",
            {},
            {"a": "a and b wait for each other", "b": "the same"},
            id="a cycle holds its own plans only",
        ),
    ],
)  # fmt: skip
def test_dependencies(plans: list[PlanFacts], start: str, waiting: dict[str, str], held: dict[str, str]) -> None:
    """A plan starts once all before it are complete, and is held where that can never be."""
    decision = decided(*plans, limits=Limits(executions=9))
    assert decision.start == tuple(start)
    assert decision.waiting == waiting
    assert decision.held == held


@pytest.mark.row(4)
@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        pytest.param({"writes": ["src/a.py"]}, {"writes": ["src/a.py"]}, "src/a.py", id="same file"),
        pytest.param({"writes": ["src/a.py"]}, {"reads": ["src/a.py"]}, "src/a.py", id="writer before reader"),
        pytest.param({"reads": ["src/a.py"]}, {"writes": ["src/a.py"]}, "src/a.py", id="reader before writer"),
        pytest.param({"writes": ["src/"]}, {"writes": ["src/deep/a.py"]}, "src/deep/a.py", id="folder"),
        pytest.param({"writes": ["src/**/*.py"]}, {"writes": ["src/x/a.py"]}, "src/x/a.py", id="glob"),
        pytest.param({"writes": ["docs/*.md"]}, {"reads": ["docs/n*.md"]}, "docs/n*.md", id="two globs"),
        pytest.param({"reads": ["src/a.py"]}, {"reads": ["src/a.py"]}, None, id="readers run together"),
        pytest.param({"writes": ["src/a.py"]}, {"writes": ["src/b.py"]}, None, id="other file"),
        pytest.param({"writes": ["src/*.py"]}, {"writes": ["src/*.js"]}, None, id="globs apart"),
        pytest.param({"writes": []}, {"writes": ["src/a.py"]}, None, id="nothing named"),
    ],
)
@pytest.mark.parametrize("state", ["waiting", "running", "verifying"])
def test_conflicts(state: Any, first: dict[str, Any], second: dict[str, Any], path: str | None) -> None:
    """Of two plans that touch a path, one of them writing, the later waits until the other is judged."""
    decision = decided(facts("a", state=state, **first), facts("b", **second))
    assert ("b" in decision.start) == (path is None)
    if path is not None:
        assert decision.held == {"b": f"waits for {path}, which a is working on"}


@pytest.mark.parametrize(
    ("plans", "limits", "start"),
    [
        pytest.param([facts(name) for name in "abc"], Limits(2, 2), "ab", id="executions"),
        pytest.param([facts("a", state="running"), facts("b"), facts("c")], Limits(2, 2), "b", id="running ones count"),
        pytest.param([facts("a", state="verifying"), facts("b")], Limits(1, 1), "b", id="being verified does not"),
        pytest.param(
            [facts("a"), facts("r", research=True), facts("s", research=True), facts("b")],
            Limits(1, 1),
            "ar",
            id="research has a limit of its own",
        ),
    ],
)
def test_limits(plans: list[PlanFacts], limits: Limits, start: str) -> None:
    """As many plans run at once as the limits say, and the others wait for a free place."""
    decision = decided(*plans, limits=limits)
    assert decision.start == tuple(start)
    others = {one.id for one in plans if one.state == "waiting"} - set(start)
    assert decision.waiting == dict.fromkeys(others, "waits for a free place")


@pytest.mark.row(9)
def test_a_retry_waits_its_delay_and_keeps_the_run_going() -> None:
    """A plan that is to be tried again starts when its delay is over, and the run does not end before."""
    early = decided(facts("a", ready_in=3.4), facts("b", ready_in=1.2), facts("c", "a"))
    assert (early.start, early.wake_in, early.finished) == ((), 1.2, False)
    assert early.waiting == {"a": "tries again in 3 s", "b": "tries again in 1 s", "c": "waits for a"}
    assert decided(facts("a")).start == ("a",)


@pytest.mark.row(5)
@pytest.mark.parametrize(
    ("gate", "start", "waiting", "held", "check"),
    [
        ("open", "b", None, None, ()),
        ("due", "", "waits for the checks of phase 1", None, ("1",)),
        ("checking", "", "waits for the checks of phase 1", None, ()),
        ("failed", "", None, "waits for phase 1, whose checks failed", ()),
    ],
)
def test_phase_gates(gate: Gate, start: str, waiting: str | None, held: str | None, check: tuple[str, ...]) -> None:
    """What depends on a phase starts once the phase's own checks passed; the phase itself needs no gate."""
    plans = [facts("a", phase="1", state="complete"), facts("a2", "a", phase="1"), facts("b", "a", phase="2")]
    plans += [facts("c", "b", phase="2")]
    decision = decided(*plans, gates={"1": gate}, limits=Limits(9))
    assert decision.start == ("a2", *start)
    assert decision.waiting.get("b") == waiting
    assert decision.held.get("b") == held
    assert decision.held.get("c") == ("waits for b, which is held" if held else None)
    assert decision.check == check
    assert not decision.finished


def test_a_run_ends_when_nothing_runs_and_nothing_can_start() -> None:
    """Held plans keep no run alive; running plans, due checks and running checks do."""
    assert decided(facts("a", state="failed"), facts("b", "a")).finished
    assert decided().finished
    assert not decided(facts("a", state="verifying")).finished
    assert not decided(facts("a", state="complete"), gates={"": "due"}).finished
    assert not decided(facts("a", state="complete"), gates={"": "checking"}).finished
    assert decided(facts("a", state="complete"), gates={"": "failed"}).finished


def test_a_stopping_run_starts_nothing_and_waits_for_what_runs() -> None:
    """Once stopping, neither plans nor checks nor retries are begun, and the run ends with its last session."""
    waiting = [facts("b"), facts("c", ready_in=5.0)]
    decision = decided(facts("a", state="running"), *waiting, gates={"1": "due"}, stopping=True)
    assert (decision.start, decision.check, decision.wake_in, decision.finished) == ((), (), None, False)
    assert decision.waiting["b"] == "the run is stopping"
    assert decided(facts("a", state="aborted"), *waiting, gates={"1": "due"}, stopping=True).finished
