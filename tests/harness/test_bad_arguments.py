"""Wrong arguments: one sentence each, the same from both twins, and nothing is started or waited for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import AsyncHarness, Harness, Plan
from harness_nb.errors import (
    JournalBusyError,
    NoFrontmatterWarning,
    NoPlansError,
    NotAFolderError,
    UnknownSettingWarning,
    UnknownStateError,
    UntrustedProjectError,
    UnusableArgumentError,
)
from harness_nb.views.questions import question_text
from tests.orchestrator.written_plans import configure, plan, states, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.protocol.records import SessionRecord

LIMIT = 30
FIVE = r"Use one of: initializing, running, checkpoint, completed, failed\."


# --- states -----------------------------------------------------------------------------------


def test_a_bare_string_is_one_state_one_session_one_type(harness: Harness) -> None:
    """And not its letters, for which nobody would ever come."""
    session = harness.start_session(command=["true"])
    session.wait(timeout=LIMIT)
    change = harness.wait_for_state(session_ids=session.id, states="completed", timeout=LIMIT)
    assert [one.id for one in change.sessions] == [session.id]
    assert harness.get_pending(message_types="decision_needed") == []


@pytest.mark.parametrize("given", [["completd"], "completd", ["completed", "completd"]])
def test_a_state_that_there_is_not_names_the_five(harness: Harness, given: Any) -> None:
    with pytest.raises(UnknownStateError, match=rf"There is no session state 'completd'\. {FIVE}"):
        harness.wait_for_state(states=given)


def test_listing_sessions_in_a_state_that_there_is_not_names_the_five(harness: Harness) -> None:
    with pytest.raises(UnknownStateError, match=rf"'done'\. {FIVE}"):
        harness.list_sessions("done")


def test_no_states_at_all_would_be_waited_for_for_ever(harness: Harness) -> None:
    with pytest.raises(UnusableArgumentError, match="nothing would ever fit"):
        harness.wait_for_state(states=[])


# --- what start_session and run are given -----------------------------------------------------

STARTED: list[tuple[dict[str, Any], str]] = [
    ({"command": ["sleep", 1]}, r"command cannot be used: 1 is no text\. Give a list of texts"),
    ({"command": "echo hi"}, r"command cannot be used: 'echo hi' is one text, .*\. Give a list of texts"),
    ({"command": 5}, r"command cannot be used: 5 is no list\. Give a list"),
    ({"command": ["true"], "env": {"A": 1}}, r"env cannot be used: the value of 'A' is an int and no text\. "),
    ({"command": ["true"], "env": {"A=B": "1"}}, r"env cannot be used: 'A=B' cannot be a variable's name\. "),
    ({"command": ["true"], "env": ["A"]}, r"env cannot be used: it is no dictionary\. "),
    ({"command": ["true"], "env_credentials": {"A": 1}}, r"env_credentials cannot be used: the value of 'A' is an int"),
    ({"command": ["true"], "params": {"a b": 1}}, r"params cannot be used: 'a b' cannot be part of a variable's name"),
    ({"command": ["true"], "params": {"a": object()}}, r"params cannot be used: the value of 'a' is an object\. "),
    ({"command": ["true"], "params": [1]}, r"params cannot be used: it is no dictionary\. "),
    ({"command": ["true"], "working_dir": 5}, r"working_dir cannot be used: 5 is no path\. "),
]
RUNS: list[tuple[dict[str, Any], str]] = [
    ({"plans": [{"id": "x"}]}, r"plans cannot be used: a dict is neither an id nor a Plan\. "),
    ({"plans": {"id": "x"}}, r"plans cannot be used: a dict is no list\. "),
    ({"plans": [5]}, r"plans cannot be used: an int is neither an id nor a Plan\. "),
    ({"plans": []}, r"plans cannot be used: it is empty"),
    ({"plans": ["01-01", Plan(id="01-02")]}, r"plans cannot be used: it mixes ids and Plan objects\. "),
    ({"policies": ["yes"]}, r"policies cannot be used: 'yes' is no policy\. "),
    ({"policies": "yes"}, r"policies cannot be used: a str is no list\. "),
    ({"policies": [{"do": "dance"}]}, r"policies cannot be used: do: input should be 'wait'"),
    ({"params": {"a-b": 1}}, r"params cannot be used: 'a-b' cannot be part"),
    ({"max_parallel": "two"}, r"max_parallel cannot be used: 'two' is no number of plans\. "),
    ({"max_parallel": 0}, r"max_parallel cannot be used: 0 is no number of plans\. "),
]


@pytest.mark.parametrize(("arguments", "sentence"), STARTED)
def test_what_a_session_cannot_be_started_with(harness: Harness, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UnusableArgumentError, match=sentence) as error:
        harness.start_session(**arguments)
    assert_one_sentence(error.value)
    assert harness.list_sessions() == []


@pytest.mark.parametrize(("arguments", "sentence"), RUNS)
def test_what_a_run_cannot_be_given(harness: Harness, root: Path, arguments: dict[str, Any], sentence: str) -> None:
    write_plan(root, "01-01")
    with pytest.raises(UnusableArgumentError, match=sentence) as error:
        harness.run(**arguments)
    assert_one_sentence(error.value)
    assert harness.list_sessions() == []


@pytest.mark.anyio
async def test_the_awaited_twin_says_the_same(root: Path) -> None:
    write_plan(root, "01-01")
    async with AsyncHarness(root, trust=True) as harness:
        for arguments, sentence in STARTED:
            with pytest.raises(UnusableArgumentError, match=sentence):
                await harness.start_session(**arguments)
        for arguments, sentence in RUNS:
            with pytest.raises(UnusableArgumentError, match=sentence):
                await harness.run(**arguments)
        with pytest.raises(UnknownStateError, match=FIVE):
            await harness.list_sessions("done")
        with pytest.raises(UnknownStateError, match=FIVE):
            await harness.wait_for_state(states="completd")


def assert_one_sentence(error: Exception) -> None:
    assert "http" not in str(error)
    assert "\n" not in str(error)


def test_a_single_plan_need_not_stand_in_a_list_and_policies_may_be_written_as_dictionaries(harness: Harness) -> None:
    run = harness.run(plan("01-01"), policies=[{"kind": "decision", "do": "answer"}])  # type: ignore[arg-type, list-item]
    assert states(run.wait(timeout=LIMIT)) == {"01-01": "complete"}


# --- folders, trust, platform -----------------------------------------------------------------


def test_a_folder_without_plans_says_so_before_it_speaks_of_trust(opened: Callable[..., Harness], root: Path) -> None:
    """There are no commands to be trusted; once there are, they wait for trust."""
    harness = opened(trust=False)
    with pytest.raises(NoPlansError, match="There are no plans"):
        harness.run()
    write_plan(root, "01-01", "touch harm")
    with pytest.raises(UntrustedProjectError):
        harness.run()
    assert not (root / "harm").exists()


@pytest.mark.parametrize("twin", [Harness, AsyncHarness])
def test_a_file_where_a_folder_is_meant(tmp_path: Path, twin: Callable[[Path], object]) -> None:
    (tmp_path / "afile").write_text("")
    with pytest.raises(NotAFolderError, match=r"afile is a file; give the project's folder\."):
        twin(tmp_path / "afile")


def test_a_command_in_a_sentence_can_be_pasted_whatever_the_folder_is_called(tmp_path: Path) -> None:
    root = tmp_path / "my project"
    root.mkdir()
    write_plan(root, "01-01", "touch harm")
    with Harness(root) as harness, pytest.raises(UntrustedProjectError) as caught:
        harness.run()
    assert f"`harness-nb trust '{root}'` once" in str(caught.value)


# --- settings and quick state -----------------------------------------------------------------


def test_a_run_warns_of_settings_that_have_no_effect_and_goes_on(harness: Harness, root: Path) -> None:
    configure(root, maxParalelExecutions=1)
    write_plan(root, "01-01")
    with pytest.warns(UnknownSettingWarning, match=r"config\.yaml:\d: unknown setting 'maxParalelExecutions'; did you"):
        run = harness.run()
    assert run.wait(timeout=LIMIT).passed


def test_quick_state_without_a_place_for_it_is_said(harness: Harness, root: Path) -> None:
    """The state comes back all the same; where something is the way it should be already nobody is warned."""
    (root / "ROADMAP.md").write_text("# Tiny\n")
    with pytest.warns(NoFrontmatterWarning, match=r"^ROADMAP\.md has no frontmatter; pass insert=True to add one$"):
        state = harness.set_state(status="blocked")
    assert state.root == str(root)
    harness.set_state(status="blocked", insert=True)
    harness.set_state(status="blocked")


# --- handles and the state of plans -----------------------------------------------------------


@pytest.mark.anyio
async def test_the_newest_run_of_a_harness_is_at_hand(root: Path) -> None:
    async with AsyncHarness(root) as harness:
        before = harness.current_run
        run = await harness.run(plans=[plan("01-01")])
        assert (before, harness.current_run) == (None, run)
        await run


def test_the_text_of_a_question_is_one_line(harness: Harness) -> None:
    code = 'harness-nb worker report credentials_needed --payload \'{"service": "db", "envVars": ["A", "B"]}\''
    session = harness.start_session(command=["sh", "-c", f"{code}; sleep 30"])
    harness.wait_for_state(session_ids=session.id, states="checkpoint", timeout=LIMIT)
    [question] = harness.get_pending()
    assert question_text(question.record) == "db: A, B"
    assert "db: A, B" in repr(question)
    session.stop(grace=0.5)


def test_a_plan_that_no_worker_can_do_is_held_with_the_reason(harness: Harness, root: Path) -> None:
    """Unless it is complete: then nobody needs to do it."""
    write_plan(root, "01-01", None)
    write_plan(root, "01-02", None)
    write_plan(root, "01-03")
    (root / "planning/plans/01-phase/01-02-SUMMARY.md").write_text("# Done\n")
    state = harness.get_state()
    assert [one.state for one in state.plans] == ["held", "complete", "waiting"]
    assert "has no <run> block" in str(state.plan("01-01").reason)
    assert state.graph.available == ("01-03",)
    configure(root, worker="nobody")
    assert "There is no worker 'nobody'" in str(harness.get_state().plan("01-03").reason)


def test_a_plan_that_failed_is_neither_complete_nor_verified_whatever_documents_say(
    harness: Harness, root: Path
) -> None:
    write_plan(root, "01-01", must_pass=[{"id": "no", "type": "command_succeeds", "command": "false"}])
    harness.run().wait(timeout=LIMIT)
    folder = root / "planning" / "plans" / "01-phase"
    (folder / "01-01-SUMMARY.md").write_text("---\nverified: true\nstatus: verified\n---\n# Done\n")
    (folder / "01-VERIFICATION.md").write_text("---\nstatus: passed\n---\n")
    state = harness.get_state()
    assert (state.plan("01-01").state, state.plan("01-01").verified) == ("failed", False)
    assert (state.phases[0].complete, state.phases[0].verified) == (False, False)


# --- what goes wrong inside -------------------------------------------------------------------


async def cannot_write() -> list[SessionRecord]:
    """Stand for the harness's own look at its sessions at a moment when the journal is locked for too long."""
    raise JournalBusyError(Path("journal.db"))


def test_what_ends_a_harness_from_inside_reaches_whoever_calls_as_itself(
    opened: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not as the news that it is closed; nobody waits on."""
    harness = opened()
    session = harness.start_session(command=["cat"])
    run = harness.run(plans=[plan("01-01", "sleep 60")])
    until(lambda: len(harness.list_sessions("running")) == 2)
    monkeypatch.setattr(harness._twin.host, "adopt", cannot_write)
    harness._twin.store.ring()
    for verb in (run.wait, session.wait, harness.wait_for_state):
        with pytest.raises(JournalBusyError, match="locked by another program"):
            verb(timeout=LIMIT)
    with pytest.raises(JournalBusyError):
        harness.start_session(command=["true"])


@pytest.mark.anyio
async def test_what_ends_an_awaited_harness_leaves_its_block_as_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JournalBusyError):  # noqa: PT012 — what is looked at is what leaves the block
        async with AsyncHarness(root) as harness:
            monkeypatch.setattr(harness.host, "adopt", cannot_write)
            harness.store.ring()
            await harness.wait_for_state(timeout=LIMIT)
