"""Which projects this user allowed to run commands from their plans, and which commands; kept outside of any project.

Each trusted folder has a file of its own: one list for all would have to be read and written back, and of two processes
that do so at once, one loses what it said. It holds the commands word by word, so that what changed since can be shown.

In the file of an earlier version only the folder's name stands. That was a yes, and nobody knows to what: the project
stays trusted, and its commands are asked about once. To trust what is there now would be to trust whatever somebody has
put there meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from harness_nb.errors import ChangedCommandsError, UntrustedProjectError, UnwritableFolderError
from harness_nb.protocol.commands import PlanCommands, Trust, commands_of, differences
from harness_nb.protocol.plans import Plan
from harness_nb.store.atomic import write_text
from harness_nb.store.layout import state_folder
from harness_nb.store.private import make_private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from harness_nb.protocol.records import RunRecord
    from harness_nb.store.store import Store


MOST_LINES = 12
"""Lines of a difference that an error quotes, about; ``harness-nb trust --show`` has all of them."""


def read_trust(project: Path) -> Trust | None:
    """Return what is trusted of this very folder, or None; a folder inside a trusted one is not, nor is a bad file."""
    name = os.fspath(project.resolve())
    try:
        content = json.loads(note_of_trust(project).read_text(encoding="utf-8"))
        trust = Trust(project=content, remembers=False) if isinstance(content, str) else Trust.model_validate(content)
    except (OSError, ValueError, RecursionError):
        return None
    return trust if trust.project == name else None


def is_trusted(project: Path) -> bool:
    """Say whether this very folder is trusted; which of its commands are is another question."""
    return read_trust(project) is not None


def trusts_run(project: Path, run: RunRecord) -> bool:
    """Say whether a run may go on by itself that only the journal tells of.

    Its plans are looked at when they start, except those that it was given in Python: these are in the journal alone.
    """
    trust = read_trust(project)
    given = run.options.inline_plans
    return trust is not None and all(trust.covers(commands_of(Plan.model_validate(one))) for one in given)


def require_trusted(project: Path, plans: Iterable[PlanCommands], redact: Callable[[str], str] = str) -> None:
    """Make sure that a project is trusted, and all that these plans of it execute.

    Raises: UntrustedProjectError, ChangedCommandsError, which quotes the beginning of the difference.
    """
    trust = read_trust(project)
    if trust is None:
        raise UntrustedProjectError(project)
    found = differences(trust, plans, redact)
    if not found:
        return
    quoted: list[str] = []
    for one in found:
        room = MOST_LINES - sum(1 + text.count("\n") for text in quoted)
        if room > 0:
            quoted.append(one.text(room))
    raise ChangedCommandsError(project, [one.plan for one in found], "\n".join(quoted), remembered=trust.remembers)


def set_trusted(project: Path, plans: Sequence[PlanCommands] = (), *, trusted: bool = True) -> None:
    """Trust a folder and the commands of these plans from now on, and no others, or trust it no longer.

    Raises: UnwritableFolderError, where this user's own state cannot be written.
    """
    note = note_of_trust(project)
    try:
        if trusted:
            make_private_folder(note.parent)
            trust = Trust(project=os.fspath(project.resolve()), plans=tuple(plans))
            write_text(note, json.dumps(trust.to_wire(), indent=1) + "\n", mode=0o600)
        else:
            note.unlink(missing_ok=True)
    except OSError as error:
        reason = f"{error.strerror or error} (HARNESS_STATE_DIR names another place for what is trusted)"
        raise UnwritableFolderError(note.parent, reason) from None


def trust_project(
    store: Store, plans: Sequence[PlanCommands] = (), *, actor: str, door: str, trusted: bool = True
) -> None:
    """Trust a project and the commands of these plans from now on, or no longer, and journal who said so.

    What is so already is no act. The journal has a digest of the commands, which tells whether it was the same ones.

    Raises: UnwritableFolderError, where this user's own state cannot be written.
    """
    root = store.layout.root
    now = read_trust(root)
    if now is None if not trusted else now is not None and now.remembers and now.plans == tuple(plans):
        return
    set_trusted(root, plans, trusted=trusted)
    data = {"plans": [one.plan for one in plans], "digest": digest_of(plans)} if trusted else {}
    store.events.add("trusted" if trusted else "trust_removed", actor=actor, door=door, data=data)
    store.ring()


def digest_of(plans: Sequence[PlanCommands]) -> str:
    """Return what is the same for the same commands in the same plans alone."""
    text = json.dumps([[one.plan, one.commands] for one in plans])
    return hashlib.sha256(text.encode()).hexdigest()


def note_of_trust(project: Path) -> Path:
    """Return the file that says what is trusted of a folder, and is there while something is."""
    name = hashlib.sha256(os.fsencode(project.resolve())).hexdigest()[:32]
    return state_folder() / "trusted" / f"{name}.json"


def mark_of_trust(project: Path) -> object:
    """Return what differs as soon as something else is trusted of a folder."""
    try:
        found = note_of_trust(project).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
