"""Sources in their order: files, the environment, and those of a user's own, given or registered by a package."""

from __future__ import annotations

import copy
import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from harness_nb.credentials import KNOWN_SERVICES, CredentialProvider, Service, Source
from harness_nb.errors import UnusableArgumentError
from tests.credentials.shelves import SECRET, install

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness_nb.credentials import CredentialResult

pytestmark = pytest.mark.row(1)


class Vault:
    """A source of a user's own; ``answer`` is what it does."""

    name = "vault"

    def __init__(self, answer: Callable[[str, Sequence[str], str | None], Any]) -> None:
        self.asked: list[tuple[str, Sequence[str], str | None]] = []
        self._answer = answer

    def find(self, service: str, variables: Sequence[str], context: str | None) -> Mapping[str, str]:
        self.asked.append((service, variables, context))
        found: Mapping[str, str] = self._answer(service, variables, context)
        return found


def vault(**values: str) -> Vault:
    return Vault(lambda service, variables, context: values if context is None else {})


def put(file: Path, content: str) -> None:
    file.write_text(content)
    file.chmod(0o600)


def shown(result: CredentialResult) -> str:
    """Everything that is made of a result without asking for values."""
    return f"{result!r} {result} {result.model_dump_json()} {json.dumps(result.to_wire())} {copy.deepcopy(result)!r}"


# --- the order ------------------------------------------------------------------------------------------


def test_the_first_source_that_has_a_value_wins_and_the_next_supplies_what_it_lacks(tmp_path: Path) -> None:
    put(tmp_path / "postgres.env", "PGUSER=file\nPGHOST=file\n")
    environ = {"PGUSER": "environment", "PGPASSWORD": "environment"}
    own = vault(PGUSER="vault", PGPASSWORD="vault", PGPORT="vault")
    wanted = ["PGUSER", "PGHOST", "PGPASSWORD", "PGPORT"]

    def found(*sources: str | Source) -> dict[str, str]:
        provider = CredentialProvider(tmp_path, environ=environ, sources=sources)
        result = provider.lookup("postgres", wanted)
        assert result.found == (len(result.origins) == 4)
        return result.origins

    file = "postgres.env"
    assert found("files", "environment", own) == {
        "PGUSER": file, "PGHOST": file, "PGPASSWORD": "environment", "PGPORT": "vault",
    }  # fmt: skip
    assert found(own, "environment", "files") == {
        "PGUSER": "vault",
        "PGPASSWORD": "vault",
        "PGPORT": "vault",
        "PGHOST": file,
    }
    assert found("environment", "files") == {"PGUSER": "environment", "PGPASSWORD": "environment", "PGHOST": file}


NAMES = ("PGUSER", "PGHOST", "PGPORT")
HELD = st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from([None, "eu"])))


@given(st.lists(HELD, min_size=1, max_size=4), st.sampled_from([None, "eu"]), st.booleans())
def test_each_value_is_of_the_first_source_that_has_it_exactly_else_of_the_first_that_may_fill_the_gap(
    held: list[set[tuple[str, str | None]]], context: str | None, allow_fallback: bool
) -> None:
    def source(number: int) -> Vault:
        def find(service: str, variables: Sequence[str], asked: str | None) -> dict[str, str]:
            return {name: f"{number} {asked}" for name in variables if (name, asked) in held[number]}

        made = Vault(find)
        made.name = f"source {number}"
        return made

    contexts = [context, None] if context and allow_fallback else [context]
    expected: dict[str, str] = {}
    for name in NAMES:
        having = [f"{number} {one}" for one in contexts for number, has in enumerate(held) if (name, one) in has]
        expected |= {name: having[0]} if having else {}
    provider = CredentialProvider("/nowhere", environ={}, sources=[source(number) for number in range(len(held))])
    result = provider.lookup("postgres", NAMES, context, allow_fallback=allow_fallback)
    assert (result.reveal(), result.found) == (expected, len(expected) == 3)
    assert {name: f"source {value.split()[0]}" for name, value in expected.items()} == result.origins


