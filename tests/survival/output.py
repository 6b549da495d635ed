"""What a session's log must hold, worked out from the files that its steps wrote beside.

A step writes each line to its own file first and prints it then. So a log that was kept to the end equals these files;
one whose worker was killed may lack the very last line, which was not printed yet; and where the shim was killed, what
the terminal still held is gone, and each life's output is a true beginning of what was printed in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness_nb.sessions.drivers import Assignment
from harness_nb.store.atomic import read_model

if TYPE_CHECKING:
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import SessionRecord
    from tests.survival.scene import Scene

BOLD, PLAIN = "\033[1m", "\033[0m"


def log_of(scene: Scene, session: SessionRecord) -> str:
    """Return what a session printed, without the terminal's carriage returns."""
    file = scene.store.layout.session(session.id).output
    return file.read_bytes().decode().replace("\r\n", "\n") if file.exists() else ""


def normalized(scene: Scene, session: SessionRecord) -> str:
    """Return what a session printed without the numbers of its processes."""
    return re.sub(r"run=\d+", "run=N", log_of(scene, session))


def runs_of(scene: Scene, step: str) -> list[str]:
    """Return the processes that began a step, first one first."""
    file = scene.root / "begun"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [words[1] for words in lines if words[0] == step]


def printed(scene: Scene, step: str, run: str) -> str:
    """Return what one process of a step had to print."""
    file = scene.root / "side" / f"{step}.{run}"
    return file.read_text() if file.exists() else ""


def check_output(scene: Scene, session: SessionRecord) -> None:
    """See that a session's log is what its worker wrote, as far as this can be; and that nothing was done twice."""
    if session.worker == "command":
        _check_command(scene, session)
    elif session.started_at is not None or session.lives > 1:
        _check_plan(scene, session)


def _check_command(scene: Scene, session: SessionRecord) -> None:
    expected = "".join(printed(scene, step, run) for step in ("ask-1", "ask-2") for run in runs_of(scene, step))
    log = log_of(scene, session)
    hurt = scene.hurt.get(session.id, set())
    if session.state == "completed" or not hurt:
        assert log == expected
        return
    assert expected.startswith(log)
    if hurt == {"worker"}:
        assert lacks_a_line_at_most(expected, log)


def lacks_a_line_at_most(expected: str, log: str) -> bool:
    """Say whether no more is missing than what was written beside and not printed yet."""
    return expected[len(log) :].count("\n") <= 1


def _check_plan(scene: Scene, session: SessionRecord) -> None:
    plan = read_model(scene.store.layout.session(session.id).assignment, Assignment).plan
    assert plan is not None
    log = log_of(scene, session)
    first = f"{BOLD}── 1/{len(plan.tasks)} "
    before, *texts = log.split(first)
    assert before == "", "nothing is printed before the first heading"
    lives = [first + text for text in texts]
    assert len(lives) <= session.lives
    hurt = scene.hurt.get(session.id, set())
    seen: list[str] = []
    for life in lives[:-1]:
        _check_life(scene, plan, life, seen, ended=False, hurt=hurt)
    if lives:
        _check_life(scene, plan, lives[-1], seen, ended=session.state == "completed", hurt=hurt)
    _check_runs(scene, session, plan, seen, hurt)


def _check_life(scene: Scene, plan: Plan, text: str, seen: list[str], *, ended: bool, hurt: set[str]) -> None:
    """See that one life's output is what was printed in it, or a true beginning of that."""
    rest = text
    for number, task in enumerate(plan.tasks, 1):
        heading = f"{BOLD}── {number}/{len(plan.tasks)} {task.name}{PLAIN}"
        done = rest.startswith(f"{heading} · done before\n")
        expected = heading + (" · done before\n" if done else "\n")
        if task.checkpoint is not None:
            asks, after = f"? waiting for an answer: {task.checkpoint}\n", rest[len(expected) :]
            if after.startswith(asks) or (not ended and asks.startswith(after)):
                expected += asks
        elif not done:
            expected += _content(scene, f"{plan.id}-{number}", rest, seen)
        if not rest.startswith(expected):
            assert not ended, f"{plan.id}, task {number}: {rest[:200]!r} instead of {expected[:200]!r}"
            assert expected.startswith(rest), f"{plan.id}, task {number}: {rest[:200]!r}"
            if hurt == {"worker"} and "run=" in expected:
                assert lacks_a_line_at_most(expected, rest)
            return
        rest = rest[len(expected) :]
        if not rest and not ended:
            return
    assert rest == "", "nothing is printed after the last task"


def _content(scene: Scene, step: str, text: str, seen: list[str]) -> str:
    found = re.search(rf"^{step} run=(\d+) line 1$", text, re.MULTILINE)
    if found is None:
        return ""
    seen.append(found[1])
    return printed(scene, step, found[1])


def _check_runs(scene: Scene, session: SessionRecord, plan: Plan, seen: list[str], hurt: set[str]) -> None:
    """See that a step ran once, and once more only in a life that began before it was done."""
    events = [one for one in scene.store.events.select() if one.session_id == session.id]
    resumed = [one.seq for one in events if one.kind == "session_resumed"]
    completed = [one.seq for one in events if one.kind == "task_completed"]
    for number, task in enumerate(plan.tasks, 1):
        if task.checkpoint is not None:
            continue
        step = f"{plan.id}-{number}"
        runs = runs_of(scene, step)
        lives = 1 + sum(one < completed[number - 1] for one in resumed) if hurt else 1
        assert 1 <= len(runs) <= lives, f"{step} was done {len(runs)} times in {lives} lives"
        for run in set(runs) - set(seen):
            assert hurt, f"{step}: what process {run} printed is nowhere"
            assert "shim" in hurt or lacks_a_line_at_most(printed(scene, step, run), "")
