"""What a caller gave, looked at before anything is done with it: one sentence for what cannot be used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from harness_nb.errors import UnknownStateError, UnusableArgumentError
from harness_nb.protocol.base import problems_of
from harness_nb.protocol.credentials import CredentialResult
from harness_nb.protocol.files import Policy
from harness_nb.protocol.plans import Plan
from harness_nb.protocol.records import ENDED_STATES, LIVE_STATES

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.orchestrator.functions import PolicyFunction

STATES = (*LIVE_STATES, *ENDED_STATES)
PARAMETER = re.compile(r"[A-Za-z0-9_]+")
"""What may stand behind ``HARNESS_PARAM_`` in the name of a variable."""
VARIABLE = re.compile(r"[^=\0]+")


EnvCredentials = Mapping[str, str | SecretStr] | CredentialResult | str | Iterable[str] | None
"""What a session is started with: names with values, a lookup's result, or services that are looked up."""


def names_of(given: Iterable[str] | None) -> set[str] | None:
    """Return names as a set; a bare string is one name, and not its letters."""
    if given is None:
        return None
    return {given} if isinstance(given, str) else set(given)


def states_of(given: Iterable[str] | None) -> set[str] | None:
    """Return the states of a session that were named.

    Raises: UnknownStateError.
    """
    states = names_of(given)
    for name in sorted(states or (), key=str):
        if name not in STATES:
            raise UnknownStateError(name, STATES)
    if states is not None and not states:
        raise UnusableArgumentError("states", "it is empty, so nothing would ever fit", "Name a state, or leave it out")
    return states


def command_of(given: Any) -> tuple[str, ...] | None:
    """Return a command as the words it is made of.

    Raises: UnusableArgumentError.
    """
    if given is None:
        return None
    remedy = "Give a list of texts: ['pytest', '-q']"
    if isinstance(given, (str, bytes)):
        raise UnusableArgumentError("command", f"{given!r} is one text, and no shell takes it apart", remedy)
    if not isinstance(given, Iterable):
        raise UnusableArgumentError("command", f"{given!r} is no list", remedy)
    words = tuple(os.fspath(word) if isinstance(word, os.PathLike) else word for word in given)
    for word in words:
        if not isinstance(word, str):
            raise UnusableArgumentError("command", f"{word!r} is no text", remedy)
    return words


def environment_of(argument: str, given: Any) -> dict[str, str] | None:
    """Return variables for a worker's environment; a value that cannot be used is not repeated.

    Raises: UnusableArgumentError.
    """
    if given is None:
        return None
    remedy = "Give names and texts: {'NAME': 'value'}"
    if not isinstance(given, Mapping):
        raise UnusableArgumentError(argument, "it is no dictionary", remedy)
    for name, value in given.items():
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            raise UnusableArgumentError(argument, f"{name!r} cannot be a variable's name", remedy)
        if not isinstance(value, str) or "\0" in value:
            problem = "holds a null character" if isinstance(value, str) else f"is {_kind(value)} and no text"
            raise UnusableArgumentError(argument, f"the value of {name!r} {problem}", remedy)
    return dict(given)


def credentials_of(given: Any) -> tuple[dict[str, str], dict[str, str | None]]:
    """Return what a worker is to be started with: values by their names, and services to look up with their contexts.

    ``given`` is a service such as ``"postgres"`` or ``"postgres:production"``, a list of them, a lookup's result, or a
    dictionary of names and values.

    Raises: UnusableArgumentError.
    """
    if isinstance(given, CredentialResult):
        return given.reveal(), {}
    if isinstance(given, Mapping):
        plain = {name: one.get_secret_value() if isinstance(one, SecretStr) else one for name, one in given.items()}
        return environment_of("env_credentials", plain) or {}, {}
    references: dict[str, str | None] = {}
    for one in [given] if isinstance(given, str) else given or ():
        if not isinstance(one, str) or not one.strip():
            remedy = "Give services, 'postgres' or 'postgres:production', or names with values"
            raise UnusableArgumentError("env_credentials", "one of them is no service's name", remedy)
        service, _, context = one.partition(":")
        references[service.strip()] = context.strip() or None
    return {}, references


