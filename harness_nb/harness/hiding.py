"""Keeping values that callers hand over out of tracebacks that show variables, as IPython's verbose ones and rich's do.

The caller's own frames are the caller's. Ours get the values sealed, and of an error that says what to do the frames
below the verb are left out: there the values must be plain, and they say nothing to whoever called it wrongly.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from pydantic import SecretStr

from harness_nb.errors import HarnessError

P = ParamSpec("P")
T = TypeVar("T")


class _NoText:
    """Stands for what was given as a value and is no text; its type is named like the other, for what errors say."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def hides_values(verb: Callable[P, T]) -> Callable[P, T]:
    """Have a verb take the values of ``env_credentials`` and of a payload's ``credentials`` without showing them."""
    if inspect.iscoroutinefunction(verb):
        waiting = cast("Callable[..., Awaitable[Any]]", verb)

        @wraps(verb)
        async def awaited(*given: P.args, **named: P.kwargs) -> Any:
            given, named = _hidden(given, named)  # type: ignore[assignment]
            try:
                return await waiting(*given, **named)
            except HarnessError as error:
                raise error.with_traceback(None) from None

        return cast("Callable[P, T]", awaited)

    @wraps(verb)
    def called(*given: P.args, **named: P.kwargs) -> T:
        given, named = _hidden(given, named)  # type: ignore[assignment]
        try:
            return verb(*given, **named)
        except HarnessError as error:
            raise error.with_traceback(None) from None

    return called


def _hidden(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    kept = {name: _sealed(value) if name == "env_credentials" else _payload(value) for name, value in named.items()}
    return tuple(_payload(value) for value in given), kept


def _payload(value: Any) -> Any:
    if not isinstance(value, Mapping) or "credentials" not in value:
        return value
    return {**value, "credentials": _sealed(value["credentials"])}


def _sealed(values: Any) -> Any:
    return {name: _secret(value) for name, value in values.items()} if isinstance(values, Mapping) else values


def _secret(value: object) -> object:
    if isinstance(value, SecretStr):
        return value
    return SecretStr(value) if isinstance(value, str) else type(type(value).__name__, (_NoText,), {})()
