"""Tries at plans that somebody starts one by one: judged without being asked, once, whoever is left to do it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import ACCEPT_ALL, Harness
from harness_nb.store.trust import set_trusted
from tests.orchestrator.written_plans import configure, until, write_plan

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 30
Opened = Callable[..., Harness]
WAITS = "while [ ! -e go ]; do sleep 0.02; done; touch made.txt"
MADE = [{"id": "made", "type": "file_exists", "path": "made.txt"}]


def verdict_of(harness: Harness, session_id: str) -> str | None:
    """Wait until a session was judged, and return the verdict."""
    store = harness._twin.store
    until(lambda: store.sessions.get(session_id).verdict is not None, LIMIT)
    return store.sessions.get(session_id).verdict


def views(root: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the dependency graph as its file shows it, and the paths that are being written."""
    folder = root / ".orchestration"
    graph = json.loads((folder / "dependency-graph.json").read_text())
    return graph, [one["path"] for one in json.loads((folder / "active-files.json").read_text())["files"]]


@pytest.mark.row(3, 4, 5)
def test_a_plan_that_was_started_by_itself_is_judged_and_shown_everywhere(harness: Harness, root: Path) -> None:
    """While it works its files are active; then come verdict, summary and the graph with the plan behind it free."""
    write_plan(root, "01-01", WAITS, must_pass=MADE, files_modified=["made.txt"])
    write_plan(root, "01-02", depends_on=["01-01"])
    (root / "ROADMAP.md").write_text("---\ncurrent_phase: 1\ncompleted_plans: 0\n---\n# Tiny\n")
    session = harness.start_session(plan="01-01")
    graph, active = views(root)
    assert (graph["running"], graph["available"], active) == (["01-01"], [], ["made.txt"])
    (root / "go").touch()
    assert session.wait(timeout=LIMIT).state == "completed"
    assert verdict_of(harness, session.id) == "passed"
    until(lambda: views(root)[0]["completed"] == ["01-01"] and not views(root)[1])
    assert views(root)[0]["available"] == ["01-02"]
    assert "Status: VERIFIED" in (root / "planning/plans/01-phase/01-01-SUMMARY.md").read_text()
    assert harness.get_state().plan("01-01").verified
    until(lambda: "completed_plans: 1" in (root / "ROADMAP.md").read_text())


