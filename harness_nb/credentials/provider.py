"""Looking credentials up: which files to read for a request, what they hold, and what to say about the rest.

Nothing in here raises for what a worker asked or what a folder holds: a lookup always returns a result, whose
sentences name files and variables, never values. A chosen file that cannot be read ends the lookup without
any credentials: going on could return those of a file that the user meant to come second.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from pydantic import SecretStr

from harness_nb.credentials.env_files import EnvFile, file_names_in, read_env_file
from harness_nb.credentials.file_names import (
    LONGEST_NAME,
    Choice,
    choose,
    is_plain_name,
    without_stems,
    words_of,
)
from harness_nb.credentials.services import KNOWN_SERVICES
from harness_nb.protocol.credentials import CredentialResult, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DIRECTORY_VARIABLE: Final = "HARNESS_CREDENTIALS_DIR"
DEFAULT_DIRECTORY: Final = Path("/mnt/dev-linux/projects/server-maintenance/docs/servers")
ENVIRONMENT: Final = "environment"
"""What ``source`` and ``origins`` say of a value that came from an environment variable."""


@dataclass(frozen=True)
class _Request:
    """One lookup, with names brought into the form that files are compared in."""

    name: str
    service: Service
    stems: tuple[tuple[str, ...], ...]
    wanted: tuple[str, ...]
    context: tuple[str, ...]
    allow_fallback: bool

    @property
    def title(self) -> str:
        return f"{self.name} ({' '.join(self.context)})" if self.context else self.name

    @property
    def file_name(self) -> str:
        """The file that would answer this request best."""
        return "-".join((*self.stems[0], *self.context)) + ".env"

    @property
    def plain_allowed(self) -> bool:
        return self.allow_fallback or not self.context

    def candidates(self, values: Mapping[str, str]) -> Iterable[str]:
        """Return what to take from a file: the wanted, else the service's own, else all variables."""
        return self.wanted or self.service.variables or values