def test_a_source_is_asked_for_what_still_lacks_and_not_at_all_where_nothing_does(tmp_path: Path) -> None:
    put(tmp_path / "redis.env", "REDIS_URL=file\n")
    own = vault(REDIS_HOST="vault", REDIS_URL="not this", AWS_REGION="never asked for")
    provider = CredentialProvider(tmp_path, environ={}, sources=("files", own))
    assert provider.lookup("redis", ["REDIS_URL", "REDIS_HOST"]).reveal() == {
        "REDIS_URL": "file",
        "REDIS_HOST": "vault",
    }
    assert own.asked == [("redis", ("REDIS_HOST",), None)]
    assert provider.lookup("redis", ["REDIS_URL"]).found
    assert len(own.asked) == 1


def test_the_processs_own_environment_is_read_when_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = CredentialProvider(tmp_path, sources=["environment"])
    monkeypatch.setenv("VERCEL_TOKEN", "set later")
    assert provider.lookup("vercel", ["VERCEL_TOKEN"]).reveal() == {"VERCEL_TOKEN": "set later"}


def test_a_value_of_the_context_wins_over_one_of_none_in_an_earlier_source(tmp_path: Path) -> None:
    """Whoever allows fallback wants the plain value only where nobody has the exact one."""
    put(tmp_path / "postgres.env", "PGPASSWORD=plain\nPGUSER=plain\n")
    own = Vault(lambda service, variables, context: {"PGPASSWORD": "exact"} if context == "eu-production" else {})
    provider = CredentialProvider(tmp_path, environ={"PGHOST": "plain"}, sources=("files", "environment", own))
    wanted = ["PGPASSWORD", "PGUSER", "PGHOST"]
    strict = provider.lookup("postgres", wanted, "Production EU")
    assert (strict.found, strict.reveal()) == (False, {"PGPASSWORD": "exact"})
    filled = provider.lookup("postgres", wanted, "eu production", allow_fallback=True)
    assert filled.reveal() == {"PGPASSWORD": "exact", "PGUSER": "plain", "PGHOST": "plain"}
    assert [context for *_, context in own.asked][:1] == ["eu-production"]


@pytest.mark.parametrize("name", ["redis.env", "redis-eu.env"])
def test_a_problem_of_the_folder_ends_the_lookup_whoever_else_could_answer(name: str, tmp_path: Path) -> None:
    """An unreadable file, or two between which nobody can choose: what comes second was meant to come second."""
    if name == "redis.env":
        (tmp_path / name).write_bytes(b"\xff\xff")
        context = None
    else:
        put(tmp_path / name, "REDIS_URL=eu\n")
        put(tmp_path / "redis-us.env", "REDIS_URL=us\n")
        context = "us eu"
        put(tmp_path / "redis-eu-us-a.env", "REDIS_URL=a\n")
        put(tmp_path / "redis-eu-us-b.env", "REDIS_URL=b\n")
    own = Vault(lambda *_: {"REDIS_URL": SECRET})
    early = vault(REDIS_HOST="early")
    early.name = "early"
    provider = CredentialProvider(tmp_path, environ={"REDIS_URL": SECRET}, sources=(early, "files", "environment", own))
    result = provider.lookup("redis", ["REDIS_HOST", "REDIS_URL"], context, allow_fallback=True)
    assert (result.found, result.reveal(), result.origins) == (False, {}, {})
    assert "not UTF-8" in str(result.error) or "Several files say" in str(result.error)
    assert own.asked == []


def test_a_folder_that_cannot_be_listed_ends_it_and_one_that_is_not_there_does_not(tmp_path: Path) -> None:
    put(tmp_path / "file", "")
    environ = {"REDIS_URL": "here"}
    sources = ("files", "environment")
    closed = CredentialProvider(tmp_path / "file", environ=environ, sources=sources).lookup("redis", ["REDIS_URL"])
    assert (closed.found, closed.reveal()) == (False, {})
    missing = CredentialProvider(tmp_path / "gone", environ=environ, sources=sources).lookup("redis", ["REDIS_URL"])
    assert missing.reveal() == {"REDIS_URL": "here"}


def test_without_the_folder_nothing_is_read_from_it(tmp_path: Path) -> None:
    put(tmp_path / "redis.env", "REDIS_URL=file\n")
    result = CredentialProvider(tmp_path, environ={}, sources=("environment",)).lookup("redis", ["REDIS_URL"])
    assert (result.found, result.reveal()) == (False, {})
    assert result.error == "redis lacks REDIS_URL (asked: environment)."
    assert result.instructions == "Set REDIS_URL in the environment that the plans are run from."


