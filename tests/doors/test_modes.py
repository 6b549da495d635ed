"""What the harness writes is its owner's alone, from the moment it is there and whatever the umask says."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import LinkedFolderError
from harness_nb.store import Layout, Store
from harness_nb.store.layout import runtime_folder
from tests.orchestrator.written_plans import write_plan
from tests.sessions.living import opened

if TYPE_CHECKING:
    from pathlib import Path

LIFE = """
import os, sys, time
from pathlib import Path
from harness_nb import Harness
from harness_nb.store import Layout
os.umask(int(sys.argv[2], 8))
root = Path(sys.argv[1])
asks = '''
umask > worker-umask; echo out > workers-file
cd "$HARNESS_SESSION_DIR"
printf '{"type":"action","phase":"1","plan":"p","action":"a","instructions":"i","reason":"r","id":"q1"}' > x
mv x checkpoint.json
while [ ! -e checkpoint_response.json ]; do sleep 0.05; done
mv checkpoint_response.json answered/q1.json
echo nonsense > y; mv y checkpoint.json
read line
'''
with Harness(root, trust=True) as h:
    s = h.start_session(command=["sh", "-c", asks])
    while not h.get_pending():
        h.wait_for_state(states=["checkpoint"], timeout=60)
    h.get_pending()[0].approve()
    folder = Layout(root).session(s.id)
    while not list(folder.path.glob("rejected/*.txt")):
        time.sleep(0.05)
    (root / "live").write_text("\\n".join(f"{p.lstat().st_mode:o} {p}" for p in [*Layout(root).sockets.rglob("*")]))
    run = h.run(detach=True)
    run.wait(timeout=120)
    s.stop(grace=0)
    h.export(root.parent / "exported")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    write_plan(root, "01-01", "echo hello > made")
    return root


def too_wide(folder: Path) -> list[str]:
    """Return what in a folder, and the folder itself, has another mode than it should."""
    found = []
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600):
            found.append(f"{stat.S_IMODE(mode):o} {path.relative_to(folder)}")
    return found


@pytest.mark.parametrize("umask", ["022", "000", "077"])
def test_files_are_0600_and_folders_0700_under_every_umask(project: Path, umask: str) -> None:
    state = project.parent / "state"
    environment = {**os.environ, "HARNESS_STATE_DIR": str(state)}
    done = subprocess.run(
        [sys.executable, "-c", LIFE, str(project), umask], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    layout = Layout(project)
    theirs = {"x", "y", "checkpoint.json"}  # what a worker writes has its own mode, wherever it is put
    wide = [one for one in too_wide(layout.folder) if not _is_workers(one, theirs)]
    assert wide == []
    assert too_wide(state) == []
    assert too_wide(project.parent / "exported") == []
    live = [line.split(" ", 1) for line in (project / "live").read_text().splitlines()]
    assert any(path.endswith(".sock") for _, path in live)
    assert any("/bells/" in path for _, path in live)
    for mode, path in live:
        assert stat.S_IMODE(int(mode, 8)) == (0o700 if stat.S_ISDIR(int(mode, 8)) else 0o600), path
    assert stat.S_IMODE(runtime_folder().stat().st_mode) == 0o700
    assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700
    # the worker's own files are as it would have made them
    assert int((project / "worker-umask").read_text(), 8) == int(umask, 8)
    assert stat.S_IMODE((project / "workers-file").stat().st_mode) == 0o666 & ~int(umask, 8)
    assert stat.S_IMODE((project / "made").stat().st_mode) == 0o666 & ~int(umask, 8)


def _is_workers(line: str, names: set[str]) -> bool:
    """Say whether a file was written by the worker: the question that it put there, under whatever name it has now."""
    path = line.split(" ", 1)[1]
    return path.rpartition("-")[2] in names or path.endswith("asked/q1.json")


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_the_journal_and_what_sqlite_keeps_beside_it_are_private_while_it_is_open(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with closing(Store(tmp_path)) as store:
            store.events.add("something")
            beside = sorted(path.name for path in store.layout.folder.glob("harness.db*"))
            assert beside == ["harness.db", "harness.db-shm", "harness.db-wal"]
            assert too_wide(store.layout.folder) == []
    finally:
        os.umask(before)


def test_what_an_earlier_version_made_wider_is_tightened_where_it_is_ours(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        layout = store.layout
    layout.folder.chmod(0o755)
    layout.database.chmod(0o644)
    layout.sockets.chmod(0o755)
    with closing(Store(tmp_path)):
        assert stat.S_IMODE(layout.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(layout.database.stat().st_mode) == 0o600
        assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700


def test_files_for_people_to_commit_keep_the_mode_that_the_umask_gives_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness_nb.cli"]
    script = f"umask 022; {sys.executable} -m harness_nb.cli init {tmp_path}/p && cd {tmp_path}/p"
    script += f" && {' '.join(command)} mcp install"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plans = [*(tmp_path / "p").rglob("*.md"), tmp_path / "p" / ".mcp.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in plans} == {0o644}
    assert stat.S_IMODE(Layout(tmp_path / "p").config.stat().st_mode) == 0o600


@pytest.mark.parametrize("what", [".orchestration", "sessions"])
def test_a_link_in_place_of_our_folders_is_refused_and_what_it_leads_to_stays_as_it_was(
    tmp_path: Path, what: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    project = tmp_path / "project"
    place = project / ".orchestration" if what == ".orchestration" else project / ".orchestration" / what
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    with pytest.raises(LinkedFolderError, match="is a link"):
        Store(project)
    assert list(outside.iterdir()) == []
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


@pytest.mark.anyio
async def test_a_session_of_another_mind_keeps_its_umask_and_we_keep_ours(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        session = await h.start_session(command=["sh", "-c", "umask"])
        await session.wait()
        printed = (await h.get_output(session.id)).text
    assert int(printed.strip(), 8) == _umask()


def _umask() -> int:
    now = os.umask(0o022)
    os.umask(now)
    return now
