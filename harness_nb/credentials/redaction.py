"""Taking known values out of text before it is shown or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST: Final = 4
"""Characters; a shorter value would blot out ordinary text and be guessed from what is left."""

# Shorter than any value, so that it cannot hold one and every replacement by it makes the text shorter.
_BARE_MASK: Final = "[…]"


@dataclass(frozen=True)
class _Secret:
    name: str
    value: str
    mask: str

    def __repr__(self) -> str:
        return self.mask


@dataclass(frozen=True)
class _Hit:
    start: int
    end: int
    secret: _Secret


class Redactor:
    """Replaces each known value by ``[credential:NAME]``; any thread may add values or call it.

    Values that overlap in a text are masked as a whole, so that no end of one stays. What comes out never
    contains a known value, also where a mask and the text beside it happen to spell one.
    """

    def __init__(self, values: Mapping[str, str | SecretStr] | None = None) -> None:
        self._lock = Lock()
        self._secrets: tuple[_Secret, ...] = ()
        self.add(values or {})

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} values)"

    def add(self, values: Mapping[str, str | SecretStr]) -> list[str]:
        """Add values by name, and return the names of those refused: shorter than four characters.

        A name added again with another value keeps both masked. A value known by two names keeps its first.
        """
        plain = {name: _plain(value) for name, value in values.items()}
        with self._lock:
            known = {secret.value: secret.name for secret in self._secrets}
            for name, value in plain.items():
                if len(value) >= SHORTEST:
                    known.setdefault(value, name)
            self._secrets = tuple(
                _Secret(name, value, _mask(name, known)) for value, name in sorted(known.items(), key=_longest)
            )
        return [name for name, value in plain.items() if len(value) < SHORTEST]

    def values(self) -> dict[str, str]:
        """Return the known values, each with its name, for whoever must find them in another form."""
        return {secret.value: secret.name for secret in self._secrets}

    def __call__(self, text: str) -> str:
        """Return the text with every known value replaced, the longest first."""
        secrets = self._secrets
        hits = _hits(text, secrets)
        if not hits:
            return text
        text = _replaced(text, hits)
        while hits := _hits(text, secrets):
            text = _replaced(text, hits, _BARE_MASK)
        return text

    def redact(self, obj: Any) -> Any:
        """Return a copy of nested JSON-like data with every text, key and telling number masked.

        Mappings become dicts; a ``SecretStr`` becomes its mask, or stars where it is not known here.
        """
        if isinstance(obj, str):
            return self(obj)
        if isinstance(obj, SecretStr):
            return next((item.mask for item in self._secrets if item.value == _plain(obj)), str(obj))
        if isinstance(obj, Mapping):
            return {self.redact(key): self.redact(value) for key, value in obj.items()}
        if isinstance(obj, list | tuple | set | frozenset):
            items = [self.redact(item) for item in obj]
            return items if isinstance(obj, list) or hasattr(obj, "_fields") else type(obj)(items)
        if isinstance(obj, int | float) and not isinstance(obj, bool):
            shown = str(obj)
            return obj if self(shown) == shown else self(shown)
        return obj


def _plain(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _longest(item: tuple[str, str]) -> tuple[int, str]:
    return -len(item[0]), item[0]


def _mask(name: str, values: Iterable[str]) -> str:
    mask = f"[credential:{name}]"
    return _BARE_MASK if any(value in mask for value in values) else mask


def _hits(text: str, secrets: tuple[_Secret, ...]) -> list[_Hit]:
    """Every place where a value stands and is not part of a longer one, from left to right."""
    found: list[_Hit] = []
    for secret in secrets:
        at = text.find(secret.value)
        while at >= 0:
            found.append(_Hit(at, at + len(secret.value), secret))
            at = text.find(secret.value, at + 1)
    found.sort(key=lambda hit: (hit.start, -hit.end))
    widest: list[_Hit] = []
    for hit in found:
        if not widest or hit.end > widest[-1].end:
            widest.append(hit)
    return widest


def _replaced(text: str, hits: list[_Hit], mask: str | None = None) -> str:
    parts: list[str] = []
    end = 0
    last: _Hit | None = None
    for hit in hits:
        overlaps = last is not None and hit.start < last.end
        if not overlaps:
            parts.append(text[end : hit.start])
        if last is None or not overlaps or (mask is None and hit.secret is not last.secret):
            parts.append(mask or hit.secret.mask)
        last, end = hit, hit.end
    return "".join((*parts, text[end:]))
