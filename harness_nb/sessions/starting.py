"""Starting a session, and starting one again that died: what is written down before its process is there, and after.

A worker that died is resumed where its driver knows how: the same session goes on, with what it has said and asked. Its
log goes on too, and so do its open questions, but credentials were in its shim's memory and are asked for again.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from harness_nb.credentials.forms import known_variables, masks_of
from harness_nb.errors import HarnessError, NotResumableError, ShimFailedError, UnreadableFileError
from harness_nb.protocol.commands import commands_of
from harness_nb.protocol.files import Config
from harness_nb.sessions.drivers import DRIVERS, Assignment, driver_named
from harness_nb.sessions.findings import say_found
from harness_nb.sessions.launch import Launch, launch
from harness_nb.sessions.orphans import runs
from harness_nb.sessions.proof import is_alive, is_fresh, is_to_come, rule_out
from harness_nb.shim.masker import Masker
from harness_nb.shim.tree import boot_id, host_id, start_time
from harness_nb.store.atomic import read_json, read_model, write_model
from harness_nb.store.patience import patiently
from harness_nb.store.tokens import make_token
from harness_nb.store.troubles import sentence_of
from harness_nb.store.trust import require_trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import Store

MEGABYTE = 1_000_000
NEVER_STARTED = "the process that was starting it died or was replaced before it could"
"""Why such a session failed; it did nothing, so it counts as no attempt."""
JOURNAL_PATIENCE = 60.0
"""Seconds that a session which is in the journal waits for that, before it counts as never started."""
FILE_PATIENCE = 2.0
"""Seconds in which a shim that has its lock writes down who it is; it takes tens of milliseconds."""
LOOK_AGAIN = 0.02


class NeverStarted(Exception):  # noqa: N818 — what became of a session, told to the host alone
    """A session is in the journal, and no process is there for it; ``why`` is the error, ``reason`` what is stored."""

    def __init__(self, why: HarnessError, reason: str) -> None:
        super().__init__(reason)
        self.why = why
        self.reason = reason


def start(
    store: Store,
    session: SessionRecord,
    assignment: Assignment,
    *,
    env: Mapping[str, str],
    credentials: Mapping[str, str],
    before_launch: Callable[[], object] | None,
    actor: str | None,
    door: str | None,
) -> SessionRecord:
    """Journal a session, leave its assignment and its token in its folder, and start its process.

    Raises: NeverStarted, UnknownWorkerError.
    """
    driver = driver_named(session.worker)
    what = driver.start(assignment)
    masker = Masker()
    services = settings_of(store).services
    masker.add(masks_of({**known_variables({**os.environ, **env}, services), **credentials}))
    # what was in the environment by choice is stored nowhere, so another process could not give it again
    resumable = driver.resume(assignment) is not None and not env and not credentials
    command = tuple(masker.mask(word) for word in what.argv)
    new = session.replace(command=command, resumable=resumable, launcher=this_process())
    store.sessions.create(new, actor=actor, door=door)
    folder = store.layout.session(session.id)
    known = assignment.replace(command=tuple(masker.mask(word) for word in assignment.command))
    order = Launch(
        what.argv,
        store.layout.root / session.working_dir,
        {**what.env, **env},
        credentials,
        limit=output_limit(store),
        terminal=what.terminal,
        life=session.lives,
        services=services,
    )
    try:
        write_model(folder.assignment, known, durable=False)  # a machine that stops ends its reader too
        if before_launch is not None:
            patiently(before_launch, JOURNAL_PATIENCE)
        make_token(folder.token)
        info = _launched(store, session, order)
    except (HarnessError, OSError) as error:
        said = sentence_of(error)
        why = error if isinstance(error, HarnessError) else ShimFailedError(session.id, said)
        raise NeverStarted(why, masker.mask(said)) from None
    return patiently(lambda: _started(store, session, info), JOURNAL_PATIENCE)


def _launched(store: Store, session: SessionRecord, order: Launch) -> Mapping[str, Any]:
    """Start a life of a session, and return what its process says of itself.

    Raises: what ``launch`` raises, where no process is there and none can come any more.
    """
    try:
        return launch(store.layout, session.id, order)
    except ShimFailedError:
        found = _come_after_all(store, session)
        if found is None:
            raise
        return found


def _come_after_all(store: Store, session: SessionRecord) -> Mapping[str, Any] | None:
    """Return what a process wrote down of which its launcher heard nothing; None where it can never come any more.

    It may be the launcher that was too slow: stopped for a while, it finds a worker that is long at work, or done, or
    that another process has taken over. So what has come is not ended for that, and counts.
    """
    until = time.monotonic() + FILE_PATIENCE
    while True:
        ruled_out = rule_out(store, session)
        with suppress(FileNotFoundError, UnreadableFileError):
            return read_json(store.layout.session(session.id).shim)
        if ruled_out:
            return None
        if time.monotonic() > until:  # it stands still itself; its lock tells what becomes of it
            return {}
        time.sleep(LOOK_AGAIN)


def confirm(store: Store, session: SessionRecord) -> bool:
    """Journal that a session's process is there where its launcher cannot any more; false where nothing is to be done.

    Raises: OSError, JournalTroubleError.
    """
    if session.worker == "python" or session.died_at is not None or session.launcher is None:
        return False
    if is_fresh(store, session) and runs(session.launcher):
        return False
    until = time.monotonic() + FILE_PATIENCE
    while time.monotonic() < until:
        with suppress(FileNotFoundError, UnreadableFileError):
            _started(store, session, read_json(store.layout.session(session.id).shim))
            return True
        if not is_alive(store, session.id):
            return False
        time.sleep(LOOK_AGAIN)
    return False


def give_up(store: Store, session: SessionRecord) -> SessionRecord | None:
    """Give up a life of a session whose launcher has gone or was replaced, unless its process has come after all.

    A first one has never started and counts for nothing: its record is returned. After that the session has died once
    more, and whoever looks next says so.
    """
    if not rule_out(store, session) or store.layout.session(session.id).shim.exists():  # it came, and has gone since
        return None
    ended = None
    with store.journal.write():
        now = store.sessions.get(session.id)
        if not now.live or now.lives != session.lives:
            return None
        if now.lives > 1:
            store.sessions.update(now.id, "session_given_up", launcher=None)
        elif (ended := store.sessions.end(now.id, state="failed", reason=NEVER_STARTED)) is not None:
            say_found(store, ended, "died")
    store.ring()
    return ended


def end_without_process(store: Store, session: SessionRecord, reason: str) -> bool:
    """End a session for which no process is there, and see to it that none comes any more; false where one may be.

    It has died, or was wanted long ago and never came; or it is a process that is no worker of ours.
    """
    with store.journal.write():
        now = store.sessions.get(session.id)
        if not now.live:
            return True
        if now.worker != "python" and now.died_at is None and not _never_came(store, now):
            return False
        store.sessions.end(now.id, state="failed", reason=reason)
    return True


def _never_came(store: Store, session: SessionRecord) -> bool:
    try:
        late = not is_fresh(store, session) and is_to_come(store, session)
        return late and rule_out(store, session) and not store.layout.session(session.id).shim.exists()
    except OSError:  # nothing can be proved of it
        return False


def settings_of(store: Store) -> Config:
    """Return the project's settings, or the defaults while they are just being edited."""
    try:
        return store.config()
    except HarnessError:
        return Config()


