"""While everything runs, nothing of ours listens on anything but this machine's own addresses."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import anyio.to_thread
import psutil
import pytest

from harness_nb.store import Layout
from harness_nb.store.locks import note_of
from tests.dashboard.serving import served
from tests.mcp_server.conftest import port_server
from tests.orchestrator.written_plans import until, write_plan
from tests.sessions.living import opened

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = "0A"


def listeners() -> dict[str, str]:
    """Return the address of each listening TCP socket of this machine, by its inode."""
    found = {}
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{table}", encoding="ascii") as file:  # noqa: PTH123 — no file of a folder
                lines = file.readlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTEN:
                found[fields[9]] = _address(fields[1].partition(":")[0])
    return found


def _address(text: str) -> str:
    words = struct.pack(f"={len(text) // 8}I", *(int(text[at : at + 8], 16) for at in range(0, len(text), 8)))
    return socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words)


def sockets_of(process: psutil.Process) -> set[str]:
    """Return the inodes of the sockets that a process and its children have open."""
    found = set()
    for one in (process, *process.children(recursive=True)):
        for link in _links(one.pid):
            found |= {link[8:-1]} if link.startswith("socket:[") else set()
    return found


def _links(pid: int) -> list[str]:
    import os

    links = []
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 — names alone
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))  # noqa: PTH115, PERF401 — one may go meanwhile
    except OSError:
        pass
    return links


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_everything_at_once_listens_on_the_loopback_alone(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_plan(project, "01-01", "read line")
    layout = Layout(project)
    async with opened(project) as h, port_server(project, tmp_path / "mcp.log") as url:
        with served(project, folder=tmp_path) as page:
            await anyio.to_thread.run_sync(page.get, f"/?token={page.token}")
            command = await h.start_session(command=["sh", "-c", "read line"])
            run = await h.run(detach=True)
            await anyio.to_thread.run_sync(until, lambda: note_of(layout.lease).get("pid"))
            await anyio.to_thread.run_sync(until, lambda: len(h.store.sessions.select(live=True)) == 2)
            holder = psutil.Process(note_of(layout.lease)["pid"])
            assert holder.pid != psutil.Process().pid
            server = int(url.split(":")[2].split("/")[0])
            ours = [psutil.Process(), holder, psutil.Process(page.process.pid)]
            found = listeners()
            addresses = {found[inode] for one in ours for inode in sockets_of(one) if inode in found}
            assert addresses <= {"127.0.0.1", "::1"}
            assert "127.0.0.1" in addresses
            listening = {
                one.laddr.port for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr
            }
            assert {server, page.port} <= listening
            assert not [inode for inode in sockets_of(holder) if inode in found]
            await run.stop()
            await command.stop(grace=0)
