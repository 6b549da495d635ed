"""The project: its state in documents and journal, as data, as a picture, and as a folder to take along."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from harness_nb import errors
from harness_nb.harness.opened import Opened
from harness_nb.harness.state import read_state, roadmap_without_frontmatter, sync_state, write_quick_state
from harness_nb.views.frames import Frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.protocol.state import ProjectState
    from harness_nb.views.picture import Plot


class ProjectVerbs(Opened):
    """The harness's verbs for the project."""

    async def get_state(self) -> ProjectState:
        """Return what documents and journal say of the project."""
        return await anyio.to_thread.run_sync(read_state, self.store)

    async def sync_state(self) -> ProjectState:
        """Read plans, summaries and roadmap from disk, write the dependency graph, and return the state.

        While somebody runs the project's plans the graph is left alone: a run keeps its own up to date.
        """
        return await anyio.to_thread.run_sync(lambda: sync_state(self.store, actor=self.actor, door=self.door))

    async def set_state(self, *, insert: bool = False, **values: Any) -> ProjectState:
        """Set the quick state in ``ROADMAP.md``'s frontmatter; the text below it stays byte for byte.

        ``values`` are ``phase``, ``plan``, ``status``, ``completed_plans`` and the like. Where there is no frontmatter
        none is written, unless ``insert``, and a NoFrontmatterWarning says so.
        """

        def write() -> tuple[ProjectState, str | None]:
            if not write_quick_state(self.store, values, insert=insert):
                return read_state(self.store), roadmap_without_frontmatter(self.store)
            self.store.events.add("state_set", actor=self.actor, door=self.door, data=values)
            self.store.ring()
            return read_state(self.store), None

        state, without = await self.announced(write)
        if without is not None:
            warnings.warn(errors.NoFrontmatterWarning(without), stacklevel=2)
        return state

    @property
    def frames(self) -> Frames:
        """Sessions, messages, plans, events and what credentials there are as DataFrames; plain calls."""
        return Frames(self.store, lambda: read_state(self.store), lambda: self.desk.broker.provider)

    async def graph(self) -> Plot:
        """Return the plan graph as documents and journal have it now."""
        from harness_nb.harness.plots import graph_of_project  # drawing is not for every import

        return await anyio.to_thread.run_sync(graph_of_project, self.store)

    async def export(
        self, folder: str | Path, *, run: str | None = None, tell: Callable[[int, int], object] = lambda *_: None
    ) -> Path:
        """Write a run (by default the newest; where there is none, the whole project) as a folder that opens elsewhere.

        ``Harness(folder)`` shows it there: frames, output, board; ``report.html`` needs no more than a browser. What
        has not ended is marked as still running when exported. Of credentials, tokens and the like nothing goes along.
        ``tell`` is called from a worker thread with how many bytes of how many are written. Returns the folder.

        Raises: FileInTheWayError where there is something already, UnknownRunError, UnwritableFolderError.
        """
        from harness_nb.harness.exporting import export  # what it takes is not for every import

        target = Path(folder)

        def write() -> Path:
            return export(
                self.store, self.desk, target, run=run, actor=self.actor, door=self.door, tell=tell
            )  # fmt: skip

        return await self.announced(write)
