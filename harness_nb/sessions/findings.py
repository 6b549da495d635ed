"""What the journal says of sessions that were found in another way than they were left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import Store

FOUND = "session_found"
"""The event that a session's processes were gone, or that it had ended while nobody looked."""
DIED = "session_died"
"""The event that a session's processes are gone, and that it will be resumed."""
UNKNOWN = "session_unknown"
"""The event that says why nothing can be proved of a session."""


def say_found(store: Store, session: SessionRecord, found: Literal["died", "finished meanwhile"]) -> None:
    """Journal what was found of a session that has ended."""
    store.events.add(
        FOUND, session_id=session.id, run_id=session.run_id, plan_id=session.plan_id, data={"found": found}
    )


def say_doubt(store: Store, session: SessionRecord, doubt: str) -> None:
    """Journal why nothing can be proved of a session, once for each reason."""
    if _has_doubt(store, session, doubt):  # most looks end here, and need no lock
        return
    with store.journal.write():  # of several who look at once, one says it
        if not _has_doubt(store, session, doubt):
            store.events.add(
                UNKNOWN, session_id=session.id, run_id=session.run_id, plan_id=session.plan_id, data={"reason": doubt}
            )


def _has_doubt(store: Store, session: SessionRecord, doubt: str) -> bool:
    said = store.events.select(session_id=session.id, kind=UNKNOWN)
    return bool(said) and said[-1].data.get("reason") == doubt
