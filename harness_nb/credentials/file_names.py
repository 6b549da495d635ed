"""Which files of a folder answer to a service and a context, decided by their names alone.

A name counts by its whole words (letters and digits, whatever stands between them), so ``highload-notes.env``
is no ``gh`` file. What is left of a name without the service's words is its context. A file that says more
than the context asked for (``postgres-production-eu.env`` for ``production``) is taken only where nothing
says exactly that, where there is one such reading, and where no word turns the meaning round
(``pre-production``): a password of the wrong environment is worse than a question.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUFFIX: Final = ".env"
LONGEST_NAME: Final = 100
"""Characters of a service's or a context's name."""


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case: runs of letters and digits."""
    return tuple(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", name).casefold()))


def is_plain_name(name: str) -> bool:
    """Whether a name can stand in a file name: some word, not too long, no separator or control character."""
    if len(name) > LONGEST_NAME or not words_of(name):
        return False
    return not any(char in "/\\" or ord(char) < 32 or ord(char) == 127 for char in name)


TURNING_WORDS: Final = frozenset(
    words_of(
        "pre non no not anti former staging stage dev devel development test tests testing qa uat ci local "
        "sandbox preview demo prod production live example sample template old backup bak copy disabled"
    )
)
"""Words that make a file one for something else than its other words say."""


@dataclass(frozen=True)
class Choice:
    """The files to read, first wins, and those that fill gaps; those set aside; and those between nobody can choose."""

    chosen: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    says_more: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    rank: int
    name: str
    context: frozenset[str]


def without_stems(words: Sequence[str], stems: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], int | None]:
    """Return the words that belong to no stem, and the place of the first listed stem among them, if any."""
    rest: list[str] = []
    ranks: list[int] = []
    longest_first = sorted(enumerate(stems), key=lambda item: -len(item[1]))
    at = 0
    while at < len(words):
        for rank, stem in longest_first:
            if tuple(words[at : at + len(stem)]) == stem:
                ranks.append(rank)
                at += len(stem)
                break
        else:
            rest.append(words[at])
            at += 1
    return tuple(rest), min(ranks, default=None)


def _candidates(names: Iterable[str], stems: Sequence[tuple[str, ...]]) -> list[_Candidate]:
    found = []
    for name in names:
        if not name.lower().endswith(SUFFIX):
            continue
        rest, rank = without_stems(words_of(name[: -len(SUFFIX)]), stems)
        if rank is not None:
            found.append(_Candidate(rank, name, frozenset(rest)))
    return sorted(found, key=lambda candidate: (candidate.rank, candidate.name))


def choose(
    names: Iterable[str],
    stems: Sequence[tuple[str, ...]],
    context: frozenset[str] = frozenset(),
    *,
    allow_fallback: bool = False,
) -> Choice:
    """Choose the files for a service (by its stems, in order) and a context (its words; none: no context).

    Beside the files of the context the plain ones fill gaps with ``allow_fallback``; each by stem, then by name.
    """
    candidates = _candidates(names, stems)
    chosen = [item for item in candidates if item.context == context]
    says_more: list[_Candidate] = []
    if context and not chosen:
        says_more = [
            item for item in candidates if item.context > context and not (item.context - context) & TURNING_WORDS
        ]
        if len({item.context for item in says_more}) > 1:
            return Choice(ambiguous=tuple(item.name for item in says_more))
        chosen = list(says_more)
    fallback = [item for item in candidates if not item.context] if context and allow_fallback else []
    return Choice(
        chosen=tuple(item.name for item in chosen),
        fallback=tuple(item.name for item in fallback),
        left_out=tuple(item.name for item in candidates if item not in [*chosen, *fallback]),
        says_more=tuple(item.name for item in says_more),
    )
