"""Saying what was found of the sessions that nobody had brought to their end.

One look at each session that is live in the journal says which of these it is:

- ``adopted``: its shim lives (it holds its lock), and it is followed from now on.
- ``finished meanwhile``: it ended by itself while nobody looked, and left how.
- ``died``: its processes are gone without an end of their own, and nothing follows: it has failed.
- ``resumed``: it died and was started again, or will be by whoever carries it: the run, once that goes on, or the
  harness that takes care of sessions that are of no run. The table of drivers says which workers can do that.
- ``retried``: it died in a run, and a new try at its plan followed or will follow.
- ``unknown``: nothing can be proved, since its lock cannot be asked or is another machine's, or its files are out of
  reach. It stays as it is.

What became of a session is an event in the journal, written by whoever noticed first: a harness that was just opened, a
run in another process, a command in a shell. So a look tells all that happened since the look before it, whoever did
it; the look itself is an event, too (``recovered``), and that is the mark from which the next one tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.errors import HarnessError
from harness_nb.protocol.recovery import FoundSession, Recovery
from harness_nb.sessions import catch_up, proof_of, result_of
from harness_nb.sessions.findings import DIED, FOUND

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from harness_nb.protocol.records import SessionRecord
    from harness_nb.protocol.recovery import Found
    from harness_nb.store import Store

RECOVERED = "recovered"
"""The event that somebody looked."""


def last_look(store: Store) -> int:
    """Return the number of the event that says when somebody looked last, 0 where nobody did."""
    last = store.events.newest(RECOVERED)
    return last.seq if last else 0


def look(
    store: Store, *, actor: str, door: str, since: int | None = None, followed: Collection[str] = ()
) -> tuple[Recovery, int]:
    """Look at every live session and return what is found, with the number of the event that says so.

    ``since`` is the number of an event: what happened after it is told as well, by default since the last look.
    ``followed`` are the sessions that this process follows already. Starts nothing and ends nothing that lives.
    """
    since = last_look(store) if since is None else since
    before = store.events.newest(RECOVERED)
    hindered = {
        session.id: trouble
        for session in store.sessions.select(live=True)
        if (trouble := catch_up(store, session.id, unwatched=session.id not in followed))
    }
    found = tuple(_found(store, since, hindered))
    seen = Recovery(sessions=found, looked_at=store.clock(), looked_before=before.timestamp if before else None)
    number = store.events.add(RECOVERED, actor=actor, door=door, data=dict(seen.counts()))
    store.ring()
    return seen, number


def _found(store: Store, since: int, hindered: Mapping[str, str]) -> list[FoundSession]:
    ends = {str(one.session_id): str(one.data["found"]) for one in store.events.select(since=since, kind=FOUND)}
    died = {str(one.session_id) for one in store.events.select(since=since, kind=DIED)}
    sessions = {one.id: one for one in store.sessions.select(live=True)}
    sessions |= {name: store.sessions.get(name) for name in (*ends, *died) if name not in sessions}
    rows = []
    for session in sorted(sessions.values(), key=lambda one: (one.created_at, one.id)):
        if session.live:
            trouble = hindered.get(session.id)
            found, reason, moment = _of_living(store, session, died=session.id in died, hindered=trouble)
        else:
            found, reason, moment = _of_ended(store, session, ends.get(session.id))
        rows.append(
            FoundSession(
                session=session.id, plan=session.plan_id, worker=session.worker, found=found, state=session.state,
                reason=reason, since=moment, lives=session.lives, run_id=session.run_id,
            )
        )  # fmt: skip
    return rows


def _of_living(
    store: Store, session: SessionRecord, *, died: bool, hindered: str | None
) -> tuple[Found, str | None, datetime]:
    if session.died_at is not None:
        return "resumed", session.reason, session.died_at
    began = session.launched_at or session.started_at or session.created_at
    proof = proof_of(store, session)
    if doubt := proof.doubt or (not proof.goes_on and hindered):
        return "unknown", doubt, began
    if died:
        return "resumed", f"its processes were gone; life {session.lives} began", began
    return "adopted", session.reason, began


def _of_ended(store: Store, session: SessionRecord, found: str | None) -> tuple[Found, str | None, datetime]:
    ended = session.ended_at or session.created_at
    if found == "finished meanwhile":
        return "finished meanwhile", session.reason, ended
    if found is None:  # it died, went on, and has come to an end of its own since
        return "resumed", session.reason, ended
    if follows := _what_follows(store, session):
        return "retried", f"{session.reason}; {follows}", ended
    return "died", session.reason, ended


def _what_follows(store: Store, session: SessionRecord) -> str | None:
    """Return which try at a plan follows one that died, or will once its run goes on."""
    if not session.is_attempt or session.run_id is None:
        return None
    attempts = [one for one in store.sessions.select(plan_id=session.plan_id) if one.is_attempt]
    later = attempts[[one.id for one in attempts].index(session.id) + 1 :]
    if later:
        return f"tried again as {later[0].id}"
    unfinished = store.runs.unfinished()
    if unfinished is None or unfinished.id != session.run_id:
        return None
    tries = sum(one.run_id == session.run_id for one in attempts)
    result = result_of(store, session.id)
    recoverable = result is not None and not result.success and bool(result.recoverable)
    return "another try follows with its run" if recoverable and tries <= _most_retries(store) else None


def _most_retries(store: Store) -> int:
    try:
        return store.config().max_retries
    except HarnessError:  # settings that are just being edited
        return 0