def test_what_lacks_is_said_with_every_way_to_put_it_there(tmp_path: Path) -> None:
    sources = ("files", "environment", vault())
    result = CredentialProvider(tmp_path, environ={}, sources=sources).lookup("aws", ["AWS_REGION"])
    assert result.error == f"No credential file for aws is in {tmp_path}. Asked besides: environment, vault."
    assert result.instructions == (
        f"Create {tmp_path}/aws.env with a line AWS_REGION=… (and chmod 600 it), or set HARNESS_CREDENTIALS_DIR to the "
        "directory that has it, or set AWS_REGION in the environment that the plans are run from, "
        "or put AWS_REGION where the source 'vault' finds it."
    )


def test_an_environment_that_is_not_text_has_no_value(tmp_path: Path) -> None:
    environ = {"REDIS_URL": os.fsdecode(b"\xff\xfe"), "REDIS_HOST": ""}
    provider = CredentialProvider(tmp_path, environ=environ, sources=("environment",))
    assert provider.lookup("redis").reveal() == {}


NAMED_ONLY = type("Named", (), {"name": "x"})()
LIKE_A_BUILT_IN, WITHOUT_A_WORD = (type("Named", (Vault,), {"name": name})(dict) for name in ("keyring", "a\nb"))


@pytest.mark.parametrize(
    "sources",
    ["files", (), ("files", "files"), (object(),), (None,), (NAMED_ONLY,), (LIKE_A_BUILT_IN,), (WITHOUT_A_WORD,)],
)
def test_a_list_of_sources_that_is_none_is_refused_at_once(sources: Any, tmp_path: Path) -> None:
    with pytest.raises(UnusableArgumentError, match="sources cannot be used"):
        CredentialProvider(tmp_path, sources=sources)


def test_only_a_plain_provider_can_be_had_in_another_process(tmp_path: Path) -> None:
    assert CredentialProvider(tmp_path).is_plain
    assert CredentialProvider(tmp_path, sources=["files"]).is_plain
    for more in ({"sources": ("files", "environment")}, {"sources": (vault(),)}, {"services": {"a": Service()}}):
        assert not CredentialProvider(tmp_path, **more).is_plain


# --- a source of one's own ------------------------------------------------------------------------------


class LeakyError(RuntimeError):
    """What somebody's client may raise."""


def leaks(*_: Any) -> Any:
    raise LeakyError(f"403 for token {SECRET}")


def exits(*_: Any) -> Any:
    raise SystemExit(SECRET)


