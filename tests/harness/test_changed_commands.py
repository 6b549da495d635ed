"""What is executed is what its user trusted, word for word: whoever changes a plan afterwards runs nothing by that."""

from __future__ import annotations

import json
import os
import signal
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb import AsyncHarness, Harness
from harness_nb.errors import ChangedCommandsError, UntrustedProjectError
from harness_nb.mcp_server.failures import sentence
from harness_nb.store import Store
from harness_nb.store.trust import note_of_trust, set_trusted
from tests.orchestrator.written_plans import configure, plan, states, until
from tests.orchestrator.written_plans import write_plan as write_trusted_plan
from tests.trusting import trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.protocol.records import EventRecord

DONE = "true"
MARK = "touch EXECUTED"


@pytest.fixture
def project(root: Path) -> Path:
    """A trusted project of two plans, one after the other, and no time between two tries."""
    configure(root, maxParallelExecutions=1)
    write_plan(root, "01-01", DONE)
    write_plan(root, "01-02", DONE, depends_on=["01-01"])
    trust(root)
    return root


def write_plan(root: Path, plan_id: str, code: str | None = DONE, **more: Any) -> Path:
    """Write a plan as anybody may who can write in the project: nothing is trusted by that."""
    note = note_of_trust(root)
    before = note.read_bytes() if note.exists() else None
    path = write_trusted_plan(root, plan_id, code, **more)
    if before is not None:
        note.write_bytes(before)
    return path


def path_of(root: Path, plan_id: str) -> Path:
    return next(root.rglob(f"{plan_id}-PLAN.md"))


def change(root: Path, plan_id: str, before: str, after: str) -> None:
    path = path_of(root, plan_id)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def events(root: Path, kind: str) -> list[EventRecord]:
    with closing(Store(root)) as store:
        return store.events.select(kind=kind)


def refused(harness: Harness, **options: Any) -> ChangedCommandsError:
    with pytest.raises(ChangedCommandsError) as caught:
        harness.run(**options)
    return caught.value


# --- before a run begins ----------------------------------------------------------------------


def test_a_changed_command_is_refused_with_the_difference_and_what_to_do(
    project: Path, opened: Callable[..., Harness]
) -> None:
    change(project, "01-02", DONE, MARK)
    error = refused(opened(trust=False))
    assert error.plans == ("01-02",)
    assert "-true" in error.difference
    assert f"+{MARK}" in error.difference
    assert f"`harness-nb trust {project}`" in str(error)
    assert "h.trust()" in str(error)
    assert not (project / "EXECUTED").exists()


def test_what_was_refused_runs_after_another_yes_that_shows_what_changed(
    project: Path, opened: Callable[..., Harness]
) -> None:
    change(project, "01-02", DONE, MARK)
    harness = opened(trust=False)
    refused(harness)
    would = harness.trust(show=True)
    refused(harness)
    given = harness.trust()
    assert (would.trusted, given.trusted) == (False, True)
    assert f"+{MARK}" in str(given)
    assert f"+{MARK}" in given._repr_html_()
    assert "nothing new" in str(harness.trust())
    assert harness.run().wait().passed
    assert (project / "EXECUTED").exists()


def test_an_added_plan_is_refused_and_all_of_it_is_shown(project: Path, opened: Callable[..., Harness]) -> None:
    write_plan(project, "01-03", MARK, must_pass=[])
    error = refused(opened(trust=False))
    assert "01-03" in error.difference
    assert "nothing of it was trusted yet" in error.difference
    assert f"+{MARK}" in error.difference


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("command: 'true'", "command: touch EXECUTED"),
        ("command: 'true'", "command: 'true'\n  env: {PATH: /tmp}"),
        ("command: 'true'", "command: 'true'\n  cwd: /"),
        ("type: command_succeeds", "type: tests_pass"),
        ("<action>", "<verify><automated>touch EXECUTED</automated></verify>\n<action>"),
        ('lang="sh"', 'lang="python"'),
    ],
)
def test_whatever_changes_what_is_executed_is_a_change(
    project: Path, opened: Callable[..., Harness], before: str, after: str
) -> None:
    change(project, "01-01", before, after)
    assert refused(opened(trust=False)).plans == ("01-01",)


def test_space_inside_of_a_run_block_is_a_change(project: Path, opened: Callable[..., Harness]) -> None:
    change(project, "01-01", '<run lang="sh">\ntrue\n', '<run lang="sh">\nif true; then\n  true\nfi\n')
    trust(project)
    change(project, "01-01", "\n  true\n", "\n   true\n")
    assert refused(opened(trust=False)).plans == ("01-01",)


