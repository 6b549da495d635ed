"""How records and reports tell themselves: one line in a list, all lines in a cell, the same at every run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from IPython.lib import pretty as ipython
from pydantic import SecretStr

from harness_nb.protocol.credentials import CredentialResult
from harness_nb.protocol.files import DependencyGraph
from harness_nb.protocol.outcome import PlanOutcome, RunReport
from harness_nb.protocol.plans import PlanProblem
from harness_nb.protocol.records import EventRecord, MessageRecord, SessionRecord
from harness_nb.protocol.report import CheckResult, Report
from harness_nb.protocol.state import PhaseState, PlanInfo, ProjectState, StateChange

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script>"


def session(state: str = "completed", **more: Any) -> SessionRecord:
    fields = {"id": "r4nd0m", "worker": "command", "working_dir": "/tmp", "created_at": NOON, "state": state}
    return SessionRecord.model_validate({**fields, **more})


def message(kind: str, payload: dict[str, Any], **more: Any) -> MessageRecord:
    fields = {"id": "r4nd0m", "session_id": "r4nd0m", "direction": "in", "type": kind, "status": "pending"}
    return MessageRecord.model_validate({**fields, "timestamp": NOON, "payload": payload, **more})


def answer(kind: str, payload: dict[str, Any], **more: Any) -> MessageRecord:
    return message(kind, payload, direction="out", in_response_to="q1", **more)


def check(name: str = "c0", passed: bool = True, **more: Any) -> CheckResult:
    return CheckResult.model_validate(
        {"spec_id": name, "type": "file_exists", "passed": passed, "timestamp": NOON, **more}
    )


def report(*results: CheckResult, target: str = "01-02", **more: Any) -> Report:
    return Report.of(target, results, started_at=NOON, completed_at=NOON, **more)


def state(**more: Any) -> ProjectState:
    plans = (
        PlanInfo(id="01-01", title="Load", phase="1", state="complete"),
        PlanInfo(id="01-02", phase="1", state="held", reason="it needs 09-09"),
    )
    phases = (PhaseState(number="1", name="Data", plans=("01-01", "01-02"), completed_plans=1),)
    fields: dict[str, Any] = {"root": "/x/weather", "plans": plans, "phases": phases}
    return ProjectState.model_validate({**fields, "graph": DependencyGraph(timestamp=NOON), **more})


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            session("failed", plan_id="01-02", attempt=1, reason="exit status 3"),
            "<session of 01-02, try 1: failed, exit status 3>",
        ),
        (session(), "<command session: completed>"),
        (session(plan_id="01-02", verdict="passed"), "<session of 01-02, try 1: completed, verified>"),
        (
            session("running", plan_id="2", current_task=2, total_tasks=4, task_name="Load"),
            "<session of 2, try 1: running, 2/4 Load>",
        ),
        (
            answer("decision_made", {"selectedOptionName": "Metric"}, actor="ann", door="notebook"),
            "<answer: Metric, by ann through the notebook>",
        ),
        (answer("verification_result", {"verified": True}, actor="ann"), "<answer: passed, by ann>"),
        (
            message("decision_needed", {"decision": "Which units?", "plan": "01-02"}),
            "<decision_needed from 01-02: Which units?, pending>",
        ),
        (message("session_ready", {"workingDir": "/tmp"}, status="responded"), "<session_ready>"),
        (
            EventRecord(
                seq=7, timestamp=NOON, kind="answered", plan_id="01-02", actor="ann", data={"answer": "Metric"}
            ),
            "<event answered of 01-02: Metric, by ann>",
        ),
        (EventRecord(timestamp=NOON, kind="late_answer", door="file"), "<event late_answer, through a file>"),
        (StateChange(cursor=3), "<no sessions changed>"),
        (StateChange(cursor=3, sessions=(session(),)), "<1 session changed: command session: completed>"),
        (
            PlanOutcome(plan_id="01-02", state="failed", reason="exit\nstatus 3"),
            "<plan 01-02: ✕ failed: exit status 3>",
        ),
        (check("c0", False, error="not there"), "<check c0: failed: not there>"),
        (check(), "<check c0: passed>"),
        (report(check()), "<report of 01-02: passed (1 of 1 passed, 0 failed)>"),
        (
            RunReport(run_id="r4nd0m", state="failed", passed=False, plans=(PlanOutcome(plan_id="1"),)),
            "<report of run failed: 0 of 1 plans complete>",
        ),
        (state(), "<project weather: 1 of 2 plans complete, 0 questions open>"),
        (state().plans[1], "<plan 01-02: ○ held: it needs 09-09>"),
        (state().phases[0], "<phase 1 Data: 1 of 2>"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_each_tells_itself_in_a_line_without_times_or_random_ids(record: Any, text: str) -> None:
    assert repr(record) == text
    assert "r4nd0m" not in str(record)
    assert type(record).model_validate(record.to_wire()) == record


def test_a_message_tells_no_more_of_its_payload_than_what_it_says() -> None:
    given = answer("credentials_provided", {"found": True, "credentials": {"TOKEN": "hunter2"}}, actor="ann")
    assert repr(given) == str([given])[1:-1] == "<answer: allowed, by ann>"


def test_a_lookup_tells_names_and_never_values() -> None:
    found = CredentialResult(found=True, credentials={"TOKEN": SecretStr("hunter2")}, source="/x/.env")
    assert (repr(found), str(found)) == ("<credentials found: TOKEN>", "credentials found: TOKEN")
    lost = CredentialResult(
        credentials={"TOKEN": SecretStr("hunter2")}, missing=("KEY",), instructions="Write it down."
    )
    assert repr(lost) == "<credentials not found: KEY>"
    assert str(lost).splitlines() == ["credentials not found: KEY", "Write it down."]


def pretty(shown: Any) -> str:
    printed: str = ipython.pretty(shown)  # type: ignore[no-untyped-call]
    return printed


@pytest.mark.parametrize(
    "shown",
    [
        report(check("c0", False)),
        state(),
        RunReport(run_id="r4nd0m", state="failed", passed=False, plans=(PlanOutcome(plan_id="1"),)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_as_a_cells_last_value_all_lines_are_printed_and_in_a_list_one(shown: Any) -> None:
    assert pretty(shown) == str(shown)
    assert "\n" in str(shown)
    assert pretty([shown]) == f"[{shown!r}]"


def body(shown: Any) -> str:
    page: str = shown._repr_html_()
    return page.partition("</style>")[2]


class TestReportPage:
    def test_required_failures_are_open_with_error_and_output_and_passed_ones_are_one_line(self) -> None:
        shown = body(report(check("good"), check("fine"), check("bad", False, error="no table", output="row 3")))
        assert "✕ not passed" in shown
        assert "1 failed" in shown
        opened, folded = shown.index("<details open"), shown.index("<details>")
        assert opened < shown.index("no table") < shown.index("row 3") < folded < shown.index("✓ 2 passed")
        assert shown.index("✓ 2 passed") < shown.index(">good<")

    def test_what_did_not_decide_is_a_row_between_them(self) -> None:
        shown = body(report(check("good"), check("soft", False, error="slow", required=False)))
        assert "✓ passed" in shown
        assert "<details open" not in shown
        assert shown.index("slow") < shown.index("✓ 1 passed")

    def test_an_output_is_cut_to_its_end_and_a_terminals_signs_are_left_out(self) -> None:
        shown = body(
            report(check("bad", False, error="e", output="start" + "x" * 90_000 + "\x1b[31mthe end\x1b[0m\x00"))
        )
        assert "the end</pre>" in shown
        assert "start" not in shown
        assert "characters before" in shown
        assert len(shown) < 6000

    def test_a_report_of_very_many_failures_stays_small(self) -> None:
        results = [check(f"c{number}", False, error="e" * 9000, output="o" * 9000) for number in range(2000)]
        shown = report(*results)._repr_html_()
        assert len(shown) < 300_000
        assert "and 1780 more" in shown

    def test_every_field_is_shown_as_text(self) -> None:
        fields = {"error": EVIL, "output": EVIL, "notes": EVIL, "description": EVIL, "type": EVIL, "target": EVIL}
        results = [
            check(EVIL, good, **{**fields, "required": need}) for good in (True, False) for need in (True, False)
        ]
        shown = report(*results, target=EVIL, reason=EVIL)
        run = RunReport(
            run_id=EVIL,
            state=EVIL,
            passed=False,
            plans=(PlanOutcome(plan_id=EVIL, title=EVIL, reason=EVIL, state="failed", report=shown),),
            phases={EVIL: shown},
        )
        plan = PlanInfo(id=EVIL, title=EVIL, reason=EVIL, state="held")
        phase = PhaseState(number=EVIL, name=EVIL, plans=(EVIL,))
        project = state(root=EVIL, plans=(plan,), phases=(phase,), problems=(PlanProblem(message=EVIL, path=EVIL),))
        for page in (shown, run, project, shown.to_frame(), run.to_frame()):
            assert "<script" not in page._repr_html_()  # type: ignore[operator]
            assert "&lt;script" in page._repr_html_()  # type: ignore[operator]

    def test_text_that_is_no_whole_character_can_be_saved(self) -> None:
        body(report(check("bad", False, error="\udcff", output="\udcff"))).encode()


class TestRunPage:
    def run(self, *plans: PlanOutcome, **more: Any) -> RunReport:
        return RunReport(run_id="r4nd0m", state="failed", passed=False, plans=plans, **more)

    def test_failed_plans_come_first_then_held_then_phases_then_the_checks_behind(self) -> None:
        done = PlanOutcome(
            plan_id="01-01", state="complete", verified=True, report=report(check("fine"), target="01-01")
        )
        held = PlanOutcome(plan_id="02-01", state="held", reason="01-02 failed")
        bad = report(check("bad", False, error="no table"))
        failed = PlanOutcome(plan_id="01-02", state="failed", reason="exit status 3", report=bad)
        shown = body(self.run(done, held, failed, phases={"1": report(check("end", False, error="no page"))}))
        order = ["✕ failed", "exit status 3", "○ held", "✓ complete", "Phase 1", "no page", "no table", "✓ 1 passed"]
        places = [shown.index(one) for one in order]
        assert places == sorted(places)
        assert "r4nd0m" not in shown

    def test_it_is_the_same_whenever_it_ran(self) -> None:
        def at(moment: datetime) -> RunReport:
            found = [check("bad", False, error="no", timestamp=moment, duration=moment.hour)]
            checks = Report.of("1", found, started_at=moment, completed_at=moment)
            plan = PlanOutcome(plan_id="1", state="failed", started_at=moment, session_id=str(moment), report=checks)
            return self.run(plan, started_at=moment)

        first, later = at(NOON), at(NOON + timedelta(hours=3))
        assert first._repr_html_() == later._repr_html_()
        assert (str(first), repr(first)) == (str(later), repr(later))

    def test_three_hundred_plans_stay_small(self) -> None:
        results = [check(f"c{number}", error=None) for number in range(20)]
        plans = [PlanOutcome(plan_id=f"{n}", state="complete", report=report(*results)) for n in range(300)]
        assert len(self.run(*plans)._repr_html_()) < 400_000


def test_a_project_shows_its_phases_and_plans_with_signs() -> None:
    shown = body(state())
    assert "weather" in shown
    assert (
        shown.index("Phase 1 Data") < shown.index("✓ complete") < shown.index("○ held") < shown.index("it needs 09-09")
    )
