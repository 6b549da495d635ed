"""What a summary or a verification file says about plans and phases, and how a summary is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from harness_nb.plans.project import load_project
from harness_nb.plans.summary import CheckLine, is_verified_summary, mark_verified, summary_target, write_summary
from harness_nb.protocol.plans import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plans.conftest import WritePlan

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "verified"),
    [
        ("Status: VERIFIED\n", True),
        ("**Status:** VERIFIED\n", True),
        ("**Status**: VERIFIED (2026-01-01)\r\n", True),
        ("- Status: ✅ Verified.\n", True),
        ("---\nStatus: VERIFIED\n---\n", True),
        ("Status: not verified\n", False),
        ("Status: NOT VERIFIED\n", False),
        ("Status: verified with gaps\n", False),
        ("status: complete\n", False),
        ("The maintenance status must be VERIFIED\n", False),
    ],
)
def test_a_summary_is_verified_when_it_says_so(tmp_path: Path, text: str, verified: bool) -> None:
    file = tmp_path / "S.md"
    file.write_bytes(text.encode())
    assert is_verified_summary(file) is verified


@pytest.mark.parametrize(
    ("name", "text", "passed"),
    [
        ("VERIFICATION.md", "---\nstatus: passed\n---\n", True),
        ("01-VERIFICATION.md", "fine\n", True),
        ("VERIFICATION.md", "---\nphase: 01\n---\n# Report\n", True),
        ("VERIFICATION.md", "---\nstatus: gaps_found\n---\n", False),
        ("VERIFICATION.md", "**Status:** human_needed\n", False),
        ("02-VERIFICATION.md", "---\nstatus: passed\n---\n", False),
        ("VERIFICATION-NOTES.md", "fine\n", False),
    ],
)
def test_a_phase_is_verified_by_a_file_that_passed_or_says_no_status(
    tmp_path: Path, write_plan: WritePlan, name: str, text: str, passed: bool
) -> None:
    plan = write_plan("01-a/01-01-PLAN.md")
    (plan.parent / "01-01-SUMMARY.md").write_text("done\n")
    (plan.parent / name).write_text(text)
    project = load_project(tmp_path)
    assert project.completed == {"01-01"}
    assert project.verified_phases == ({"1"} if passed else set())
    assert project.verified_plans == ({"01-01"} if passed else set())


def test_a_phase_without_a_verification_file_is_verified_when_all_its_summaries_are(
    tmp_path: Path, write_plan: WritePlan
) -> None:
    for number in ("01", "02"):
        plan = write_plan(f"01-a/01-{number}-PLAN.md")
        (plan.parent / f"01-{number}-SUMMARY.md").write_text("Status: VERIFIED\n")
    assert load_project(tmp_path).verified_phases == {"1"}
    (plan.parent / "01-02-SUMMARY.md").write_text("Status: not verified\n")
    project = load_project(tmp_path)
    assert project.verified_phases == set()
    assert project.verified_plans == {"01-01"}
    assert project.completed == {"01-01", "01-02"}


@pytest.mark.parametrize(
    ("plan_name", "summary_name", "found"),
    [
        ("03-02-PLAN.md", "03-02-SUMMARY.md", True),
        ("03-02-login-PLAN.md", "03-02-SUMMARY.md", True),
        ("03-02-login-PLAN.md", "3-2-login-SUMMARY.md", True),
        ("03-02-PLAN.md", "03-02-FOLLOWUP-SUMMARY.md", False),
        ("03-02-PLAN.md", "03-DISCUSS-SUMMARY.md", False),
        ("PLAN.md", "SUMMARY.md", True),
        ("01-log-PLAN.md", "01-log-SUMMARY.md", True),
    ],
)
@pytest.mark.parametrize("place", ["planning/plans", "execution/phases"])
def test_a_summary_lies_beside_its_plan_or_with_the_phases_results(
    tmp_path: Path, write_plan: WritePlan, plan_name: str, summary_name: str, found: bool, place: str
) -> None:
    write_plan(f"03-web/{plan_name}")
    summary = tmp_path / place / "03-web" / summary_name
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text("done\n")
    expected = f"{place}/03-web/{summary_name}" if found else None
    assert load_project(tmp_path).plans[0].summary_path == expected


def test_a_summary_is_written_once_and_found_again(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("03-web/03-02-PLAN.md", "title: 'Log in: the form'")
    project = load_project(tmp_path)
    assert project.spec is not None
    plan = project.plans[0].model_copy(update={"objective": "A form."})
    file = summary_target(tmp_path, project.spec, plan)
    assert file == tmp_path / "planning/plans/03-web/03-02-SUMMARY.md"
    checks = [CheckLine("the page is there", "passed")]
    assert write_summary(file, plan, verified=False, completed=NOON, duration=3725, tasks=["Build it"], checks=checks)
    assert file.read_text() == (
        "---\nphase: 03-web\nplan: '02'\nStatus: not verified\nduration: 1h2m5s\n"
        "completed: '2026-05-04T12:00:00.000Z'\n"
        "---\n\n# 03-02: Log in: the form\n\nA form.\n\n"
        "## Tasks\n\n- Build it\n\n## Checks\n\n- the page is there: passed\n"
    )
    after = load_project(tmp_path)
    assert after.completed == {"03-02"}
    assert after.verified_plans == set()
    assert not write_summary(file, plan.model_copy(update={"objective": "Else"}), verified=True, completed=NOON)
    assert "A form." in file.read_text()
    assert load_project(tmp_path).verified_phases == {"3"}


def test_a_summary_goes_with_the_results_where_a_spec_keeps_those_apart(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("03-web/03-02-PLAN.md", place="specs/one/planning/plans")
    (tmp_path / "specs/one/execution/phases").mkdir(parents=True)
    project = load_project(tmp_path)
    assert project.spec is not None
    file = summary_target(tmp_path, project.spec, project.plans[0])
    assert file == tmp_path / "specs/one/execution/phases/03-web/03-02-SUMMARY.md"
    assert write_summary(file, project.plans[0], verified=True, completed=NOON)
    assert load_project(tmp_path).verified_plans == {"03-02"}
    assert summary_target(tmp_path, project.spec, Plan(id="01-01")) is None


def test_a_summary_is_new_for_one_writer_only_also_where_files_cannot_be_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("harness_nb.plans.documents.os.link", refuse)
    file = tmp_path / "deep" / "01-01-SUMMARY.md"
    assert write_summary(file, Plan(id="01-01", objective="first"), verified=False, completed=NOON)
    assert not write_summary(file, Plan(id="01-01", objective="second"), verified=False, completed=NOON)
    assert "first" in file.read_text()
    assert [entry.name for entry in file.parent.iterdir()] == ["01-01-SUMMARY.md"]


def test_marking_a_workers_summary_adds_one_line_and_keeps_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "S.md"
    text = b"---\r\nstatus: complete\r\n---\r\nd\xfcne"
    file.write_bytes(text)
    assert mark_verified(file)
    assert file.read_bytes() == text + b"\r\n\r\nStatus: VERIFIED\r\n"
    assert not mark_verified(file)


def test_the_audit_of_a_spec_has_a_status(tmp_path: Path, write_plan: WritePlan) -> None:
    write_plan("01-a/01-01-PLAN.md")
    assert load_project(tmp_path).audit_status is None
    (tmp_path / "AUDIT.md").write_text("---\nstatus: gaps_found\n---\n")
    assert load_project(tmp_path).audit_status == "gaps_found"