def output_limit(store: Store) -> int | None:
    """Return how many bytes of a session's output are kept by the settings, or None for all."""
    megabytes = settings_of(store).max_output_megabytes
    return None if megabytes is None else round(megabytes * MEGABYTE)


def start_again(store: Store, session_id: str) -> SessionRecord:
    """Start the process of a session that died, where it was; of several processes that try, one does.

    Where that cannot be, the session has failed.
    """
    with store.journal.write():
        session = store.sessions.get(session_id)
        if not session.live or session.died_at is None:
            return session
        _forget_life_before(store, session_id)
        session = store.sessions.update(
            session_id, "session_resumed",
            died_at=None, lives=session.lives + 1, launcher=this_process(), launched_at=store.clock(),
            **store.messages.waits_for(session_id),
        )  # fmt: skip
    try:
        info = _launched(store, session, _order_to_resume(store, session))
    except (HarnessError, OSError) as error:
        reason = f"it died and could not be resumed: {error}"
        return patiently(lambda: _failed_to_resume(store, session, reason), JOURNAL_PATIENCE)
    return patiently(lambda: _started(store, session, info), JOURNAL_PATIENCE)


def _failed_to_resume(store: Store, session: SessionRecord, reason: str) -> SessionRecord:
    with store.journal.write():
        now = store.sessions.get(session.id)
        if now.lives == session.lives and (failed := store.sessions.end(now.id, state="failed", reason=reason)):
            say_found(store, failed, "died")
            return failed
    return now


def _forget_life_before(store: Store, session_id: str) -> None:
    folder = store.layout.session(session_id)
    for trace in (folder.shim, folder.exit):
        trace.unlink(missing_ok=True)


def _order_to_resume(store: Store, session: SessionRecord) -> Launch:
    folder = store.layout.session(session.id)
    assignment = read_model(folder.assignment, Assignment)
    _require_trusted(store, session, assignment)
    what = driver_named(session.worker).resume(assignment)
    if what is None:
        raise NotResumableError(session.id, session.worker)
    make_token(folder.token)
    cwd = store.layout.root / session.working_dir
    return Launch(
        what.argv, cwd, what.env, limit=output_limit(store), terminal=what.terminal, life=session.lives,
        services=settings_of(store).services,
    )  # fmt: skip


def _require_trusted(store: Store, session: SessionRecord, assignment: Assignment) -> None:
    """Make sure that what a session goes on with is trusted: it comes from a file that others can write.

    A plan that a run was given in Python is its caller's own word; the journal says so, and not that file.
    """
    if session.run_id is not None and store.runs.get(session.run_id).options.inline_plans:
        return
    if assignment.plan is not None:
        require_trusted(store.layout.root, [commands_of(assignment.plan)])


def can_be_resumed(store: Store, session: SessionRecord) -> bool:
    """Say whether a session whose processes died may go on where it was, by its driver and the project's settings."""
    if not session.resumable or not session.is_attempt or session.worker not in DRIVERS:
        return False
    try:
        return session.lives <= store.config().max_retries
    except HarnessError:  # settings that are just being edited
        return True


def this_process() -> dict[str, Any]:
    """Say who starts a session, so that others can see whether that is still about to happen."""
    return {"pid": os.getpid(), "startTime": start_time(os.getpid()), "bootId": boot_id(), "hostId": host_id()}


def _started(store: Store, session: SessionRecord, info: Mapping[str, Any]) -> SessionRecord:
    with store.journal.write():
        now = store.sessions.get(session.id)
        if info.get("unmasked"):  # only its launcher is told so, also where somebody else saw it start before
            store.events.add("mask_refused", session_id=now.id, data={"names": info["unmasked"]})
        if now.launcher is None or now.lives != session.lives:  # another process has seen it start, or start again
            return now
        changes: dict[str, Any] = {"started_at": now.started_at or store.clock(), "launcher": None}
        if now.state == "initializing":
            changes["state"] = "running"
        return store.sessions.update(now.id, "session_started", **changes, pid=info.get("pid"))