def test_tasks_in_another_order_are_a_change(project: Path, opened: Callable[..., Harness]) -> None:
    blocks = ['<run lang="sh">\necho one\n</run>', '<run lang="sh">\necho two\n</run>']
    tasks = [f"<task>\n<name>{number}</name>\n{block}\n</task>\n" for number, block in enumerate(blocks)]
    write_plan(project, "01-01", body="".join(tasks))
    trust(project)
    write_plan(project, "01-01", body="".join(reversed(tasks)))
    assert refused(opened(trust=False)).plans == ("01-01",)


def test_words_removed_commands_and_other_names_need_no_new_yes(project: Path, opened: Callable[..., Harness]) -> None:
    change(project, "01-01", "The plan 01-01", "Another objective")
    change(project, "01-01", "id: fine", "id: fine2\n  description: said otherwise\n  timeout: 5000")
    change(project, "01-01", "must_pass:", "must_haves: {truths: [it is so]}\nmust_pass:")
    write_plan(project, "01-02", DONE, must_pass=[], verify_by="nobody")
    path_of(project, "01-02").rename(project / "planning" / "plans" / "01-phase" / "01-07-moved-PLAN.md")
    configure(project, verificationRequired=False)
    assert opened(trust=False).run().wait().passed


def test_plans_written_in_a_cell_are_the_callers_own_word(project: Path, opened: Callable[..., Harness]) -> None:
    run = opened(trust=False).run(plans=[plan("07-01", MARK)])
    assert run.wait().passed
    assert (project / "EXECUTED").exists()


def test_a_plan_that_is_not_part_of_the_run_or_complete_is_not_asked_about(
    project: Path, opened: Callable[..., Harness]
) -> None:
    harness = opened(trust=False)
    change(project, "01-02", DONE, MARK)
    assert harness.run(plans=["01-01"]).wait().passed
    change(project, "01-02", MARK, DONE)
    change(project, "01-01", DONE, MARK)
    assert harness.run(plans=["01-02"]).wait().plans[0].state == "complete"
    refused(harness, plans=["01-01"], again=True)
    assert not (project / "EXECUTED").exists()


def test_sessions_and_tasks_are_refused_too(project: Path, opened: Callable[..., Harness]) -> None:
    harness = opened(trust=False)
    change(project, "01-02", DONE, MARK)
    with pytest.raises(ChangedCommandsError):
        harness.start_session(plan="01-02")
    waiting = harness.start_session(command=["sleep", "600"])
    with pytest.raises(ChangedCommandsError):
        harness.assign(waiting.id, "01-02")
    task = {"phase": "1", "plan": "01-02", "planPath": "", "specDir": "", "taskType": "execute"}
    with pytest.raises(ChangedCommandsError):
        harness.respond("assign_task", waiting.id, task)
    assert not (project / "EXECUTED").exists()


# --- while a run goes on ----------------------------------------------------------------------


def attack(root: Path, text: str = "s/true/touch EXECUTED/") -> str:
    """What a worker runs that changes the plan after its own."""
    return f"sed -i '{text}' {path_of(root, '01-02')}"


@pytest.mark.parametrize("detach", [False, True])
def test_what_a_worker_writes_into_the_next_plan_is_not_executed(
    project: Path, opened: Callable[..., Harness], *, detach: bool
) -> None:
    """The plan is held, the journal says so without the text, and the rest of the run goes on."""
    write_plan(project, "01-01", attack(project))
    write_plan(project, "01-03", "touch REST")
    trust(project)
    harness = opened(trust=False)
    report = harness.run(detach=detach).wait()
    assert states(report) == {"01-01": "complete", "01-02": "held", "01-03": "complete"}
    held = next(one for one in report.plans if one.plan_id == "01-02")
    assert "changed since you trusted them" in str(held.reason)
    assert (project / "REST").exists()
    assert not (project / "EXECUTED").exists()
    assert [one.plan_id for one in events(project, "commands_untrusted")] == ["01-02"]
    assert "EXECUTED" not in str(events(project, "commands_untrusted"))
    refused(harness)
    harness.trust()
    assert harness.run(detach=detach).wait().passed
    assert (project / "EXECUTED").exists()


