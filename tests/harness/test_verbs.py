"""The ten verbs, blocking and awaited, on real sessions."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import AsyncHarness, Harness, Plan
from harness_nb.errors import (
    CommandNotFoundError,
    HarnessClosedError,
    MissingCommandError,
    MissingPlanError,
    NoFrontmatterWarning,
    NotResumableError,
    ProjectNotFoundError,
    SessionNotFoundError,
    UnknownPlanError,
    UnknownWorkerError,
    UnsuitableWorkerError,
    UntrustedProjectError,
    UnwritableFolderError,
    WorkingFolderNotFoundError,
)
from tests.orchestrator.written_plans import until, write_plan

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 30
ASKS = """
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    options = [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]
    question = side.report("decision_needed", {"decision": "A or B?", "options": options})
    print("chosen:", side.wait(question.id).payload["selectedOptionId"])
"""


@pytest.mark.row(3, 12)
def test_the_ten_verbs_blocking(harness: Harness, root: Path) -> None:
    """Spawn, watch, answer, read, end; state read, synchronised and set."""
    session = harness.start_session(command=[sys.executable, "-c", ASKS])
    change = harness.wait_for_state(session_ids=[session.id], states=["checkpoint"], timeout=LIMIT)
    assert [one.id for one in change.sessions] == [session.id]
    [question] = harness.get_pending(session.id)
    assert [one.id for one in harness.get_pending(message_types=["decision_needed"])] == [question.id]
    assert harness.get_pending(message_types=["action_needed"]) == []
    payload = {"selectedOptionId": "b", "selectedOptionName": "B", "decision": "A or B?"}
    harness.respond("decision_made", session.id, payload, in_response_to=question.id)
    assert session.wait(timeout=LIMIT).state == "completed"
    assert "chosen: b" in harness.get_output(session.id, lines=5).text
    sleeping = harness.start_session(command=["sleep", "60"])
    assert {one.id for one in harness.list_sessions()} == {session.id, sleeping.id}
    assert [one.id for one in harness.list_sessions("running")] == [sleeping.id]
    assert harness.end_session(sleeping.id, grace=1).state == "failed"
    assert harness.end_session(sleeping.id).reason == "ended by end_session", "ending twice changes nothing"
    write_plan(root, "01-01")
    (root / "ROADMAP.md").write_text("# Tiny\n")
    assert [one.id for one in harness.get_state().plans] == ["01-01"]
    assert harness.sync_state().graph.available == ("01-01",)
    assert (root / ".orchestration" / "dependency-graph.json").exists()
    with pytest.warns(NoFrontmatterWarning):
        harness.set_state(phase=1, status="blocked")
    assert (root / "ROADMAP.md").read_text() == "# Tiny\n", "no frontmatter is put where there was none"
    state = harness.set_state(phase=1, plan=1, status="blocked", completed_plans=0, insert=True)
    assert state.roadmap
    assert (state.roadmap.current_phase, state.roadmap.status) == (1, "blocked")
    assert (root / "ROADMAP.md").read_text().endswith("# Tiny\n")


@pytest.mark.anyio
@pytest.mark.row(3, 12)
async def test_the_ten_verbs_awaited(root: Path) -> None:
    """The same names, awaited; sessions and runs can be awaited themselves."""
    write_plan(root, "01-01")
    async with AsyncHarness(root, trust=True) as harness:
        session = await harness.start_session(command=[sys.executable, "-c", ASKS])
        await harness.wait_for_state(session_ids=[session.id], states=["checkpoint"], timeout=LIMIT)
        [question] = await harness.get_pending(session.id)
        payload = {"selectedOptionId": "a", "decision": "A or B?"}
        await harness.respond("decision_made", session.id, payload, in_response_to=question.id)
        assert (await session).state == "completed"
        assert "chosen: a" in (await harness.get_output(session.id)).text
        sleeping = await harness.start_session(command=["sleep", "60"])
        assert [one.id for one in await harness.list_sessions("running")] == [sleeping.id]
        assert (await harness.end_session(sleeping.id, grace=1)).state == "failed"
        assert [one.id for one in (await harness.get_state()).plans] == ["01-01"]
        assert (await harness.sync_state()).graph.available == ("01-01",)
        (root / "ROADMAP.md").write_text("---\nstatus: planning\n---\n# Tiny\n")
        state = await harness.set_state(status="blocked")
        assert state.roadmap
        assert state.roadmap.status == "blocked"
        report = await (await harness.run())
        assert report.passed
    with pytest.raises(HarnessClosedError):
        await harness.start_session(command=["true"])


@pytest.mark.row(3)
def test_a_session_takes_input_size_and_interrupt(harness: Harness) -> None:
    """What is typed reaches the program; Ctrl-C does what it does."""
    script = "read word; echo got $word; stty size; trap 'echo stopped; exit 0' INT; echo ready; "
    script += "while :; do sleep 0.05; done"
    session = harness.start_session(command=["sh", "-c", script])
    session.resize(10, 33)
    session.send("hello\n")
    until(lambda: "ready" in session.output().text)
    session.interrupt()
    assert session.wait(timeout=LIMIT).state == "completed"
    for expected in ("got hello", "10 33", "stopped"):
        assert expected in session.output().text


@pytest.mark.row(3)
def test_a_session_can_be_given_a_plan(harness: Harness, root: Path) -> None:
    """With ``plan`` it is assigned by itself, however the id is written; ``assign`` gives one to a waiting session."""
    write_plan(root, "03-02", "echo $HARNESS_PLAN >> done")
    session = harness.start_session(plan="3-2")
    assert session.id.startswith("03-02-")
    assert session.wait(timeout=LIMIT).state == "completed"
    assert (root / "done").read_text() == "03-02\n"
    ready = """
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    side.report("session_ready", {"workingDir": "."})
    print("given", side.wait().payload["planPath"])
