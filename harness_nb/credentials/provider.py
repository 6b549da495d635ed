"""Looking credentials up: which sources to ask for a request, in order, and what to say of what they lack.

Nothing in here raises for what a worker asked, what a folder holds or what a source does: a lookup always returns a
result, whose sentences name files and variables, never values. The first source that has a value wins; with a context
all of them are asked for exactly that before any may fill a gap without it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from pydantic import SecretStr

from harness_nb.credentials.file_names import LONGEST_NAME, is_plain_name
from harness_nb.credentials.folder import FolderLookup, file_entries
from harness_nb.credentials.keyring_source import ask_keyring, keyring_entries
from harness_nb.credentials.listing import in_order, names_for_keyring
from harness_nb.credentials.missing import DIRECTORY_VARIABLE, what_is_missing, what_to_do
from harness_nb.credentials.request import Gathered, Request, request_for
from harness_nb.credentials.services import KNOWN_SERVICES
from harness_nb.credentials.sources import Environment, Found, Source, ask, entries_of, registered_source
from harness_nb.errors import UnusableArgumentError
from harness_nb.protocol.credentials import (
    ENVIRONMENT,
    FILES,
    KEYRING,
    SOURCES,
    CredentialEntry,
    CredentialResult,
    Service,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEFAULT_DIRECTORY: Final = Path("/mnt/dev-linux/projects/server-maintenance/docs/servers")


class CredentialProvider:
    """Looks up a service's credentials: in a directory of ``.env`` files, and in other sources where they are named.

    ``directory`` comes from the argument, else ``HARNESS_CREDENTIALS_DIR``, else the default. ``services``
    adds to the known ones or replaces one. ``sources`` are asked in their order: ``files`` (the directory),
    ``environment`` (``environ``, by default this process's own: the variables that the service lists alone, and as a
    plain file: for no named context unless the lookup allows fallback), ``keyring`` (the system's), the name of one
    that an installed package registers, or a ``Source`` itself.

    Raises: UnusableArgumentError where a source is neither a name nor a ``Source``, or there is none.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        services: Mapping[str, Service] | None = None,
        sources: Sequence[str | Source] = (FILES,),
    ) -> None:
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self.directory = _directory(directory, self._environ)
        added = {name.casefold(): service for name, service in (services or {}).items()}
        self.services: dict[str, Service] = {**KNOWN_SERVICES, **added}
        self._sources = _checked(sources)
        self._loaded: dict[str, Source | Found] = {}

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources, in the order in which they are asked."""
        return tuple(one if isinstance(one, str) else one.name for one in self._sources)

    def __repr__(self) -> str:
        more = "" if self.sources == (FILES,) else f", sources={self.sources!r}"
        return f"CredentialProvider({str(self.directory)!r}{more})"

    @property
    def is_plain(self) -> bool:
        """Whether the directory is all that another process needs to look up the same."""
        own = type(self) is not CredentialProvider or self._sources != (FILES,)
        return not own and self.services == KNOWN_SERVICES

    def lookup(
        self,
        service: str,
        env_vars: str | Iterable[str] | None = None,
        context: str | None = None,
        *,
        allow_fallback: bool = False,
    ) -> CredentialResult:
        """Return the wanted variables of a service; without ``env_vars`` those it is known by and has.

        A service that is not known goes by its own name (``sqlite`` by ``sqlite.env``) and gives all that its
        file holds. A ``context`` is strict: only files with its words in their name count, and the plain file
        fills gaps only with ``allow_fallback``. Without a context only plain files count. The first file that
        has a value wins: files of the context before plain ones, in the order of the service's stems, then by
        name. So it is with the sources: each in turn for the context, then for none. An empty value is none.

        A keyring may be locked: a lookup in it waits a minute at most for somebody to unlock it.
        """
        wanted = (env_vars,) if isinstance(env_vars, str) else tuple(dict.fromkeys(env_vars or ()))
        for what, name in (("service", service), ("context", context or "")):
            if (name.strip() or what == "service") and not is_plain_name(name):
                return _unusable_name(what, name, wanted)
        request = request_for(service, wanted, context, self.services, allow_fallback=allow_fallback)
        folder = FolderLookup(self.directory, request) if FILES in self.sources else None
        gathered = Gathered()
        self._gather(request, folder, gathered)
        return self._result(request, folder, gathered)

    def one_by_one(self) -> list[CredentialProvider]:
        """Return a provider for each source, for whoever must know every value that any of them may have given."""
        if type(self) is not CredentialProvider:
            return [self]
        return [
            CredentialProvider(self.directory, environ=self._environ, services=self.services, sources=(one,))
            for one in self._sources
        ]

    def entries(self) -> list[CredentialEntry]:
        """Return what is there and in which source, in a fixed order and without any value.

        Of the keyring, which cannot be listed, those of the services are found that have no context or one that a file
        has; nobody has to unlock it for that.
        """
        found: list[CredentialEntry] = []
        if FILES in self.sources:
            found += file_entries(self.directory, self.services)
        if KEYRING in self.sources:
            found += keyring_entries(names_for_keyring(self.services, found))
        for source in self._sources:
            if source not in (FILES, KEYRING):
                found += self._entries_of(source)
        return in_order(found, self.sources)

    def _entries_of(self, source: str | Source) -> list[CredentialEntry]:
        name, loaded = self._source(source)
        if isinstance(loaded, Found):
            return [CredentialEntry(source=name, note=f"{loaded.problem} {loaded.remedy}")]
        return entries_of(loaded, name)

    def _source(self, source: str | Source) -> tuple[str, Source | Found]:
        if not isinstance(source, str):
            return source.name, source
        if source not in self._loaded:
            own = Environment(self._environ, self.services) if source == ENVIRONMENT else None
            self._loaded[source] = own or registered_source(source)
        return source, self._loaded[source]

    def _gather(self, request: Request, folder: FolderLookup | None, gathered: Gathered) -> None:
        rounds = (False, True) if request.context and request.allow_fallback else (False,)
        for plain in rounds:
            for source in self._sources:
                if gathered.ended or (request.wanted and not gathered.lacks(request.wanted)):
                    return
                if source == FILES and folder is not None:
                    folder.fill(gathered, plain=plain)
                else:
                    self._ask(source, request, None if plain else request.context_name, gathered)

    def _ask(self, source: str | Source, request: Request, context: str | None, gathered: Gathered) -> None:
        variables = gathered.lacks(request.variables)
        if request.variables and not variables:
            return
        if source == KEYRING:
            name, answer = KEYRING, ask_keyring(request.name, variables, context)
        else:
            name, loaded = self._source(source)
            answer = loaded if isinstance(loaded, Found) else ask(loaded, name, request.name, variables, context)
        gathered.note(answer)
        if not gathered.ended and name not in gathered.asked and (name != ENVIRONMENT or context is None):
            gathered.asked.append(name)
        gathered.take(variables or answer.values, answer.values, name)

    def _result(self, request: Request, folder: FolderLookup | None, gathered: Gathered) -> CredentialResult:
        missing = gathered.lacks(request.wanted)
        found = bool(gathered.values) and not missing
        sources = dict.fromkeys(gathered.origins.values())
        result = CredentialResult(
            found=found,
            credentials={name: SecretStr(value) for name, value in gathered.values.items()},
            source=", ".join(sources) or None,
            missing=missing,
            origins=gathered.origins,
            warnings=tuple(gathered.warnings),
        )
        if found:
            return result
        return result.replace(
            error=what_is_missing(request, folder, gathered),
            instructions=what_to_do(request, folder, gathered, self.sources),
        )


class ProviderOptions(TypedDict, total=False):
    """The options of a ``CredentialProvider``, for those who look up once."""

    directory: str | os.PathLike[str] | None
    environ: Mapping[str, str] | None
    services: Mapping[str, Service] | None
    sources: Sequence[str | Source]


def lookup_credentials(
    service: str,
    env_vars: str | Iterable[str] | None = None,
    context: str | None = None,
    *,
    allow_fallback: bool = False,
    **options: Unpack[ProviderOptions],
) -> CredentialResult:
    """Look a service up once, with the arguments of ``CredentialProvider`` and of its ``lookup`` together."""
    return CredentialProvider(**options).lookup(service, env_vars, context, allow_fallback=allow_fallback)


def _directory(argument: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path:
    chosen = Path(argument or environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY)
    try:
        chosen = chosen.expanduser()
    except RuntimeError:
        return chosen.absolute()  # nobody's home: the folder will be reported as it was written
    return chosen.absolute()


def _checked(sources: Sequence[str | Source]) -> tuple[str | Source, ...]:
    remedy = "Name them in their order, such as sources=('files', 'keyring')"
    if isinstance(sources, str) or not sources:
        raise UnusableArgumentError("sources", "it is no list of sources", remedy)
    names = []
    for one in sources:
        name = one if isinstance(one, str) else getattr(one, "name", None)
        if not isinstance(name, str) or not (isinstance(one, str) or callable(getattr(one, "find", None))):
            problem = f"a {type(one).__name__} is no source with a name and find()"
            raise UnusableArgumentError("sources", problem, remedy)
        if not isinstance(one, str) and (name in SOURCES or not is_plain_name(name)):
            raise UnusableArgumentError("sources", f"no source of your own is called {name!r}", "Call it otherwise")
        names.append(name)
    if len(set(names)) < len(names):
        raise UnusableArgumentError("sources", "one of them is there twice", remedy)
    return tuple(sources)


def _unusable_name(what: str, name: str, wanted: tuple[str, ...]) -> CredentialResult:
    return CredentialResult(
        error=f"The {what} {name[:LONGEST_NAME]!r} cannot be part of a file name.",
        instructions=f"Ask again with a {what} made of letters, digits, '-', '_', '.' and spaces.",
        missing=wanted,
    )
