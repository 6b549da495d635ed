"""Where values may come from besides a folder's files: the environment, the keyring, and sources of a user's own.

A provider asks its sources in their order, and what one lacks the next may supply. A source that could not be asked at
all (it raised, a keyring stays locked) ends a lookup as an unreadable file does: going on could return the value that
was meant to come second. One that is not there at all, such as a keyring on a machine that has none, lacks everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import SecretStr

from harness_nb.credentials.file_names import is_plain_name, words_of
from harness_nb.protocol.credentials import ENVIRONMENT, SOURCE_GROUP, SOURCES, CredentialEntry, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Source(Protocol):
    """What a source of your own is: an object with a ``name`` and ``find``, and ``entries`` where it can list.

    Give it to ``CredentialProvider(sources=…)``, or register a class or function without arguments that returns it
    under the entry point group ``harness_nb.credential_sources``: then its name there can stand in
    ``credentialSources`` of ``config.yaml``. It is called in threads, several at a time. What ``find`` raises is never
    repeated, since that may hold a value: only its type is.

    A source may also have ``entries()``, which returns what it has as tuples of service, context (or None) and
    variable, without any value, for ``frames.credentials()``.
    """

    @property
    def name(self) -> str:
        """What it is called where people are told where a value came from."""

    def find(self, service: str, variables: Sequence[str], context: str | None) -> Mapping[str, str]:
        """Return those of the variables that it has, by name.

        ``service`` is in lower case. No ``variables``: all that it has of a service that is known by none. ``context``
        is strict, and as ``context_name`` writes it: ``eu-production`` for "Production, EU"; None is no context, and is
        asked besides where a lookup allows fallback.
        """


@dataclass(frozen=True)
class Found:
    """What a source answered: values, or in ``problem`` why it has none and in ``remedy`` what to do.

    Where it ``ends`` the lookup nobody may be asked any more.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    problem: str | None = None
    remedy: str | None = None
    ends: bool = False


def context_name(words: Iterable[str]) -> str | None:
    """Return a context as sources are told it: its words in order, whatever order they were asked in."""
    return "-".join(sorted(set(words))) or None


@dataclass(frozen=True)
class Environment:
    """A process's environment: no context, and of each service the variables that it lists."""

    environ: Mapping[str, str] = field(repr=False)
    services: Mapping[str, Service] = field(repr=False)
    name: str = ENVIRONMENT

    def find(self, service: str, variables: Sequence[str], context: str | None) -> Mapping[str, str]:
        """Return the service's variables that are set; nothing for a named context."""
        known = self.services.get(service, Service()).variables if context is None else ()
        found = {name: self.environ.get(name) for name in variables if name in known}
        return {name: value for name, value in found.items() if value and is_text(value)}

    def entries(self) -> list[tuple[str, str | None, str]]:
        """Return which services' variables are set."""
        every = [(service, name) for service, known in self.services.items() for name in known.variables]
        return [(service, None, name) for service, name in every if self.environ.get(name)]


def registered_source(name: str) -> Source | Found:
    """Return the source that an installed package registers under a name, or what is wrong with it."""
    from importlib.metadata import entry_points

    registered = entry_points(group=SOURCE_GROUP)
    points = {point.value: point for point in registered.select(name=name)}
    if not points:
        known = ", ".join((*SOURCES, *sorted(registered.names - set(SOURCES))))
        problem = f"No source of credentials is called {name!r}; there are {known}."
        remedy = f"Install the package that offers {name!r}, or correct the list of sources."
        return Found(problem=problem, remedy=remedy, ends=True)
    if len(points) > 1:
        both = " and ".join(sorted(points))
        problem = f"Two installed packages call a source of credentials {name!r}: {both}."
        return Found(problem=problem, remedy="Remove one of them.", ends=True)
    try:
        source = next(iter(points.values())).load()()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it is somebody else's code, and what it says may hold a value
        return _failed(name, "could not be loaded", error)
    if not callable(getattr(source, "find", None)):
        return Found(problem=f"The source of credentials {name!r} has no find().", remedy=_mend(name), ends=True)
    found: Source = source
    return found


def ask(source: Source, name: str, service: str, variables: Sequence[str], context: str | None) -> Found:
    """Ask a source that somebody else wrote; whatever it does becomes a sentence without a value."""
    try:
        answer: Any = source.find(service, tuple(variables), context)
        values = _texts(answer, variables)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it is somebody else's code, and what it says may hold a value
        return _failed(name, "failed", error)
    if values is None:
        problem = f"The source of credentials {name!r} answered with something else than texts by their names."
        return Found(problem=problem, remedy=_mend(name), ends=True)
    return Found(values)


def _texts(answer: Any, variables: Sequence[str]) -> dict[str, str] | None:
    if not isinstance(answer, Mapping):
        return None
    values: dict[str, str] = {}
    for name, given in answer.items():
        value = given.get_secret_value() if isinstance(given, SecretStr) else given
        if not isinstance(name, str) or not is_text(value):
            return None
        if value and VARIABLE.fullmatch(name) and (not variables or name in variables):
            values[name] = value
    return values


def is_text(value: Any) -> bool:
    """Say whether a value is one that a process can be given: text that is whole, without a zero byte."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def entries_of(source: Source, name: str) -> list[CredentialEntry]:
    """Return what a source says that it has; a line with the reason where it does not say."""
    list_them = getattr(source, "entries", None)
    if not callable(list_them):
        return [CredentialEntry(source=name, note="it does not list what it has")]
    try:
        found = [(str(service), context, str(variable)) for service, context, variable in list_them()]
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return [CredentialEntry(source=name, note=f"it could not be listed ({type(error).__name__})")]
    named = [
        (service.casefold(), context_name(words_of(str(context or ""))), variable)
        for service, context, variable in found
        if is_plain_name(service) and VARIABLE.fullmatch(variable)
    ]
    return [CredentialEntry(service=one, context=two, variable=three, source=name) for one, two, three in named]


def _failed(name: str, what: str, error: BaseException) -> Found:
    problem = f"The source of credentials {name!r} {what} ({type(error).__name__})."
    return Found(problem=problem, remedy=_mend(name), ends=True)


def _mend(name: str) -> str:
    return f"Mend the source {name!r}, or take it out of the list of sources."
