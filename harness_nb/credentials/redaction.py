"""Taking known values out of text before it is shown or written, in every form that they take."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from pydantic import SecretStr

from harness_nb.credentials.forms import masks_of, why_unmaskable
from harness_nb.shim.masker import Finder


class Redactor:
    """Replaces each known value by ``[credential:NAME]``, as it is or encoded, escaped, quoted, wrapped or coloured.

    Any thread may add values or call it. Values that overlap in a text are masked as a whole, so that no end of one
    stays. What comes out never contains a known value, also where a mask and the text beside it happen to spell one.
    """

    def __init__(self, values: Mapping[str, str | SecretStr] | None = None) -> None:
        self._lock = Lock()
        self._names: dict[SecretStr, str] = {}
        self._finder = Finder()
        self.add(values or {})

    def __repr__(self) -> str:
        return f"Redactor({len(self._names)} values)"

    def add(self, values: Mapping[str, str | SecretStr]) -> list[str]:
        """Add values by name, and return the names of those refused; ``why_unmaskable`` says why.

        A name added again with another value keeps both masked. A value known by two names keeps its first.
        """
        kept = {name: _secret(value) for name, value in values.items() if why_unmaskable(value) is None}
        with self._lock:
            new = {name: value for name, value in kept.items() if value not in self._names}
            for name, value in new.items():
                self._names.setdefault(value, name)
            self._finder.add(masks_of(new))
        return [name for name in values if name not in kept]

    def values(self) -> dict[str, str]:
        """Return the known values, each with its name, for whoever must find them in another place."""
        return {value.get_secret_value(): name for value, name in self._names.copy().items()}

    def __call__(self, text: str) -> str:
        """Return the text with every known value replaced; values that hold others are masked as one."""
        return self._finder.masked(text)

    def blotted(self, data: bytes, shown: bytes, sign: bytes) -> bytes:
        """Return what is shown of some data with a sign in the place of each byte of a known value."""
        return self._finder.blotted(data, shown, sign)

    @property
    def longest(self) -> int:
        """The bytes of the longest form that is looked for."""
        return self._finder.longest

    def redact(self, obj: Any) -> Any:
        """Return a copy of nested JSON-like data with every text, key and telling number masked.

        Mappings become dicts; a ``SecretStr`` becomes its mask, or stars where it is not known here.
        """
        if isinstance(obj, str):
            return self(obj)
        if isinstance(obj, SecretStr):
            return self(obj.get_secret_value()) if obj in self._names else str(obj)
        if isinstance(obj, Mapping):
            return {self.redact(key): self.redact(value) for key, value in obj.items()}
        if isinstance(obj, list | tuple | set | frozenset):
            items = [self.redact(item) for item in obj]
            return items if isinstance(obj, list) or hasattr(obj, "_fields") else type(obj)(items)
        if isinstance(obj, int | float) and not isinstance(obj, bool):
            shown = str(obj)
            return obj if self(shown) == shown else self(shown)
        return obj


def _secret(value: str | SecretStr) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(value)
