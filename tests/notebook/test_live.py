"""A living view without a page: what it is sent, what it may ask for, and that it takes nothing else down with it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Harness
from harness_nb.errors import JournalBusyError
from harness_nb.harness.loop_thread import loop_thread
from harness_nb.notebook import live
from harness_nb.notebook.displays import scene_of
from harness_nb.notebook.output import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb import Plan
    from tests.notebook.conftest import Shown

PATIENCE = 60


def eventually(look: Callable[[], Any]) -> Any:
    """Return the first value that is true; views are told of changes a moment after they happened."""
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
    return found


def seq_of(cards: dict[str, str], plan: str = "") -> int:
    return next(int(key) for key, card in cards.items() if key.isdigit() and plan in card)


def test_a_page_that_comes_gets_everything_at_once(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown]
) -> None:
    run = harness.run(plans=[asking()])
    harness.wait_for_state(states=["checkpoint"], timeout=PATIENCE)
    view = shown(run)
    told = view.order("hello")
    assert {"head", "cards", "graph", "nodes", "sessions"} <= told["lists"].keys()
    assert "Which cache?" in "".join(view.fragments("cards").values())
    assert told["output"]["title"] == "01-01"
    run.stop()


def test_an_answer_in_the_page_reaches_the_worker_and_the_card_goes(
    harness: Harness, root: Path, asking: Callable[..., Plan], shown: Callable[[Any], Shown]
) -> None:
    run = harness.run(plans=[asking()])
    harness.wait_for_state(states=["checkpoint"], timeout=PATIENCE)
    view = shown(run)
    view.order("hello")
    view.follow()
    told = view.order("answer", seq=seq_of(view.fragments("cards")), verb="option", option="redis", notes="shared")
    assert (told["ok"], told["text"]) == (True, "✓ Redis")
    run.wait(timeout=PATIENCE)
    eventually(lambda: "report" in view.fragments("report"))
    assert (root / "1.txt").read_text() == "redis\n"
    assert view.fragments("cards") == {}
    assert "Redis" in "".join(view.fragments("answered").values())
    eventually(lambda: view.saved and view.saved[-1].ended)  # the page comes first


def test_of_two_who_answer_the_second_is_told_who_was_faster(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown]
) -> None:
    run = harness.run(plans=[asking()])
    harness.wait_for_state(states=["checkpoint"], timeout=PATIENCE)
    view = shown(run)
    view.order("hello")
    seq = seq_of(view.fragments("cards"))
    harness.get_pending()[0].answer("sqlite")
    told = view.order("answer", seq=seq, verb="option", option="redis")
    assert "SQLite" in told["text"]
    run.wait(timeout=PATIENCE)


@pytest.mark.parametrize(
    "order",
    [
        {"do": "answer", "seq": 99999, "verb": "approve"},
        {"do": "input", "text": "x"},
        {"do": "select", "plan": "99-99"},
    ],
)
def test_an_order_that_cannot_be_done_is_told_and_harms_nothing(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown], order: dict[str, Any]
) -> None:
    run = harness.run(plans=[asking()])
    view = shown(run)
    assert view.order(**order)["text"]
    assert not run.ended
    told = view.order("hello")
    assert told["ok"], told["text"]
    run.stop()


def test_only_what_changed_is_sent_and_nothing_where_nobody_looks(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "UNSEEN", 0.5)
    watched, unwatched = asking(1), asking(2)
    run = harness.run(plans=[watched, unwatched])
    view, nobody = shown(run), shown(run)
    view.order("hello")
    view.follow()
    nobody.follow()
    eventually(lambda: len([key for key in view.fragments("cards") if key.isdigit()]) == 2)
    before = len(view.sent)
    view.order("answer", seq=seq_of(view.fragments("cards"), "01-01"), verb="option", option="redis")
    eventually(lambda: view.fragments("nodes").get("01-01", "").count("complete"))
    changed = [key for one in view.sent[before:] for key in one.get("patch", {}).get("nodes", {}).get("changed", {})]
    assert "01-02" not in changed
    view.order("bye")
    run.stop()
    eventually(lambda: nobody.saved)
    assert nobody.sent == []


def test_output_comes_as_it_is_printed_and_input_goes_back(harness: Harness, shown: Callable[[Any], Shown]) -> None:
    session = harness.start_session(command=["sh", "-c", "echo ready; read word; echo got $word; sleep 600"])
    view = shown(session)
    view.order("hello")
    view.follow()
    eventually(lambda: "ready" in view.lines())
    assert view.order("input", text="apples\n")["ok"]
    eventually(lambda: "got apples" in view.lines())
    assert view.order("stop")["ok"]
    eventually(lambda: "✕ failed" in "".join(view.fragments("head").values()))
    assert session.state == "failed"


def test_a_flood_is_cut_to_what_a_page_can_take_and_ends_with_its_last_lines(
    harness: Harness, shown: Callable[[Any], Shown]
) -> None:
    session = harness.start_session(command=["sh", "-c", "seq 1 2000000; echo the end"])
    view = shown(session)
    view.order("hello")
    view.follow()
    began = time.monotonic()
    session.wait(timeout=PATIENCE)
    eventually(lambda: view.lines()[-1:] == ["the end"])
    seconds = max(1.0, time.monotonic() - began)
    assert len(json.dumps([one for one in view.sent if "output" in one])) / seconds < 1_000_000
    last = [one["output"] for one in view.sent if "output" in one][-1]
    assert last["total"] == 2_000_001
    assert len(view.lines()) <= 1000


def test_choosing_another_session_shows_its_output(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown]
) -> None:
    run = harness.run(plans=[asking(1), asking(2)], max_parallel=2)
    view = shown(run)
    view.order("hello")
    view.follow()
    eventually(lambda: len(view.fragments("sessions")) == 2)
    assert view.order("select", plan="01-02")["ok"]
    # only what the choice was answered with says both; new lines or cards may have been sent since
    told = [one for one in view.sent if {"selected", "output"} <= one.keys()][-1]
    assert told["output"]["title"] == "01-02"
    assert told["selected"] in view.fragments("sessions")
    run.stop()


def test_a_view_of_a_project_that_was_deleted_says_so(
    harness: Harness, root: Path, shown: Callable[[Any], Shown]
) -> None:
    session = harness.start_session(command=["sleep", "600"])
    view = shown(session)
    view.order("hello")
    session.stop(grace=0)
    shutil.rmtree((root / ".orchestration").rename(root / "deleted"))
    view.follow()
    eventually(lambda: "was deleted while it was open" in "".join(view.fragments("head").values()))
    assert not view.order("hello")["ok"]


def test_a_view_that_fails_takes_nothing_else_with_it(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = harness.run(plans=[asking()])
    view = shown(run)
    view.order("hello")

    def broken(**_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(view.live._scene, "look", broken)
    view.follow()
    eventually(lambda: "a fault of ours" in "".join(view.fragments("head").values()))
    harness.wait_for_state(states=["checkpoint"], timeout=PATIENCE)
    harness.get_pending()[0].answer("sqlite")
    assert run.wait(timeout=PATIENCE).passed


def test_a_closed_harness_ends_its_views_and_not_what_they_show(
    harness: Harness, root: Path, shown: Callable[[Any], Shown]
) -> None:
    session = harness.start_session(command=["sleep", "600"])
    view = shown(session)
    view.order("hello")
    view.follow()
    harness.close()
    eventually(lambda: "This harness is not open." in "".join(view.fragments("head").values()))
    assert not view.order("input", text="x\n")["ok"]
    with Harness(root) as again:
        still = again.list_sessions()[-1]
        assert (still.id, still.record.live) == (session.id, True)
        still.stop(grace=0)


def test_a_view_that_cannot_look_for_a_moment_goes_on_afterwards(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = harness.run(plans=[asking()])
    harness.wait_for_state(states=["checkpoint"], timeout=PATIENCE)
    view = shown(run)
    view.order("hello")
    look, busy = view.live._scene.look, threading.Event()
    busy.set()

    def now_and_then(**how: Any) -> Any:
        if busy.is_set():
            raise JournalBusyError(view.live._store.layout.database)
        return look(**how)

    monkeypatch.setattr(view.live._scene, "look", now_and_then)
    view.follow()
    eventually(lambda: "harness.db" in "".join(view.fragments("head").values()))
    busy.clear()
    harness.get_pending()[0].answer("redis")
    run.wait(timeout=PATIENCE)
    eventually(lambda: "✓ passed" in "".join(view.fragments("head").values()))
    eventually(lambda: bool(view.saved) and view.saved[-1].ended)


def test_output_that_cannot_be_read_takes_nothing_else_down(
    harness: Harness, shown: Callable[[Any], Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = harness.start_session(command=["sh", "-c", "while read line; do echo $line; done"])
    view = shown(session)
    view.order("hello")
    look, failures, failed = Tail.look, iter([OSError(24, "Too many open files")]), threading.Event()

    def failing(tail: Tail) -> Any:
        for failure in failures:
            failed.set()
            raise failure
        return look(tail)

    monkeypatch.setattr(Tail, "look", failing)
    view.follow()
    assert failed.wait(PATIENCE)
    session.send("still here\n")
    eventually(lambda: "still here" in view.lines())
    assert harness.list_sessions()
    session.stop(grace=0)


def test_a_page_that_comes_amid_a_change_ends_with_the_newest_state(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = harness.run(plans=[asking()])
    harness.wait_for_state(states=["checkpoint"], timeout=PATIENCE)
    view = shown(run)
    view.order("hello")
    view.follow()
    scene = view.live._scene
    look, slow, answered = scene.look, threading.Event(), threading.Event()

    def late(**how: Any) -> Any:
        picture = look(**how)
        if slow.is_set():
            slow.clear()
            answered.wait(5)
        return picture

    monkeypatch.setattr(scene, "look", late)
    slow.set()
    second = threading.Thread(target=lambda: view.order("hello", page="q"))
    second.start()
    harness.get_pending()[0].answer("redis")
    answered.set()
    second.join()
    run.wait(timeout=PATIENCE)
    eventually(lambda: "report" in view.fragments("report"))
    assert view.fragments("cards") == {}


def test_a_greeting_is_never_older_than_what_was_sent_before_it(
    harness: Harness, asking: Callable[..., Plan], shown: Callable[[Any], Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a long output takes its time; what changes meanwhile waits for its turn."""
    run = harness.run(plans=[asking()])
    harness.wait_for_state(states=["checkpoint"], timeout=PATIENCE)
    view = shown(run)
    view.order("hello")
    view.follow()
    whole, slow = Tail.whole, threading.Event()

    def late(tail: Tail) -> Any:
        if slow.is_set():
            slow.clear()
            harness.get_pending()[0].answer("redis")
            until = time.monotonic() + 1.0
            while view.fragments("cards") and time.monotonic() < until:
                time.sleep(0.02)
        return whole(tail)

    monkeypatch.setattr(Tail, "whole", late)
    slow.set()
    view.order("hello", page="q")
    run.wait(timeout=PATIENCE)
    eventually(lambda: "report" in view.fragments("report"))
    assert view.fragments("cards") == {}


