"""``harness-nb worker``: a shell script inside a session reports, waits, and uses credentials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb import Harness
from harness_nb.protocol.messages import ORCHESTRATOR_TYPES, WORKER_TYPES
from harness_nb.store import Store
from harness_nb.templates import text_of
from tests.leaks import files_that_hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Shell

SECRET = "hush-4711-hush"  # pretended
PATIENCE = 60
"""Seconds that a script may take: each of its calls starts a Python of its own."""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    (folder / "demo.env").write_text(f"DEMO_TOKEN={SECRET}\n")
    (folder / "demo.env").chmod(0o600)
    project = tmp_path / "p"
    (project / ".orchestration").mkdir(parents=True)
    (project / ".orchestration" / "config.yaml").write_text(f"credentialsDir: {folder}\n")
    with Harness(project) as opened:
        yield opened
        for session in opened.list_sessions():
            opened.end_session(session.id)


def script(*lines: str) -> list[str]:
    return ["sh", "-eu", "-c", "\n".join((f'nb() {{ "{sys.executable}" -m harness_nb.cli worker "$@"; }}', *lines))]


@pytest.mark.row(13)
def test_a_shell_script_asks_and_gets_its_answer(harness: Harness, tmp_path: Path) -> None:
    session = harness.start_session(
        command=script(
            "nb report session_ready workingDir=.",
            "nb report task_started taskNumber=1 totalTasks=2 taskName=painting",
            "nb report progress_update message='half way' percentComplete=50",
            """id=$(nb report decision_needed decision=Which? 'options=[{"id": "a"}, {"id": "b"}]')""",
            'nb await "$id" > answer.json',
        )
    )
    change = harness.wait_for_state(session_ids=[session.id], states=["checkpoint", "failed"], timeout=PATIENCE)
    assert change.sessions[0].state == "checkpoint", session.output()
    record = session.record
    assert (record.task_name, record.current_task, record.total_tasks) == ("painting", 1, 2)
    assert record.message == "half way"
    [question] = harness.get_pending()
    question.answer("b", rationale="it is later")
    assert session.wait(timeout=PATIENCE).state == "completed", session.output()
    answer = json.loads((tmp_path / "p" / "answer.json").read_text())
    assert answer["type"] == "decision_made"
    assert answer["payload"]["selectedOptionId"] == "b"
    assert answer["payload"]["rationale"] == "it is later"


@pytest.mark.row(13)
def test_fields_are_read_as_the_message_needs_them(harness: Harness) -> None:
    session = harness.start_session(
        command=script('nb report verification_needed whatBuilt=door \'howToVerify=["open it", "close it"]\'; nb await')
    )
    harness.wait_for_state(session_ids=[session.id], states=["checkpoint", "failed"], timeout=PATIENCE)
    [question] = harness.get_pending()
    assert question.payload["howToVerify"] == ["open it", "close it"]
    question.reject("it squeaks")
    assert session.wait(timeout=PATIENCE).state == "completed"
    assert "it squeaks" in session.output()


@pytest.mark.row(13)
def test_waiting_ends_with_status_3_at_its_time_limit_and_the_question_stays_open(harness: Harness) -> None:
    session = harness.start_session(
        command=script(
            "id=$(nb report action_needed action=wait)",
            'nb await "$id" --timeout 0.2 && echo answered || echo "status $?"',
        )
    )
    assert session.wait(timeout=PATIENCE).state == "completed"
    assert "status 3" in session.output()
    assert "no answer within 0.2 s" in session.output()


@pytest.mark.row(2)
@pytest.mark.row(13)
def test_credentials_reach_a_command_and_nothing_else(harness: Harness, tmp_path: Path) -> None:
    session = harness.start_session(
        command=script(
            "id=$(nb report credentials_needed service=demo 'envVars=[\"DEMO_TOKEN\"]' reason=because)",
            'nb await "$id" > answer.json',
            'test -z "${DEMO_TOKEN:-}"',
            "set +e",
            """nb exec -- sh -c 'echo "${#DEMO_TOKEN} letters"; echo "$DEMO_TOKEN"; exit 7' --verbose""",
            'echo "status $?"',
        )
    )
    harness.wait_for_state(session_ids=[session.id], states=["checkpoint", "failed"], timeout=PATIENCE)
    harness.get_pending()[0].approve()
    assert session.wait(timeout=PATIENCE).state == "completed", session.output()
    printed = str(session.output())
    assert f"{len(SECRET)} letters" in printed
    assert "status 7" in printed
    assert SECRET not in printed
    assert files_that_hold(tmp_path / "p", SECRET.encode()) == []


@pytest.mark.row(13)
def test_wrong_reports_are_refused_with_a_sentence(harness: Harness) -> None:
    session = harness.start_session(
        command=script(
            "set +e",
            'nb report greetings; echo "status $?"',
            'nb report decision_needed context=x; echo "status $?"',
            "nb report decision_needed --payload '[1'; echo \"status $?\"",
            'nb await 0123; echo "status $?"',
            'nb exec -- there-is-no-such-program; echo "status $?"',
        )
    )
    assert session.wait(timeout=PATIENCE).state == "completed"
    text = str(session.output())
    assert text.count("status 2") == 5
    assert "Traceback" not in text
    assert "Unknown message type 'greetings'" in text
    assert "decision_needed message cannot be used: " in text
    assert "not JSON" in text
    assert "There is no message '0123'" in text
    assert "Cannot start 'there-is-no-such-program'" in text


def test_outside_of_a_session_there_is_nobody_to_report_to(shell: Shell) -> None:
    done = shell("worker", "report", "session_ready", "workingDir=.")
    assert done.code == 2
    assert "This is not inside a session" in done.err


@pytest.mark.row(13)
def test_a_payload_can_come_from_standard_input(harness: Harness, tmp_path: Path) -> None:
    session = harness.start_session(
        command=script("""echo '{"action": "open the door"}' | nb report action_needed --payload -""")
    )
    session.wait(timeout=PATIENCE)
    with closing(Store(tmp_path / "p")) as store:
        [message] = store.messages.select(session.id, direction="in")
    assert message.payload["action"] == "open the door"


def test_the_command_line_starts_light() -> None:
    heavy = ["pandas", "networkx", "watchfiles", "rich", "httpx", "playwright", "IPython"]
    code = (
        "import sys, harness_nb.cli.app, harness_nb.cli.worker; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.row(13)
def test_the_guide_says_how_to_work_in_a_session_and_needs_none(shell: Shell) -> None:
    done = shell("worker", "guide")
    assert done.code == 0, done.err
    for said in (*WORKER_TYPES, *ORCHESTRATOR_TYPES, "worker exec --", "checkpoint_response.json", "exit status 3"):
        assert said in done.out, said


@pytest.mark.row(13)
def test_the_guides_own_example_works_as_it_stands(harness: Harness) -> None:
    guide = text_of("worker_guide.md")
    example = textwrap.dedent(re.search(r"( +id=\$\(harness-nb.*?\n)\n", guide, re.DOTALL)[1])  # type: ignore[index]
    session = harness.start_session(command=["sh", "-eu", "-c", example])
    harness.wait_for_state(session_ids=[session.id], states=["checkpoint", "failed"], timeout=PATIENCE)
    [question] = harness.get_pending()
    assert question.payload["decision"] == "Which database?"
    question.approve()
    assert session.wait(timeout=PATIENCE).state == "completed", session.output()
    assert '"selectedOptionId": "sqlite"' in str(session.output())


@pytest.mark.row(13)
def test_what_the_session_knows_need_not_be_said(harness: Harness, tmp_path: Path) -> None:
    session = harness.start_session(
        command=script("nb report session_ready", "nb report task_failed error=rain recoverable=true")
    )
    session.wait(timeout=PATIENCE)
    with closing(Store(tmp_path / "p")) as store:
        ready, failed = store.messages.select(session.id, direction="in")
    assert ready.payload["workingDir"] == str(tmp_path / "p")
    assert failed.payload["taskNumber"] == 1
    assert "totalTasks" not in failed.payload


@pytest.mark.row(13)
def test_waiting_for_an_answer_to_a_report_that_asks_nothing_ends_at_once(harness: Harness) -> None:
    session = harness.start_session(
        command=script('nb await "$(nb report progress_update message=hello)" || echo "status $?"')
    )
    assert session.wait(timeout=PATIENCE).state == "completed"
    assert "is a progress_update: nobody answers that" in str(session.output())
    assert "status 2" in str(session.output())


@pytest.mark.row(13)
def test_what_is_no_whole_character_reaches_everybody_as_a_question_mark(
    harness: Harness, shell: Shell, tmp_path: Path
) -> None:
    """A file's name in another encoding is enough; the report counts, and the project goes on for every door."""
    session = harness.start_session(
        command=script(
            r"""nb report progress_update message="$(printf 'caf\351')" """,
            r"""half='{"options": [{"id": "x\ud800"}]}'""",
            r"""nb report decision_needed decision="$(printf 'caf\351?')" --payload "$half" """,
            r"""printf '{"action": "\\ud800", "n": 7}' | nb report action_needed --payload -""",
            "sleep 600",
        )
    )
    cursor = 0
    while len(harness.get_pending()) < 2:
        change = harness.wait_for_state(session_ids=[session.id], cursor=cursor, timeout=PATIENCE)
        assert change.sessions[0].live, session.output()
        cursor = change.cursor
    assert session.record.message == "caf?"
    decision, action = harness.get_pending()
    assert (decision.payload["decision"], decision.payload["options"][0]["id"]) == ("caf??", "x?")
    assert action.payload["action"] == "?"
    decision.answer("x?")
    assert [one.payload["action"] for one in harness.get_pending()] == ["?"]
    for words in (["status"], ["respond", "--project"]):  # other processes can open it too
        done = shell(*words, str(tmp_path / "p"))
        assert (done.code, done.err) == (0, "")


