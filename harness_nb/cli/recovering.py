"""``harness-nb recover``: what became of the sessions that nobody had brought to their end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.text import Text

from harness_nb.cli.board import STYLES
from harness_nb.cli.opening import DOOR, opened_unseen, used_root
from harness_nb.cli.views import make_console
from harness_nb.harness import current_user
from harness_nb.harness.recovery import look
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.shown import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.protocol.recovery import FoundSession, Recovery

GROUPS = {"adopted": "running", "resumed": "running", "retried": "running", "died": "failed", "unknown": "asks"}
"""In which style what was found is shown."""


def show_recovery(folder: Path, *, as_json: bool) -> None:
    """Look at the project's sessions and print what is found; starts nothing, and ends nothing that lives.

    Raises: ProjectNotFoundError, NotAFolderError.
    """
    if not used_root(folder)[1]:
        print("[]" if as_json else NOTHING)  # noqa: T201
        return
    with opened_unseen(folder) as store:
        seen, _ = look(store, actor=current_user(), door=DOOR)
    if as_json:
        rows = [one.to_wire() for one in seen.sessions]
        print(json.dumps(rows, indent=2, ensure_ascii=False))  # noqa: T201
    else:
        _print(seen)


NOTHING = "No session was left to be found."


def _print(seen: Recovery) -> None:
    console = make_console()
    if not seen.sessions:
        console.print(NOTHING)
        return
    rows = [COLUMNS, *(_words(one) for one in seen.sessions)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS) - 1)]
    styles = ["dim", *(STYLES[GROUPS.get(one.found, "complete")] for one in seen.sessions)]  # type: ignore[index]
    for row, style in zip(rows, styles, strict=True):
        line = Text()
        for word, width, own in zip(row, widths, ("", "", "", style, "", ""), strict=False):
            line.append(f"{word:<{width}}  ", style=own)
        console.print(line.append(row[-1], style="dim"), soft_wrap=True)


COLUMNS = ("session", "plan", "worker", "found", "state", "since", "reason")


def _words(one: FoundSession) -> tuple[str, ...]:
    since, reason = format_timestamp(one.since), one_line(one.reason or "")
    return (one.session, one.plan or "", one.worker, one.found, one.state, since, reason)
