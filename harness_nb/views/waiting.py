"""What comes of open questions by themselves, as the journal knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.orchestrator.policies import Rules, prospect, rules_of_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.orchestrator.policies import Prospect
    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.store import Store


def prospects(store: Store) -> Callable[[MessageRecord, SessionRecord], Prospect]:
    """Return a function that says what comes of a question: the unfinished run's rules, else those of the settings."""
    run, config = store.runs.unfinished(), store.config()
    rules = rules_of_run(run.options, config) if run is not None else Rules(config.policies)

    def of(question: MessageRecord, session: SessionRecord) -> Prospect:
        own = run is not None and session.run_id == run.id
        return prospect(question, rules if own else Rules(config.policies, rules.attended))

    return of
