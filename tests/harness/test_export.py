"""A run as a folder that opens elsewhere: whole, without anything alive in it, and without anybody's secrets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import ACCEPT_ALL, CredentialProvider, Harness, Policy
from harness_nb.errors import DiskFullError, ExportedProjectError, FileInTheWayError, UnknownRunError
from harness_nb.harness.exporting import export
from harness_nb.orchestrator import Desk
from harness_nb.store import Store
from tests.hardship.conftest import disks
from tests.orchestrator.written_plans import until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hardship.conftest import Disks

    Open = Callable[..., Harness]

__all__ = ["disks"]

pytestmark = pytest.mark.row(2, 6, 11)

LIMIT = 60
SECRET = 'hunter2-"planted"-ä'
DECISION = """
<task type="checkpoint:decision"><name>choose</name><decision>Which colour?</decision>
<options><option id="red"><name>Red</name></option><option id="blue"><name>Blue</name></option></options></task>
"""


def files_in(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield folder.__class__(parent) / name


def going_on(harness: Harness) -> Any:
    """A run of which one plan is done and one asks, beside a session that is none of its business."""
    write_plan(harness.root, "01-01", "echo the floor is laid")
    write_plan(harness.root, "01-02", body=DECISION, depends_on=["01-01"])
    (harness.root / "ROADMAP.md").write_text("# Road\n")
    (harness.root / "NOTES.md").write_text("mine\n")
    harness.start_session(command=["sh", "-c", "echo mine alone; sleep 600"])
    run = harness.run()
    until(harness.get_pending)
    return run


def test_a_run_that_goes_on_is_written_whole_and_opens_elsewhere(
    harness: Harness, tmp_path: Path, opened: Open
) -> None:
    run = going_on(harness)
    written = harness.export(tmp_path / "out")
    assert written == tmp_path / "out"
    [question] = harness.get_pending()
    question.answer("blue")
    assert run.wait(timeout=LIMIT).passed, "the run itself noticed nothing"

    elsewhere = tmp_path / "another" / "place"
    elsewhere.parent.mkdir()
    shutil.move(written, elsewhere)
    record = opened(elsewhere)
    sessions = record.frames.sessions()
    assert list(sessions["plan_id"]) == ["01-01", "01-02"], "what is of no run, or of another one, stays here"
    assert list(sessions["state"]) == ["completed", "failed"]
    asking = sessions.index[1]
    assert sessions["reason"][asking] == "was still running when exported, and waited for an answer (decision)"
    assert "the floor is laid" in record.get_output(sessions.index[0])
    assert record.get_pending() == []
    messages = record.frames.messages(type="decision_needed")
    assert list(messages["status"]) == ["expired"]
    assert list(record.frames.events(kind="exported")["run_id"]) == [run.id]
    assert set(record.frames.events()["session_id"].dropna()) == set(sessions.index)
    assert [one.title for one in record.get_state().plans] == ["The plan 01-01", "The plan 01-02"]
    assert "was still running when exported" in record.board._repr_html_()
    assert record.recover().empty, "nothing in it is alive, lost or to be resumed"


def test_the_report_shows_the_plans_as_a_graph_and_the_run_over_time(harness: Harness, tmp_path: Path) -> None:
    going_on(harness)
    page = (harness.export(tmp_path / "out") / "report.html").read_text()
    graph, gantt = page.index('aria-label="Plan graph'), page.index('aria-label="Gantt of the run')
    assert graph < page.index("The plan 01-02") < gantt
    assert page.count("<svg") == 2
    assert "waits for a person" in page[gantt:]
    assert "while it was still running" in page


def test_nothing_can_be_started_in_an_export(harness: Harness, tmp_path: Path, opened: Open) -> None:
    going_on(harness)
    record = opened(harness.export(tmp_path / "out"))
    for start in (record.run, lambda: record.start_session(command=["true"]), lambda: record.ask("decision")):
        with pytest.raises(ExportedProjectError, match="record of what happened elsewhere"):
            start()
    assert not (tmp_path / "out" / ".orchestration" / "lease.lock").exists()
    assert record.get_state().run_id is None


def test_only_what_a_reader_needs_goes_along(harness: Harness, tmp_path: Path) -> None:
    going_on(harness)
    config = harness.root / ".orchestration" / "config.yaml"
    config.write_text(config.read_text() + "\ncredentialsDir: /home/ann/secrets\n")
    out = harness.export(tmp_path / "out")
    names = {str(path.relative_to(out)) for path in files_in(out)}
    of_sessions = {path.split("/sessions/")[1].partition("/")[2] for path in names if "/sessions/" in path}
    known = {"status.json", "result.json", "exit.json", "output/terminal.log"}
    assert {path for path in of_sessions if not path.startswith("asked/")} == known
    assert {"README.txt", "report.html", "ROADMAP.md", ".orchestration/harness.db"} <= names
    assert "NOTES.md" not in names
    assert {name for name in names if name.endswith("-PLAN.md")} == {
        "planning/plans/01-phase/01-01-PLAN.md",
        "planning/plans/01-phase/01-02-PLAN.md",
    }
    assert "/home/ann" not in (out / ".orchestration" / "config.yaml").read_text()
    assert "was still running" not in (out / "README.txt").read_text().splitlines()[0]
    page = (out / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "Which colour?" in page


def test_no_value_of_a_credential_is_in_any_exported_byte(opened: Open, tmp_path: Path) -> None:
    """The worker prints it, tells it in its result, and asks a question with it by file."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "postgres.env").write_text(f"PGPASSWORD='{SECRET}'\n")
    harness = opened(credentials=CredentialProvider(folder))
    session = harness.start_session(command=[sys.executable, "-c", TELLS_ALL])
    until(harness.get_pending)
    harness.get_pending()[0].approve()
    until(lambda: any(one.type == "decision_needed" for one in harness.get_pending()))
    question = next(one for one in harness.get_pending() if one.type == "decision_needed")
    assert question.payload["decision"] == "Is it [credential:PGPASSWORD]"
    question.answer("a")
    session.wait(timeout=LIMIT)
    out = harness.export(tmp_path / "out")
    wanted = [SECRET.encode(), json.dumps(SECRET)[1:-1].encode(), json.dumps(SECRET, ensure_ascii=False)[1:-1].encode()]
    found = [(path, value) for path in files_in(out) for value in wanted if value in path.read_bytes()]
    assert found == []
    assert "[credential:PGPASSWORD]" in (out / ".orchestration" / "sessions" / session.id / "result.json").read_text()


