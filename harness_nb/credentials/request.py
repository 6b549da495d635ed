"""One lookup: what is asked for, and what was found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness_nb.credentials.file_names import without_stems, words_of
from harness_nb.credentials.sources import context_name
from harness_nb.protocol.credentials import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness_nb.credentials.sources import Found


@dataclass(frozen=True)
class Request:
    """One lookup, with names brought into the form that files are compared in."""

    name: str
    service: Service
    stems: tuple[tuple[str, ...], ...]
    wanted: tuple[str, ...]
    context: tuple[str, ...]
    allow_fallback: bool

    @property
    def title(self) -> str:
        """The service and the context, for people."""
        return f"{self.name} ({' '.join(self.context)})" if self.context else self.name

    @property
    def file_name(self) -> str:
        """The file that would answer this request best."""
        return "-".join((*self.stems[0], *self.context)) + ".env"

    @property
    def context_name(self) -> str | None:
        """The context as sources are told it."""
        return context_name(self.context)

    @property
    def variables(self) -> tuple[str, ...]:
        """What to look for: the wanted, else the service's own; none of both is all that there is."""
        return self.wanted or self.service.variables


def request_for(
    service: str,
    wanted: tuple[str, ...],
    context: str | None,
    services: Mapping[str, Service],
    *,
    allow_fallback: bool,
) -> Request:
    """Return what a lookup asks for; a service that is not known goes by its own name."""
    name = service.strip().casefold()
    found = services.get(name, Service())
    stems = stems_of(name, found)
    words, _ = without_stems(words_of(context or ""), stems)
    return Request(name, found, stems, wanted, tuple(dict.fromkeys(words)), allow_fallback)


def stems_of(name: str, service: Service) -> tuple[tuple[str, ...], ...]:
    """Return the words that name a service's files, in their order."""
    return tuple(filter(None, map(words_of, service.stems))) or tuple(filter(None, (words_of(name),)))


@dataclass
class Gathered:
    """What a lookup has found so far, who was asked, and what went wrong."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    origins: dict[str, str] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    empty: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
    ended: bool = False

    def take(self, names: Iterable[str], values: Mapping[str, str], origin: str) -> None:
        """Take the values of these names that nobody had before."""
        for name in names:
            if name not in self.values and values.get(name):
                self.values[name] = values[name]
                self.origins[name] = origin

    def lacks(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Return those of the names that have no value yet."""
        return tuple(name for name in wanted if name not in self.values)

    def note(self, answer: Found) -> None:
        """Keep what is to be said of a source that could not be asked; one that ends the lookup takes all with it."""
        if answer.ends:
            self.end(answer.problem or "", answer.remedy)
        elif answer.problem and answer.problem not in self.problems:
            self.problems.append(answer.problem)
            self.remedies += [answer.remedy] if answer.remedy else []

    def end(self, problem: str, remedy: str | None = None) -> None:
        """Have nobody asked any more: who comes after was meant to come second."""
        self.values.clear()
        self.origins.clear()
        self.problems, self.remedies = [problem], [remedy] if remedy else []
        self.ended = True