"""
    waiting = harness.start_session(command=[sys.executable, "-c", ready])
    until(lambda: harness.get_pending(waiting.id, ["session_ready"]))
    harness.assign(waiting.id, "03-02", context="take your time")
    assert waiting.wait(timeout=LIMIT).state == "completed"
    assert "given planning/plans/03-phase/03-02-PLAN.md" in waiting.output().text


@pytest.mark.row(11)
def test_a_living_session_is_resumed_by_its_id_and_a_dead_one_is_not(harness: Harness) -> None:
    """Resuming what lives is going on with it."""
    session = harness.start_session(command=["cat"])
    assert harness.start_session(resume=session.id).id == session.id
    assert harness.session(session.id).state == "running"
    session.stop(grace=0.5)
    with pytest.raises(NotResumableError, match="cannot take up where it left"):
        harness.start_session(resume=session.id)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, MissingCommandError),
        ({"command": ["no-such-command-here"]}, CommandNotFoundError),
        ({"command": ["true"], "worker": "nobody"}, UnknownWorkerError),
        ({"command": ["true"], "working_dir": "nowhere"}, WorkingFolderNotFoundError),
        ({"worker": "runbook"}, MissingPlanError),
        ({"plan": "09-09"}, UnknownPlanError),
        ({"plan": "01-01"}, UnsuitableWorkerError),
        ({"resume": "nothing"}, SessionNotFoundError),
    ],
)
def test_what_cannot_be_started_says_why(harness: Harness, root: Path, arguments: dict[str, Any], error: Any) -> None:
    """One clear sentence each, and nothing is left running."""
    write_plan(root, "01-01", None)
    with pytest.raises(error):
        harness.start_session(**arguments)
    assert not [one for one in harness.list_sessions() if one.record.live]


def test_a_plan_of_an_untrusted_project_is_not_started(opened: type[Harness], root: Path) -> None:
    """A command that somebody typed runs; what is in a plan does not."""
    write_plan(root, "01-01", "touch harm")
    harness = opened(trust=False)
    with pytest.raises(UntrustedProjectError):
        harness.start_session(plan="01-01")
    assert harness.start_session(command=["true"]).wait(timeout=LIMIT).state == "completed"
    assert not (root / "harm").exists()


def test_sessions_that_there_are_not(harness: Harness) -> None:
    """Each verb that names a session says that there is none of that name."""
    for verb in (harness.session, harness.get_output, harness.end_session):
        with pytest.raises(SessionNotFoundError, match="no session 'nothing'"):
            verb("nothing")
    with pytest.raises(SessionNotFoundError):
        harness.wait_for_state(session_ids=["nothing"], timeout=LIMIT)


# --- opening ----------------------------------------------------------------------------------


def test_a_folder_that_is_missing_or_cannot_be_written(tmp_path: Path) -> None:
    """Both are one sentence with the folder's name."""
    with pytest.raises(ProjectNotFoundError, match=r"no folder .*nowhere"):
        Harness(tmp_path / "nowhere")
    (tmp_path / ".orchestration").write_text("a file where the folder should be")
    with pytest.raises(UnwritableFolderError, match=str(tmp_path)):
        Harness(tmp_path)
    (tmp_path / ".orchestration").unlink()
    with Harness(tmp_path) as harness:
        assert harness.get_state().plans == ()


@pytest.mark.parametrize("name", ["Harness", "AsyncHarness", "VerificationEngine"])
def test_windows_is_refused_with_what_to_use(name: str) -> None:
    """The error comes at the import, before anything that Windows does not have is missed."""
    lacking = "import sys; sys.platform = 'win32'; sys.modules.update(dict.fromkeys(['fcntl', 'termios', 'pty']))"
    done = subprocess.run(
        [sys.executable, "-c", f"{lacking}; from harness_nb import {name}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith("Windows lacks. Use Linux, macOS, or WSL on Windows.\n")


def test_the_same_project_opened_twice_is_the_same_harness(root: Path, tmp_path: Path) -> None:
    """By any of its names; closed, it is opened anew."""
    (tmp_path / "link").symlink_to(root)
    with Harness(root) as first:
        assert Harness(tmp_path / "link") is first
        before, again = first.trusted, Harness(root, trust=True)
        assert again is first
        assert (before, first.trusted) == (False, True)
    with Harness(root) as second:
        assert second is not first
        assert second.list_sessions() == []
    with pytest.raises(HarnessClosedError):
        first.start_session(command=["true"])


def test_objects_show_what_they_are(harness: Harness) -> None:
    """A session, a run and a harness tell themselves in one line."""
    session = harness.start_session(command=["false"])
    session.wait(timeout=LIMIT)
    assert repr(session) == f"<session {session.id}: command, failed, exit status 1>"
    run = harness.run(plans=[Plan(id="01-01")])
    run.wait(timeout=LIMIT)
    assert repr(run) == f"<run {run.id}: ✕ run failed: 0 of 1 plans complete>"
    assert repr(harness) == f"Harness({str(harness.root)!r})"


@pytest.mark.anyio
async def test_an_error_inside_the_harness_block_comes_out_as_itself(tmp_path: Path) -> None:
    write_plan(tmp_path, "01-01")
    with pytest.raises(UntrustedProjectError):
        async with AsyncHarness(tmp_path) as h:
            await h.run()
