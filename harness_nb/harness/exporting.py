"""Writing a run, or a whole project, as a folder that opens elsewhere.

It is a project's folder: ``Harness(folder)`` shows sessions, messages, events, output and the board as they were. The
journal is copied by SQLite's backup and cut down to the run (its sessions, their messages and events, and what was done
to the project while it went on), because a run is often given to somebody who has no business with the others. Of each
session only what is named in ``_FILES`` and ``_FOLDERS`` goes along. Nothing in it is alive, and a note in it makes
``run()`` and ``start_session()`` refuse: the files that its plans worked on are not in it.

Everything is written under another name beside the folder, which gets its own at the very end, in one step.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Any

import yaml

from harness_nb import templates
from harness_nb._version import __version__
from harness_nb.credentials import CredentialProvider, Redactor
from harness_nb.errors import FileInTheWayError, HarnessError, UnknownRunError, UnwritableFolderError
from harness_nb.harness.export_report import report_page
from harness_nb.harness.state import open_project
from harness_nb.orchestrator.recollection import recollect
from harness_nb.plans import Project, build_graph
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.plans import Plan
from harness_nb.protocol.records import EventRecord
from harness_nb.sessions.output_copy import copy_output, data_in
from harness_nb.store.atomic import names_in
from harness_nb.store.journal_copy import EXPORTED, JournalCopy, copy_journal, explained
from harness_nb.store.layout import GITIGNORE, Layout
from harness_nb.store.private import make_private_file, make_private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    from harness_nb.orchestrator import Desk
    from harness_nb.protocol.records import RunRecord, SessionRecord
    from harness_nb.store import Store

_FILES = ("result.json", "exit.json")
_FOLDERS = ("asked", "answered", "late")
_SETTINGS = ("version", "spec_dir", "phase_order", "verification_required", "worker", "max_retries")
"""The settings that a reader needs; others may hold addresses or answers that are nobody else's."""
LARGEST = 16 << 20
"""Bytes of a document or a message's file; a larger one is none."""


