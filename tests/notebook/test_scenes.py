"""What is shown and what is saved: readable without a kernel, and the same from run to run once it has ended."""

from __future__ import annotations

import html
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import ACCEPT_ALL, AsyncHarness, Harness, Plan, Policy, RunBlock, Task
from harness_nb.notebook import html_of, text_of
from harness_nb.notebook.board import BoardScene, ControlRoom
from harness_nb.notebook.displays import scene_of
from harness_nb.notebook.project_report import ProjectReport
from harness_nb.store.events import Events
from tests.orchestrator.written_plans import configure, plan, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ASK = """\
harness-nb worker report action_needed action='Plug it in' > id
harness-nb worker await "$(cat id)"
"""
BY_FILE = """\
cd "$HARNESS_SESSION_DIR"
echo '{"id": "q1", "type": "action", "action": "Plug it in"}' > question.tmp
mv question.tmp checkpoint.json
until [ -e checkpoint_response.json ]; do sleep 0.02; done
"""


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is there to be asked."""
    monkeypatch.setattr("harness_nb.harness.answering.attended", lambda: True)


@contextmanager
def asked(h: Harness, kind: str, **payload: Any) -> Iterator[Any]:
    """Ask in a thread, and answer at the end."""
    thread = threading.Thread(target=h.ask, args=(kind,), kwargs=payload)
    before = {one.id for one in h.get_pending()}
    thread.start()
    until(lambda: {one.id for one in h.get_pending()} - before)
    [question] = [one for one in h.get_pending() if one.id not in before]
    try:
        yield question
    finally:
        question.answer("done")
        thread.join()


def wait_for_question(h: Harness) -> Any:
    h.wait_for_state(states=["checkpoint"], timeout=60)
    return h.get_pending()[0]


def test_a_run_that_asks_says_so_to_readers_without_a_kernel(harness: Harness, asking: Callable[..., Plan]) -> None:
    run = harness.run(plans=[asking()])
    question = wait_for_question(harness)
    for handle in (run, harness, harness.board, question, harness.session(question.session_id)):
        page, text = html.unescape(html_of(handle)), text_of(handle)
        assert "Which cache?" in page
        assert f"harness-nb respond {question.id} --option sqlite" in page
        assert "This is how it stood at " in page
        assert "<form" not in page
        assert "Which cache?" in text
        assert f"harness-nb respond {question.id}" in text
    question.answer("redis")
    run.wait(timeout=60)


def test_what_is_saved_of_an_end_is_the_same_each_time(
    opened: Callable[..., Harness], tmp_path: Path, asking: Callable[..., Plan]
) -> None:
    def once(number: int) -> list[tuple[str, str]]:
        folder = tmp_path / str(number) / "shop"
        folder.mkdir(parents=True)
        h = opened(folder)
        run = h.run(plans=[asking(1), asking(2)], policies=[ACCEPT_ALL])
        run.wait(timeout=60)
        session = h.start_session(command=["sh", "-c", "echo hello; exit 3"])
        session.wait(timeout=60)
        by_file = h.start_session(command=["sh", "-c", BY_FILE])
        until(h.get_pending)
        [of_command] = h.get_pending()
        of_command.answer("done")
        by_file.wait(timeout=60)
        with asked(h, "action", action="Turn the key") as of_python:
            pass
        return [(html_of(one), text_of(one)) for one in (run, session, by_file, of_command, of_python)]

    assert once(1) == once(2)


def test_an_ended_run_shows_its_report_and_nothing_to_press(harness: Harness, asking: Callable[..., Plan]) -> None:
    run = harness.run(plans=[asking()], policies=[ACCEPT_ALL])
    report = run.wait(timeout=60)
    page = html_of(run)
    assert report._repr_html_() in page
    assert "✓ passed" in page
    assert "Plan 1" in page
    assert "<button" not in page
    assert text_of(run) == str(report)


def test_a_failure_is_told_first_and_with_its_reason(harness: Harness) -> None:
    bad = Plan(id="01-01", title="Bad", tasks=[Task(name="Fail", runs=[RunBlock(lang="sh", code="exit 3")])])
    run = harness.run(plans=[bad])
    run.wait(timeout=60)
    assert "✕ failed" in html_of(run)
    assert "exit status 3" in html_of(run)
    assert "exit status 3" in text_of(run)


def test_an_answered_question_shows_by_whom_and_what(harness: Harness, asking: Callable[..., Plan]) -> None:
    run = harness.run(plans=[asking()])
    question = wait_for_question(harness)
    question.answer("redis")
    assert "<b>Redis</b>" in html_of(question)
    assert "answered by" in text_of(question)
    run.wait(timeout=60)


def test_a_question_that_nobody_waits_for_any_more_says_so(harness: Harness, asking: Callable[..., Plan]) -> None:
    run = harness.run(plans=[asking()])
    question = wait_for_question(harness)
    run.stop()
    assert "nobody waits for an answer any more" in html_of(question)


def test_a_sessions_output_is_saved_with_its_colours_and_only_its_end(harness: Harness) -> None:
    script = "seq 1 5000; printf '\\033[31mred\\033[0m <b>no markup</b>\\n'"
    session = harness.start_session(command=["sh", "-c", script])
    session.wait(timeout=60)
    page = html_of(session)
    assert '<span class="hnb-fg-red">red</span>' in page
    assert "&lt;b&gt;no markup" in page
    assert "<div>5000</div>" in page
    assert "<div>4000</div>" not in page
    assert "red" in text_of(session)


def test_a_project_that_nobody_runs_shows_its_plans(harness: Harness, root: Path) -> None:
    folder = root / "planning/plans/01-first"
    folder.mkdir(parents=True)
    (folder / "01-01-PLAN.md").write_text('---\nphase: "01"\nplan: "01"\n---\n<task><name>Do</name></task>\n')
    assert "○ not running" in html_of(harness.board)
    assert "01-01" in html_of(harness.board)
    assert "0 of 1 plans" in repr(harness.board)


def test_an_empty_project_shows_that_there_is_nothing(harness: Harness) -> None:
    assert "not running" in html_of(harness)
    assert text_of(harness)


@pytest.mark.parametrize("plans", [300])
def test_the_saved_board_of_many_plans_stays_small(opened: Callable[..., Harness], tmp_path: Path, plans: int) -> None:
    from tests.benchmarks.projects import write_plans

    write_plans(tmp_path, plans)
    page = html_of(opened(tmp_path))
    assert len(page) < 500_000
    assert page.count('class="hnb-node') == plans


def test_a_question_whose_policy_failed_before_anybody_looked_waits_for_a_person(
    harness: Harness, asking: Callable[..., Plan]
) -> None:
    run = harness.run(plans=[asking()], policies=[Policy(do="answer", answer="nonsense", after=0)])
    until(lambda: harness._twin.store.events.select(kind="policy_failed"))
    for handle in (run, harness, harness.get_pending()[0]):
        page = html.unescape(html_of(handle))
        assert "Which cache?" in page
        assert "waits until somebody answers" in page
        assert "by itself" not in page
    run.stop()


@pytest.mark.usefixtures("somebody")
def test_questions_of_another_process_are_judged_by_its_rules(opened: Callable[..., Harness], root: Path) -> None:
    """There somebody is to be asked, so that a policy without a deadline answers nothing."""
    configure(root, policies=[{"do": "approve"}])
    write_plan(root, "01-01", ASK)
    run = opened().run()
    until(opened().get_pending)
    other = AsyncHarness(root)
    page = str(BoardScene(other, ProjectReport(other.store)).look(live=False).lists["cards"])
    assert "Plug it in" in page
    assert "waits until somebody answers" in page
    other.store.close()
    run.stop()


def test_a_card_says_what_the_policies_of_the_harness_will_do(opened: Callable[..., Harness], root: Path) -> None:
    h = opened(policies=[Policy(do="approve", after=60)])
    with asked(h, "action", action="Turn the key") as question:
        assert "counts as done by itself" in html_of(h)
        assert "counts as done by itself" in html_of(question)


@pytest.mark.usefixtures("somebody")
def test_a_card_says_that_a_policy_leaves_it_to_whoever_is_there(opened: Callable[..., Harness], root: Path) -> None:
    """Also where no run is."""
    configure(root, policies=[{"do": "approve"}])
    h = opened()
    with asked(h, "action", action="Turn the key") as question:
        assert "waits until somebody answers" in html_of(question)
        assert "waits until somebody answers" in html_of(h)


def test_a_session_that_a_run_adopted_is_on_its_board_and_under_its_rules(harness: Harness, root: Path) -> None:
    write_plan(root, "01-01", ASK)
    session = harness.start_session(plan="01-01")
    until(harness.get_pending)
    run = harness.run(policies=[Policy(do="approve", after=60)])
    until(lambda: run.report.plans and run.report.plans[0].session_id == session.id)
    picture = scene_of(run).look(live=True)
    assert [key for key, _ in picture.lists["sessions"]] == [session.id]
    assert picture.output == session.id
    assert "counts as done by itself" in html_of(run)
    assert "counts as done by itself" in html_of(session)
    harness.get_pending()[0].answer("done")
    run.wait(timeout=60)


def test_an_ended_run_holds_nothing_of_others(harness: Harness, asking: Callable[..., Plan]) -> None:
    """While it goes on, it shows all that waits for the user; afterwards its own alone."""
    run = harness.run(plans=[asking()])
    scene = BoardScene(harness._twin, run._twin)
    question = wait_for_question(harness)
    with asked(harness, "action", action="Answered meanwhile"):
        assert "Answered meanwhile" in scene.look(live=True).text
    with asked(harness, "action", action="Open for ever"):
        question.answer("redis")
        run.wait(timeout=60)
        picture = scene.look(live=False)
        answered = "".join(fragment for _, fragment in picture.lists["answered"])
        assert "Which cache?" in answered
        assert "Answered meanwhile" not in answered
        for text in (picture.text, str(picture.lists), html_of(run), text_of(run), scene.first_line()):
            assert "Open for ever" not in text
            assert "wait for you" not in text


def test_the_board_of_the_project_shows_what_is_asked_after_its_run(harness: Harness) -> None:
    scene = scene_of(harness)
    harness.run(plans=[plan("01-01")]).wait(timeout=60)
    with asked(harness, "action", action="Asked later"):
        page = html_of(harness)
        assert "Asked later" in page
        assert "This is how it stood at " in page
        assert "Asked later" in text_of(harness)
        assert not scene.look(live=True).ended
    picture = scene.look(live=True)
    assert "Asked later" in str(picture.lists["answered"])
    assert picture.ended


def test_a_plan_chosen_in_a_run_is_that_runs_attempt_at_it(harness: Harness) -> None:
    runs = []
    for _ in range(2):
        runs.append(harness.run(plans=[plan("01-01")], again=True))
        runs[-1].wait(timeout=60)
    sessions = [run.report.plans[0].session_id for run in runs]
    assert sessions[0] != sessions[1]
    assert [scene_of(run).session_of("01-01") for run in runs] == sessions
    assert scene_of(harness).session_of("01-01") == sessions[1]
    assert scene_of(runs[0]).session_of("01-02") is None
    assert scene_of(harness.session(str(sessions[0]))).session_of("01-01") is None


def test_a_plan_done_before_a_run_is_shown_as_it_was_done_then(harness: Harness) -> None:
    plans = [plan("01-01"), plan("01-02", "exit 1")]
    runs = []
    for again in (False, False, True):
        runs.append(harness.run(plans=plans, again=again))
        runs[-1].wait(timeout=60)
    first = runs[0].report.plans[0].session_id
    assert runs[1].report.plans[0].earlier
    assert scene_of(runs[1]).session_of("01-01") == first


def test_news_is_told_once_however_many_look_at_once(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that greets, the view that follows and what is saved look at the same scene, each in its own thread."""
    scene = scene_of(harness)
    for number in range(3):
        with asked(harness, "action", action=f"Number {number}"):
            pass
    select = Events.select

    def slowly(*args: Any, **more: Any) -> Any:
        found = select(*args, **more)
        time.sleep(0.05)
        return found

    monkeypatch.setattr(Events, "select", slowly)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: scene.look(live=True), range(6)))
    answered = "".join(fragment for _, fragment in scene.look(live=False).lists["answered"])
    assert [answered.count(f"Number {number}") for number in range(3)] == [1, 1, 1]


