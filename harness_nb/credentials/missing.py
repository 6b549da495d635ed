"""What to say of what a lookup did not find, and what to do about it; names of files and variables, never values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness_nb.credentials.keyring_source import command_to_set
from harness_nb.protocol.credentials import ENVIRONMENT, KEYRING, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness_nb.credentials.folder import FolderLookup
    from harness_nb.credentials.request import Gathered, Request

DIRECTORY_VARIABLE: Final = "HARNESS_CREDENTIALS_DIR"


def what_is_missing(request: Request, folder: FolderLookup | None, gathered: Gathered) -> str:
    """Return why a lookup has not found what was asked for."""
    problems = " ".join(gathered.problems)
    if gathered.ended:
        return problems
    left_out = folder.choice.left_out if folder is not None else ()
    others = f"Not for this request: {', '.join(left_out)}." if left_out else ""
    return " ".join(filter(None, (_what_lacks(request, folder, gathered), others, problems)))


def _what_lacks(request: Request, folder: FolderLookup | None, gathered: Gathered) -> str:
    if folder is not None and not gathered.read and not gathered.values:
        asked = f" Asked besides: {', '.join(gathered.asked)}." if gathered.asked else ""
        no_file = f"No credential file for {request.title} is in {folder.directory}."
        return f"{folder.listed.problem or no_file}{asked}"
    where = ", ".join((*gathered.read, *gathered.asked))
    missing = gathered.lacks(request.variables)
    names = ", ".join(f"{name} (there, but empty)" if name in gathered.empty else name for name in missing)
    what = f"lacks {names}" if request.wanted else f"has none of {names}" if names else "has no variables"
    looked = f" ({'read' if gathered.read else 'asked'}: {where})" if where else ""
    return f"{request.title} {what}{looked}."


def what_to_do(request: Request, folder: FolderLookup | None, gathered: Gathered, sources: Sequence[str]) -> str:
    """Return where to put what lacks, in the order of the sources; or how to mend what ended the lookup."""
    lacks = gathered.lacks(request.wanted) or request.service.variables[:1] or ("NAME",)
    if gathered.ended and (gathered.remedies or folder is None):
        return " ".join(gathered.remedies)
    file = [_file_to_write(request, folder, gathered, lacks)] if folder is not None else []
    if gathered.ended:
        return f"{file[0]}."
    ways = [*file, *_other_ways(request, gathered, sources, lacks)]
    text = ", or ".join(ways)
    return " ".join((*([f"{text[:1].upper()}{text[1:]}."] if text else []), *gathered.remedies))


def _other_ways(request: Request, gathered: Gathered, sources: Sequence[str], lacks: Sequence[str]) -> Iterator[str]:
    for source in sources:
        if source == KEYRING:
            more = f" (and so for {', '.join(lacks[1:])})" if lacks[1:] else ""
            yield f"put it into the keyring: {command_to_set(request.name, request.context_name, lacks[0])}{more}"
        elif source == ENVIRONMENT:
            if source in gathered.asked and set(lacks) <= set(request.service.variables):
                yield f"set {', '.join(lacks)} in the environment that the plans are run from"
        elif source not in SOURCES:
            yield f"put {', '.join(lacks)} where the source {source!r} finds it"


def _file_to_write(request: Request, folder: FolderLookup, gathered: Gathered, lacks: Sequence[str]) -> str:
    wanted = ("a line " if len(lacks) == 1 else "the lines ") + ", ".join(f"{name}=…" for name in lacks)
    if folder.unreadable:
        return f"Put a readable file with {wanted} in place of {folder.directory / folder.unreadable}"
    path = folder.directory / request.file_name
    if request.file_name in gathered.read:
        return f"Add {wanted} to {path}"
    where = f", or set {DIRECTORY_VARIABLE} to the directory that has it" if not gathered.read else ""
    return f"Create {path} with {wanted} (and chmod 600 it){where}"
