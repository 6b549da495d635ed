"""What is there, as people read it: which names are looked for in a keyring, and who comes before whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.credentials.folder import EMPTY
from harness_nb.protocol.credentials import FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness_nb.protocol.credentials import CredentialEntry, Service


def names_for_keyring(
    services: Mapping[str, Service], files: Iterable[CredentialEntry]
) -> list[tuple[str, str | None, str]]:
    """Return what to look for in a source that cannot be listed: service, context and variable.

    These are the services' own variables, without a context and for those that the files name.
    """
    pairs = {(service, None) for service in services}
    pairs |= {(one.service, one.context) for one in files if one.service in services}  # type: ignore[misc]
    in_turn = sorted(pairs, key=lambda pair: (pair[0], pair[1] or ""))
    return [(name, context, variable) for name, context in in_turn for variable in services[name].variables]


def in_order(found: Iterable[CredentialEntry], sources: Sequence[str]) -> list[CredentialEntry]:
    """Sort by service, context and variable, what a lookup takes first; the others say whom they come after."""
    ranks = {name: rank for rank, name in enumerate(sources)}
    of_files = ranks.get(FILES, len(ranks))

    def place(one: CredentialEntry) -> tuple[bool, str, str, str, int]:
        rank = ranks.get(one.source, of_files)  # an entry of a file has the file's name as its source
        return one.service is not None, one.service or "", one.context or "", one.variable or "", rank

    first: dict[tuple[str | None, ...], str] = {}
    shown = []
    for one in sorted(found, key=place):  # it is stable: files stay as they are read
        key = (one.service, one.context, one.variable)
        if one.variable is None or (one.note or "").startswith(EMPTY):
            shown.append(one)
            continue
        before = first.setdefault(key, one.source)
        note = "; ".join(filter(None, (f"comes after {before}" if before != one.source else "", one.note)))
        shown.append(one.replace(note=note or None))
    return shown
