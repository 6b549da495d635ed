"""The system's keyring, by the ``keyring`` package: macOS Keychain, Secret Service, KWallet, or what somebody set up.

A value is kept there under the service ``harness-nb:postgres``, or ``harness-nb:postgres:production`` for a context,
and the variable's name as user: ``keyring set harness-nb:postgres PGPASSWORD`` in a shell puts it there.

A keyring may ask the person at the machine to unlock it, for as long as nobody comes. So each call is in a thread of
its own that nobody waits for longer than a given time, one at a time, so that a person sees one prompt.
"""

from __future__ import annotations

import shlex
from concurrent.futures import Future
from contextlib import closing
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from harness_nb.credentials.file_names import words_of
from harness_nb.credentials.sources import Found, is_text
from harness_nb.protocol.credentials import KEYRING, CredentialEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PATIENCE: Final = 60.0
"""Seconds that a person has to unlock the keyring, until whoever looks up is told that it did not answer."""

LISTING: Final = 10.0
"""Seconds that listing what is there may take."""

_turn = Lock()
_mark = Lock()
_overdue = Event()
"""Set while a call goes on that nobody waits for any more: others need not wait to hear the same."""

_LOCKED = Found(
    problem="The keyring is locked.",
    remedy="Unlock the system's keyring, and answer again.",
    ends=True,
)
_SILENT = Found(
    problem="The keyring did not answer: it may be waiting for somebody to unlock it.",
    remedy="Unlock the system's keyring, and answer again.",
    ends=True,
)
_NO_PACKAGE = Found(
    problem="The keyring cannot be asked without the keyring package.",
    remedy="For the keyring: pip install 'harness-nb[keyring]'.",
)
_NO_KEYRING = Found(
    problem="This machine has no keyring that can be used.",
    remedy="For a keyring, see what `keyring diagnose` says.",
)


def service_name(service: str, context: str | None) -> str:
    """Return the service under which a keyring keeps the values of one of ours."""
    return ":".join(filter(None, ("harness-nb", "-".join(words_of(service)), context)))


def command_to_set(service: str, context: str | None, variable: str) -> str:
    """Return the command that puts a value into the keyring, which asks for it."""
    return shlex.join(["keyring", "set", service_name(service, context), variable])


def ask_keyring(service: str, variables: Sequence[str], context: str | None) -> Found:
    """Return those of the variables that the keyring has, or a sentence; waits ``PATIENCE`` seconds at most."""
    name = service_name(service, context)
    return _explained(lambda keyring: Found(_passwords(keyring, name, variables)), PATIENCE)


def keyring_trouble() -> Found | None:
    """Return why there is no keyring to be asked, or None; asks nobody to unlock anything."""

    def look(keyring: Any) -> Found:
        from keyring.backends import fail, null

        return _NO_KEYRING if isinstance(keyring.get_keyring(), fail.Keyring | null.Keyring) else Found()

    found = _explained(look, LISTING)
    return found if found.problem else None


def keyring_entries(wanted: Iterable[tuple[str, str | None, str]]) -> list[CredentialEntry]:
    """Return which of these (service, context, variable) the keyring has; one that is locked is left locked."""
    asked = list(wanted)
    there: list[tuple[str, str | None, str]] = []

    def look(keyring: Any) -> Found:
        if _is_locked(keyring.get_keyring()):
            return _LOCKED
        for service, context, variable in asked:
            if keyring.get_password(service_name(service, context), variable):
                there.append((service, context, variable))
        return Found()

    found = _explained(look, LISTING)
    if found.problem:
        return [CredentialEntry(source=KEYRING, note=f"{found.problem} {found.remedy}")]
    return [CredentialEntry(service=one, context=two, variable=three, source=KEYRING) for one, two, three in there]


def _passwords(keyring: Any, name: str, variables: Sequence[str]) -> dict[str, str]:
    found = {variable: keyring.get_password(name, variable) for variable in variables}
    return {variable: value for variable, value in found.items() if value and is_text(value)}


def _explained(look: Callable[[Any], Found], patience: float) -> Found:
    """Call with the keyring package in a thread of its own; whatever goes wrong is a sentence without a value."""

    def work() -> Found:
        try:
            import keyring
            from keyring import errors
        except ImportError:
            return _NO_PACKAGE
        try:
            return look(keyring)
        except errors.NoKeyringError:
            return _NO_KEYRING
        except (errors.KeyringLocked, errors.InitError):
            return _LOCKED
        except BaseException as error:  # a backend may be anybody's, and what it says may hold a value
            problem = f"The keyring could not be asked ({type(error).__name__})."
            return Found(problem=problem, remedy="See what `keyring diagnose` says, and answer again.", ends=True)

    return _within(patience, work) or _SILENT


def _within(patience: float, work: Callable[[], Found]) -> Found | None:
    """Return what comes of work in a thread of its own; None if that takes longer, or another such still goes on."""
    if _overdue.is_set():
        return None
    outcome: Future[Found] = Future()

    def in_turn() -> None:
        with _turn:
            wanted = outcome.set_running_or_notify_cancel()  # else nobody waits any more
            found = work() if wanted else Found()
            with _mark:
                if wanted:
                    outcome.set_result(found)
                _overdue.clear()

    try:
        Thread(target=in_turn, name="harness-nb-keyring", daemon=True).start()
    except RuntimeError:  # this process has as many threads as it may, or is just ending
        return None
    try:
        return outcome.result(patience)
    except TimeoutError:
        with _mark:
            if outcome.cancel() or not outcome.done():
                _overdue.set()
                return None
        return outcome.result()


def _is_locked(backend: Any) -> bool:
    """Whether reading would ask a person to unlock it; of keyrings that cannot say, it is not known."""
    from keyring.backends import SecretService, chainer

    if isinstance(backend, chainer.ChainerBackend):
        return any(map(_is_locked, backend.backends))
    if not isinstance(backend, SecretService.Keyring):
        return False
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        path = getattr(backend, "preferred_collection", secretstorage.collection.DEFAULT_COLLECTION)
        try:
            return bool(secretstorage.Collection(bus, path).is_locked())
        except secretstorage.ItemNotFoundException:  # then reading makes one, and asks for its password
            return True
