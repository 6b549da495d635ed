"""Every form in which a value may stand in an output: encoded, escaped, quoted; and which values cannot be masked.

All of it is pure. The shim gets these forms and looks for them, so that it needs to know no encoding itself.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from harness_nb.credentials.services import KNOWN_SERVICES
from harness_nb.shim.plain import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from harness_nb.protocol.credentials import Service

SHORTEST: Final = 4
"""Characters; a shorter value would blot out ordinary text and be guessed from what is left."""
SHORTEST_NUMBER: Final = 6
"""Digits; shorter ones are ports, years, counts and line numbers."""
SHORTEST_SIGNS: Final = 8
"""Characters of a value without any letter or digit; shorter ones are rules and borders."""
SHORTEST_LINE: Final = 16
"""Characters of one line of a value of several; shorter ones, and its ``-----BEGIN …-----``, are no secret alone."""

_SWITCHES = "true false yes no on off none null nil undefined enabled disabled default auto unset empty"
_PLACES = "localhost localhost.localdomain 127.0.0.1 0.0.0.0 ::1 host.docker.internal"
_SERVICES = "postgres postgresql redis mysql mariadb mongo mongodb sqlite supabase stripe github cloudflare"
_PEOPLE = "root admin administrator user username guest nobody anonymous public private ubuntu"
_STAGES = "test tests testing dev devel development local stage staging prod production main master latest release"
_PROTOCOLS = "http https tcp utf-8 utf8 json text info debug warn warning error"
COMMON: Final = frozenset(
    f"{_SWITCHES} {_PLACES} {_SERVICES} {_PEOPLE} {_STAGES} {_PROTOCOLS} database password secret".split()
)
"""Values that are in many a configuration, are no secret there, and stand in ordinary output again and again: switches,
the own machine, names of services and their first users, names of stages and branches, and words of every log."""

_REGION = re.compile(
    r"(us|eu|ap|sa|ca|me|af|il|cn|mx)-(gov-)?(north|south|east|west|central|northeast|southeast|northwest|southwest)"
    r"-?\d[a-f]?|(us|europe|asia|australia|africa|me|northamerica|southamerica)-[a-z]+\d(-[a-f])?"
)
"""A cloud's region or zone, which is in every address and every log line of that cloud and no secret."""


def why_unmaskable(value: str | SecretStr) -> str | None:
    """Return why a value is not masked, as the end of a sentence about it, or None for one that is."""
    plain = _plain(value).translate(BETWEEN_LETTERS).strip()
    if len(plain) < SHORTEST:
        return f"is shorter than {SHORTEST} characters"
    if plain.isdigit() and len(plain) < SHORTEST_NUMBER:
        return f"is a number of fewer than {SHORTEST_NUMBER} digits, as ports and counts are"
    if len(plain) < SHORTEST_SIGNS and not any(sign.isalnum() for sign in plain):
        return "has neither letters nor digits, as borders have"
    if plain.casefold() in COMMON:
        return "is a word that ordinary output is full of"
    if _REGION.fullmatch(plain):
        return "is the name of a cloud's region"
    return None


def masks_of(values: Mapping[str, str | SecretStr]) -> dict[str, list[str]]:
    """Return the forms of each value by its name, the value itself first; those that cannot be masked are left out."""
    return {name: forms_of(_plain(value)) for name, value in values.items() if why_unmaskable(value) is None}


BETWEEN_LETTERS: Final = dict.fromkeys(IGNORED)
"""What does not count as a part of a value, since terminals and programs put it anywhere."""
NO_SECRETS: Final = frozenset({"PGUSER", "PGHOST", "PGDATABASE", "REDIS_HOST", "AWS_REGION", "AWS_DEFAULT_REGION"})


def known_variables(environment: Mapping[str, str], services: Mapping[str, Service] | None = None) -> dict[str, str]:
    """Return the variables of known services, and of those given, that stand in an environment with a value.

    One that says where or as whom, and does it in one plain word (``PGUSER=alice``), is no secret: masked, it would
    blot out every path and every sentence with that word.
    """
    every = {**KNOWN_SERVICES, **(services or {})}.values()
    names = dict.fromkeys(name for service in every for name in service.variables)
    there = {name: environment[name] for name in names if environment.get(name)}
    return {name: value for name, value in there.items() if not (name in NO_SECRETS and value.isalpha())}


def forms_of(value: str) -> list[str]:
    """Return every form of a value once, the value itself first; none holds another whole form of it.

    Breaks and spaces around it are no part of it: who prints it may leave them out, as shells do. Of base64 the letters
    that its neighbours change are left out.
    """
    value = value.strip()
    kept: list[str] = [value]
    written = (*_in_addresses(value), *_in_json(value), *_in_shells(value), *_in_code(value), *_in_base64(value))
    for form in sorted(dict.fromkeys(written), key=len):
        if len(form) >= SHORTEST and not any(shorter in form for shorter in kept):
            kept.append(form)
    lines = [line.strip() for line in value.splitlines()] if "\n" in value else []
    alone = (line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith("-----"))
    return list(dict.fromkeys((*kept, *alone)))