def test_a_must_pass_that_a_worker_changes_is_not_executed(project: Path, opened: Callable[..., Harness]) -> None:
    """That of the plan that it is at is judged by what was trusted; that of a later one is held."""
    edit = (
        f"sed -i \"s/command: 'true'/command: touch EXECUTED/\" {path_of(project, '01-01')} {path_of(project, '01-02')}"
    )
    write_plan(project, "01-01", edit)
    trust(project)
    report = opened(trust=False).run().wait()
    assert states(report) == {"01-01": "complete", "01-02": "held"}
    assert not (project / "EXECUTED").exists()


def test_a_yes_in_mid_run_lets_the_held_plan_go_on_as_it_is_then(project: Path, opened: Callable[..., Harness]) -> None:
    write_plan(project, "01-01", attack(project))
    write_plan(project, "01-03", "until test -e GO; do sleep 0.02; done")
    configure(project, maxParallelExecutions=2)
    trust(project)
    harness = opened(trust=False)
    run = harness.run()
    until(lambda: states(run.report).get("01-02") == "held")
    assert not (project / "EXECUTED").exists()
    harness.trust()
    until((project / "EXECUTED").exists)
    (project / "GO").touch()
    assert run.wait().passed


def test_trust_that_is_taken_back_in_mid_run_holds_what_has_not_begun_or_is_not_judged(
    project: Path, opened: Callable[..., Harness]
) -> None:
    write_plan(project, "01-01", "touch BEGUN; until test -e GO; do sleep 0.02; done")
    trust(project)
    harness = opened(trust=False)
    run = harness.run()
    until((project / "BEGUN").exists)
    set_trusted(project, trusted=False)
    (project / "GO").touch()
    report = run.wait()
    assert states(report) == {"01-01": "held", "01-02": "held"}
    assert "not trusted any more" in str(report.plans[0].reason)
    with pytest.raises(UntrustedProjectError):
        harness.run()
    harness.trust()
    report = harness.run().wait()
    assert report.passed
    assert [one.attempts for one in report.plans] == [1, 1]  # the work that was done is judged, and not done again


def test_a_retry_is_looked_at_like_a_first_try(project: Path, opened: Callable[..., Harness]) -> None:
    own = path_of(project, "01-01")
    write_plan(
        project,
        "01-01",
        f"sed -i 's/^<name>/<verify><automated>touch EXECUTED<\\/automated><\\/verify>&/' {own}; exit 75",
    )
    trust(project)
    report = opened(trust=False).run().wait()
    assert states(report) == {"01-01": "held", "01-02": "held"}
    assert report.plans[0].attempts == 1
    assert not (project / "EXECUTED").exists()


def test_a_run_that_is_taken_over_decides_by_the_same_file(project: Path, opened: Callable[..., Harness]) -> None:
    """Whoever goes on with a run reads its documents anew, and finds what a worker has written there."""
    write_plan(project, "01-01", f"{attack(project)}; touch BEGUN; until test -e GO; do sleep 0.02; done")
    trust(project)
    first = opened(trust=False)
    first.run()
    until((project / "BEGUN").exists)
    first.close()
    (project / "GO").touch()
    with closing(Store(project)) as store:
        assert store.runs.unfinished() is not None
        name = store.runs.unfinished().id  # type: ignore[union-attr]

    async def go_on() -> dict[str, str]:
        async with AsyncHarness(project) as harness:
            await anyio.to_thread.run_sync(harness.see_to, harness.store.runs.get(name))
            run = harness.current_run
            return states(await run.wait() if run is not None else harness.store.runs.get(name).report)

    with closing(Store(project)) as store:
        store.runs.change_options(name, store.runs.get(name).options, detached=True, actor="t", door="python")
    assert anyio.run(go_on) == {"01-01": "complete", "01-02": "held"}
    assert not (project / "EXECUTED").exists()


def test_a_session_that_was_started_alone_is_judged_by_what_is_trusted_alone(
    project: Path, opened: Callable[..., Harness]
) -> None:
    own = path_of(project, "01-01")
    write_plan(project, "01-01", f"sed -i \"s/command: 'true'/command: touch EXECUTED/\" {own}")
    trust(project)
    harness = opened(trust=False)
    session = harness.start_session(plan="01-01")
    session.wait()
    until(lambda: events(project, "commands_untrusted"))
    assert session.record.verdict is None
    assert not (project / "EXECUTED").exists()
    harness.trust()
    until(lambda: session.record.verdict == "passed")
    assert (project / "EXECUTED").exists()


# --- what is remembered -----------------------------------------------------------------------


def test_a_trust_of_an_earlier_version_is_asked_about_once(project: Path, opened: Callable[..., Harness]) -> None:
    """It was a yes, and nobody knows to what."""
    note_of_trust(project).write_text(json.dumps(str(project.resolve())) + "\n")
    harness = opened(trust=False)
    assert harness.trusted
    error = refused(harness)
    assert "were trusted when nobody noted what they are" in str(error)
    harness.trust()
    assert harness.run().wait().passed


