"""What a credential lookup knows and returns: a service's variables and file names, and one lookup's result.

Values are ``SecretStr`` throughout. JSON made from a result has no values at all, not even stars: credentials
are empty wherever they are stored, and stars read back would pass for a value.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic import ConfigDict, Field, SecretStr, field_serializer

from harness_nb.errors import CredentialPicklingError
from harness_nb.protocol.base import WireModel


class Service(WireModel):
    """The variables a service is known by, and the words that name its files (none: its own name)."""

    variables: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()


class CredentialResult(WireModel):
    """What a lookup found, and what to do about the rest.

    ``found`` says that every wanted variable is there; ``credentials`` holds those that are, also when others
    are in ``missing``. ``source`` and ``origins`` (variable → file) name files, never values.
    ``result.credentials`` may go into a ``credentials_provided`` payload as it is. ``reveal()`` is the one
    way to plain text.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    found: bool = False
    credentials: dict[str, SecretStr] = Field(default_factory=dict)
    error: str | None = None
    instructions: str | None = None
    source: str | None = None
    missing: tuple[str, ...] = ()
    origins: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def reveal(self) -> dict[str, str]:
        """Return the values as plain text, for the one who hands them over."""
        return {name: value.get_secret_value() for name, value in self.credentials.items()}

    def __repr__(self) -> str:
        if self.found:
            return f"<credentials found: {', '.join(self.credentials)}>"
        return f"<credentials not found: {', '.join(self.missing) or self.error or 'nothing was asked for'}>"

    def __str__(self) -> str:
        return "\n".join(filter(None, (repr(self)[1:-1], self.error, self.instructions)))

    @field_serializer("credentials", when_used="json")
    def _stored_without_values(self, _: dict[str, SecretStr]) -> dict[str, str]:
        return {}

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise CredentialPicklingError