def test_who_exports_need_not_know_where_the_run_looked_its_credentials_up(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "weather.env").write_text("WEATHER_KEY=k-123456789\n")
    harness = opened(credentials=CredentialProvider(tmp_path / "secrets"))
    needs = [{"service": "weather", "env_vars": ["WEATHER_KEY"], "reason": "to look"}]
    keeps = 'mkdir -p "$HARNESS_SESSION_DIR/late"; echo "[\\"$WEATHER_KEY\\"]" > "$HARNESS_SESSION_DIR/late/kept.json"'
    write_plan(harness.root, "01-01", keeps, credentials_needed=needs)
    assert harness.run(policies=[ACCEPT_ALL]).wait(timeout=LIMIT).passed
    with closing(Store(harness.root)) as store:
        out = export(store, Desk(store), tmp_path / "out", run=None, actor="ann", door="cli")
    [kept] = [path for path in files_in(out) if path.name == "kept.json"]
    assert kept.read_text() == '["[credential:WEATHER_KEY]"]\n'


def test_a_disk_without_room_for_the_copy_is_a_sentence_and_leaves_nothing(disks: Disks, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with closing(Store(tmp_path / "p")) as store:
        for _ in range(300):
            store.events.add("told", data={"text": "x" * 2000})
        for size in (200_000, 2_000_000):  # too small for the copy, and for tidying it up
            small = disks.make(tmp_path / str(size), size)
            with pytest.raises(DiskFullError, match=r"out cannot be written\. Free some space"):
                export(store, Desk(store), small.folder / "out", run=None, actor="ann", door="cli")
            assert list(small.folder.iterdir()) == []


TELLS_ALL = """
import json, os, time
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    asked = side.report("credentials_needed", {"service": "postgres", "envVars": ["PGPASSWORD"], "reason": "r"})
    side.wait(asked.id, 60)
    [value] = side.all_credentials()[0].values()
    print("it is", value, flush=True)
    folder = os.environ["HARNESS_SESSION_DIR"]
    said = {"type": "decision", "decision": "Is it " + value, "context": "", "options": [{"id": "a", "name": "A"}]}
    for name, content in (("checkpoint.json", said), ("result.json", {"success": True, "summary": "was " + value})):
        with open(os.path.join(folder, "." + name), "w") as file:
            json.dump(content, file)
        os.rename(os.path.join(folder, "." + name), os.path.join(folder, name))
    while not os.path.exists(os.path.join(folder, "checkpoint_response.json")):
        time.sleep(0.02)
"""


def test_what_a_run_was_told_beside_its_plans_stays_here(harness: Harness, tmp_path: Path, opened: Open) -> None:
    write_plan(harness.root, "01-01")
    policies = [Policy(do="answer", answer="the answer of the house")]
    assert harness.run(params={"HOST": "db7.example"}, policies=policies).wait(timeout=LIMIT).passed
    record = opened(harness.export(tmp_path / "out"))
    for word in (b"db7.example", b"the answer of the house"):
        assert not [path for path in files_in(tmp_path / "out") if word in path.read_bytes()]
    assert "1 of 1 plans (1 complete)" in repr(record.board)


def test_a_link_in_a_sessions_folder_leads_nowhere(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "private").write_text(json.dumps({"success": True, "summary": "not for you"}))
    session = harness.start_session(
        command=["sh", "-c", f'rm -f "$HARNESS_SESSION_DIR/result.json"; '
                 f'ln -s {tmp_path}/private "$HARNESS_SESSION_DIR/result.json"']
    )  # fmt: skip
    session.wait(timeout=LIMIT)
    out = harness.export(tmp_path / "out")
    assert [path for path in files_in(out) if b"not for you" in path.read_bytes()] == []


def test_without_any_run_the_whole_project_is_written(harness: Harness, tmp_path: Path, opened: Open) -> None:
    session = harness.start_session(command=["sh", "-c", "echo alone"])
    session.wait(timeout=LIMIT)
    record = opened(harness.export(tmp_path / "out"))
    assert list(record.frames.sessions().index) == [session.id]
    assert "alone" in record.get_output(session.id)
    [row] = harness.frames.events(kind="exported", acts=True).itertuples()
    assert (row.door, str(row.text)) == ("python", str(tmp_path / "out"))


def test_nothing_is_overwritten_and_an_unknown_run_is_named(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(FileInTheWayError, match="an export overwrites nothing"):
        harness.export(tmp_path / "out")
    with pytest.raises(UnknownRunError, match="run-none"):
        harness.export(tmp_path / "other", run="run-none")
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name or "other" in path.name) == ["out"]
    assert (tmp_path / "out" / "mine").read_text() == "mine"


KILLED = """
import os, signal, sys
from pathlib import Path
from harness_nb.harness.exporting import export
from harness_nb.orchestrator import Desk
from harness_nb.store import Store
store = Store(Path(sys.argv[1]))
die = lambda done, total: done and os.kill(os.getpid(), signal.SIGKILL)
export(store, Desk(store), Path(sys.argv[2]), run=None, actor="ann", door="cli", tell=die)
"""


def test_an_export_that_was_killed_leaves_nothing_that_looks_whole(harness: Harness, tmp_path: Path) -> None:
    harness.start_session(command=["sh", "-c", "echo some output"]).wait(timeout=LIMIT)
    out = tmp_path / "shelf" / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, harness.root, out], timeout=LIMIT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert [path.name.endswith(".part") and path.name.startswith(".") for path in out.parent.iterdir()] == [True]
    assert harness.export(out) == out


def test_a_session_that_prints_all_the_time_holds_no_export_up(harness: Harness, tmp_path: Path, opened: Open) -> None:
    session = harness.start_session(command=["sh", "-c", "while :; do echo more and more; done"])
    until(lambda: session.output().end > 5000)
    out = harness.export(tmp_path / "out")
    record = opened(out)
    assert "more and more" in record.get_output(session.id)
    assert record.session(session.id).record.reason == "was still running when exported"