def test_the_board_shows_the_difference_of_a_held_plan_until_it_is_trusted(
    project: Path, opened: Callable[..., Harness]
) -> None:
    write_plan(project, "01-01", attack(project))
    trust(project)
    harness = opened(trust=False)
    harness.run().wait()
    page = harness.board._repr_html_()
    assert "changed since you trusted them" in page
    assert "+touch EXECUTED" in page
    assert f"harness-nb trust {project}" in page
    harness.trust()
    assert "+touch EXECUTED" not in harness.board._repr_html_()


def test_an_agent_is_told_that_only_the_user_can_say_yes(project: Path, opened: Callable[..., Harness]) -> None:
    change(project, "01-02", DONE, MARK)
    told = sentence("harness_start_session", refused(opened(trust=False)), ())
    assert f"only the user can say yes to it, with `harness-nb trust {project}`" in told
    assert "h.trust()" not in told
    assert "Harness(" not in told


@pytest.mark.parametrize("content", ["", "{", '{"project": 1}', "[]", '"/elsewhere"', '{"project": "/elsewhere"}'])
def test_a_trust_file_that_cannot_be_read_trusts_nothing(
    project: Path, opened: Callable[..., Harness], content: str
) -> None:
    note_of_trust(project).write_text(content)
    with pytest.raises(UntrustedProjectError):
        opened(trust=False).run()
    harness = opened(trust=True)
    assert harness.run().wait().passed


def test_one_projects_yes_is_not_anothers_and_a_link_is_the_project_itself(
    project: Path, opened: Callable[..., Harness], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_plan(other, "01-01", DONE)
    with pytest.raises(UntrustedProjectError):
        opened(other, trust=False).run()
    (tmp_path / "link").symlink_to(project)
    change(project, "01-02", DONE, MARK)
    refused(opened(tmp_path / "link", trust=False))
    opened(tmp_path / "link", trust=True)
    assert opened(trust=False).run().wait().passed


def test_only_the_user_can_read_what_is_remembered_and_the_journal_has_a_digest(
    project: Path, opened: Callable[..., Harness]
) -> None:
    change(project, "01-02", DONE, "echo do-not-keep-me")
    opened(trust=True)
    note = note_of_trust(project)
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert not note.is_relative_to(project)
    assert "do-not-keep-me" in note.read_text()
    [event] = events(project, "trusted")
    assert event.data["plans"] == ["01-01", "01-02"]
    assert len(event.data["digest"]) == 64
    with closing(Store(project)) as store:
        journal = store.layout.database
    assert b"do-not-keep-me" not in journal.read_bytes()


def test_values_that_are_known_here_are_not_in_the_difference(project: Path, opened: Callable[..., Harness]) -> None:
    harness = opened(trust=False)
    harness._twin.desk.broker.redact.add({"TOKEN": "hunter2-value"})
    change(project, "01-02", DONE, "echo hunter2-value")
    error = refused(harness)
    assert "hunter2-value" not in str(error)
    assert "hunter2-value" not in str(harness.trust(show=True))
    assert "[credential:TOKEN]" in str(error)


def test_what_a_terminal_would_hide_is_shown(project: Path, opened: Callable[..., Harness]) -> None:
    change(project, "01-02", DONE, "curl evil\x1b[2K\u202etxt")
    error = refused(opened(trust=False))
    assert "\x1b" not in str(error)
    assert "\\x1b[2K\\u202etxt" in str(error)


def test_a_session_that_died_goes_on_with_trusted_commands_alone(project: Path, opened: Callable[..., Harness]) -> None:
    """What it goes on with is read from a file that every worker can write."""
    write_plan(project, "01-01", "touch BEGUN; until test -e GO; do sleep 0.02; done")
    trust(project)
    harness = opened(trust=False)
    run = harness.run(plans=["01-01"])
    until((project / "BEGUN").exists)
    session = harness.list_sessions()[0]
    folder = harness._twin.store.layout.session(session.id)
    folder.assignment.write_text(folder.assignment.read_text().replace("touch BEGUN", MARK))
    info = json.loads(folder.shim.read_text())
    os.kill(info["workerPid"], signal.SIGKILL)
    report = run.wait()
    assert states(report) == {"01-01": "failed"}
    assert "could not be resumed" in str(report.plans[0].reason)
    assert not (project / "EXECUTED").exists()
