"""``harness-nb grants``: who was allowed which credentials, and taking a yes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness_nb.cli.columns import print_columns
from harness_nb.cli.opening import DOOR, opened, opened_unseen, used_root
from harness_nb.cli.views import make_console
from harness_nb.errors import GrantNotFoundError
from harness_nb.harness import current_user
from harness_nb.orchestrator import Desk
from harness_nb.views.grants import grant_state

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from harness_nb.protocol.grants import GrantRecord

COLUMNS = ("grant", "service", "variables", "for", "by", "when", "until", "state")
NOTHING = "Nobody was allowed any credentials here."


def show_grants(folder: Path, *, as_json: bool) -> None:
    """Print every yes to credentials that there was, never a value.

    Raises: ProjectNotFoundError, NotAFolderError.
    """
    rows: list[tuple[GrantRecord, str]] = []
    if used_root(folder)[1]:
        with opened_unseen(folder) as store:
            rows = [(one, grant_state(store, one)) for one in store.grants.select()]
    if as_json:
        print(json.dumps([{**one.to_wire(), "state": state} for one, state in rows], indent=2, ensure_ascii=False))  # noqa: T201
    elif not rows:
        print(NOTHING)  # noqa: T201
    else:
        print_columns(make_console(), [COLUMNS, *(_words(one, state) for one, state in rows)])


def revoke_grant(folder: Path, grant_id: str) -> None:
    """Take a yes back: it answers nothing more, and its session hands the values out no longer.

    Raises: GrantNotFoundError, ProjectNotFoundError, NotAFolderError.
    """
    if not used_root(folder)[1]:
        raise GrantNotFoundError(grant_id, ())
    with opened(folder) as store:
        grant = Desk(store).broker.revoke(grant_id, actor=current_user(), door=DOOR)
    print(f"Revoked: {', '.join(grant.env_vars)} of {_what(grant)} for {grant.whom}. What was taken already is taken.")  # noqa: T201


def _words(one: GrantRecord, state: str) -> tuple[str, ...]:
    until = _short(one.until) if one.until else ""
    names = ", ".join(one.env_vars)
    return (one.id, _what(one), names, one.whom, one.actor, _short(one.granted_at), until, state)


def _short(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _what(grant: GrantRecord) -> str:
    return f"{grant.service} ({grant.context})" if grant.context else grant.service
