"""What can be wrong with checks and manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.errors.base import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable


class UnknownCheckTypeError(HarnessError):
    """A check names a type that the verification engine does not have."""

    def __init__(self, check_id: object, name: object, known: Iterable[str], source: str | None = None) -> None:
        at = f" ({source})" if source else ""
        what = f"has no known type ({name!r})" if name else "names no type"
        super().__init__(f"The check {check_id!r}{at} {what}. Use one of: {', '.join(known)}.")


class InvalidCheckError(HarnessError):
    """A check has a known type and fields that cannot be used."""

    def __init__(self, check_id: object, name: str | None, problems: str, source: str | None = None) -> None:
        at = f" ({source})" if source else ""
        which = f"The {name} check {check_id!r}" if name else "A check"
        super().__init__(f"{which}{at} cannot be used: {problems}. Correct this and verify again.")


class CheckCouldNotRunError(HarnessError):
    """A check could not look at what it should judge; the message is the sentence its result shows."""


class VerificationFailedError(HarnessError):
    """A report did not pass; its text names each required check that failed, and why."""

    def __init__(self, target: str, failures: Iterable[tuple[str, str]], reason: str | None = None) -> None:
        lines = [f"  {name}: {why}" for name, why in failures]
        if reason:
            lines.insert(0, f"  {reason}")
        super().__init__("\n".join([f"The verification of {target} did not pass:", *lines]))
