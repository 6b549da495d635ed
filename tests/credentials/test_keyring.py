"""The system's keyring as a source: what it is asked, what is said where it cannot be, and that nobody waits long."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from threading import Thread
from typing import TYPE_CHECKING, Any

import keyring
import pytest
import secretstorage
from keyring.backends import SecretService, chainer, fail, null
from keyring.errors import InitError, KeyringLocked, PasswordSetError

from harness_nb.credentials import CredentialProvider, Service, keyring_source
from tests.credentials.shelves import SECRET, ShelfKeyring, file_keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness_nb.credentials import CredentialResult

pytestmark = pytest.mark.row(1)


@pytest.fixture
def use() -> Iterator[Callable[[Any], Any]]:
    """Make a keyring the one that this process asks; at the end it is opened, and the former is back."""
    before, used = keyring.get_keyring(), []

    def use_it(backend: Any) -> Any:
        used.append(backend)
        keyring.set_keyring(backend)
        return backend

    yield use_it
    for backend in used:
        if isinstance(backend, ShelfKeyring):
            backend.open.set()
    calls_have_ended()
    keyring.set_keyring(before)


def calls_have_ended() -> None:
    """Wait until no call to a keyring goes on, nor waits for its turn."""
    for thread in threading.enumerate():
        if thread.name == "harness-nb-keyring":
            thread.join(30)
            assert not thread.is_alive()


def provider(folder: Path, *sources: str, **more: Any) -> CredentialProvider:
    return CredentialProvider(folder, environ={}, sources=sources or ("keyring",), **more)


def values(*names: str, service: str = "harness-nb:postgres") -> dict[tuple[str, str], str]:
    return {(service, name): f"{SECRET}-{name}" for name in names}


def test_a_value_is_kept_under_the_service_and_the_variables_name(tmp_path: Path, use: Callable[[Any], Any]) -> None:
    shelf = use(ShelfKeyring(values("PGPASSWORD") | values("V", service="harness-nb:my-vault")))
    result = provider(tmp_path).lookup("Postgres", ["PGPASSWORD"])
    assert result.reveal() == {"PGPASSWORD": f"{SECRET}-PGPASSWORD"}
    assert (result.source, result.origins) == ("keyring", {"PGPASSWORD": "keyring"})
    assert shelf.asked == [("harness-nb:postgres", "PGPASSWORD")]
    assert provider(tmp_path).lookup("My Vault", ["V"]).found
    assert provider(tmp_path).lookup("my_vault").reveal() == {}, "it cannot be asked for all that it has"


def test_a_context_is_strict_there_too_and_its_words_have_one_order(tmp_path: Path, use: Callable[[Any], Any]) -> None:
    use(ShelfKeyring(values("PGUSER") | values("PGPASSWORD", service="harness-nb:postgres:eu-production")))
    for context in ("Production EU", "eu production", "eu-production postgres"):
        assert provider(tmp_path).lookup("postgres", ["PGPASSWORD"], context).found
    assert not provider(tmp_path).lookup("postgres", ["PGPASSWORD"], "production").found
    assert not provider(tmp_path).lookup("postgres", ["PGPASSWORD"]).found
    assert not provider(tmp_path).lookup("postgres", ["PGUSER"], "eu production").found
    both = provider(tmp_path).lookup("postgres", ["PGUSER", "PGPASSWORD"], "eu production", allow_fallback=True)
    assert both.found


def test_files_and_keyring_supply_what_the_other_lacks(tmp_path: Path, use: Callable[[Any], Any]) -> None:
    shelf = use(ShelfKeyring(values("PGPASSWORD", "PGUSER")))
    (tmp_path / "postgres.env").write_text("PGUSER=file\n")
    (tmp_path / "postgres.env").chmod(0o600)
    wanted = ["PGUSER", "PGPASSWORD"]
    assert provider(tmp_path, "files", "keyring").lookup("postgres", wanted).origins == {
        "PGUSER": "postgres.env",
        "PGPASSWORD": "keyring",
    }
    assert shelf.asked == [("harness-nb:postgres", "PGPASSWORD")], "nobody unlocks it for what is there already"
    assert provider(tmp_path, "keyring", "files").lookup("postgres", wanted).source == "keyring"


def test_the_command_that_is_named_puts_it_there(tmp_path: Path) -> None:
    """``keyring set`` of the real package, as the instructions say, and then the same lookup finds it."""
    environ = {**os.environ, **file_keyring(tmp_path / "shelf")}
    look = (
        "import sys, json; from harness_nb import lookup_credentials as look; "
        "found = look('my vault', ['V_KEY'], 'eu production', sources=['keyring']); "
        "print(json.dumps([found.instructions, found.reveal()]))"
    )

    def looked() -> Any:
        done = subprocess.run([sys.executable, "-c", look], env=environ, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    instructions, found = looked()
    assert found == {}
    assert instructions == "Put it into the keyring: keyring set harness-nb:my-vault:eu-production V_KEY."
    command = shlex.split(instructions.partition(": ")[2].removesuffix("."))
    assert command[0] == "keyring"
    subprocess.run([sys.executable, "-m", *command], input=SECRET, env=environ, text=True, check=True)
    assert looked() == [None, {"V_KEY": SECRET}]


# --- where it cannot be asked ---------------------------------------------------------------------------


def no_values(result: CredentialResult, *more: object) -> None:
    assert SECRET not in f"{result!r} {result} {result.model_dump_json()} {more}"


@pytest.mark.row(2)
@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (KeyringLocked(SECRET), "The keyring is locked. Unlock the system's keyring, and answer again."),
        (InitError(SECRET), "The keyring is locked. Unlock the system's keyring, and answer again."),
        (
            PasswordSetError(SECRET),
            "The keyring could not be asked (PasswordSetError). See what `keyring diagnose` says",
        ),
        (SystemExit(SECRET), "The keyring could not be asked (SystemExit). See what `keyring diagnose` says"),
    ],
    ids=["locked", "dismissed", "broken", "exits"],
)
def test_a_keyring_that_cannot_be_asked_ends_the_lookup_with_a_sentence(
    failure: BaseException, said: str, tmp_path: Path, use: Callable[[Any], Any],
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    use(ShelfKeyring(failure=failure))
    (tmp_path / "postgres.env").write_text("PGPASSWORD=second\n")
    result = provider(tmp_path, "keyring", "files").lookup("postgres", ["PGPASSWORD"])
    assert (result.found, result.reveal()) == (False, {}), "what comes second was meant to come second"
    assert f"{result.error} {result.instructions}".startswith(said)
    no_values(result, caplog.text, capfd.readouterr())


@pytest.mark.parametrize("how", ["no keyring", "no package"])
def test_where_there_is_no_keyring_at_all_the_next_source_supplies(
    how: str, tmp_path: Path, use: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "no keyring":
        use(fail.Keyring())  # type: ignore[no-untyped-call]
        problem, remedy = "This machine has no keyring that can be used.", "keyring diagnose"
    else:
        monkeypatch.setitem(sys.modules, "keyring", None)
        problem, remedy = (
            "The keyring cannot be asked without the keyring package.",
            "pip install 'harness-nb[keyring]'",
        )
    missing = provider(tmp_path, "keyring", "files").lookup("postgres", ["PGPASSWORD"])
    assert str(missing.error).endswith(problem)
    assert f"Create {tmp_path}/postgres.env" in str(missing.instructions)
    assert remedy in str(missing.instructions)
    (tmp_path / "postgres.env").write_text("PGPASSWORD=file\n")
    (tmp_path / "postgres.env").chmod(0o600)
    result = provider(tmp_path, "keyring", "files").lookup("postgres", ["PGPASSWORD"])
    assert (result.reveal(), result.warnings) == ({"PGPASSWORD": "file"}, ())


def test_a_keyring_that_is_named_and_is_not_there_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keyring package itself looks for what the environment names; that this fails is not that it is missing."""
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "nowhere.at.all.Keyring")
    result = provider(tmp_path).lookup("postgres", ["PGPASSWORD"])
    assert result.error == "The keyring could not be asked (ModuleNotFoundError)."