@pytest.mark.row(13)
def test_numbers_that_are_no_json_are_refused_with_a_sentence(harness: Harness, tmp_path: Path) -> None:
    session = harness.start_session(
        command=script(
            "set +e",
            """nb report progress_update --payload '{"message": "x", "n": NaN}'; echo "status $?" """,
            'nb report progress_update message=x percentComplete=nan; echo "status $?"',
        )
    )
    session.wait(timeout=PATIENCE)
    text = str(session.output())
    assert text.count("status 2") == 2, text
    assert "Traceback" not in text
    assert "payload.n: NaN is no JSON" in text
    with closing(Store(tmp_path / "p")) as store:
        assert store.messages.select(session.id) == []


@pytest.mark.row(13)
@pytest.mark.parametrize("output", [">&-", "> /dev/full", "| head -c0 | true"])
def test_a_message_that_could_not_be_printed_waits_for_the_next_who_asks(harness: Harness, output: str) -> None:
    failing = f'{{ nb await; echo "status $?" >&2; }} {output}'
    session = harness.start_session(command=script("set +e", "read go", failing, "nb await --timeout 20"))
    harness.respond("abort_task", session.id, {"reason": "enough of it"})
    session.send("go\n")
    session.wait(timeout=PATIENCE)
    text = str(session.output())
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    assert "status 0" not in text
    assert '"reason": "enough of it"' in text
    if "head" not in output:
        assert "could not be printed" in text


