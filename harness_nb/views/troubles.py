"""What is wrong with a project now, in sentences: the one place that the board and ``harness-nb status`` take it from.

What can be written down is an event; what hinders the writing itself is known to the process that meets it, in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.errors import HarnessError
from harness_nb.protocol.shown import one_line
from harness_nb.store.locks import is_held
from harness_nb.store.trust import is_trusted, trusts_run
from harness_nb.views.questions import name_of
from harness_nb.views.snapshot import LOSSES, news_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from harness_nb.protocol.records import EventRecord, SessionRecord
    from harness_nb.store import Store

PUBLISHING = ("publishing_failed", "published")
GOES_ON = "h.run(), or `harness-nb run`, goes on with it."


def troubles_of(
    store: Store, *, mine: Callable[[SessionRecord], bool] | None = None, losses: Collection[str] = LOSSES
) -> tuple[str, ...]:
    """Return what is wrong now, each said once: with journal and files, and what did not arrive of sessions.

    ``mine`` chooses the sessions: by default those that live, or are of the newest run. ``losses`` are the kinds of
    events that count; of a file that was set aside no more is said once its session has ended.
    """
    sentences = list(store.troubles.sentences)
    try:
        sentences += _journaled(store, mine, losses)
    except HarnessError as error:
        sentences.append(str(error))
    return tuple(dict.fromkeys(one_line(sentence) for sentence in sentences))


def _journaled(store: Store, mine: Callable[[SessionRecord], bool] | None, kinds: Collection[str]) -> Iterator[str]:
    yield from _paused(store)
    failed = [event for kind in PUBLISHING for event in store.events.select(kind=kind)]
    newest = max(failed, key=lambda event: event.seq, default=None)
    if newest is not None and newest.kind == PUBLISHING[0] and _is_of_now(store, newest):
        yield f"What is shown in files is not up to date: {newest.data.get('reason')}"
    completed = {event.data.get("file") for event in store.events.select(kind="file_completed")}
    losses = {_what(event): event for kind in kinds for event in store.events.select(kind=kind)}
    if not losses:
        return
    run = store.runs.newest()
    chosen = mine or (lambda session: session.live or (run is not None and session.run_id == run.id))
    for event in sorted(losses.values(), key=lambda event: event.seq):
        if event.kind == "file_rejected" and event.data.get("file") in completed:
            continue
        session = store.sessions.get(str(event.session_id))
        if chosen(session) and (session.live or event.kind != "file_rejected"):
            yield news_text(event, "", worker=name_of(session)).removeprefix("! ")


def _paused(store: Store) -> Iterator[str]:
    """Say of a run that has not ended why nobody does it; one whose process died is given another one at once."""
    run = store.runs.unfinished()
    if run is None or is_held(store.layout.lease):
        return
    if run.trouble is not None:
        yield f"Run {run.id} is paused: {run.trouble} {GOES_ON}"
    elif not run.detached:
        yield f"Run {run.id} is paused: the process that did it has gone. {GOES_ON}"
    elif run.generation and not is_trusted(store.layout.root):
        yield f"Run {run.id} is paused: this project is not trusted. Trust it with `harness-nb trust`, and it goes on."
    elif run.generation and not trusts_run(store.layout.root, run):
        yield f"Run {run.id} is paused: its plans were written in Python. Run that cell again, and it goes on."


def _is_of_now(store: Store, event: EventRecord) -> bool:
    """Say whether an event is of the run that goes on, or else of the newest."""
    run = store.runs.newest()
    return event.run_id is None or (run is not None and event.run_id == run.id)


def _what(event: EventRecord) -> tuple[object, ...]:
    """Return what an event is about: of two that say the same with other numbers, the later one counts."""
    return event.kind, event.session_id, event.data.get("file")