@pytest.mark.row(5)
def test_what_does_not_pass_says_why(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", "true", must_pass=MADE)
    session = harness.start_session(plan="01-01")
    assert verdict_of(harness, session.id) == "failed"
    info = harness.get_state().plan("01-01")
    assert info.state == "failed"
    assert "made" in str(info.reason)


@pytest.mark.row(5)
def test_a_worker_that_failed_needs_no_verification(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", "exit 3", must_pass=MADE)
    session = harness.start_session(plan="01-01")
    assert verdict_of(harness, session.id) == "failed"
    assert session.record.report is None


@pytest.mark.row(5, 9)
def test_a_worker_that_failed_keeps_its_own_reason_when_its_plan_is_gone(harness: Harness, root: Path) -> None:
    path = write_plan(root, "01-01", f"{WAITS}; echo the oven is broken; exit 3")
    session = harness.start_session(plan="01-01")
    path.unlink()
    (root / "go").touch()
    ended = session.wait(timeout=LIMIT)
    assert verdict_of(harness, session.id) == "failed"
    assert ended.reason
    assert session.record.reason == ended.reason


@pytest.mark.row(5)
def test_work_whose_plan_is_gone_cannot_be_judged_and_says_so(harness: Harness, root: Path) -> None:
    path = write_plan(root, "01-01", WAITS)
    session = harness.start_session(plan="01-01")
    path.unlink()
    (root / "go").touch()
    assert verdict_of(harness, session.id) == "failed"
    assert "01-01 is not in the project any more" in str(session.record.reason)


@pytest.mark.row(5)
def test_where_nothing_judges_a_plan_a_person_is_asked(harness: Harness, root: Path) -> None:
    """The question is everybody's, and its answer the verdict."""
    write_plan(root, "01-01", must_pass=[], must_haves={"truths": ["The light is on"]})
    session = harness.start_session(plan="01-01")
    until(harness.get_pending, LIMIT)
    assert harness.get_state().plan("01-01").state == "verifying"
    [question] = harness.get_pending()
    assert question.payload["howToVerify"] == ["The light is on"]
    question.approve()
    assert verdict_of(harness, session.id) == "passed"


@pytest.mark.row(5, 10)
def test_the_harness_policies_answer_what_its_verification_asks(opened: Opened, root: Path) -> None:
    write_plan(root, "01-01", must_pass=[])
    harness = opened(policies=[ACCEPT_ALL.replace(after=0)])
    assert verdict_of(harness, harness.start_session(plan="01-01").id) == "passed"


def test_without_verification_a_plan_is_complete_and_called_unverified(harness: Harness, root: Path) -> None:
    configure(root, verificationRequired=False)
    write_plan(root, "01-01", must_pass=MADE)
    assert verdict_of(harness, harness.start_session(plan="01-01").id) == "unverified"
    assert not harness.get_state().plan("01-01").verified


ANOTHER = """
import sys
from harness_nb import Harness
harness = Harness(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.row(5, 11)
def test_of_several_processes_one_judges(harness: Harness, root: Path) -> None:
    """Every one of them sees the end; the journal has one verdict."""
    write_plan(
        root, "01-01", WAITS, must_pass=[*MADE, {"id": "slow", "type": "command_succeeds", "command": "sleep 0.3"}]
    )
    others = [
        subprocess.Popen([sys.executable, "-c", ANOTHER, str(root)], stdin=-1, stdout=-1, text=True) for _ in range(3)
    ]
    for other in others:
        assert other.stdout
        assert other.stdout.readline() == "open\n"
    session = harness.start_session(plan="01-01")
    (root / "go").touch()
    assert verdict_of(harness, session.id) == "passed"
    for other in others:
        other.communicate(timeout=LIMIT)
    assert len(harness._twin.store.events.select(kind="judged")) == 1


STARTER = """
import sys
from harness_nb import Harness
harness = Harness(sys.argv[1])
print(harness.start_session(plan="01-01").id, flush=True)
sys.stdin.read()
"""


@pytest.mark.row(5, 10, 11)
def test_who_started_a_session_judges_it_by_its_own_policies_and_another_only_once_that_is_gone(
    opened: Opened, root: Path
) -> None:
    """A bystander whose policy says yes to everything leaves the question to whoever the starter would ask."""
    write_plan(root, "01-01", WAITS, must_pass=[])
    bystander = opened(policies=[ACCEPT_ALL.replace(after=0)])
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(root)], stdin=-1, stdout=-1, text=True)
    assert starter.stdout
    session_id = starter.stdout.readline().strip()
    (root / "go").touch()
    until(bystander.get_pending, LIMIT)
    [asked] = bystander.get_pending()
    cursor = bystander.next_change(timeout=0).cursor
    assert not bystander.next_change(cursor=cursor, timeout=1.5).sessions, "longer than the pause between two looks"
    assert [one.id for one in bystander.get_pending()] == [asked.id]
    starter.kill()
    starter.communicate()
    assert verdict_of(bystander, session_id) == "passed"


@pytest.mark.row(5, 11)
def test_a_passing_hindrance_is_no_verdict(opened: Opened, root: Path) -> None:
    """Settings with a mistake in them hold the verification up until they are mended."""
    write_plan(root, "01-01", WAITS, must_pass=MADE)
    harness = opened()
    session = harness.start_session(plan="01-01")
    config = root / ".orchestration" / "config.yaml"
    config.write_text("maxRetries: [")
    (root / "go").touch()
    until(lambda: harness._twin.store.events.select(kind="judging_failed"), LIMIT)
    assert session.record.verdict is None
    config.write_text("maxRetries: 0\n")
    assert verdict_of(harness, session.id) == "passed"


@pytest.mark.row(5, 11)
def test_a_session_whose_folder_was_cleared_away_holds_no_other_up(opened: Opened, root: Path) -> None:
    for name in ("01-01", "01-02"):
        write_plan(root, name)
    harness = opened(judges=False)
    cleared = harness.start_session(plan="01-01")
    cleared.wait(timeout=LIMIT)
    harness.close()
    shutil.rmtree(root / ".orchestration" / "sessions" / cleared.id)
    again = opened()
    assert verdict_of(again, again.start_session(plan="01-02").id) == "passed"
    assert verdict_of(again, cleared.id) == "passed"


@pytest.mark.row(5)
def test_a_late_failure_of_an_earlier_try_takes_nothing_from_a_later_one(opened: Opened, root: Path) -> None:
    check = "touch judging; while [ ! -e judge ]; do sleep 0.02; done; false"
    write_plan(root, "01-01", must_pass=[{"id": "slow", "type": "command_succeeds", "command": check}])
    harness = opened()
    first = harness.start_session(plan="01-01")
    first.wait(timeout=LIMIT)
    until((root / "judging").exists, LIMIT)
    write_plan(root, "01-01", must_pass=MADE)
    (root / "made.txt").touch()
    second = harness.start_session(plan="01-01")
    assert verdict_of(harness, second.id) == "passed"
    (root / "judge").touch()
    assert verdict_of(harness, first.id) == "failed"
    assert "Status: VERIFIED" in (root / "planning/plans/01-phase/01-01-SUMMARY.md").read_text()
    assert harness.get_state().plan("01-01").verified


@pytest.mark.row(5, 11)
def test_what_nobody_judged_is_judged_by_the_next_that_comes(opened: Opened, root: Path) -> None:
    """A notebook was closed while a person was asked: the verification begins anew when one is opened again."""
    write_plan(root, "01-01", must_pass=[])
    harness = opened()
    session = harness.start_session(plan="01-01")
    until(harness.get_pending, LIMIT)
    harness.close()
    again = opened()
    until(again.get_pending, LIMIT)
    again.get_pending()[0].approve()
    assert verdict_of(again, session.id) == "passed"


@pytest.mark.row(14)
def test_who_only_watches_judges_nothing(opened: Opened, root: Path) -> None:
    write_plan(root, "01-01", must_pass=MADE)
    harness = opened(judges=False)
    session = harness.start_session(plan="01-01")
    assert session.wait(timeout=LIMIT).state == "completed"
    assert harness.get_state().plan("01-01").state == "verifying"
    harness.close()
    assert verdict_of(opened(), session.id) == "failed"


def test_without_trust_no_check_of_a_plan_is_run(opened: Opened, root: Path) -> None:
    """Also not for a session that was started while there was trust."""
    write_plan(root, "01-01", must_pass=[{"id": "touch", "type": "command_succeeds", "command": "touch judged"}])
    harness = opened(judges=False)
    session = harness.start_session(plan="01-01")
    session.wait(timeout=LIMIT)
    harness.close()
    set_trusted(root, trusted=False)
    again = opened(trust=False)
    other = again.start_session(command=["true"])
    other.wait(timeout=LIMIT)
    assert again.get_state().plan("01-01").state == "verifying"
    assert not (root / "judged").exists()
    again.trust()
    again.start_session(command=["true"])
    assert verdict_of(again, session.id) == "passed"


def test_a_plan_that_is_gone_cannot_be_judged_and_says_so(opened: Opened, root: Path) -> None:
    file = write_plan(root, "01-01", must_pass=MADE)
    harness = opened(judges=False)
    session = harness.start_session(plan="01-01")
    session.wait(timeout=LIMIT)
    harness.close()
    file.unlink()
    again = opened()
    assert verdict_of(again, session.id) == "failed"
    assert "not in the project any more" in str(again._twin.store.sessions.get(session.id).reason)


def test_only_the_newest_try_at_a_plan_is_judged(opened: Opened, root: Path) -> None:
    write_plan(root, "01-01", must_pass=[{"id": "count", "type": "command_succeeds", "command": "echo x >> judged"}])
    harness = opened(judges=False)
    tries = [harness.start_session(plan="01-01") for _ in range(2)]
    for session in tries:
        session.wait(timeout=LIMIT)
    harness.close()
    again = opened()
    assert verdict_of(again, tries[1].id) == "passed"
    assert again._twin.store.sessions.get(tries[0].id).verdict is None
    assert (root / "judged").read_text() == "x\n"
