"""Who was allowed which credentials, as a DataFrame and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness_nb.errors import SessionNotFoundError
from harness_nb.protocol import frame
from harness_nb.protocol.grants import SCOPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from harness_nb.protocol.grants import GrantRecord
    from harness_nb.store import Store

STATES: Final = ("in force", "over", "revoked")


def grant_state(store: Store, grant: GrantRecord) -> str:
    """Return whether a grant still answers anything: by the clock, by its session's or its run's end, or by hand."""
    if grant.revoked_at is not None:
        return "revoked"
    run = store.runs.unfinished() if grant.scope == "run" else None
    over = not grant.holds_at(store.clock()) or (grant.scope == "run" and (run is None or run.id != grant.run_id))
    return "over" if over or (grant.scope == "session" and not _lives(store, grant.session_id)) else "in force"


def _lives(store: Store, session_id: str) -> bool:
    try:
        return store.sessions.get(session_id).live
    except SessionNotFoundError:
        return False


def grant_frame(rows: Sequence[GrantRecord], states: Sequence[str]) -> pd.DataFrame:
    """Return grants as ``Frames.grants`` does."""
    columns: dict[str, Any] = {
        "service": frame.texts(one.service for one in rows),
        "context": frame.texts(one.context for one in rows),
        "env_vars": frame.objects(one.env_vars for one in rows),
        "source": frame.texts(one.source for one in rows),
        "scope": frame.words((one.scope for one in rows), SCOPES),
        "state": frame.words(states, STATES),
        "whom": frame.texts(one.whom for one in rows),
        "granted_at": frame.moments(one.granted_at for one in rows),
        "until": frame.moments(one.until for one in rows),
        "actor": frame.texts(one.actor for one in rows),
        "door": frame.texts(one.door for one in rows),
        "session_id": frame.texts(one.session_id for one in rows),
        "plan_id": frame.texts(one.plan_id for one in rows),
        "run_id": frame.texts(one.run_id for one in rows),
        "revoked_at": frame.moments(one.revoked_at for one in rows),
        "revoked_by": frame.texts(one.revoked_by for one in rows),
    }
    return frame.styled(columns, (one.id for one in rows), "grant")
