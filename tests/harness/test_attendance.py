"""Whether somebody is there, who answers then, and that no wait lasts for ever where nobody is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from harness_nb import ACCEPT_ALL, AsyncHarness, Harness, Policy
from harness_nb.errors import UnansweredQuestionError, UnusableArgumentError
from tests.orchestrator.written_plans import configure, plan, until, write_plan
from tests.sessions.living import question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

LIMIT = 60
LOOK = "from harness_nb.harness.attendance import attended; print(attended())"
DECISION = {"decision": "Which?", "options": [{"id": "a"}, {"id": "b", "recommended": True}]}
ASK = """\
harness-nb worker report action_needed action='Plug it in' > id
harness-nb worker await "$(cat id)"
"""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there."""
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")


# --- is somebody there? ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [("1", "False"), ("yes", "False"), ("0", "None"), ("no", "None"), ("False", "None"), ("", "None")],
)
def test_a_script_does_not_know_unless_the_environment_says_that_nobody_is_there(value: str, said: str) -> None:
    """And finding out imports no IPython."""
    code = f"import sys; {LOOK}; assert 'IPython' not in sys.modules"
    environment = {**os.environ, "HARNESS_UNATTENDED": value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (said, "")


def run_cell(client: BlockingKernelClient, code: str, *, allow_stdin: bool) -> str:
    """Execute a cell and return what it printed."""
    printed: list[str] = []

    def take(message: dict[str, Any]) -> None:
        content = message["content"]
        printed.append(content.get("text") or "\n".join(content.get("traceback", [])))

    client.execute_interactive(code, allow_stdin=allow_stdin, output_hook=take, timeout=LIMIT)
    return "".join(printed).strip()


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., BlockingKernelClient]]:
    """Start a kernel with more variables in its environment; it is shut down with the test."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    started = []

    def start(**more: str) -> BlockingKernelClient:
        manager, client = start_new_kernel(env={**os.environ, **more}, cwd=str(tmp_path))
        started.append((manager, client))
        return client

    yield start
    for manager, client in started:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_a_cell_says_whether_its_reader_can_be_asked_each_time_anew(
    kernel: Callable[..., BlockingKernelClient], root: Path
) -> None:
    """Also on the loop thread, where the blocking harness does its work, and in a subshell's thread."""
    client = kernel()
    through = (
        f"from harness_nb import Harness; h = Harness({str(root)!r}); h.start_session(command=['true']).wait();"
        "print(h._twin.answering.attended)"
    )
    for there in (True, False, True):
        assert run_cell(client, LOOK, allow_stdin=there) == str(there)
        assert run_cell(client, through, allow_stdin=there) == str(there)
    in_thread = f"import threading; t = threading.Thread(target=lambda: exec({LOOK!r})); t.start(); t.join()"
    assert run_cell(client, in_thread, allow_stdin=False) == "False"
    assert in_subshell(client, LOOK, allow_stdin=True) == "True"
    assert in_subshell(client, LOOK, allow_stdin=False) == "False"
    run_cell(client, "h.close()", allow_stdin=True)