def _bytes(value: str) -> bytes:
    """Return a value as it stands in an environment, where it may be no text."""
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


def _in_base64(value: str) -> Iterator[str]:
    """Yield a value as it stands in base64 of a longer text, which may begin at any of three places."""
    raw = _bytes(value)
    for before, changed in enumerate((0, 2, 3)):
        data = b"\0" * before + raw
        for encode in (b64encode, urlsafe_b64encode):
            whole = encode(data).decode()
            kept = whole.rstrip("=")
            yield kept[changed : len(kept) - (len(kept) != len(whole))]


_UNCHANGED_BY_SCRIPTS = "!*'()"
_UNCHANGED_IN_ADDRESSES = ";/?:@&=+$,#!*'()"
_UNCHANGED_IN_PARTS = (
    "!$&'()*+,;=", "!$&'()*+,;=:", "!$&'()*+,;=:@", "!$&'()*+,;=:@/", "!$&'()*+,;=:@/?",  # by RFC 3986
    "$&+,;=", "$&+:=@", "$&+,/:;=@",  # by Go: who, a folder, a path
    "!$%&'()*+,",  # by WHATWG: who
)  # fmt: skip


def _in_addresses(value: str) -> Iterator[str]:
    raw = _bytes(value)
    for safe in ("", "/", _UNCHANGED_BY_SCRIPTS, _UNCHANGED_IN_ADDRESSES, *_UNCHANGED_IN_PARTS):
        yield from _either_case(quote(raw, safe=safe))
    yield from _either_case(quote_plus(raw))


def _either_case(encoded: str) -> Iterable[str]:
    return encoded, re.sub("%..", lambda code: code.group().lower(), encoded)


def _in_json(value: str) -> Iterator[str]:
    """Yield a value inside a text of JSON, and inside JSON that is itself such a text."""
    for once in _escaped(value):
        yield once
        yield from _escaped(once)


def _escaped(value: str) -> Iterator[str]:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield text
        yield text.replace("/", "\\/")
        for_pages = text
        for sign in "&<>":
            for_pages = for_pages.replace(sign, f"\\u{ord(sign):04x}")
        yield for_pages
    text = json.dumps(value)[1:-1].replace('\\"', "\\u0022")
    for sign in "&<>'+`":  # as .NET has it
        text = text.replace(sign, f"\\u{ord(sign):04X}")
    yield re.sub(r"\\u[0-9a-f]{4}", lambda code: f"\\u{code[0][2:].upper()}", text)


_QUOTED_BY_BASH = re.compile(r"([^\w@%+=:./#~-]|(?:^|(?<=[:=]))~|^#)", re.ASCII)
_IN_DOUBLE_QUOTES = re.compile(r'([\\"$`])')
_C_ESCAPES = {
    "\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\E", "\a": "\\a", "\b": "\\b",
    "\f": "\\f", "\v": "\\v",
}  # fmt: skip


def _in_shells(value: str) -> Iterator[str]:
    """Yield a value as shells quote it: in single quotes of two styles, with backslashes, in double quotes, as in C."""
    yield value.replace("'", "'\"'\"'")
    yield value.replace("'", "'\\''")
    # beyond ASCII nothing is special to a shell that knows the encoding
    yield _QUOTED_BY_BASH.sub(lambda sign: f"\\{sign[0]}" if sign[0].isascii() else sign[0], value)
    yield _IN_DOUBLE_QUOTES.sub(r"\\\1", value)
    yield _in_c(value)
    yield _in_c(value).replace('"', '\\"')


def _in_c(value: str) -> str:
    shown = (_C_ESCAPES.get(sign) or (f"\\{ord(sign):03o}" if ord(sign) < 32 else sign) for sign in value)
    return "".join(shown)


def _in_code(value: str) -> Iterator[str]:
    """Yield a value as Python shows it, as pages and XML have it, and with quotes doubled, as YAML and SQL do."""
    yield repr(value)[1:-1]
    yield repr(_bytes(value))[2:-1]
    yield ascii(value)[1:-1]
    whole = html.escape(value)
    for one, two in (("&#x27;", "&quot;"), ("&#39;", "&#34;"), ("&#39;", "&quot;"), ("&apos;", "&quot;")):
        yield whole.replace("&#x27;", one).replace("&quot;", two)
    yield html.escape(value, quote=False)
    yield value.replace("'", "''")
    yield value.replace('"', '""')  # as tables and PowerShell do
    yield re.sub('(["$`])', r"`\1", value)
    for once in _escaped(value):  # a log of JSON
        yield repr(once)[1:-1]
        yield once.replace("\\", "\\\\").replace("'", "\\'")
    yield from _escaped(repr(value)[1:-1])  # JSON of a log


def _plain(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
