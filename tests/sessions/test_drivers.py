"""What each kind of worker can do, how it is started, and what it says when it cannot."""

from __future__ import annotations

import sys

import pytest

from harness_nb.errors import MissingCommandError, MissingPlanError, UnknownWorkerError
from harness_nb.protocol.plans import DecisionOption, Plan, RunBlock, Task
from harness_nb.sessions import DRIVERS, Assignment, driver_named

RUNNABLE = Task(name="build", runs=[RunBlock(lang="sh", code="true")])


def test_the_drivers_are_known_by_name() -> None:
    assert {"command", "runbook"} <= set(DRIVERS)
    assert all(driver_named(name).name == name for name in DRIVERS)


def test_an_unknown_worker_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownWorkerError, match=r"no worker 'butler'.*command.*runbook"):
        driver_named("butler")


def test_the_runbook_does_a_plan_whose_automatic_tasks_all_have_run_blocks() -> None:
    asks = Task(name="choose", type="checkpoint:decision", options=[DecisionOption(id="a", name="A")])
    assert driver_named("runbook").refusal(Plan(id="01-01", tasks=[asks, RUNNABLE])) is None


def test_the_runbook_names_the_place_that_it_cannot_do() -> None:
    plan = Plan(id="01-01", path="plans/01-01-PLAN.md", tasks=[RUNNABLE, Task(name="think", line=17), Task(name="b")])
    sentence = driver_named("runbook").refusal(plan)
    assert sentence is not None
    assert sentence.startswith("01-01: plans/01-01-PLAN.md:17: task 'think' has no <run> block (nor have 1 more)")
    assert "or hand the plan to a program of yours: start_session(plan=" in sentence


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("checkpoint:decision", "task 'ask' asks for a decision and has no <option>"),
        ("checkpoint:credentials", "task 'ask' asks for credentials and has no <service>"),
    ],
)
def test_the_runbook_refuses_a_question_that_nobody_can_answer(kind: str, sentence: str) -> None:
    plan = Plan(id="01-01", path="plans/01-01-PLAN.md", tasks=[RUNNABLE, Task(name="ask", type=kind, line=9)])
    refusal = driver_named("runbook").refusal(plan) or ""
    assert refusal.startswith(f"01-01: plans/01-01-PLAN.md:9: {sentence}")


def test_the_runbook_refuses_a_plan_without_tasks() -> None:
    sentence = driver_named("runbook").refusal(Plan(id="01-01"))
    assert sentence is not None
    assert "01-01 has no <task>" in sentence


def test_the_command_worker_does_not_do_plans_and_says_what_to_do() -> None:
    sentence = driver_named("command").refusal(Plan(id="01-01", tasks=[RUNNABLE]))
    assert sentence is not None
    assert "start_session(command=[…], plan='01-01')" in sentence
    assert "worker='runbook'" in sentence


def test_a_command_is_started_as_it_is_with_plan_and_parameters_in_its_environment() -> None:
    plan = Plan(id="01-01", path="plans/01-01-PLAN.md")
    start = driver_named("command").start(
        Assignment(command=("make", "all"), plan=plan, params={"city": "Oslo", "n": 3})
    )
    assert start.argv == ("make", "all")
    assert start.env == {
        "HARNESS_PARAM_CITY": "Oslo",
        "HARNESS_PARAM_N": "3",
        "HARNESS_PLAN": "01-01",
        "HARNESS_PLAN_PATH": "plans/01-01-PLAN.md",
    }


def test_a_command_worker_without_a_command_is_an_error() -> None:
    with pytest.raises(MissingCommandError, match="needs a command"):
        driver_named("command").start(Assignment())


def test_the_runbook_is_started_by_this_python_and_unbuffered() -> None:
    start = driver_named("runbook").start(Assignment(plan=Plan(id="01-01"), params={"x": 1}))
    assert start.argv == (sys.executable, "-m", "harness_nb.sessions.runbook")
    assert start.env == {"HARNESS_PARAM_X": "1", "PYTHONUNBUFFERED": "1", "HARNESS_PLAN": "01-01"}


def test_the_runbook_without_a_plan_is_an_error() -> None:
    with pytest.raises(MissingPlanError, match="runbook worker does plans"):
        driver_named("runbook").start(Assignment(prompt="do something"))


def test_an_assignment_survives_its_file() -> None:
    assignment = Assignment(
        plan=Plan(id="01-01", tasks=[RUNNABLE]), command=("a", "b"), params={"x": [1, None]}, attempt=2
    )
    assert Assignment.model_validate(assignment.to_wire()).plan == assignment.plan
    assert Assignment.model_validate(assignment.to_wire()).command == ("a", "b")
