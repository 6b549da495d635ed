"""What was found of sessions when somebody looked: who goes on, who ended, who died and what comes of that."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, get_args

from harness_nb.protocol import frame
from harness_nb.protocol.base import Timestamp, WireModel
from harness_nb.protocol.files import SessionState
from harness_nb.protocol.records import ENDED_STATES, LIVE_STATES
from harness_nb.protocol.shown import short_line

if TYPE_CHECKING:
    import pandas as pd

Found = Literal["adopted", "finished meanwhile", "died", "resumed", "retried", "unknown"]
FOUND_WORDS: tuple[str, ...] = get_args(Found)


class FoundSession(WireModel):
    """One session as it was found; ``since`` is when it began to be so."""

    session: str
    plan: str | None = None
    worker: str
    found: Found
    state: SessionState
    reason: str | None = None
    since: Timestamp
    lives: int = 1
    run_id: str | None = None

    def __repr__(self) -> str:
        plan = f" of {self.plan}" if self.plan else ""
        reason = f": {short_line(self.reason)}" if self.reason else ""
        return f"<{self.session}{plan} {self.found}{reason}>"

    def __str__(self) -> str:
        return repr(self)[1:-1]


class Recovery(WireModel):
    """What one look found; ``looked_before`` is when somebody looked last, None where nobody ever did."""

    sessions: tuple[FoundSession, ...] = ()
    looked_at: Timestamp
    looked_before: Timestamp | None = None

    def counts(self) -> dict[str, int]:
        """Return how many sessions were found to be what, without those that none was."""
        counted = Counter(one.found for one in self.sessions)
        return {word: counted[word] for word in FOUND_WORDS if counted[word]}  # type: ignore[index]

    def to_frame(self) -> pd.DataFrame:
        """Return one row a session, oldest first, indexed by its id as ``session``.

        Columns: ``plan``, ``worker``, ``found`` (category: ``adopted``, ``finished meanwhile``, ``died``, ``resumed``,
        ``retried``, ``unknown``), ``state`` (category), ``reason``, ``since`` (UTC), ``lives`` (Int64: how often its
        process was started), ``run_id``.
        """
        rows = self.sessions
        columns = {
            "plan": frame.texts(one.plan for one in rows),
            "worker": frame.texts(one.worker for one in rows),
            "found": frame.words((one.found for one in rows), FOUND_WORDS),
            "state": frame.words((one.state for one in rows), (*LIVE_STATES, *ENDED_STATES)),
            "reason": frame.texts(one.reason for one in rows),
            "since": frame.moments(one.since for one in rows),
            "lives": frame.counts(one.lives for one in rows),
            "run_id": frame.texts(one.run_id for one in rows),
        }
        return frame.styled(columns, (one.session for one in rows), "session")

    def __repr__(self) -> str:
        found = ", ".join(f"{count} {word}" for word, count in self.counts().items())
        return f"<recovery: {found or 'no session'}>"

    def __str__(self) -> str:
        return "\n".join(map(str, self.sessions)) or "no session"
