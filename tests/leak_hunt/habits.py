"""What misbehaving workers do with the values that they were given: a program that prints them in every way.

``python habits.py NAME…`` takes the values from its environment. What each habit prints stands between two lines that
name it, so that a leak can be told from another.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shlex
import subprocess
import sys
import time
import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COLUMNS = 20


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def plainly(name: str, value: str) -> None:
    say(f"{name}={value}")


def to_standard_error(name: str, value: str) -> None:
    sys.stderr.write(f"error: {name} is {value}\n")
    sys.stderr.flush()


def byte_by_byte(name: str, value: str) -> None:
    for byte in f"{value}\n".encode():
        os.write(1, bytes((byte,)))
        time.sleep(0.0002)  # so that most of them are read one by one


def in_two_writes(name: str, value: str) -> None:
    raw = value.encode()
    for at in range(1, len(raw), max(1, len(raw) // 12)):
        os.write(1, raw[:at])
        time.sleep(0.0005)
        os.write(1, raw[at:] + b"\n")


def coloured(name: str, value: str) -> None:
    for at in (3, len(value) // 2):
        say(f"{value[:at]}\x1b[1;31m{value[at:]}\x1b[0m")


def wrapped(name: str, value: str) -> None:
    for end in ("\n", "\r\n"):
        say(end.join(value[at : at + COLUMNS] for at in range(0, len(value), COLUMNS)))


def in_base64(name: str, value: str) -> None:
    for before in ("", "u", "u:"):
        say(f"Basic {base64.b64encode(f'{before}{value}'.encode()).decode()} end")


def in_wrapped_base64(name: str, value: str) -> None:
    say(base64.encodebytes(value.encode()).decode())


def in_a_url(name: str, value: str) -> None:
    for encoded in (quote(value), quote(value, safe=""), quote_plus(value)):
        say(f"GET /login?key={encoded}&x=1")


def in_json(name: str, value: str) -> None:
    say(json.dumps({name: value}))
    say(json.dumps({name: value}, ensure_ascii=False))


def in_json_twice(name: str, value: str) -> None:
    say(json.dumps({"body": json.dumps({name: value})}))
    say(json.dumps({"body": json.dumps({name: value}, ensure_ascii=False)}, ensure_ascii=False))


def quoted_for_a_shell(name: str, value: str) -> None:
    say(f"curl -H {shlex.quote(f'Authorization: {value}')}")
    say(f"export {name}={shlex.quote(value)}")


def in_a_traceback(name: str, value: str) -> None:
    try:
        raise RuntimeError(f"cannot log in with {value}")  # noqa: TRY301 — this is the habit
    except RuntimeError:
        traceback.print_exc()


def as_python_writes_it(name: str, value: str) -> None:
    say(repr({name: value}))


def traced_by_a_shell(name: str, value: str) -> None:
    subprocess.run(["sh", "-xc", f': "${name}"; printf "%s\\n" "${name}"'], check=True)


def logged(name: str, value: str) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("worker").warning("using %s for %s", value, name)


def as_a_title(name: str, value: str) -> None:
    say(f"\x1b]0;{value}\x07\x1b]2;{value}\x1b\\")


HABITS: tuple[Callable[[str, str], None], ...] = (
    plainly, to_standard_error, byte_by_byte, in_two_writes, coloured, wrapped, in_base64, in_wrapped_base64, in_a_url,
    in_json, in_json_twice, quoted_for_a_shell, in_a_traceback, as_python_writes_it, traced_by_a_shell, logged,
    as_a_title,
)  # fmt: skip


def misbehave(values: Mapping[str, str]) -> None:
    """Do all of that with all of them, or what ``HABITS`` in the environment names."""
    wanted = os.environ.get("HABITS", "").split()
    for habit in [one for one in HABITS if not wanted or one.__name__ in wanted]:
        say(f"<<{habit.__name__}>>")
        for name, value in values.items():
            habit(name, value)
            sys.stderr.flush()
        say(f"<</{habit.__name__}>>")


def main() -> None:
    """Misbehave with the named variables; where the last word is ``crash``, end with one in the last words."""
    *names, last = sys.argv[1:]
    if last != "crash":
        names.append(last)
    values = {name: os.environ[name] for name in names}
    misbehave(values)
    if last == "crash":
        sys.exit(f"fatal: {' '.join(values.values())}")


if __name__ == "__main__":
    main()