@pytest.mark.row(13)
def test_an_answer_is_whole_json_where_the_terminal_has_no_unicode(harness: Harness, tmp_path: Path) -> None:
    session = harness.start_session(command=script("nb await > answer.json"), env={"PYTHONIOENCODING": "ascii"})
    harness.respond("abort_task", session.id, {"reason": "café"})
    session.wait(timeout=PATIENCE)
    assert json.loads((tmp_path / "p" / "answer.json").read_text())["payload"]["reason"] == "café"


@pytest.mark.row(13)
def test_a_worker_that_outlives_its_session_is_told_to_stop(harness: Harness, tmp_path: Path) -> None:
    session = harness.start_session(command=script("env > environment"))
    session.wait(timeout=PATIENCE)
    lines = (tmp_path / "p" / "environment").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if line.startswith(("HARNESS_", "PATH=", "HOME=")))
    done = subprocess.run(
        [sys.executable, "-m", "harness_nb.cli", "worker", "report", "progress_update", "message=x"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Session '{session.id}' has ended" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.row(13)
def test_an_id_that_is_not_whole_is_nobodys(harness: Harness) -> None:
    session = harness.start_session(command=script("""nb await "$(printf '\\351')" || echo "status $?" """))
    session.wait(timeout=PATIENCE)
    assert "status 2" in str(session.output())
    assert "There is no message" in str(session.output())


@pytest.mark.row(2)
def test_a_shell_takes_credentials_in_without_printing_them(harness: Harness, tmp_path: Path) -> None:
    session = harness.start_session(
        command=script(
            "id=$(nb report credentials_needed service=demo 'envVars=[\"DEMO_TOKEN\"]' reason=because)",
            'eval "$(nb await "$id" --export)"',
            'echo "${#DEMO_TOKEN} letters: $DEMO_TOKEN"',
        )
    )
    harness.wait_for_state(session_ids=[session.id], states=["checkpoint", "failed"], timeout=PATIENCE)
    harness.get_pending()[0].approve()
    assert session.wait(timeout=PATIENCE).state == "completed", session.output()
    assert f"{len(SECRET)} letters: [credential:DEMO_TOKEN]" in str(session.output())
    assert files_that_hold(tmp_path / "p", SECRET.encode()) == []


def test_values_are_not_printed_on_a_terminal_and_not_for_other_questions(harness: Harness) -> None:
    session = harness.start_session(
        command=script(
            "id=$(nb report credentials_needed service=demo 'envVars=[\"DEMO_TOKEN\"]' reason=because)",
            "set +e",
            'nb await "$id" --export; echo "status $?"',
            "other=$(nb report action_needed action=wait)",
            'eval "$(nb await "$other" --export)"',
            "nb await --export",
            'eval "$(nb await "$id" --export || echo echo none)"',
        )
    )
    harness.wait_for_state(session_ids=[session.id], states=["checkpoint", "failed"], timeout=PATIENCE)
    for question in harness.get_pending(message_types=["credentials_needed"]):
        question.reject("not today")
    session.wait(timeout=PATIENCE)
    printed = " ".join(str(session.output(lines=200)).split())
    assert 'Have the shell take them in: eval "$(harness-nb worker await' in printed
    assert "status 2" in printed
    assert "asks for no credentials" in printed
    assert "say which question" in printed
    assert "no credentials: not today none" in printed
