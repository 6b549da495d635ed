"""What a board shows of plans that are held because their commands changed: the difference, and how to say yes."""

from __future__ import annotations

import os
from shlex import quote
from typing import TYPE_CHECKING

from harness_nb import templates
from harness_nb.harness.state import open_project
from harness_nb.orchestrator.untrusted_plans import CHANGED_REASON
from harness_nb.protocol.commands import PlanDifference, commands_of, differences
from harness_nb.store.trust import mark_of_trust, read_trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from harness_nb.notebook.pictures import Fragments
    from harness_nb.protocol.outcome import PlanOutcome
    from harness_nb.protocol.plans import Plan
    from harness_nb.store import Store

MOST_SHOWN = 8
"""Plans whose difference is shown."""


class UntrustedCard:
    """Says which plans are held for their commands; documents are read again only where one of them changed."""

    def __init__(self, store: Store, redact: Callable[[str], str]) -> None:
        self._store = store
        self._redact = redact
        self._mark: object = None
        self._found: tuple[PlanDifference, ...] = ()

    def look(self, outcomes: Iterable[PlanOutcome], plans: Sequence[Plan]) -> Fragments:
        """Return the card for a run's plans as they stand now, or nothing."""
        held = {one.plan_id for one in outcomes if one.state == "held" and one.reason == CHANGED_REASON}
        if not held:
            return []
        root = self._store.layout.root
        paths = [root / one.path for one in plans if one.id in held and one.path]
        mark = frozenset(held), mark_of_trust(root), tuple(_time_of(os.fspath(path)) for path in paths)
        if mark != self._mark:
            now = [commands_of(one) for one in open_project(self._store).plans if one.id in held]
            self._found, self._mark = differences(read_trust(root), now, self._redact), mark
        if not self._found:
            return []
        shown, command = self._found[:MOST_SHOWN], f"harness-nb trust {quote(os.fspath(root))}"
        names = ", ".join(one.plan for one in shown)
        more = len(self._found) - len(shown)
        return [("untrusted", templates.render("untrusted.html", names=names, more=more, shown=shown, command=command))]


def _time_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a card is looked at often
    except OSError:
        return None
