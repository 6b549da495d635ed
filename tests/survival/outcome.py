"""What two runs must have in common, and what must be true of each."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.sessions.starting import NEVER_STARTED
from tests.leaks import files_that_hold
from tests.survival.output import check_output, normalized
from tests.survival.scene import CHOSEN, PLANS, SECRET

if TYPE_CHECKING:
    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from tests.survival.scene import Scene

Said = list[tuple[str, Any]]


def outcome(scene: Scene) -> dict[str, Any]:
    """Return how everything stands, the same for each run of the same project.

    Whatever a run must show by itself is asserted on the way.
    """
    run, *later = scene.store.runs.select()
    assert run.report
    for one in later:  # a kernel that began just when the run came to its end: nothing was left for it to do
        assert one.report
        assert all(plan["earlier"] for plan in one.report["plans"]), one
    attempts = {plan_id: only_attempt(scene, plan_id) for plan_id in PLANS}
    assert files_that_hold(scene.root / ".orchestration", SECRET.encode()) == []
    for session in scene.store.sessions.select():
        check_messages(scene, session)
        check_output(scene, session)
    return {
        "run": (run.state, sorted(run.report["phases"])),
        "plans": [(one["planId"], one["state"], one["verified"], one["attempts"]) for one in run.report["plans"]],
        "sessions": {name: (one.state, one.verdict, one.reason) for name, one in attempts.items()},
        "said": {name: said_by(scene, one) for name, one in attempts.items()},
        "answers": {name: told_to(scene, one) for name, one in attempts.items()},
        "made": {file.name: file.read_text() for file in sorted((scene.root / "made").iterdir())},
        "output": {name: normalized(scene, one) for name, one in attempts.items() if one.lives == 1},
        "pending": scene.store.messages.pending(),
    }


def only_attempt(scene: Scene, plan_id: str) -> SessionRecord:
    """Return the one session that did a plan; one that never came to be does not count."""
    every = scene.store.sessions.select(plan_id=plan_id)
    [found] = [one for one in every if one.reason != NEVER_STARTED]
    return found


def the_command(scene: Scene) -> SessionRecord:
    """Return the session that belongs to no plan."""
    [found] = [one for one in scene.store.sessions.select() if one.worker == "command"]
    return found


def said_by(scene: Scene, session: SessionRecord) -> Said:
    """Return what a session said, in order.

    A shim that was killed took credentials along, so that its session asks for them once more: that counts as one.
    """
    said: Said = []
    for one in scene.store.messages.select(session.id, direction="in"):
        word = (one.type, one.payload.get("taskNumber"))
        if one.type != "credentials_needed" or word not in said or session.lives == 1:
            said.append(word)
    return said


def told_to(scene: Scene, session: SessionRecord) -> Counter[tuple[str, str]]:
    """Return what a session was told, each kind once more only where it had to ask again."""
    told: Counter[tuple[str, str]] = Counter()
    for one in scene.store.messages.select(session.id, direction="out"):
        word = (one.type, str(one.payload.get("selectedOptionId") or one.payload.get("verified") or ""))
        if one.type != "credentials_provided" or word not in told or session.lives == 1:
            told[word] += 1
    return told


def check_messages(scene: Scene, session: SessionRecord) -> None:
    """Every message once, and every answer once, taken by the session that asked."""
    records = scene.store.messages.select(session.id)
    assert len({one.id for one in records}) == len(records)
    answers = Counter(one.in_response_to for one in records if one.direction == "out")
    questions = [one for one in records if one.direction == "in" and one.type in CHECKPOINT_TYPES]
    assert len(questions) <= (session.lives if _asks_again(questions) else 1)
    for question in questions:
        if question.status == "expired":
            assert session.state == "failed"
            assert answers[question.id] == 0
        else:
            assert (question.status, answers[question.id]) == ("responded", 1)
    unasked = [one.type for one in records if one.direction == "out" and one.in_response_to is None]
    assert unasked in ([], ["assign_task"])
    if session.state == "completed":
        assert {one.status for one in records} == {"responded"}, "what was answered was taken"


def _asks_again(questions: list[MessageRecord]) -> bool:
    return {one.type for one in questions} == {"credentials_needed"}


def check_command(scene: Scene) -> None:
    """Nobody knows what a command has done already: it ends as it would, or has failed where it was killed."""
    session = the_command(scene)
    hurt = scene.hurt.get(session.id, set())
    received = scene.root / "made" / "received"
    if session.state == "completed":
        assert not hurt or scene.store.layout.session(session.id).exit.exists(), "it had ended when it was killed"
        assert received.read_text() == f'"selectedOptionId": "{CHOSEN}"\n'
    else:
        assert hurt or session.started_at is None or "lost" in str(session.reason), session
        assert not hurt or re.match(r"lost|ended by signal SIGKILL", str(session.reason)), session


def compare(scene: Scene, unkilled: dict[str, Any]) -> None:
    """See that a run came to the same end as the one that nobody disturbed."""
    check_command(scene)
    found = outcome(scene)
    mine = {"received", "ask-1", "ask-2"}
    for key, expected in unkilled.items():
        value = found[key]
        if key == "made":
            value, expected = ({name: one[name] for name in one.keys() - mine} for one in (value, expected))
        if key == "output":
            expected = {name: expected[name] for name in value}
        assert value == expected, key
