"""What a credential lookup knows and returns: a service's variables and file names, and one lookup's result.

Values are ``SecretStr`` throughout. JSON made from a result has no values at all, not even stars: credentials
are empty wherever they are stored, and stars read back would pass for a value.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, field_serializer

from harness_nb.errors import CredentialPicklingError
from harness_nb.protocol.base import WireModel

FILES, ENVIRONMENT, KEYRING = SOURCES = ("files", "environment", "keyring")
"""The sources of credentials that are built in."""

SOURCE_GROUP = "harness_nb.credential_sources"
"""The entry point group under which installed packages offer sources of their own."""


def _variable(given: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", given):  # it is not repeated: somebody may have put a value here
        raise ValueError("the name of a variable has letters, digits and _ alone, such as ACME_TOKEN")
    return given


def _stem(given: str) -> str:
    if not re.search(r"[^\W_]", given):
        raise ValueError("a stem is a word of a file's name, such as acme")
    return given


class Service(WireModel):
    """The variables a service is known by, and the words that name its files (none: its own name)."""

    variables: tuple[Annotated[str, AfterValidator(_variable)], ...] = ()
    stems: tuple[Annotated[str, AfterValidator(_stem)], ...] = ()


class CredentialEntry(WireModel):
    """One variable that is there, and where: a file's name, or a source's; no value.

    ``note`` says what is to be known of it, or why it cannot be used. Without a variable it is about the whole source.
    """

    service: str | None = None
    context: str | None = None
    variable: str | None = None
    source: str
    note: str | None = None


class CredentialResult(WireModel):
    """What a lookup found, and what to do about the rest.

    ``found`` says that every wanted variable is there; ``credentials`` holds those that are, also when others
    are in ``missing``. ``source`` and ``origins`` (variable → file or source) name where, never values.
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
