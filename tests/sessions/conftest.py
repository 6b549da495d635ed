"""A project for sessions, and workers that are gone when the test is."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from harness_nb.store import Layout
from tests.sessions.workers import Workers, kill_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project's folder; what a failed test left running in it is ended."""
    folder = tmp_path / "project"
    folder.mkdir()
    yield folder
    layout = Layout(folder)
    for leader in _workers_of(layout):
        kill_session(leader)
    shutil.rmtree(layout.sockets, ignore_errors=True)


def _workers_of(layout: Layout) -> Iterator[int]:
    for path in layout.sessions.glob("*/shim.json"):
        if not layout.session(path.parent.name).exit.exists():
            info = json.loads(path.read_text())
            if "workerPid" in info:
                yield info["workerPid"]


@pytest.fixture
def workers(project: Path) -> Iterator[Workers]:
    """Starts workers straight under a shim, without a journal."""
    layout = Layout(project)
    layout.create()
    workers = Workers(layout)
    yield workers
    workers.clear()
