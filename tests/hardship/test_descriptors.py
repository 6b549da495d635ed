"""A process that may open nothing more says so in a sentence, goes on with what it has, and recovers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import anyio
import pytest

from harness_nb import AsyncHarness, Harness, templates
from harness_nb.errors import HarnessError, OutOfDescriptorsError, ShimFailedError
from harness_nb.notebook import displays
from harness_nb.protocol.records import RunOptions
from harness_nb.sessions import Launch, launch
from harness_nb.store import Bell, Layout, Store
from tests.hardship.descriptors import no_descriptors
from tests.sessions.living import happens, opened, printed
from tests.store.conftest import new_session, says

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(11)]


def test_a_message_that_is_stored_counts_though_nobody_can_be_woken(stores_store: Store) -> None:
    store = stores_store
    with no_descriptors():
        store.ring()
        store.questions.ask(says("action_needed", {"action": "Log in"}, message_id="q1"))
    assert [one.id for one in store.messages.pending()] == ["q1"]
    store.questions.settle("s1")
    assert store.layout.session("s1").checkpoint.exists()


@pytest.fixture
def stores_store(project: Path) -> Iterator[Store]:
    store = Store(project)
    new_session(store)
    yield store
    store.close()


def test_a_session_cannot_be_started_and_the_error_is_a_sentence(project: Path) -> None:
    layout = Layout(project)
    layout.create()
    layout.session("s").create()
    with no_descriptors(), pytest.raises(ShimFailedError, match="no process can be started for it: Too many open"):
        launch(layout, "s", Launch(("true",), project))


def test_listening_is_refused_with_a_sentence(project: Path) -> None:
    layout = Layout(project)
    layout.create()
    with no_descriptors(), pytest.raises(OutOfDescriptorsError, match="ulimit -n"):
        Bell(layout)


def test_a_project_is_not_opened_and_the_error_is_a_sentence(project: Path) -> None:
    Store(project).close()
    with no_descriptors(), pytest.raises(HarnessError, match=r"files and connections open|Too many open files"):
        Store(project)


@pytest.mark.timeout(90)
async def test_a_harness_that_can_open_nothing_says_so_and_follows_its_sessions_again_once_it_can(
    project: Path,
) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", "echo up; until test -d go; do sleep 0.02; done"])
        await printed(h, session.id, "up")
        with no_descriptors() as take:
            while not h.store.troubles.sentences:
                with contextlib.suppress(FileExistsError):  # something to look at, made without a descriptor
                    h.store.layout.session(session.id).checkpoint.mkdir()
                await anyio.sleep(0.02)
                take()
            [sentence] = h.store.troubles.sentences
            assert sentence == str(OutOfDescriptorsError())
            with pytest.raises(ShimFailedError, match="files and connections open"):
                await h.start_session(command=["true"])
            (project / "go").mkdir()
        record = await session.wait()
        assert record.state == "completed"
        assert h.store.events.select(kind="file_rejected")
        await happens(h, lambda: not h.store.troubles.sentences)
        assert (await (await h.start_session(command=["true"])).wait()).state == "completed"


async def test_a_harness_opened_without_descriptors_fails_whole_and_can_be_opened_later(project: Path) -> None:
    with no_descriptors(), pytest.raises(HarnessError):
        AsyncHarness(project)
    async with AsyncHarness(project) as h:
        assert await h.list_sessions() == []


def test_a_board_that_cannot_ask_whether_a_run_goes_on_says_why_in_a_sentence(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(displays, "_display", shown.append)
    with Harness(project, judges=False) as harness:
        store = harness._twin.store
        store.runs.create("r1", RunOptions(), detached=True)
        store.layout.lease.touch()
        templates.render("gone.html", text="as any view does sooner or later")
        with no_descriptors():
            displays.show(harness)
    assert [one["text/plain"] for one in shown] == [str(OutOfDescriptorsError())]
