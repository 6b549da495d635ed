"""Every act is one row in the journal: who did what, through which door, to what; and what merely followed is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb import AsyncHarness, CredentialProvider, Harness
from harness_nb.errors import CredentialsNotFoundError
from harness_nb.harness import current_user
from tests.orchestrator.written_plans import until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.row(11)

LIMIT = 60
WHO = current_user()
ASKS: dict[str, dict[str, Any]] = {
    "decision": {
        "decision": "Which?", "context": "", "options": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}],
    },
    "credentials": {"service": "postgres", "envVars": ["PGPASSWORD"], "reason": "to look"},
}  # fmt: skip
WORKER = """
import json, sys
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side:
    for kind, payload in json.loads(sys.argv[1]):
        asked = side.report(kind, payload)
        print(side.wait(asked.id, 60).type, flush=True)
input()
"""


def acts(harness: Harness, since: int = 0) -> list[tuple[str, str, str]]:
    made = harness.frames.events(acts=True, since=since)
    return [(str(one.actor), str(one.door), str(one.kind)) for one in made.itertuples()]


def last(harness: Harness) -> int:
    return int(harness._twin.store.events.last)


def asking(harness: Harness, *kinds: str) -> Any:
    import sys

    said = [(f"{kind}_needed", ASKS[kind]) for kind in kinds]
    return harness.start_session(command=[sys.executable, "-c", WORKER, json.dumps(said)])


def waits(harness: Harness) -> Any:
    until(harness.get_pending)
    return harness.get_pending()[0]


def test_starting_typing_interrupting_and_ending_are_one_row_each(harness: Harness) -> None:
    before = last(harness)
    session = harness.start_session(
        command=["sh", "-c", "trap 'echo caught' INT; read word; echo $word; while :; do cat; done"]
    )
    session.send("open sesame\n")
    until(lambda: "open sesame" in session.output())
    session.resize(30, 90)
    session.interrupt()
    session.stop(grace=0)
    again = harness.start_session(command=["sleep", "600"])
    harness.end_session(again.id, grace=0)
    harness.end_session(again.id)
    assert acts(harness, before) == [
        (WHO, "python", "session_created"),
        (WHO, "python", "typed"),
        (WHO, "python", "interrupted"),
        (WHO, "python", "end_requested"),
        (WHO, "python", "session_created"),
        (WHO, "python", "end_requested"),
    ]
    made = harness.frames.events(kind="typed")
    assert made["text"].iloc[0] == "12 characters"
    assert "sesame" not in harness.frames.events().to_csv(), "what is typed may be a password"


def test_a_plan_that_is_started_is_assigned_by_that_act(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01")
    before = last(harness)
    harness.start_session(plan="01-01").wait(timeout=LIMIT)
    assert acts(harness, before) == [(WHO, "python", "session_created")]
    made = harness.frames.events(kind="assign_task")
    assert list(made["plan_id"]) == ["01-01"]


def test_each_way_to_answer_is_one_row_with_what_was_said(harness: Harness) -> None:
    session = asking(harness, "decision", "decision")
    before = last(harness)
    waits(harness).answer("b")
    until(lambda: "decision_made" in session.output())
    question = waits(harness)
    harness.respond("decision_made", session.id, {"selectedOptionId": "a"}, in_response_to=question.id)
    harness.respond("abort_task", session.id, {"reason": "enough"})
    made = harness.frames.events(acts=True, since=before)
    assert list(made["kind"]) == ["answered", "answered", "abort_task"]
    assert list(made["text"]) == ["B", "a", "enough"]
    assert set(made["session_id"]) == {session.id}


def test_credentials_are_told_by_name_and_source_and_never_by_value(
    opened: Callable[..., Harness], tmp_path: Path
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    harness = opened(credentials=CredentialProvider(folder))
    asking(harness, "credentials")
    question = waits(harness)
    before = last(harness)
    with pytest.raises(CredentialsNotFoundError):
        question.approve()
    (folder / "postgres.env").write_text("PGPASSWORD=hunter2-planted\n")
    question.approve()
    made = harness.frames.events(acts=True, since=before)
    assert list(made["kind"]) == ["credentials_missing", "answered"]
    assert list(made["door"]) == ["python", "python"]
    missing, handed = made["data"]
    assert (missing["service"], missing["found"]) == ("postgres", False)
    assert (handed["service"], handed["envVars"], handed["source"]) == ("postgres", ["PGPASSWORD"], "postgres.env")
    assert "hunter2" not in harness.frames.events().to_csv()


def test_a_question_from_a_cell_says_who_asked(harness: Harness) -> None:
    async def ask() -> None:
        async with AsyncHarness(harness.root, actor="ann") as h, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: h.ask("decision", **ASKS["decision"]))
            while not (found := await h.get_pending()):
                await h.changes.next.wait()
            await found[0].answer("a")
            kinds.extend(h.frames.events(acts=True, actor="ann")["kind"])

    kinds: list[str] = []
    anyio.run(ask)
    assert kinds == ["session_created", "answered"]


def test_trust_is_one_row_when_it_changes_something(root: Path, opened: Callable[..., Harness]) -> None:
    harness = opened(trust=False)
    harness.trust()
    harness.trust()
    assert acts(harness) == [(WHO, "python", "trusted")]


def test_the_state_that_is_set_or_read_again_is_one_row_each(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01")
    (root / "ROADMAP.md").write_text("---\nstatus: planning\n---\n# Road\n")
    before = last(harness)
    harness.set_state(status="executing")
    harness.sync_state()
    harness.recover()
    assert [kind for *_, kind in acts(harness, before)] == ["state_set", "synced", "recovered"]


def test_a_file_that_answers_by_hand_is_one_row_through_the_door_of_files(harness: Harness) -> None:
    session = asking(harness, "decision")
    waits(harness)
    before = last(harness)
    folder = harness._twin.store.layout.session(session.id)
    (folder.path / "tmp").write_text(json.dumps({"selectedOptionId": "a", "completedBy": "bob"}))
    (folder.path / "tmp").rename(folder.response)
    until(lambda: not harness.get_pending())
    assert acts(harness, before) == [("bob", "file", "answered")]


def test_events_are_chosen_by_who_where_and_what(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01")
    session = harness.start_session(plan="01-01")
    session.wait(timeout=LIMIT)
    frames = harness.frames
    assert set(frames.events(door="python")["door"]) == {"python"}
    assert frames.events(door=["mcp", "cli"]).empty
    assert set(frames.events(actor=WHO)["actor"]) == {WHO}
    assert set(frames.events(plan_id="01-01")["session_id"].dropna()) == {session.id}
    assert frames.events(run_id="run-none").empty
    assert list(frames.events().columns)[:5] == ["timestamp", "actor", "door", "kind", "text"]


def test_events_after_one_that_a_frame_names_are_those_alone(harness: Harness) -> None:
    """The number comes from a frame's index, and so as pandas has it."""
    harness.start_session(command=["true"]).wait(timeout=LIMIT)
    harness.sync_state()
    numbers = harness.frames.events().index
    assert list(harness.frames.events(since=numbers[-2]).index) == [numbers[-1]]