class Export:
    """One export; ``tell`` is told how many bytes of how many are copied."""

    def __init__(
        self, store: Store, desk: Desk, folder: Path, run: RunRecord | None, tell: Callable[[int, int], object]
    ) -> None:
        self._store = store
        self._desk = desk
        self._run = run
        self._target = folder
        self._part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
        self._layout = Layout(self._part)
        self._tell = tell
        self._redact = Redactor()
        self._done = 0
        self._total = 0

    def write(self, at: datetime, actor: str, door: str) -> Path:
        """Write the folder and return it.

        Raises: FileInTheWayError, UnwritableFolderError, DiskFullError, JournalBusyError, JournalDamagedError.
        """
        if os.path.lexists(self._target):
            raise FileInTheWayError(self._target, "an export")
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._fill(at, actor, door)
            if os.path.lexists(self._target):
                raise FileInTheWayError(self._target, "an export")
            self._part.rename(self._target)
        except OSError as error:
            where = self._target.parent
            raise UnwritableFolderError(where, f"{error.strerror or error}") from None
        finally:
            shutil.rmtree(self._part, ignore_errors=True)
        return self._target

    def _fill(self, at: datetime, actor: str, door: str) -> None:
        make_private_folder(self._layout.sessions)
        event = EventRecord(
            timestamp=at, kind=EXPORTED, actor=actor, door=door, run_id=self._run.id if self._run else None
        )
        with explained(self._store.journal.path, self._target):
            sessions = self._copy_journal(event)
        self._copy_sessions(sessions)
        project = _project(self._store, self._run)
        self._copy_documents(project)
        self._write_settings()
        self._write_pages(at, project, sessions)

    def _copy_journal(self, event: EventRecord) -> list[SessionRecord]:
        make_private_file(self._layout.database)
        copy_journal(self._store.journal.path, self._layout.database)
        with JournalCopy(self._layout.database) as copy:
            if self._run is not None:
                copy.keep_run(self._run, _sessions_of(self._run))
            sessions = copy.tie_up(event.timestamp, event)
            self._gather_secrets(sessions)
            if self._redact.values():
                copy.rewrite(self._redact.redact, self._holds_value)
            copy.finish()
        return sessions

    # --- what must not leave -----------------------------------------------------------------

    def _gather_secrets(self, sessions: Iterable[SessionRecord]) -> None:
        """Look up again what these sessions were given: the values are stored nowhere, so that they can be found."""
        ids = [session.id for session in sessions]
        for name, values in recollect(self._store, ids, self._providers()).items():
            for value in values:
                self._redact.add({name: value})
        for passed_through, name in self._desk.broker.redact.values().items():
            self._redact.add({name: passed_through})

    def _providers(self) -> list[CredentialProvider]:
        """Return where values may have come from: who exports need not look them up where the run did."""
        runs = self._store.runs.select() if self._run is None else [self._run]
        folders = {one.options.credentials_dir for one in runs if one.options.credentials_dir is not None}
        providers = [self._desk.broker.provider, *(CredentialProvider(folder) for folder in sorted(folders))]
        return [one for provider in providers for one in provider.one_by_one()]

    def _holds_value(self, row: str) -> bool:
        """Say whether a row's JSON holds a value; what wraps or colours one in a text is escaped there."""
        if self._redact(row) != row:
            return True
        content = json.loads(row) if "\\" in row else None
        return bool(self._redact.redact(content) != content)

    def _without_values(self, text: str) -> str:
        return self._redact(text)

    # --- sessions ----------------------------------------------------------------------------

    def _copy_sessions(self, sessions: list[SessionRecord]) -> None:
        here = self._store.layout
        self._total = sum(data_in(here.session(one.id).output) for one in sessions)
        self._tell(0, self._total)
        for one in sessions:
            source, target = here.session(one.id), self._layout.session(one.id)
            target.create()
            copy_output(
                source.output, target.output, blot=self._redact if self._redact.values() else None, tell=self._copied
            )
            for name in _FILES:
                self._copy_text(source.path / name, target.path / name)
            for name in _FOLDERS:
                for file in names_in(source.path / name):
                    if file.endswith(".json") and not file.startswith("."):
                        make_private_folder(target.path / name)
                        self._copy_text(source.path / name / file, target.path / name / file)
            self._write_status(one)

    def _copied(self, count: int) -> None:
        self._done += count
        self._tell(self._done, max(self._done, self._total))

    def _write_status(self, session: SessionRecord) -> None:
        view = self._store.sessions.view_of(session)
        text = json.dumps(view.to_wire(), indent=2, ensure_ascii=False)
        write_private(self._layout.session(session.id).status, self._without_values(text) + "\n")

    def _copy_text(self, source: Path, target: Path) -> None:
        """Copy a text of moderate size, unless it is a link: a worker may have put one there."""
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                return
            text = file.read().decode("utf-8", errors="surrogateescape")
        make_private_folder(target.parent)
        write_private(target, self._without_values(text), errors="surrogateescape")

    # --- documents ---------------------------------------------------------------------------

    def _copy_documents(self, project: Project) -> None:
        root = project.root
        folders = {(root / path).parent for plan in project.plans for path in (plan.path, plan.summary_path) if path}
        found = {folder / name for folder in folders for name in names_in(folder) if name.endswith(".md")}
        if project.roadmap_file is not None:
            found |= {project.roadmap_file, project.roadmap_file.with_name("AUDIT.md")}
        for path in sorted(found):
            if path.resolve().is_relative_to(root) and path.is_file():
                self._copy_text(path.resolve(), self._part / path.relative_to(root))

    def _write_settings(self) -> None:
        config = self._store.config()
        kept = {name: getattr(config, name) for name in _SETTINGS}
        names = {name: str(type(config).model_fields[name].alias) for name in _SETTINGS}
        text = yaml.safe_dump({names[name]: value for name, value in kept.items() if value is not None})
        write_private(self._layout.config, text)
        write_private(self._layout.folder / ".gitignore", GITIGNORE)

    def _write_pages(self, at: datetime, project: Project, sessions: list[SessionRecord]) -> None:
        title, note, page = report_page(self._store, self._run, project, sessions, at)
        write_private(self._part / "report.html", self._without_values(page))
        readme = templates.text_of("export_readme.txt").format(title=title, underline="=" * len(title), note=note)
        write_private(self._part / "README.txt", readme)
        name = self._store.layout.root.name
        what: dict[str, Any] = {"exportedAt": format_timestamp(at), "project": name, "version": __version__}
        if self._run is not None:
            what["runId"] = self._run.id
        write_private(self._layout.export_note, json.dumps(what, indent=2) + "\n")


def export(
    store: Store,
    desk: Desk,
    folder: Path,
    *,
    run: str | None,
    actor: str,
    door: str,
    tell: Callable[[int, int], object] = lambda *_: None,
) -> Path:
    """Write a run (by default the newest; where there is none, the whole project) as a folder, and return that.

    Raises: FileInTheWayError, UnknownRunError, UnwritableFolderError, DiskFullError, JournalBusyError,
    JournalDamagedError.
    """
    record = run_named(store, run)
    target = folder.expanduser().absolute()
    written = Export(store, desk, target, record, tell).write(store.clock(), actor, door)
    store.events.add(
        EXPORTED, run_id=record.id if record else None, actor=actor, door=door, data={"folder": str(written)}
    )
    store.ring()
    return written


def run_named(store: Store, name: str | None) -> RunRecord | None:
    """Return a run by its id; without one the newest, or None where there never was any.

    Raises: UnknownRunError.
    """
    if name is None:
        return store.runs.newest()
    known = {one.id: one for one in store.runs.select()}
    if name not in known:
        raise UnknownRunError(name, known)
    return known[name]


def _sessions_of(run: RunRecord) -> list[str]:
    """Return the sessions that a run's report names: it may have adopted some that others began."""
    plans = (run.report or {}).get("plans")
    found = [one.get("sessionId") for one in plans if isinstance(one, dict)] if isinstance(plans, list) else []
    return [one for one in found if isinstance(one, str)]


def _project(store: Store, run: RunRecord | None) -> Project:
    """Return the documents, or the plans that the run was given instead."""
    if run is not None and run.options.inline_plans:
        plans = tuple(Plan.model_validate(one) for one in run.options.inline_plans)
        return Project(root=store.layout.root, plans=plans, graph=build_graph(plans))
    try:
        return open_project(store)
    except HarnessError:  # settings that are just being edited: what happened is worth more
        return Project(root=store.layout.root, plans=(), graph=build_graph(()))