def in_subshell(client: BlockingKernelClient, code: str, *, allow_stdin: bool) -> str:
    """Execute a cell in a subshell of its own while the main one has another idea of who is there."""
    run_cell(client, "pass", allow_stdin=not allow_stdin)
    asked = client.session.msg("create_subshell_request")
    client.control_channel.send(asked)
    subshell = client.control_channel.get_msg(timeout=LIMIT)["content"]["subshell_id"]
    content = {"code": code, "silent": False, "allow_stdin": allow_stdin, "store_history": True, "stop_on_error": True}
    message = client.session.msg("execute_request", content)
    message["header"]["subshell_id"] = subshell
    client.shell_channel.send(message)
    printed = ""
    while True:
        news = client.get_iopub_msg(timeout=LIMIT)
        if news["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            continue
        printed += str(news["content"].get("text", ""))
        if news["content"].get("execution_state") == "idle":
            return printed.strip()


@pytest.mark.parametrize(
    ("more", "there"),
    [
        ({"SERVER_SOFTWARE": "voila/0.5.12"}, "True"),
        ({"HARNESS_UNATTENDED": "1"}, "False"),
        ({"HARNESS_UNATTENDED": "1", "SERVER_SOFTWARE": "voila/0.5.12"}, "False"),
    ],
)
def test_a_dashboard_has_a_reader_and_the_environment_has_the_last_word(
    kernel: Callable[..., BlockingKernelClient], more: dict[str, str], there: str
) -> None:
    assert run_cell(kernel(**more), LOOK, allow_stdin="SERVER_SOFTWARE" not in more) == there


def test_a_notebook_that_a_program_executes_fails_with_the_question_instead_of_hanging(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nbclient, and so nbval, papermill and nbconvert."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = [
        f"from harness_nb import Harness, Policy; h = Harness({str(root)!r})",
        "h.ask('action', action='Plug it in')",
        f"h = Harness({str(root)!r}, policies=[Policy(kind='decision', do='answer', answer='a')])",
        f"print(h.ask('decision', **{DECISION!r}).payload['selectedOptionId'])",
        "print(len(h.get_pending())); h.close()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    NotebookClient(notebook, allow_errors=True, timeout=LIMIT, kernel_name="python3").execute()
    failed = notebook.cells[1].outputs[0]
    assert failed["ename"] == "UnansweredQuestionError"
    assert "Plug it in" in failed["evalue"]
    assert notebook.cells[3].outputs[0]["text"] == "a\n"
    assert notebook.cells[4].outputs[0]["text"] == "0\n"


# --- who answers -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_with_somebody_there_a_policy_without_a_deadline_leaves_the_question_to_them(root: Path) -> None:
    policies = [Policy(kind="decision", do="approve"), Policy(kind="action", do="approve", after=0)]
    async with AsyncHarness(root, policies=policies, attended=True) as h, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: h.ask("decision", **DECISION))
        assert (await h.ask("action", action="Look")).actor == "policy"
        left = await question(h)
        assert left.type == "decision_needed"
        await left.answer("a")


def test_the_harness_answers_before_the_settings_and_a_run_before_the_harness(
    opened: Callable[..., Harness], root: Path
) -> None:
    configure(root, policies=[{"kind": "decision", "do": "answer", "answer": "a"}])
    h = opened(policies=[])
    assert h.ask("decision", **DECISION).payload["selectedOptionId"] == "a"
    again = opened(policies=[ACCEPT_ALL])
    assert again is h
    assert h.ask("decision", **DECISION).payload["selectedOptionId"] == "b"
    opened(policies=[Policy(kind="decision", do="answer", answer="a")])
    run = h.run([plan("01-01")], policies=[Policy(kind="action", do="wait")])
    run.wait(timeout=LIMIT)
    options = h._twin.store.runs.select()[0].options
    assert [one.kind for one in options.policies] == ["action", "decision"]
    opened()
    assert [one.kind for one in h._twin.answering.policies] == ["decision"], "without policies= they stay"


def test_policies_that_cannot_be_used_are_refused_at_the_door(root: Path) -> None:
    with pytest.raises(UnusableArgumentError, match="policies cannot be used"):
        Harness(root, policies=["yes"])  # type: ignore[list-item]


def test_who_only_looks_answers_nothing_that_others_started_until_it_waits_for_it(
    opened: Callable[..., Harness], root: Path
) -> None:
    """A page that shows a session is no reason for its question to be settled."""
    h = opened()
    session = h.start_session(command=["sh", "-c", ASK])
    until(h.get_pending)
    h.close()
    looking = opened(policies=[ACCEPT_ALL])
    looking.list_sessions()
    [question] = looking.get_pending()
    assert question.session_id == session.id
    assert looking.session(session.id).wait(timeout=LIMIT).state == "completed"
    assert looking._twin.store.messages.answer_to(question.id, session.id).actor == "policy"  # type: ignore[union-attr]


# --- nobody waits in vain ----------------------------------------------------------------------


@pytest.mark.usefixtures("alone")
def test_asking_where_nobody_is_there_raises_at_once_and_leaves_nothing_open(harness: Harness) -> None:
    with pytest.raises(UnansweredQuestionError, match=r"asks \(decision\): Which\? Nobody is there.* Policy\(") as told:
        harness.ask("decision", **DECISION)
    assert told.value.question == "Which?"
    assert "harness-nb respond" not in str(told.value), "it is not open any more"
    assert harness.get_pending() == []


@pytest.mark.usefixtures("alone")
def test_a_policy_that_cannot_answer_covers_nothing(opened: Callable[..., Harness]) -> None:
    h = opened(policies=[Policy(kind="decision", do="answer", answer="z")])
    with pytest.raises(UnansweredQuestionError, match=r"Which\?.*its policy could not: .*no option 'z'"):
        h.ask("decision", **DECISION)
    assert h.get_pending() == []


@pytest.mark.usefixtures("alone")
def test_waiting_for_a_run_ends_when_it_asks_what_nobody_will_answer_and_the_run_goes_on(harness: Harness) -> None:
    """Also when the question is open already; once it is answered by another door, the next wait goes through."""
    run = harness.run([plan("01-01", ASK)])
    for _ in range(2):
        with pytest.raises(UnansweredQuestionError, match=r"(?s)Plug it in.*\n  harness-nb respond \w+ --approve"):
            run.wait(timeout=LIMIT)
    assert not run.ended
    [question] = harness.get_pending()
    question.answer("done")
    assert run.wait(timeout=LIMIT).passed


@pytest.mark.usefixtures("alone")
def test_waiting_for_a_session_ends_likewise(harness: Harness) -> None:
    session = harness.start_session(command=["sh", "-c", ASK])
    with pytest.raises(UnansweredQuestionError, match="Plug it in"):
        session.wait(timeout=LIMIT)
    assert session.record.live
    [question] = harness.get_pending()
    question.answer("done")
    assert session.wait(timeout=LIMIT).state == "completed"


@pytest.mark.usefixtures("alone")
def test_waiting_for_a_session_that_a_run_adopted_goes_by_that_runs_policies(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", ASK)
    session = harness.start_session(plan="01-01")
    until(harness.get_pending)
    run = harness.run(policies=[Policy(do="approve", after=0.5)])
    until(lambda: run.report.plans and run.report.plans[0].session_id == session.id)
    assert session.wait(timeout=LIMIT).state == "completed"
    assert run.wait(timeout=LIMIT).passed


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("named", [True, False])
def test_waiting_for_a_state_ends_when_a_session_asks_what_nobody_will_answer(harness: Harness, named: bool) -> None:
    """It may be open already, or be asked while somebody waits."""
    session = harness.start_session(command=["sh", "-c", ASK])
    wanted = [session.id] if named else None
    for _ in range(2):
        with pytest.raises(UnansweredQuestionError, match="Plug it in"):
            harness.wait_for_state(states=["completed", "failed"], timeout=LIMIT, session_ids=wanted)
    with pytest.raises(UnansweredQuestionError, match="Plug it in"):
        harness.wait_for_state(timeout=LIMIT, session_ids=wanted)
    harness.get_pending()[0].answer("done")
    [ended] = harness.wait_for_state(states=["completed", "failed"], timeout=LIMIT, session_ids=wanted).sessions
    assert ended.id == session.id


@pytest.mark.usefixtures("alone")
def test_who_waits_for_a_question_or_for_another_session_is_not_ended_by_it(harness: Harness) -> None:
    asking = harness.start_session(command=["sh", "-c", ASK])
    found = harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
    assert [one.id for one in found.sessions] == [asking.id]
    with pytest.raises(TimeoutError):
        harness.wait_for_state(states=["checkpoint", "completed"], cursor=found.cursor, timeout=0.2)
    other = harness.start_session(command=["sh", "-c", "sleep 0.2"])
    harness.wait_for_state(session_ids=[other.id], states=["completed"], timeout=LIMIT)


@pytest.mark.usefixtures("alone")
def test_waiting_for_a_state_of_a_session_by_its_id_answers_for_it(opened: Callable[..., Harness]) -> None:
    """As waiting for the session does: another process may have started it."""
    h = opened()
    session = h.start_session(command=["sh", "-c", ASK])
    until(h.get_pending)
    h.close()
    again = opened(policies=[ACCEPT_ALL])
    again.wait_for_state(session_ids=[session.id], states=["completed"], timeout=LIMIT)


@pytest.mark.usefixtures("alone")
def test_a_policy_that_waits_means_that_somebody_answers_by_another_door(opened: Callable[..., Harness]) -> None:
    h = opened(policies=[Policy(kind="action", do="wait")])
    run = h.run([plan("01-01", ASK)])
    until(h.get_pending)
    with pytest.raises(TimeoutError):
        run.wait(timeout=0.2)
    h.get_pending()[0].answer("done")
    assert run.wait(timeout=LIMIT).passed


@pytest.mark.usefixtures("alone")
def test_a_policy_with_a_deadline_is_waited_for(opened: Callable[..., Harness]) -> None:
    h = opened(policies=[Policy(kind="action", do="approve", after=0.5)])
    assert h.run([plan("01-01", ASK)]).wait(timeout=LIMIT).passed
    assert h.ask("action", action="Look").actor == "policy"


@pytest.mark.anyio
async def test_a_question_of_another_session_does_not_end_the_waiting_for_a_run(root: Path) -> None:
    async with AsyncHarness(root, attended=False) as h:
        session = await h.start_session(command=["sh", "-c", ASK])
        await question(h)
        assert (await (await h.run([plan("01-01")]))).passed
        await session.stop()


@pytest.mark.anyio
async def test_whether_somebody_is_there_is_remembered_and_who_goes_on_and_knows_replaces_it(root: Path) -> None:
    """Who does not know leaves it as it was."""
    seen = []
    for there in (True, None, False):
        async with AsyncHarness(root, attended=there) as h:
            run = await h.run([plan("01-01", ASK)], policies=[Policy(do="wait")])
            seen.append(run.record.options.attended)
            await question(h)
            if there is False:
                await run.stop()
    assert seen == [True, True, False]
