"""A folder of ``.env`` files as a source: which of them answer a request, in order, and what they hold."""

from __future__ import annotations

import shlex
import stat
from typing import TYPE_CHECKING, Final

from harness_nb.credentials.env_files import EnvFile, file_names_in, read_env_file
from harness_nb.credentials.file_names import SUFFIX, choose, without_stems, words_of
from harness_nb.credentials.request import stems_of
from harness_nb.credentials.sources import context_name
from harness_nb.protocol.credentials import FILES, CredentialEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness_nb.credentials.request import Gathered, Request
    from harness_nb.protocol.credentials import Service

EMPTY: Final = "empty"
"""What is noted of a variable that a file names and gives no value."""


class FolderLookup:
    """One lookup in a folder; nothing in it raises.

    A chosen file that cannot be read ends the lookup without any credentials, and so do several between which nobody
    can choose: going on could return those of a file that the user meant to come second.
    """

    def __init__(self, directory: Path, request: Request) -> None:
        self.directory = directory
        self.listed = file_names_in(directory)
        self.choice = choose(
            self.listed.names, request.stems, frozenset(request.context), allow_fallback=request.allow_fallback
        )
        self.unreadable: str | None = None
        self._request = request

    def fill(self, gathered: Gathered, *, plain: bool) -> None:
        """Take what the files of the context have, or with ``plain`` those of none that fill its gaps."""
        request, choice = self._request, self.choice
        if self.listed.problem and not self.listed.missing:
            gathered.end(self.listed.problem)
            return
        if choice.ambiguous:
            files = ", ".join(choice.ambiguous)
            gathered.end(f"Several files say {request.title}: {files}. Ask for one by its whole context.")
            return
        for name in choice.fallback if plain else choice.chosen:
            if request.wanted and not gathered.lacks(request.wanted):
                return
            file = read_env_file(self.directory, name)
            if file.problem:
                self.unreadable = name
                gathered.end(file.problem)
                return
            self._note(file, gathered)
            gathered.take(request.variables or file.values, file.values, name)

    def _note(self, file: EnvFile, gathered: Gathered) -> None:
        warnings = [*file.warnings]
        if file.name in self.choice.says_more:
            warnings.append(f"{file.name} names more than the context {' '.join(self._request.context)!r}.")
        if not gathered.read and (open_folder := folder_warning(self.directory)):
            warnings.append(open_folder)
        gathered.read.append(file.name)
        gathered.empty |= file.empty
        gathered.warnings += warnings


def folder_warning(directory: Path) -> str | None:
    """Return a sentence if others may put files of their own in the place of those in a folder."""
    try:
        mode = directory.stat().st_mode
    except OSError:
        return None  # what cannot be read is said where it is read
    if not mode & 0o022:
        return None
    remedy = shlex.join(["chmod", "go-w", str(directory)])
    return f"Others can replace files in {directory} (mode {stat.S_IMODE(mode):03o}); close it with: {remedy}"


def file_entries(directory: Path, services: Mapping[str, Service]) -> list[CredentialEntry]:
    """Return what the files of a folder hold, in the order in which a lookup would take it, without any value."""
    names, problem, _ = file_names_in(directory)
    notes = [note for note in (problem, folder_warning(directory)) if note]
    found = [CredentialEntry(source=FILES, note=note) for note in notes]
    claims = [claim for name in names if name.lower().endswith(SUFFIX) for claim in _claims(name, services)]
    files = {name: read_env_file(directory, name) for name in dict.fromkeys(name for *_, name in claims)}
    for service, context, _, name in sorted(claims, key=lambda claim: (claim[0], claim[1] or "", *claim[2:])):
        for variable, note in _variables(files[name]):
            found.append(
                CredentialEntry(service=service, context=context, variable=variable, source=name, note=note)
            )  # fmt: skip
    return found


def _claims(name: str, services: Mapping[str, Service]) -> Iterator[tuple[str, str | None, int, str]]:
    """Yield each service and context that a file's name says, with the stem's place; its own name if it says none."""
    words = words_of(name[: -len(SUFFIX)])
    known = False
    for service, one in services.items():
        rest, rank = without_stems(words, stems_of(service, one))
        if rank is not None:
            known = True
            yield service, context_name(rest), rank, name
    if words and not known:
        yield "-".join(words), None, 0, name


def _variables(file: EnvFile) -> Iterator[tuple[str | None, str | None]]:
    if file.problem:
        yield None, file.problem
        return
    for name in sorted({*file.values, *file.empty}):
        yield name, "; ".join((*((EMPTY,) if name in file.empty else ()), *file.warnings)) or None
    if not file.values and not file.empty:
        yield None, "; ".join(("holds no variables", *file.warnings))