def test_asking_for_the_first_line_takes_no_news_away(harness: Harness) -> None:
    scene = ControlRoom(harness._twin)
    with asked(harness, "action", action="Turn the key"):
        pass
    scene.first_line()
    assert "Turn the key" in str(scene.look(live=True).lists["answered"])


def test_who_asks_has_no_random_name(harness: Harness) -> None:
    """Neither on a card, nor once it is answered, nor where a policy failed."""
    scene = scene_of(harness)
    command = harness.start_session(command=["sh", "-c", BY_FILE])
    until(harness.get_pending)
    with asked(harness, "action", action="Turn the key") as question:
        cards = "".join(fragment for _, fragment in scene.look(live=True).lists["cards"])
        assert "<b>this notebook</b>" in cards
        assert "<b>sh -c " in cards
        assert f"<b>{command.id}" not in cards
        failed = {"question": question.id, "reason": "no"}
        harness._twin.store.events.add("policy_failed", session_id=question.session_id, data=failed)
    harness.get_pending()[0].answer("done")
    command.wait(timeout=60)
    picture = scene.look(live=True)
    told = str(picture.lists["answered"])
    assert "this notebook could not be answered by policy: no" in told
    assert "this notebook: Turn the key" in told
    assert "sh -c " in told
    for random in (command.id, question.session_id, question.id):
        assert random not in told + picture.text