# --- nobody waits for ever ------------------------------------------------------------------------------


def test_a_keyring_that_waits_for_somebody_is_asked_once_and_not_waited_for(
    tmp_path: Path, use: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = use(ShelfKeyring(values("PGPASSWORD")))
    shelf.open.clear()
    monkeypatch.setattr(keyring_source, "PATIENCE", 0.05)
    first = provider(tmp_path).lookup("postgres", ["PGPASSWORD"])
    assert first.error == "The keyring did not answer: it may be waiting for somebody to unlock it."
    assert first.instructions == "Unlock the system's keyring, and answer again."
    monkeypatch.setattr(keyring_source, "PATIENCE", 3600.0)
    assert provider(tmp_path).lookup("postgres", ["PGPASSWORD"]).error == first.error, "at once: nobody came yet"
    assert len(shelf.asked) == 1
    assert "did not answer" in str([one.note for one in provider(tmp_path).entries()])
    shelf.open.set()
    calls_have_ended()
    assert provider(tmp_path).lookup("postgres", ["PGPASSWORD"]).found


def test_of_two_that_ask_at_once_one_prompt_is_seen(tmp_path: Path, use: Callable[[Any], Any]) -> None:
    shelf = use(ShelfKeyring(values("PGPASSWORD")))
    shelf.open.clear()
    results: list[CredentialResult] = []

    def look() -> None:
        results.append(provider(tmp_path).lookup("postgres", ["PGPASSWORD"]))

    threads = [Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert shelf.entered.wait(30)
    assert len(shelf.asked) == 1
    shelf.open.set()
    for thread in threads:
        thread.join(30)
    assert [one.found for one in results] == [True] * 3


# --- what is there --------------------------------------------------------------------------------------


@pytest.mark.row(2)
def test_of_the_keyring_the_known_services_are_listed_and_the_contexts_that_files_name(
    tmp_path: Path, use: Callable[[Any], Any]
) -> None:
    shelf = use(ShelfKeyring(
        values("PGPASSWORD", "NOT_KNOWN") | values("PGUSER", service="harness-nb:postgres:production")
        | values("PGUSER", service="harness-nb:postgres:never-named") | values("ACME_TOKEN", service="harness-nb:acme")
    ))  # fmt: skip
    (tmp_path / "postgres-production.env").write_text(f"PGPASSWORD={SECRET}\n")
    (tmp_path / "postgres-production.env").chmod(0o600)
    services = {"acme": Service(variables=("ACME_TOKEN",))}
    found = provider(tmp_path, "files", "keyring", services=services).entries()
    assert [(one.service, one.context, one.variable, one.source) for one in found] == [
        ("acme", None, "ACME_TOKEN", "keyring"),
        ("postgres", None, "PGPASSWORD", "keyring"),
        ("postgres", "production", "PGPASSWORD", "postgres-production.env"),
        ("postgres", "production", "PGUSER", "keyring"),
    ]
    assert SECRET not in repr(found)
    assert len(set(shelf.asked)) == len(shelf.asked)


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("there", [True, False])
def test_a_secret_service_that_is_locked_is_not_unlocked_to_list_it(
    chained: bool, there: bool, tmp_path: Path, use: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desktop's own service is out of this test: in its place is what D-Bus would answer."""

    class Bus:
        def close(self) -> None:
            pass

    class Locked:
        def __init__(self, bus: Any, path: str) -> None:
            if not there:
                raise secretstorage.ItemNotFoundException(path)

        def is_locked(self) -> bool:
            return True

    def never(*_: Any) -> str:
        raise AssertionError("this would ask somebody to unlock it")

    monkeypatch.setattr(secretstorage, "dbus_init", Bus)
    monkeypatch.setattr(secretstorage, "Collection", Locked)
    service: Any = SecretService.Keyring()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(service, "get_password", never)
    if chained:
        monkeypatch.setattr(chainer.ChainerBackend, "backends", [ShelfKeyring(), service])
        service = chainer.ChainerBackend()  # type: ignore[no-untyped-call]
    use(service)
    [entry] = provider(tmp_path).entries()
    assert entry.note == "The keyring is locked. Unlock the system's keyring, and answer again."


@pytest.mark.parametrize("backend", [fail.Keyring, null.Keyring])
def test_whether_there_is_a_keyring_is_known_without_asking_it(backend: Any, use: Callable[[Any], Any]) -> None:
    use(backend())
    trouble = keyring_source.keyring_trouble()
    assert trouble is not None
    assert trouble.problem == "This machine has no keyring that can be used."
    shelf = use(ShelfKeyring())
    assert keyring_source.keyring_trouble() is None
    assert shelf.asked == []


def test_the_keyring_package_is_not_imported_until_it_is_asked(tmp_path: Path) -> None:
    code = (
        "import sys; from harness_nb import lookup_credentials as look; "
        f"look('redis', directory={str(tmp_path)!r}, sources=['files', 'environment']); "
        "sys.exit('keyring' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
