"""Looking credentials up in a folder: services, contexts, files, and what is said of what is missing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness_nb.credentials import KNOWN_SERVICES, CredentialProvider, Service, lookup_credentials
from harness_nb.credentials.provider import DEFAULT_DIRECTORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.row(1)

THE_DOCUMENTS_TABLE = {
    "postgres": (
        ["DATABASE_URL", "PGPASSWORD", "PGUSER", "PGHOST"],
        ["postgres", "postgresql", "database", "db"],
    ),
    "redis": (["REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"], ["redis"]),
    "supabase": (["SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_SERVICE_KEY"], ["supabase"]),
    "stripe": (["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"], ["stripe"]),
    "openai": (["OPENAI_API_KEY", "OPENAI_ORG_ID"], ["openai", "gpt"]),
    "anthropic": (["ANTHROPIC_API_KEY"], ["anthropic", "claude"]),
    "aws": (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], ["aws", "amazon"]),
    "github": (["GITHUB_TOKEN", "GH_TOKEN"], ["github", "gh"]),
    "sendgrid": (["SENDGRID_API_KEY"], ["sendgrid"]),
    "twilio": (["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"], ["twilio"]),
    "vercel": (["VERCEL_TOKEN"], ["vercel"]),
    "cloudflare": (["CLOUDFLARE_API_TOKEN"], ["cloudflare", "cf"]),
}


def folder(path: Path, **files: str | bytes) -> CredentialProvider:
    """Return a provider of a folder with these files; ``__`` in a key stands for ``-``."""
    for key, content in files.items():
        put(path / f"{key.replace('__', '-')}.env", content)
    return CredentialProvider(path, environ={})


def put(file: Path, content: str | bytes) -> None:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(0o600)


# --- the twelve services --------------------------------------------------------------------------------


def test_exactly_the_twelve_services_of_the_document_are_known() -> None:
    assert set(KNOWN_SERVICES) == set(THE_DOCUMENTS_TABLE)


@pytest.mark.parametrize("service", THE_DOCUMENTS_TABLE)
def test_each_service_is_found_under_each_of_its_stems(service: str, tmp_path: Path) -> None:
    variables, stems = THE_DOCUMENTS_TABLE[service]
    assert KNOWN_SERVICES[service].stems == tuple(stems)
    assert set(variables) <= set(KNOWN_SERVICES[service].variables)
    for stem in stems:
        place = tmp_path / stem
        place.mkdir()
        put(place / f"{stem}.env", "".join(f"{name}=value-of-{name}\n" for name in variables))
        result = lookup_credentials(service, variables, directory=place)
        assert result.found
        assert result.reveal() == {name: f"value-of-{name}" for name in variables}
        assert result.source == f"{stem}.env"
        assert (result.error, result.instructions, result.missing, result.warnings) == (None, None, (), ())


@pytest.mark.parametrize("service", THE_DOCUMENTS_TABLE)
def test_without_variables_a_service_gives_those_it_is_known_by(service: str, tmp_path: Path) -> None:
    name = KNOWN_SERVICES[service].variables[-1]
    provider = folder(tmp_path, **{service: f"{name}=here\nSOMETHING_ELSE=not this\n"})
    assert provider.lookup(service).reveal() == {name: "here"}
    assert provider.lookup(service, []).reveal() == {name: "here"}
    assert provider.lookup(service.upper()).found


def test_a_service_that_is_not_known_goes_by_its_own_name(tmp_path: Path) -> None:
    provider = folder(tmp_path, sqlite="SQLITE_KEY=k1\nOTHER=k2\n", my__vault__production="V=v\n", vault="V=other\n")
    assert provider.lookup("sqlite", ["SQLITE_KEY"]).reveal() == {"SQLITE_KEY": "k1"}
    assert provider.lookup("sqlite").reveal() == {"SQLITE_KEY": "k1", "OTHER": "k2"}
    assert provider.lookup("My_Vault", ["V"], "production").reveal() == {"V": "v"}
    assert not provider.lookup("oracle", ["X"]).found


def test_services_can_be_added_and_replaced(tmp_path: Path) -> None:
    put(tmp_path / "warehouse.env", "DW_URL=url\nNOISE=1\n")
    put(tmp_path / "cache.env", "REDIS_URL=r\n")
    services = {
        "Snow": Service(variables=("DW_URL",), stems=("warehouse",)),
        "redis": Service(variables=("REDIS_URL",), stems=("cache",)),
        "plain": Service.model_validate({"variables": ["A"]}),
    }
    provider = CredentialProvider(tmp_path, environ={}, services=services)
    assert provider.lookup("snow").reveal() == {"DW_URL": "url"}
    assert provider.lookup("redis").reveal() == {"REDIS_URL": "r"}
    assert "plain.env with a line A=…" in (provider.lookup("plain").instructions or "")
    assert KNOWN_SERVICES["redis"].stems == ("redis",)


# --- which files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "file"),
    [
        ("github", "highload-notes"),
        ("github", "ghost"),
        ("postgres", "dbx"),
        ("postgres", "mydb"),
        ("aws", "laws"),
        ("cloudflare", "cfg"),
        ("openai", "chatgpts"),
    ],
)
def test_a_stem_is_a_whole_word_of_the_file_name(service: str, file: str, tmp_path: Path) -> None:
    name = KNOWN_SERVICES[service].variables[0]
    provider = folder(tmp_path, **{file: f"{name}=wrong\n"})
    assert not provider.lookup(service, [name]).found
    assert not provider.lookup(service, [name], "notes", allow_fallback=True).found


@pytest.mark.parametrize("other", ["postgres.env.example", "postgres.txt", "postgres", "postgres.env~", ".env"])
def test_only_files_that_end_in_env_count(other: str, tmp_path: Path) -> None:
    put(tmp_path / other, "DATABASE_URL=wrong\n")
    (tmp_path / "postgres.env").mkdir()
    assert not CredentialProvider(tmp_path).lookup("postgres", ["DATABASE_URL"]).found


@pytest.mark.parametrize(
    "file",
    [
        "postgres-production.env",
        "production.postgres.env",
        "postgres_production.env",
        "Production db.ENV",
        "postgres-db-production.env",
    ],
)
def test_words_may_stand_in_any_order_and_case(file: str, tmp_path: Path) -> None:
    put(tmp_path / file, "DATABASE_URL=p\n")
    result = lookup_credentials("postgres", ["DATABASE_URL"], "Production", directory=tmp_path)
    assert result.reveal() == {"DATABASE_URL": "p"}
    assert result.source == file


def test_a_named_context_never_gives_the_values_of_another(tmp_path: Path) -> None:
    provider = folder(tmp_path, postgres__staging="DATABASE_URL=staging\n", postgres="DATABASE_URL=plain\n")
    result = provider.lookup("postgres", ["DATABASE_URL"], "production")
    assert (result.found, result.reveal(), result.missing) == (False, {}, ("DATABASE_URL",))
    assert "postgres-staging.env" in (result.error or "")
    assert provider.lookup("postgres", "DATABASE_URL", "staging").reveal() == {"DATABASE_URL": "staging"}


def test_the_plain_file_fills_in_only_when_the_caller_allows_it(tmp_path: Path) -> None:
    provider = folder(
        tmp_path,
        postgres__production="DATABASE_URL=production\n",
        postgres="DATABASE_URL=plain\nPGPASSWORD=plain-password\n",
        postgres__staging="PGUSER=staging\n",
    )
    wanted = ["DATABASE_URL", "PGPASSWORD"]
    strict = provider.lookup("postgres", wanted, "production")
    assert (strict.found, strict.reveal()) == (False, {"DATABASE_URL": "production"})
    assert strict.missing == ("PGPASSWORD",)
    filled = provider.lookup("postgres", wanted, "production", allow_fallback=True)
    assert filled.reveal() == {"DATABASE_URL": "production", "PGPASSWORD": "plain-password"}
    assert filled.source == "postgres-production.env, postgres.env"
    assert filled.origins == {"DATABASE_URL": "postgres-production.env", "PGPASSWORD": "postgres.env"}
    assert not provider.lookup("postgres", ["PGUSER"], "production", allow_fallback=True).found


@pytest.mark.parametrize("context", [None, "", "  "])
def test_without_a_context_only_plain_files_count(context: str | None, tmp_path: Path) -> None:
    provider = folder(tmp_path, postgres__production="DATABASE_URL=production\n")
    refused = provider.lookup("postgres", ["DATABASE_URL"], context)
    assert (refused.found, refused.reveal()) == (False, {})
    assert "postgres-production.env" in (refused.error or "")
    put(tmp_path / "db.env", "DATABASE_URL=plain\n")
    assert provider.lookup("postgres", ["DATABASE_URL"], context).reveal() == {"DATABASE_URL": "plain"}


@pytest.mark.parametrize("file", ["pre-production", "non_production", "production-old", "production-staging-db"])
def test_a_word_that_turns_the_meaning_round_makes_it_another_context(file: str, tmp_path: Path) -> None:
    provider = folder(tmp_path, **{f"postgres__{file}": "DATABASE_URL=wrong\n"})
    assert not provider.lookup("postgres", ["DATABASE_URL"], "production", allow_fallback=True).found


def test_a_file_that_says_more_is_taken_where_nothing_says_exactly_that(tmp_path: Path) -> None:
    provider = folder(tmp_path, postgres__production__eu="DATABASE_URL=eu\n")
    result = provider.lookup("postgres", ["DATABASE_URL"], "production")
    assert result.reveal() == {"DATABASE_URL": "eu"}
    assert result.warnings == ("postgres-production-eu.env names more than the context 'production'.",)
    put(tmp_path / "postgres-production-us.env", "DATABASE_URL=us\n")
    unclear = provider.lookup("postgres", ["DATABASE_URL"], "production")
    assert (unclear.found, unclear.reveal()) == (False, {})
    assert "postgres-production-eu.env, postgres-production-us.env" in (unclear.error or "")
    assert provider.lookup("postgres", ["DATABASE_URL"], "us production").reveal() == {"DATABASE_URL": "us"}
    put(tmp_path / "postgres-production.env", "DATABASE_URL=exact\n")
    assert provider.lookup("postgres", ["DATABASE_URL"], "production").reveal() == {"DATABASE_URL": "exact"}


def test_of_several_files_the_first_stem_wins_then_the_name(tmp_path: Path) -> None:
    provider = folder(
        tmp_path,
        db="DATABASE_URL=db\nPGUSER=db\nPGHOST=db\n",
        postgresql="DATABASE_URL=postgresql\nPGUSER=postgresql\n",
        postgres="DATABASE_URL=postgres\n",
    )
    result = provider.lookup("postgres")
    assert result.reveal() == {"DATABASE_URL": "postgres", "PGUSER": "postgresql", "PGHOST": "db"}
    assert result.source == "postgres.env, postgresql.env, db.env"


# --- what files hold ------------------------------------------------------------------------------------

DIALECT = """\
# a comment
export EXPORTED=one
SINGLE='two # not a comment'
DOUBLE="three\\nlines"
COMMENTED=four # a comment
HASH=fi#ve
SPACED = six
DOLLAR=${HOME}-$EXPORTED
URL=postgresql://user:pa=ss@host:5432/db?x=1&y=2
KEY="-----BEGIN KEY-----
abc
-----END KEY-----"
TWICE=first
TWICE=last
UMLAUT=größe
"""
VALUES = {
    "EXPORTED": "one",
    "SINGLE": "two # not a comment",
    "DOUBLE": "three\nlines",
    "COMMENTED": "four",
    "HASH": "fi#ve",
    "SPACED": "six",
    "DOLLAR": "${HOME}-$EXPORTED",
    "URL": "postgresql://user:pa=ss@host:5432/db?x=1&y=2",
    "KEY": "-----BEGIN KEY-----\nabc\n-----END KEY-----",
    "TWICE": "last",
    "UMLAUT": "größe",
}


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_the_env_format_is_read_as_shells_and_editors_write_it(mark: str, newline: str, tmp_path: Path) -> None:
    text = (DIALECT if not mark else DIALECT.removeprefix("# a comment\n")).replace("\n", newline)
    provider = folder(tmp_path, sqlite=mark + text)
    result = provider.lookup("sqlite")
    assert result.reveal() == VALUES
    assert result.warnings == ()


def test_an_empty_value_is_not_found_and_is_named(tmp_path: Path) -> None:
    provider = folder(tmp_path, postgres="DATABASE_URL=\nPGUSER\nPGHOST=''\n")
    result = provider.lookup("postgres", ["DATABASE_URL", "PGUSER", "PGHOST"])
    assert (result.found, result.reveal()) == (False, {})
    assert "DATABASE_URL (there, but empty)" in (result.error or "")
    assert (provider.lookup("postgres").error or "").startswith("postgres has none of DATABASE_URL (there, but")


def test_a_broken_line_is_named_by_number_and_the_rest_is_read(tmp_path: Path) -> None:
    provider = folder(tmp_path, redis='REDIS_HOST=h\n\n"hunter2 unclosed\nREDIS_PORT=6379\n')
    result = provider.lookup("redis")
    assert result.reveal() == {"REDIS_HOST": "h", "REDIS_PORT": "6379"}
    assert result.warnings == (f"{tmp_path}/redis.env:3 is not a line NAME=value and was passed over.",)


@pytest.mark.parametrize(
    "content",
    [b"REDIS_URL=hunter2\xff\xfe\n", "REDIS_URL=hunter2\n".encode("utf-16"), b"REDIS_URL=hunter2\0\n"],
    ids=["latin", "utf-16", "nul"],
)
def test_a_file_that_is_not_text_ends_the_lookup_with_a_sentence(content: bytes, tmp_path: Path) -> None:
    provider = folder(tmp_path, redis=content, redis__production="REDIS_URL=fine\n")
    result = provider.lookup("redis", ["REDIS_URL"])
    assert (result.found, result.reveal(), result.missing) == (False, {}, ("REDIS_URL",))
    assert result.error == f"{tmp_path}/redis.env is not UTF-8 text; save it as UTF-8."
    assert f"in place of {tmp_path}/redis.env" in (result.instructions or "")
    assert "hunter2" not in repr(result)
    assert provider.lookup("redis", ["REDIS_URL"], "production", allow_fallback=True).found


def test_a_broken_file_is_not_passed_over_for_a_later_one(tmp_path: Path) -> None:
    provider = folder(tmp_path, postgres=b"\xff\xff", db="DATABASE_URL=another\n")
    assert provider.lookup("postgres").reveal() == {}


def test_something_that_is_no_file_of_variables_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "redis.env")
    put(tmp_path / "aws.env", b"#" * (1024 * 1024 + 1))
    (tmp_path / "vercel.env").symlink_to(tmp_path / "nowhere.env")
    (tmp_path / "stripe.env").symlink_to(tmp_path / "stripe.env")
    for service in ("redis", "aws", "vercel", "stripe"):
        result = lookup_credentials(service, directory=tmp_path)
        assert not result.found
        assert f"{service}.env" in (result.error or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_or_folder_closed_to_us_is_a_sentence(tmp_path: Path) -> None:
    provider = folder(tmp_path, redis="REDIS_URL=x\n")
    (tmp_path / "redis.env").chmod(0)
    assert "permission denied" in (provider.lookup("redis").error or "")
    tmp_path.chmod(0)
    try:
        assert "permission denied" in (provider.lookup("redis").error or "")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_can_open_is_noted(mode: int, tmp_path: Path) -> None:
    provider = folder(tmp_path, redis="REDIS_URL=hunter2\n")
    (tmp_path / "redis.env").chmod(mode)
    result = provider.lookup("redis")
    assert result.found
    (warning,) = result.warnings
    assert f"{stat.S_IMODE(mode):03o}" in warning
    assert f"chmod 600 {tmp_path}/redis.env" in warning


# --- staying inside the folder --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../outside/redis", "/etc/passwd", "..\\redis", "red\0is", "a\nb", "..", "", "x" * 101]
)
def test_names_that_cannot_be_file_names_are_refused(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    put(tmp_path / "redis.env", "REDIS_URL=outside\n")
    provider = folder(inside, redis="REDIS_URL=inside\n")
    result = provider.lookup(name, ["REDIS_URL"])
    assert (result.found, result.reveal(), result.missing) == (False, {}, ("REDIS_URL",))
    assert result.error
    assert result.instructions
    if name:
        assert not provider.lookup("redis", ["REDIS_URL"], name, allow_fallback=True).found


def test_a_link_out_of_the_folder_is_not_followed_and_one_inside_is(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.env"
    inside.mkdir()
    put(outside, "REDIS_URL=outside\n")
    put(inside / "real.txt", "AWS_REGION=inside\n")
    (inside / "redis.env").symlink_to(outside)
    (inside / "aws.env").symlink_to("real.txt")
    (tmp_path / "door").symlink_to(inside)
    for directory in (inside, tmp_path / "door"):
        refused = lookup_credentials("redis", ["REDIS_URL"], directory=directory)
        assert not refused.found
        assert "link to a file outside" in (refused.error or "")
        assert lookup_credentials("aws", ["AWS_REGION"], directory=directory).found


# --- which folder, and the environment ------------------------------------------------------------------


def test_the_folder_is_the_argument_else_the_variable_else_the_documents(tmp_path: Path) -> None:
    environ = {"HARNESS_CREDENTIALS_DIR": str(tmp_path / "from-variable")}
    assert CredentialProvider(tmp_path, environ=environ).directory == tmp_path
    assert CredentialProvider(environ=environ).directory == tmp_path / "from-variable"
    assert CredentialProvider(environ={}).directory == DEFAULT_DIRECTORY
    assert CredentialProvider(environ={"HARNESS_CREDENTIALS_DIR": ""}).directory == DEFAULT_DIRECTORY
    assert str(DEFAULT_DIRECTORY) == "/mnt/dev-linux/projects/server-maintenance/docs/servers"


def test_the_process_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(tmp_path))
    put(tmp_path / "vercel.env", "VERCEL_TOKEN=t\n")
    assert lookup_credentials("vercel", ["VERCEL_TOKEN"]).reveal() == {"VERCEL_TOKEN": "t"}


def test_a_folder_may_be_relative_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert CredentialProvider("~/secrets").directory == tmp_path / "secrets"
    assert CredentialProvider("secrets").directory == tmp_path / "secrets"
    assert not lookup_credentials("redis", directory="~nobody-by-that-name/x").found


def test_a_missing_folder_is_a_sentence_with_both_ways_out(tmp_path: Path) -> None:
    result = lookup_credentials("postgres", ["DATABASE_URL"], "production", directory=tmp_path / "gone")
    assert result.error == f"The credentials directory {tmp_path}/gone does not exist."
    assert result.instructions == (
        f"Create {tmp_path}/gone/postgres-production.env with a line DATABASE_URL=… (and chmod 600 it), "
        "or set HARNESS_CREDENTIALS_DIR to the directory that has it."
    )
    put(tmp_path / "file", "")
    assert "is not a directory" in (lookup_credentials("redis", directory=tmp_path / "file").error or "")


def test_instructions_name_the_file_and_the_variables_that_lack(tmp_path: Path) -> None:
    provider = folder(tmp_path, postgres="PGUSER=u\n")
    some = provider.lookup("postgres", ["PGUSER", "PGPASSWORD", "PGHOST"])
    assert some.instructions == f"Add the lines PGPASSWORD=…, PGHOST=… to {tmp_path}/postgres.env."
    assert some.error == "postgres lacks PGPASSWORD, PGHOST (read: postgres.env)."
    none = provider.lookup("github", context="eu production")
    assert f"Create {tmp_path}/github-eu-production.env with a line GITHUB_TOKEN=…" in (none.instructions or "")
    assert none.error == f"No credential file for github (eu production) is in {tmp_path}."


def test_the_environment_is_used_only_on_request_and_like_a_plain_file(tmp_path: Path) -> None:
    environ = {"REDIS_URL": "from-environment", "OPENAI_API_KEY": "never asked"}
    put(tmp_path / "redis.env", "REDIS_HOST=from-file\n")
    assert not CredentialProvider(tmp_path, environ=environ).lookup("redis", ["REDIS_URL"]).found
    provider = CredentialProvider(tmp_path, environ=environ, sources=("files", "environment"))
    result = provider.lookup("redis")
    assert result.reveal() == {"REDIS_HOST": "from-file", "REDIS_URL": "from-environment"}
    assert result.source == "redis.env, environment"
    assert not provider.lookup("redis", ["REDIS_URL"], "production").found
    assert provider.lookup("redis", ["REDIS_URL"], "production", allow_fallback=True).found
    assert provider.lookup("redis", ["OPENAI_API_KEY"]).reveal() == {}
    assert provider.lookup("unknown", ["OPENAI_API_KEY"]).reveal() == {}


def test_dotenv_is_not_imported_until_a_file_is_read() -> None:
    code = "import sys, harness_nb.credentials; sys.exit('dotenv' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
