"""Runs in the journal: what they were asked to do, where their plans stand, who does them and how they ended.

Everything about a run is data, so that any process can show it, stop it, or go on with it. Whoever does one has a
number that grows with each new one (a fencing token): it is compared inside of every change that comes from doing the
run, so one that stood still for a while and is not the one any more is told so at its next step, and changes nothing.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from harness_nb.errors import RunTakenOverError, UnknownRunError
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.outcome import PlanOutcome
from harness_nb.protocol.records import RunRecord

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from harness_nb.protocol.records import RunOptions
    from harness_nb.store.events import Events
    from harness_nb.store.journal import Journal

_leading: ContextVar[RunRecord | None] = ContextVar("leading", default=None)


class Runs:
    """Every call of ``run()``; each change but that of a plan's place is an event."""

    def __init__(
        self, journal: Journal, events: Events, clock: Callable[[], datetime], *, ring: Callable[[], object]
    ) -> None:
        self._journal = journal
        self._events = events
        self._clock = clock
        self._ring = ring
        journal.guard = self._require_lead

    # --- what becomes of a run ---------------------------------------------------------------

    def create(
        self,
        run_id: str,
        options: RunOptions,
        *,
        detached: bool = False,
        actor: str | None = None,
        door: str | None = None,
    ) -> RunRecord:
        """Add a run that nobody does yet."""
        record = RunRecord(id=run_id, options=options, created_at=self._clock(), detached=detached)
        with self._journal.write() as connection:
            connection.execute(
                "INSERT INTO runs (id, state, created_at, data) VALUES (?, ?, ?, ?)",
                (run_id, record.state, format_timestamp(record.created_at), record.model_dump_json(exclude_none=True)),
            )
            self._events.add("run_started", run_id=run_id, actor=actor, door=door)
        return record

    def change_options(
        self, run_id: str, options: RunOptions, *, detached: bool, actor: str | None = None, door: str | None = None
    ) -> RunRecord:
        """Keep with what an unfinished run is to go on."""
        data = {"detached": detached}
        with self._journal.write():
            self._events.add("run_continued", run_id=run_id, actor=actor, door=door, data=data)
            return self._update(run_id, options=options, detached=detached, trouble=None)

    def lead(self, run_id: str, *, door: str | None = None) -> RunRecord:
        """Become the one that does a run; whoever did before changes nothing from now on.

        Raises: UnknownRunError.
        """
        with self._journal.write():
            record = self._update(run_id, generation=self.get(run_id).generation + 1, trouble=None)
            data = {"generation": record.generation}
            self._events.add("run_taken_up", run_id=run_id, actor="run", door=door, data=data)
        return record

    def act_as(self, record: RunRecord | None) -> None:
        """Make every change of the calling task, and of those that it starts, one that comes from doing a run.

        None is for a task that was started by such a one and works for everybody.
        """
        _leading.set(record)

    def show(
        self, run_id: str, outcomes: Iterable[tuple[PlanOutcome, bool]], phases: dict[str, Any] | None = None
    ) -> None:
        """Keep where plans of a run stand now, each with whether the run is about it, for whoever watches.

        Raises: RunTakenOverError.
        """
        with self._journal.write() as connection:
            newest = "SELECT coalesce(max(version), 0) + 1 FROM run_plans WHERE run_id = ?"
            version = connection.execute(newest, (run_id,)).fetchone()[0]
            connection.executemany(
                "INSERT OR REPLACE INTO run_plans (run_id, plan_id, version, selected, data) VALUES (?, ?, ?, ?, ?)",
                [
                    (run_id, one.plan_id, version, selected, one.model_dump_json(exclude_none=True))
                    for one, selected in outcomes
                ],
            )
            if phases is not None:
                self._update(run_id, phases=phases)

    def ask_to_stop(self, run_id: str, *, actor: str, door: str) -> RunRecord:
        """Ask whoever does a run, now or later, to bring it to its end.

        Raises: UnknownRunError.
        """
        with self._journal.write():
            record = self.get(run_id)
            if record.state != "running" or (record.stopping and record.trouble is None):
                return record
            self._events.add("run_stop_asked", run_id=run_id, actor=actor, door=door)
            return self._update(run_id, stopping=True, trouble=None)

    def pause(self, run_id: str, trouble: str) -> RunRecord:
        """Write down why a run that has not ended cannot go on by itself."""
        with self._journal.write():
            self._events.add("run_paused", run_id=run_id, data={"reason": trouble})
            return self._update(run_id, trouble=trouble)

    def end(self, run_id: str, state: str, report: dict[str, object] | None = None) -> RunRecord:
        """Write down how a run ended."""
        with self._journal.write():
            self._events.add("run_ended", run_id=run_id, data={"state": state})
            return self._update(run_id, state=state, ended_at=self._clock(), report=report)

    def _update(self, run_id: str, **changes: Any) -> RunRecord:
        with self._journal.write() as connection:
            record = self.get(run_id).replace(**changes)
            connection.execute(
                "UPDATE runs SET state = ?, data = ? WHERE id = ?",
                (record.state, record.model_dump_json(exclude_none=True), run_id),
            )
            self._journal.afterwards(self._ring)
        return record

    def _require_lead(self, connection: sqlite3.Connection) -> None:
        """Make sure that what wants to write is no one that did a run before another one took it over."""
        leading = _leading.get()
        if leading is None:
            return
        query = "SELECT json_extract(data, '$.generation') FROM runs WHERE id = ?"
        found = connection.execute(query, (leading.id,)).fetchone()
        if found is not None and found[0] != leading.generation:
            raise RunTakenOverError(leading.id)

    def require_lead(self) -> None:
        """Make sure that the calling task is not one that did a run before another one took it over.

        Raises: RunTakenOverError.
        """
        leading = _leading.get()
        if leading is not None and self.get(leading.id).generation != leading.generation:
            raise RunTakenOverError(leading.id)

    # --- looking -----------------------------------------------------------------------------

    def get(self, run_id: str) -> RunRecord:
        """Return a run.

        Raises: UnknownRunError.
        """
        found = self._select("WHERE id = ?", run_id)
        if not found:
            raise UnknownRunError(run_id, [one.id for one in self.select()])
        return found[0]

    def plans(self, run_id: str, since: int = 0) -> tuple[int, list[tuple[PlanOutcome, bool]]]:
        """Return the plans of a run whose place changed after a version, in their order, and the newest version."""
        rows = self._journal.read(
            "SELECT version, selected, data FROM run_plans WHERE run_id = ? AND version > ? ORDER BY version, rowid",
            (run_id, since),
        )
        found = [(PlanOutcome.model_validate_json(row["data"]), bool(row["selected"])) for row in rows]
        return max((row["version"] for row in rows), default=since), found

    def select(self) -> list[RunRecord]:
        """Return all runs, oldest first."""
        return self._select("ORDER BY rowid")

    def newest(self) -> RunRecord | None:
        """Return the run that began last, or None."""
        return next(iter(self._select("ORDER BY rowid DESC LIMIT 1")), None)

    def unfinished(self) -> RunRecord | None:
        """Return the newest run that nobody has ended, or None."""
        return next(iter(self._select("WHERE state = 'running' ORDER BY rowid DESC LIMIT 1")), None)

    def _select(self, which: str, *values: str) -> list[RunRecord]:
        rows = self._journal.read(f"SELECT data FROM runs {which}", values)  # noqa: S608 — a constant
        return [RunRecord.model_validate(json.loads(row["data"])) for row in rows]