@pytest.mark.row(2)
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (leaks, "The source of credentials 'vault' failed (LeakyError)."),
        (
            lambda *_: SECRET,
            "The source of credentials 'vault' answered with something else than texts by their names.",
        ),
        (exits, "The source of credentials 'vault' failed (SystemExit)."),
        (lambda *_: {"REDIS_URL": [SECRET]}, "answered with something else"),
        (lambda *_: {SECRET: 1}, "answered with something else"),
        (lambda *_: {"REDIS_URL": f"{SECRET}\0"}, "answered with something else"),
        (lambda *_: {"REDIS_URL": f"{SECRET}\ud800"}, "answered with something else"),
    ],
    ids=["raises", "text", "exits", "list", "number", "nul", "surrogate"],
)
def test_whatever_an_own_source_does_is_one_sentence_without_a_value(
    answer: Any, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    sources = (Vault(answer), "environment")
    provider = CredentialProvider(tmp_path, environ={"REDIS_URL": SECRET}, sources=sources)
    result = provider.lookup("redis", ["REDIS_URL"])
    assert (result.found, result.reveal()) == (False, {}), "what comes after it was meant to come second"
    assert said in str(result.error)
    assert result.instructions == "Mend the source 'vault', or take it out of the list of sources."
    out = "".join(capfd.readouterr())
    assert SECRET not in f"{shown(result)} {caplog.text} {out} {provider!r}"
    assert "\n" not in f"{result.error}{result.instructions}"


def test_an_own_source_may_hand_over_secret_strings_and_gives_a_service_of_its_own_all_it_has(tmp_path: Path) -> None:
    own = Vault(lambda *_: {"ORACLE_KEY": SecretStr("k"), "EMPTY": "", "not a name": "x"})
    result = CredentialProvider(tmp_path, environ={}, sources=(own,)).lookup("Oracle")
    assert result.reveal() == {"ORACLE_KEY": "k"}
    assert (result.source, own.asked) == ("vault", [("oracle", (), None)])


# --- registered by a package ----------------------------------------------------------------------------

REGISTERED = f"""
class Vault:
    name = "vault"
    def find(self, service, variables, context):
        return {{name: name.lower() for name in variables if service == "acme"}}
    def entries(self):
        return [("acme", None, "ACME_TOKEN"), ("ACME", "eu production", "ACME_URL"), ("acme", None, "{SECRET}")]

def broken():
    raise RuntimeError("{SECRET}")

def none():
    return None
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that registers sources, on this process's path."""
    points = {"vault": "Vault", "broken": "broken", "none": "none", "gone": "not_there", "files": "broken"}
    install(tmp_path / "site", "vault_source", REGISTERED, **points)
    install(tmp_path / "site", "other_source", REGISTERED, twice="Vault")
    install(tmp_path / "site", "third_source", REGISTERED, twice="Vault")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.mark.usefixtures("package")
def test_a_source_that_a_package_registers_is_asked_by_its_name(tmp_path: Path) -> None:
    services = {"acme": Service(variables=("ACME_TOKEN",), stems=("acme",))}
    provider = CredentialProvider(tmp_path, environ={}, services=services, sources=("files", "vault"))
    result = provider.lookup("acme")
    assert (result.reveal(), result.origins) == ({"ACME_TOKEN": "acme_token"}, {"ACME_TOKEN": "vault"})
    assert provider.lookup("redis", ["REDIS_URL"]).missing == ("REDIS_URL",)


@pytest.mark.row(2)
@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", r"The source of credentials 'broken' could not be loaded \(RuntimeError\)\."),
        ("gone", r"The source of credentials 'gone' could not be loaded \(AttributeError\)\."),
        ("none", r"The source of credentials 'none' has no find\(\)\."),
        ("nowhere", r"called 'nowhere'; there are files, environment, keyring, broken, .*, vault\."),
        ("twice", r"Two installed packages call .* 'twice': other_source:Vault and third_source:Vault\."),
    ],
)
def test_a_source_that_cannot_be_had_ends_the_lookup_with_a_sentence(name: str, said: str, tmp_path: Path) -> None:
    provider = CredentialProvider(tmp_path, environ={"REDIS_URL": "second"}, sources=(name, "environment"))
    result = provider.lookup("redis", ["REDIS_URL"])
    assert (result.found, result.reveal()) == (False, {})
    assert result.instructions
    assert re.search(said, str(result.error)), result.error
    assert SECRET not in shown(result) + repr(provider.entries())


@pytest.mark.usefixtures("package")
def test_no_package_takes_the_place_of_a_source_that_is_built_in(tmp_path: Path) -> None:
    put(tmp_path / "redis.env", "REDIS_URL=file\n")
    assert CredentialProvider(tmp_path, environ={}, sources=("files",)).lookup("redis").reveal() == {
        "REDIS_URL": "file"
    }


# --- what is there --------------------------------------------------------------------------------------


def listed(provider: CredentialProvider) -> list[tuple[str | None, ...]]:
    return [(one.service, one.context, one.variable, one.source, one.note) for one in provider.entries()]