@dataclass
class _Gathered:
    """What a lookup has found so far."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    origins: dict[str, str] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    empty: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    problem: str | None = None
    unreadable: str | None = None

    def take(self, names: Iterable[str], values: Mapping[str, str], origin: str) -> None:
        for name in names:
            if name not in self.values and values.get(name):
                self.values[name] = values[name]
                self.origins[name] = origin

    def lacks(self, wanted: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in wanted if name not in self.values)


class CredentialProvider:
    """Looks up a service's credentials in a directory of ``.env`` files.

    ``directory`` comes from the argument, else ``HARNESS_CREDENTIALS_DIR``, else the default. ``services``
    adds to the known ones or replaces one. With ``use_environment`` what the files lack is taken from
    ``environ`` (default: this process's own), for the variables that the service lists alone, and as from a
    plain file: a named context is not answered from it unless the lookup allows fallback.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        services: Mapping[str, Service] | None = None,
        use_environment: bool = False,
    ) -> None:
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self.directory = _directory(directory, self._environ)
        added = {name.casefold(): service for name, service in (services or {}).items()}
        self.services: dict[str, Service] = {**KNOWN_SERVICES, **added}
        self.use_environment = use_environment

    def __repr__(self) -> str:
        return f"CredentialProvider({str(self.directory)!r})"

    @property
    def is_plain(self) -> bool:
        """Whether the directory is all that another process needs to look up the same."""
        own = type(self) is not CredentialProvider or self.use_environment
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
        name, then the environment. An empty value is none.
        """
        wanted = (env_vars,) if isinstance(env_vars, str) else tuple(dict.fromkeys(env_vars or ()))
        for what, name in (("service", service), ("context", context or "")):
            if (name.strip() or what == "service") and not is_plain_name(name):
                return _unusable_name(what, name, wanted)
        request = self._request(service, wanted, context, allow_fallback=allow_fallback)
        names, problem = file_names_in(self.directory)
        choice = choose(names, request.stems, frozenset(request.context), allow_fallback=allow_fallback)
        gathered = _Gathered(problem=problem)
        if choice.ambiguous:
            files = ", ".join(choice.ambiguous)
            gathered.problem = f"Several files say {request.title}: {files}. Ask for one by its whole context."
        else:
            self._gather(request, choice, gathered)
        return self._result(request, choice, gathered)

    def _request(
        self,
        service: str,
        wanted: tuple[str, ...],
        context: str | None,
        *,
        allow_fallback: bool,
    ) -> _Request:
        name = service.strip().casefold()
        found = self.services.get(name, Service())
        stems = tuple(filter(None, map(words_of, found.stems))) or (words_of(name),)
        words, _ = without_stems(words_of(context or ""), stems)
        return _Request(name, found, stems, wanted, tuple(dict.fromkeys(words)), allow_fallback)

    def _gather(self, request: _Request, choice: Choice, gathered: _Gathered) -> None:
        for name in choice.chosen:
            if request.wanted and not gathered.lacks(request.wanted):
                return
            file = read_env_file(self.directory, name)
            if file.problem:
                gathered.values.clear()
                gathered.origins.clear()
                gathered.problem, gathered.unreadable = file.problem, file.name
                return
            _note(request, choice, file, gathered)
            gathered.take(request.candidates(file.values), file.values, file.name)
        if self.use_environment and request.plain_allowed:
            own = (name for name in request.candidates({}) if name in request.service.variables)
            gathered.take(own, self._environ, ENVIRONMENT)

    def _result(self, request: _Request, choice: Choice, gathered: _Gathered) -> CredentialResult:
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
        error = gathered.problem or _what_is_missing(request, choice, gathered, self.directory)
        return result.replace(error=error, instructions=self._instructions(request, gathered))

    def _instructions(self, request: _Request, gathered: _Gathered) -> str:
        lines = gathered.lacks(request.wanted) or request.service.variables[:1] or ("NAME",)
        wanted = ("a line " if len(lines) == 1 else "the lines ") + ", ".join(f"{name}=…" for name in lines)
        if gathered.unreadable:
            return f"Put a readable file with {wanted} in place of {self.directory / gathered.unreadable}."
        path = self.directory / request.file_name
        if request.file_name in gathered.read:
            return f"Add {wanted} to {path}."
        where = f", or set {DIRECTORY_VARIABLE} to the directory that has it" if not gathered.read else ""
        return f"Create {path} with {wanted} (and chmod 600 it){where}."


class ProviderOptions(TypedDict, total=False):
    """The options of a ``CredentialProvider``, for those who look up once."""

    directory: str | os.PathLike[str] | None
    environ: Mapping[str, str] | None
    services: Mapping[str, Service] | None
    use_environment: bool


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


def _unusable_name(what: str, name: str, wanted: tuple[str, ...]) -> CredentialResult:
    return CredentialResult(
        error=f"The {what} {name[:LONGEST_NAME]!r} cannot be part of a file name.",
        instructions=f"Ask again with a {what} made of letters, digits, '-', '_', '.' and spaces.",
        missing=wanted,
    )


def _note(request: _Request, choice: Choice, file: EnvFile, gathered: _Gathered) -> None:
    gathered.read.append(file.name)
    gathered.empty |= file.empty
    gathered.warnings += file.warnings
    if file.name in choice.says_more:
        gathered.warnings.append(f"{file.name} names more than the context {' '.join(request.context)!r}.")


def _what_is_missing(request: _Request, choice: Choice, gathered: _Gathered, directory: Path) -> str:
    others = f" Not for this request: {', '.join(choice.left_out)}." if choice.left_out else ""
    if not gathered.read and not gathered.values:
        return f"No credential file for {request.title} is in {directory}.{others}"
    where = ", ".join((*gathered.read, *({ENVIRONMENT} & set(gathered.origins.values()))))
    missing = gathered.lacks(request.wanted) or request.service.variables
    names = ", ".join(f"{name} (there, but empty)" if name in gathered.empty else name for name in missing)
    what = f"lacks {names}" if request.wanted else f"has none of {names}" if names else "has no variables"
    return f"{request.title} {what} (read: {where}).{others}"
