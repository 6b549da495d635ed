"""A project's folder becomes read-only while sessions live, and can be written again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pytest

from harness_nb.errors import HarnessError, UnwritableFolderError
from harness_nb.notebook.board import ControlRoom
from harness_nb.protocol.plans import Plan, RunBlock, Task
from harness_nb.protocol.records import RunOptions
from tests.sessions.living import happens, opened, printed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hardship.conftest import Disks

pytestmark = [pytest.mark.anyio, pytest.mark.row(11)]


async def test_a_session_goes_on_and_its_end_is_told_once_the_folder_can_be_written(
    disks: Disks, project: Path
) -> None:
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", "echo one; read a; echo two; exit 0"])
        await printed(h, session.id, "one")
        await anyio.to_thread.run_sync(disks.freeze, h.store.layout.folder)
        await session.send("\n")
        await printed(h, session.id, "two")
        with pytest.raises(HarnessError, match=r"Cannot write in .*(Read-only|Permission)"):
            await h.start_session(command=["true"])
        assert session.record.live
        await anyio.to_thread.run_sync(disks.thaw)
        assert (await session.wait()).state == "completed"
        assert (await (await h.start_session(command=["true"])).wait()).state == "completed"


async def test_views_that_cannot_be_written_are_a_sentence_on_the_board_until_they_are(
    disks: Disks, project: Path
) -> None:
    (project / ".orchestration").mkdir()
    (project / ".orchestration" / "config.yaml").write_text("verificationRequired: false\n")
    script = "echo up; until test -e go; do sleep 0.02; done"
    plan = Plan(id="01-01", phase="1", tasks=(Task(name="only", runs=(RunBlock(lang="sh", code=script),)),))
    async with opened(project) as h:
        run = await h.run(plans=[plan])
        session = (await h.wait_for_state(states=["running"])).sessions[0]
        await printed(h, session.id, "up")
        in_the_way = h.store.layout.graph
        in_the_way.unlink()
        in_the_way.mkdir()  # nothing can be renamed onto a folder
        assert run._leading is not None
        runner = run._leading.runner
        runner._showing._publisher._shown.clear()
        await runner._show()
        await happens(h, lambda: h.store.troubles.sentences)
        text = await anyio.to_thread.run_sync(lambda: ControlRoom(h).look(live=True).text)
        assert text.count("dependency-graph.json") == 2
        in_the_way.rmdir()
        (project / "go").touch()
        assert (await run.wait()).passed
        assert h.store.troubles.sentences == ()
        assert [one.kind for one in h.store.events.select() if one.kind.startswith("publish")] == [
            "publishing_failed",
            "published",
        ]
        assert "dependency-graph.json" not in await anyio.to_thread.run_sync(
            lambda: ControlRoom(h).look(live=True).text
        )


async def test_a_harness_stays_open_that_can_neither_start_a_process_for_a_run_nor_write_that_down(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(project) as h:
        h.store.layout.holder_log.mkdir()  # no process can be started
        pause, refused = h.store.runs.pause, threading.Event()

        def tell(*given: Any) -> Any:
            try:
                return pause(*given)
            except UnwritableFolderError:
                refused.set()
                raise

        monkeypatch.setattr(h.store.runs, "pause", tell)
        h.store.runs.create("r1", RunOptions(), detached=True)
        h.store.journal._connection.execute("PRAGMA query_only = 1")  # as for any journal that cannot be written
        await h.host.announce()
        assert await anyio.to_thread.run_sync(refused.wait, 30)
        h.store.journal._connection.execute("PRAGMA query_only = 0")
        trouble = await happens(h, lambda: h.store.runs.get("r1").trouble)
        assert "directory" in trouble