@pytest.mark.row(2)
@pytest.mark.usefixtures("package")
def test_what_is_there_is_listed_by_service_context_and_variable_and_never_a_value(tmp_path: Path) -> None:
    put(tmp_path / "postgres.env", f"PGPASSWORD={SECRET}\nPGUSER=\n\n{SECRET}\n")
    put(tmp_path / "db.env", f"PGPASSWORD={SECRET}\nPGUSER={SECRET}\nOWN_NAME={SECRET}\n")
    put(tmp_path / "postgres-production-eu.env", f"PGPASSWORD={SECRET}\n")
    put(tmp_path / "my-warehouse.env", f"DW={SECRET}\n")
    put(tmp_path / "redis.env", "# nothing\n")
    (tmp_path / "aws.env").write_bytes(b"\xff")
    put(tmp_path / "notes.txt", f"STRIPE_API_KEY={SECRET}\n")
    (tmp_path / "postgres-production-eu.env").chmod(0o640)
    environ = {"PGPASSWORD": SECRET, "OTHER": SECRET}
    provider = CredentialProvider(tmp_path, environ=environ, sources=("files", "environment", "vault", "none"))
    broken = f"{tmp_path}/postgres.env:4 is not a line NAME=value and was passed over."
    eu = f"{tmp_path}/postgres-production-eu.env"
    assert listed(provider) == [
        (None, None, None, "none", "The source of credentials 'none' has no find(). "
                                   "Mend the source 'none', or take it out of the list of sources."),
        ("acme", None, "ACME_TOKEN", "vault", None),
        ("acme", "eu-production", "ACME_URL", "vault", None),
        ("aws", None, None, "aws.env", f"{tmp_path}/aws.env is not UTF-8 text; save it as UTF-8."),
        ("my-warehouse", None, "DW", "my-warehouse.env", None),
        ("postgres", None, "OWN_NAME", "db.env", None),
        ("postgres", None, "PGPASSWORD", "postgres.env", broken),
        ("postgres", None, "PGPASSWORD", "db.env", "comes after postgres.env"),
        ("postgres", None, "PGPASSWORD", "environment", "comes after postgres.env"),
        ("postgres", None, "PGUSER", "postgres.env", f"empty; {broken}"),
        ("postgres", None, "PGUSER", "db.env", None),
        ("postgres", "eu-production", "PGPASSWORD", "postgres-production-eu.env",
         f"{eu} is open to other users (mode 640); close it with: chmod 600 {eu}"),
        ("redis", None, None, "redis.env", "holds no variables"),
    ]  # fmt: skip
    assert SECRET not in repr(provider.entries()) + json.dumps([one.to_wire() for one in provider.entries()])


def test_each_row_is_what_a_lookup_takes(tmp_path: Path) -> None:
    for name in ("db", "postgresql", "postgres", "database-postgres"):
        put(tmp_path / f"{name}.env", f"PGPASSWORD={name}\n")
    provider = CredentialProvider(tmp_path, environ={"PGPASSWORD": "environment"}, sources=("environment", "files"))
    [first] = [one for one in provider.entries() if one.note is None]
    assert first.source == "environment"
    files = CredentialProvider(tmp_path, environ={})
    [first] = [one for one in files.entries() if one.note is None]
    assert first.source == files.lookup("postgres", ["PGPASSWORD"]).source


def test_a_service_whose_name_has_no_word_has_no_files(tmp_path: Path) -> None:
    put(tmp_path / "redis.env", "REDIS_URL=x\n")
    provider = CredentialProvider(tmp_path, environ={}, services={"_": Service(variables=("X",))})
    assert [one.service for one in provider.entries()] == ["redis"]


def test_sources_that_cannot_be_listed_say_so(tmp_path: Path) -> None:
    failing = Vault(leaks)
    failing.entries = leaks  # type: ignore[attr-defined]
    silent = vault()
    silent.name = "silent"
    assert listed(CredentialProvider(tmp_path / "gone", environ={}, sources=("files", failing, silent))) == [
        (None, None, None, "files", f"The credentials directory {tmp_path}/gone does not exist."),
        (None, None, None, "vault", "it could not be listed (LeakyError)"),
        (None, None, None, "silent", "it does not list what it has"),
    ]


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_in_which_others_can_replace_files_is_noted(mode: int, tmp_path: Path) -> None:
    put(tmp_path / "redis.env", "REDIS_URL=x\n")
    tmp_path.chmod(mode)
    provider = CredentialProvider(tmp_path, environ={})
    (warning,) = provider.lookup("redis").warnings
    assert warning == f"Others can replace files in {tmp_path} (mode {mode:o}); close it with: chmod go-w {tmp_path}"
    assert [one.note for one in provider.entries()] == [warning, None]
    tmp_path.chmod(0o755)
    assert provider.lookup("redis").warnings == ()


def test_the_twelve_services_name_no_variable_twice() -> None:
    """The environment answers for each service by its own variables alone."""
    names = [name for one in KNOWN_SERVICES.values() for name in one.variables]
    assert len(set(names)) == len(names)