def test_a_view_without_a_page_is_looked_at_rarely(
    harness: Harness, shown: Callable[[Any], Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = harness.start_session(command=["sh", "-c", "while read line; do echo $line; done"])
    view = shown(harness)
    looks: list[float] = []
    look = view.live._scene.look

    def counted(**how: Any) -> Any:
        looks.append(time.monotonic())
        return look(**how)

    monkeypatch.setattr(view.live._scene, "look", counted)
    view.follow()
    eventually(lambda: looks)
    for _ in range(20):
        harness.set_state(insert=True, status="executing")
    assert len(looks) == 1
    view.order("hello")
    assert len(looks) > 1
    session.stop(grace=0)


def test_a_line_typed_at_one_session_goes_to_no_other(harness: Harness, shown: Callable[[Any], Shown]) -> None:
    """Another page of the same view may have chosen another session meanwhile."""
    echo = ["sh", "-c", "while read line; do echo got $line; done"]
    first, second = harness.start_session(command=echo), harness.start_session(command=echo)
    view = shown(harness)
    view.order("hello")
    view.follow()
    view.order("select", session=second.id)
    view.order("input", session=first.id, text="secret\n")
    eventually(lambda: "got secret" in first.output())
    assert "secret" not in second.output()
    for one in (first, second):
        one.stop(grace=0)


def test_a_session_that_one_page_chooses_is_shown_whole_in_all(harness: Harness, shown: Callable[[Any], Shown]) -> None:
    first = harness.start_session(command=["sh", "-c", "echo one; exec sleep 600"])
    second = harness.start_session(command=["sh", "-c", "echo two; echo lines; exec sleep 600"])
    view = shown(harness)
    view.order("hello")
    view.follow()
    eventually(lambda: "lines" in second.output())
    view.order("select", session=second.id)
    told = [one for one in view.sent if one.get("output", {}).get("session") == second.id][-1]
    assert "to" not in told
    assert told["output"]["lines"] == ["two", "lines"]
    for one in (first, second):
        one.stop(grace=0)


def test_where_nobody_is_there_what_is_saved_follows_too(
    harness: Harness, asking: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SAVE_EVERY", 0.3)
    run = harness.run(plans=[asking()])
    saved: list[Any] = []
    portal = loop_thread().portal
    portal.call(run._twin.harness.keep, live.Live(scene_of(run), save=saved.append).serve)
    eventually(lambda: any("Which cache?" in one.text for one in saved))
    assert not saved[-1].ended
    run.stop()
    eventually(lambda: saved[-1].ended)


NO_ORDERS: list[Any] = [
    "text",
    [],
    {},
    {"do": "dance"},
    {"do": "select", "session": ["a"]},
    {"do": "select", "session": "x" * 1000},
    {"do": "answer", "verb": "approve"},
    {"do": "answer", "verb": "approve", "seq": "1"},
    {"do": "answer", "verb": "approve", "seq": -1},
    {"do": "answer", "verb": "approve", "seq": 10**30},
    {"do": "answer", "verb": "eat", "seq": 1},
    {"do": "answer", "seq": 1},
    {"do": "input", "text": {"a": 1}},
]


@pytest.mark.parametrize("content", NO_ORDERS, ids=str)
def test_what_is_no_order_is_told_in_a_sentence_and_changes_nothing(
    harness: Harness, shown: Callable[[Any], Shown], content: Any
) -> None:
    view = shown(harness)
    view.order("hello")
    loop_thread().portal.call(view.live.obey, content)
    told = view.sent[-1]
    assert told["ok"] is False
    assert "is no order of this page" in told["text"]
    assert "Reload the page." in told["text"]
    assert view.order("output")["ok"] is True


@pytest.mark.parametrize("session", ["../../../../etc", "sess-nothing", "."])
def test_only_a_session_of_the_project_can_be_selected(
    harness: Harness, shown: Callable[[Any], Shown], session: str
) -> None:
    first = harness.start_session(command=["echo", "first"])
    first.wait(timeout=PATIENCE)
    view = shown(first)
    view.order("hello")
    told = view.order("select", session=session)
    assert told["ok"] is False
    assert session in told["text"]
    assert view.order("output")["selected"] == first.id


def test_an_answer_to_no_question_is_told_in_a_sentence(harness: Harness, shown: Callable[[Any], Shown]) -> None:
    view = shown(harness)
    view.order("hello")
    told = view.order("answer", seq=9999, verb="approve")
    assert told["ok"] is False
    assert "9999" in told["text"]
