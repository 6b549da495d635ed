"""What is lost or dropped of a session is said: while it lives, at its end, at the board and on the command line."""

from __future__ import annotations

import json
import resource
from typing import TYPE_CHECKING

import anyio.to_thread
import pytest

from harness_nb.cli.output import print_output
from harness_nb.cli.status import show_status
from harness_nb.errors import UnreadableFileError
from harness_nb.mcp_server.replies import OutputReply
from harness_nb.notebook.board import ControlRoom
from harness_nb.notebook.output import Tail
from harness_nb.notebook.pictures import SessionScene
from harness_nb.sessions import read_output
from harness_nb.store import Store
from harness_nb.views.troubles import troubles_of
from tests.sessions.living import happens, opened, printed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.row(3, 11)]

TYPED = "\r\n"
PRINTS = ["sh", "-c", "read go; yes 0123456789 | head -n 250000; echo last; read end; exit 0"]


def limit_output(project: Path, megabytes: str) -> None:
    (project / ".orchestration").mkdir(exist_ok=True)
    (project / ".orchestration" / "config.yaml").write_text(f"maxOutputMegabytes: {megabytes}\n")


async def test_output_above_the_limit_is_dropped_and_that_is_said_while_the_session_goes_on(
    project: Path,
) -> None:
    limit_output(project, "1")
    async with opened(project) as h:
        session = await h.start_session(command=PRINTS)
        await session.send("\n")
        await printed(h, session.id, "last")
        [first] = await happens(h, lambda: h.store.events.select(kind="output_dropped"))
        assert first.data["bytes"] > 0
        assert session.record.live
        output = await h.get_output(session.id, lines=1)
        assert output.text == "last\n"
        said = f"[… the oldest {output.dropped / 1e6:,.1f} MB of the output were dropped]"
        assert str(output) == f"{said}\nlast\n"
        for text in (
            await anyio.to_thread.run_sync(lambda: ControlRoom(h).look(live=True).text),
            await anyio.to_thread.run_sync(lambda: SessionScene(session).look(live=True).text),
        ):
            assert text.count("printed were dropped") == 1
        reply = OutputReply.of(session.record, output, more=False)
        assert reply.dropped == output.dropped
        assert "were dropped]" in reply.text
        await session.send("\n")
        assert (await session.wait()).state == "completed"
        *_, total = h.store.events.select(kind="output_dropped")
        assert total.data["bytes"] >= first.data["bytes"]
        size = h.store.layout.session(session.id).output.stat()
        assert size.st_blocks * 512 < 1_200_000 < size.st_size


@pytest.mark.parametrize("value", ["null", "1024"])
async def test_below_the_limit_or_without_one_nothing_is_dropped(project: Path, value: str) -> None:
    limit_output(project, value)
    async with opened(project) as h:
        session = await h.start_session(command=["sh", "-c", "yes 0123456789 | head -n 250000"])
        await session.wait()
        assert h.store.events.select(kind="output_dropped") == []
        assert read_output(h.store.layout.session(session.id).output).dropped == 0


def test_a_limit_that_is_none_is_refused_by_its_name(project: Path) -> None:
    limit_output(project, "0")
    store = Store(project)
    with pytest.raises(UnreadableFileError, match=r"config\.yaml:1 .*maxOutputMegabytes"):
        store.config()
    store.close()


async def test_a_view_begins_where_the_kept_output_does(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit_output(project, "1")
    async with opened(project) as h:
        session = await h.start_session(command=PRINTS)
        await session.send("\n\n")
        await session.wait()
        path = h.store.layout.session(session.id).output
        kept = path.stat().st_size - read_output(path).dropped
        tail = Tail(path)
        lines = tail.whole()["lines"]
        assert lines[-1] == "last"
        print_output(project, session.id, lines=1, follow=False)
        told = capsys.readouterr()
        assert told.out == "last\n"
        assert told.err.startswith("[… the oldest ")
        assert tail.total <= kept // len("0123456789\r\n") + 3


async def test_output_that_cannot_be_stored_is_told_once_while_the_session_goes_on(project: Path) -> None:
    """Its shim may write only so much to one file, as if the disk were full for the output and for nothing else."""
    async with opened(project) as h:
        session = await h.start_session(command=PRINTS)
        shim = json.loads(h.store.layout.session(session.id).shim.read_text())["pid"]
        resource.prlimit(shim, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        await session.send("\n")
        [event] = await happens(h, lambda: h.store.events.select(kind="output_lost"))
        assert "bytes of output were not stored: File too large" in event.data["error"]
        text = await anyio.to_thread.run_sync(lambda: ControlRoom(h).look(live=True).text)
        assert text.count(" is kept: ") == 1
        await session.send("\n")
        assert (await session.wait()).state == "completed"
        _, total = h.store.events.select(kind="output_lost")
        assert total.data["error"].startswith(f"{len(TYPED) + 250_000 * 12 + len(TYPED) + 6 - 1_000_000:,} bytes")


def test_files_that_cannot_be_written_are_told_until_they_are(project: Path) -> None:
    store = Store(project)
    store.events.add("publishing_failed", data={"reason": "The disk is full."})
    assert troubles_of(store) == ("What is shown in files is not up to date: The disk is full.",)
    store.events.add("published")
    assert troubles_of(store) == ()
    store.close()


def test_status_tells_it_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "planning" / "plans" / "01-a").mkdir(parents=True)
    (project / "planning" / "plans" / "01-a" / "01-01-PLAN.md").write_text("---\nphase: 1\nplan: 1\n---\n")
    store = Store(project)
    store.events.add("publishing_failed", data={"reason": "The disk is full."})
    store.close()
    show_status(project, as_json=False)
    assert "! What is shown in files is not up to date: The disk is full." in capsys.readouterr().out
