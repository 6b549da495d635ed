"""Every form in which a value may be printed is known, as the programs themselves write it; and what is refused."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import shutil
import subprocess
import urllib.parse

import markupsafe
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from harness_nb.credentials import KNOWN_SERVICES
from harness_nb.credentials.forms import forms_of, known_variables, masks_of, why_unmaskable
from harness_nb.protocol.credentials import Service
from harness_nb.shim.masker import Masker

pytestmark = pytest.mark.row(2)

HARD = "pg://ad'min:p@$$ w\"o\\rd/é&<x>@db?a=1#~`b!"
PLAIN = "ghp_x8Kd02mPqLs7TzA91bVcNw3E"


def holds_one(text: str, value: str) -> bool:
    return any(form in text for form in forms_of(value))


def printed_by(shell: str, script: str, value: str) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    environment = {"V": value, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run([shell, "-c", script], env=environment, capture_output=True, check=True).stdout.decode()


@pytest.mark.parametrize("value", [HARD, PLAIN, "tab\tand 'quote'", "two\nlines of text", "zwölf Boxkämpfer"])
def test_every_encoding_of_a_value_holds_a_form_of_it(value: str) -> None:
    raw = value.encode()
    encoded = {
        "itself": value,
        "json": json.dumps({"a": value}),
        "json, not ASCII": json.dumps({"a": value}, ensure_ascii=False),
        "json in json": json.dumps({"a": json.dumps({"b": value})}),
        "json in json, not ASCII": json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False),
        "json of PHP": json.dumps(value).replace("/", "\\/"),
        "url": urllib.parse.quote(value, safe=""),
        "url path": urllib.parse.quote(value),
        "url, lower": re.sub("%..", lambda code: code[0].lower(), urllib.parse.quote(value, safe="")),
        "form": urllib.parse.urlencode({"a": value}),
        "encodeURIComponent": urllib.parse.quote(value, safe="!*'()-_.~"),
        "shlex": shlex.quote(value),
        "repr": repr({"a": value}),
        "bytes": repr(raw),
        "html": html.escape(value),
        "jinja": str(markupsafe.escape(value)),
        "yaml": "'" + value.replace("'", "''") + "'",
        **{f"base64 behind {n}": base64.b64encode(b"x" * n + raw + b"y" * (n % 4)).decode() for n in range(6)},
        **{f"base64 alone {n}": base64.urlsafe_b64encode(b"?" * n + raw).decode() for n in range(3)},
    }
    assert [how for how, text in encoded.items() if not holds_one(text, value)] == []


@pytest.mark.parametrize("script", ['printf %q "$V"', "export -p", "set", "declare -p V", 'echo "${V@Q}"'])
@pytest.mark.parametrize("value", [HARD, "tab\tand 'quote'", "two\nlines 'of' text", "#a~b:~c=~d", "a,b{c}[d]^e|f;g*h"])
def test_what_bash_quotes_holds_a_form(script: str, value: str) -> None:
    assert holds_one(printed_by("bash", script, value), value)


@pytest.mark.parametrize("script", ["export -p", "set"])
def test_what_a_plain_shell_quotes_holds_a_form(script: str) -> None:
    assert holds_one(printed_by("sh", script, HARD), HARD)


def test_the_value_itself_is_first_and_no_form_holds_another_whole_one() -> None:
    forms = forms_of(HARD)
    assert forms[0] == HARD
    assert len(forms) == len(set(forms))
    assert not [(one, other) for one in forms for other in forms if one != other and one in other]
    assert len(forms_of(PLAIN)) == 4  # itself, and three of base64


def test_each_long_line_of_a_key_is_a_form_and_its_frame_is_none() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nMzEfYyjiWA4R4/M2bS1GB4t7\nshort=\n-----END KEY-----\n"
    forms = forms_of(key)
    assert {"MIIEvQIBADANBgkqhkiG9w0B", "MzEfYyjiWA4R4/M2bS1GB4t7"} <= set(forms)
    assert not {"short=", "-----BEGIN KEY-----"} & set(forms)
    assert forms[0] == key.strip()


@given(st.text(min_size=4, max_size=30), st.binary(max_size=7), st.binary(max_size=7))
def test_base64_of_a_value_between_any_neighbours_holds_a_form(value: str, before: bytes, after: bytes) -> None:
    value = value.strip("\r\n")
    if why_unmaskable(value) is None:
        assert holds_one(base64.b64encode(before + value.encode() + after).decode(), value)


@given(st.text(min_size=4, max_size=30))
def test_whatever_the_value_each_of_its_forms_is_masked(value: str) -> None:
    masks = masks_of({"V": value})
    masker = Masker()
    masker.add(masks)
    for form in masks.get("V", []):
        assert "[" in masker.mask(form)
        assert form not in masker.mask(form)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "shorter"),
        ("abc", "shorter"),
        ("  abc\n", "shorter"),
        ("5432", "number"),
        ("54321", "number"),
        ("-----", "letters nor digits"),
        ("Production", "ordinary"),
        ("127.0.0.1", "ordinary"),
        ("eu-central-1", "region"),
        ("us-gov-west-1", "region"),
        ("europe-west4", "region"),
    ],
)
def test_what_would_shred_the_output_is_refused_and_says_why(value: str, why: str) -> None:
    assert why in str(why_unmaskable(value))
    assert masks_of({"V": value}) == {}


@pytest.mark.parametrize("value", ["543210", "a1b2", "hunter2", "localhost2", "us-east-1-key", SecretStr("s3cret")])
def test_other_values_are_masked(value: str | SecretStr) -> None:
    assert why_unmaskable(value) is None
    assert list(masks_of({"V": value})) == ["V"]


def test_known_variables_of_an_environment_are_those_of_services_that_have_a_value() -> None:
    environment = {"PGPASSWORD": "hunter2", "PGHOST": "", "PATH": "/bin", "ACME_KEY": "other"}
    assert known_variables(environment) == {"PGPASSWORD": "hunter2"}
    acme = {"acme": Service(variables=("ACME_KEY",))}
    assert known_variables(environment, acme) == {"PGPASSWORD": "hunter2", "ACME_KEY": "other"}
    every = {name: "value-1" for service in KNOWN_SERVICES.values() for name in service.variables}
    assert known_variables(every) == every


def test_where_and_as_whom_in_one_plain_word_is_no_secret_that_a_worker_inherits() -> None:
    """Masked, ``PGUSER=alice`` would blot out every path below /home/alice."""
    plain = {"PGUSER": "alice", "PGDATABASE": "weather", "PGHOST": "database"}
    telling = {"PGUSER": "alice_4711", "PGHOST": "db.example", "PGPASSWORD": "alice"}
    assert known_variables(plain | {"PGPASSWORD": "weather"}) == {"PGPASSWORD": "weather"}
    assert known_variables(telling) == telling


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("  lead and trail 77x ", "echo: lead and trail 77x\n"),
        ("p@ss/w:o%r&d", "postgres://me:p%40ss%2Fw%3Ao%25r&d@db.example"),  # Go and RFC 3986
        ("p@ss/w:o%r&d'x", "postgres://me:p%40ss%2Fw%3Ao%r&d'x@db.example"),  # new URL() of scripts
        ('say "hi" 4711', 'name,"say ""hi"" 4711"'),  # CSV
        ('say "hi" $4711', 'Set-Item "say `"hi`" `$4711"'),  # PowerShell
        ("a+b<c>'d'\"e\u00e9f4711", '{"a":"a\\u002Bb\\u003Cc\\u003E\\u0027d\\u0027\\u0022e\\u00E9f4711"}'),  # .NET
        ('it\'s "hi" 4711', repr(json.dumps({"password": 'it\'s "hi" 4711'}).encode())),  # http.client's debug output
        ('it\'s "hi" 4711', json.dumps({"message": repr({"password": 'it\'s "hi" 4711'})})),  # a JSON log of a dict
    ],
)
def test_what_ordinary_programs_make_of_a_value_is_masked(value: str, printed: str) -> None:
    masker = Masker()
    masker.add(masks_of({"V": value}))
    assert "[credential:V]" in masker.mask(printed)