def params_of(given: Any) -> dict[str, Any]:
    """Return parameters, each of which becomes a variable in the worker's environment.

    Raises: UnusableArgumentError.
    """
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UnusableArgumentError("params", "it is no dictionary", "Give names and values: {'name': 1}")
    for name, value in given.items():
        if not isinstance(name, str) or not PARAMETER.fullmatch(name):
            raise UnusableArgumentError(
                "params", f"{name!r} cannot be part of a variable's name", "Use letters, digits and _"
            )
        try:
            to_jsonable_python(value)
        except PydanticSerializationError:
            raise UnusableArgumentError(
                "params", f"the value of {name!r} is {_kind(value)}", "Give texts, numbers, or lists of them"
            ) from None
    return dict(given)


def plans_of(given: Any) -> tuple[str | Plan, ...] | None:
    """Return the plans that a run is about: ids, or ``Plan`` objects.

    Raises: UnusableArgumentError.
    """
    remedy = "Give ids of the project's plans, ['01-01'], or Plan objects"
    if given is None:
        return None
    if isinstance(given, (str, Plan)):
        return (given,)
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise UnusableArgumentError("plans", f"{_kind(given)} is no list", remedy)
    plans = tuple(given)
    if not plans:
        raise UnusableArgumentError("plans", "it is empty, so nothing would be done", f"{remedy}; or leave it out")
    for one in plans:
        if not isinstance(one, (str, Plan)):
            raise UnusableArgumentError("plans", f"{_kind(one)} is neither an id nor a Plan", remedy)
    if len({isinstance(one, str) for one in plans}) > 1:
        raise UnusableArgumentError("plans", "it mixes ids and Plan objects", "Give either all ids or all objects")
    return plans


def functions_of(given: Any) -> tuple[PolicyFunction, ...]:
    """Return those of the policies that are functions; ``policies_of`` says what is wrong with the others."""
    listed = isinstance(given, Iterable) and not isinstance(given, (str, Policy, Mapping))
    return tuple(one for one in given if _is_function(one)) if listed else ()


def _is_function(policy: Any) -> bool:
    return callable(policy) and not isinstance(policy, type)


def policies_of(given: Any) -> tuple[Policy, ...]:
    """Return the policies that answer questions and are no functions, also where they were written as dictionaries.

    Raises: UnusableArgumentError.
    """
    remedy = "Give a list of policies: [ACCEPT_ALL] or [Policy(kind='decision', do='answer')]"
    if isinstance(given, (str, Policy, Mapping)) or not isinstance(given, Iterable):
        raise UnusableArgumentError("policies", f"{_kind(given)} is no list", remedy)
    found = []
    for one in given:
        if _is_function(one):
            continue
        if not isinstance(one, (Policy, Mapping)):
            raise UnusableArgumentError("policies", f"{one!r} is no policy", remedy)
        try:
            found.append(one if isinstance(one, Policy) else Policy.model_validate(one))
        except ValidationError as error:
            raise UnusableArgumentError("policies", problems_of(error), remedy) from None
    return tuple(found)


def max_parallel_of(given: Any) -> int | None:
    """Return how many plans may run at a time.

    Raises: UnusableArgumentError.
    """
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
        raise UnusableArgumentError(
            "max_parallel", f"{given!r} is no number of plans", "Let at least one plan run at a time"
        )
    return given


def folder_of(given: str | Path) -> str:
    """Return a working folder as text.

    Raises: UnusableArgumentError.
    """
    if not isinstance(given, (str, os.PathLike)):
        raise UnusableArgumentError("working_dir", f"{given!r} is no path", "Give a folder's path")
    return os.fspath(given)


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
