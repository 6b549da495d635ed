"""Values for the twelve services, new ones in each run, and the files that hold them.

Each value has a mark at its beginning and one at its end. All marks of a run begin alike, with letters and digits that
no encoding of text changes: so one search finds whatever piece of whatever value, and the rest of the mark says which.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BETWEEN = {
    "postgres": {"DATABASE_URL": "postgresql://app:{}:%2B/{}@localhost:5432/app?sslmode=require&a=b"},
    "redis": {"REDIS_PASSWORD": "{} $HOME/${{PATH}} `id`+& {}"},
    "supabase": {"SUPABASE_SERVICE_KEY": "eyJhbGciOiJIUzI1NiJ9.{}.{}_-="},
    "stripe": {"STRIPE_SECRET_KEY": "sk_test_{}xXxXxXxXxXxXxXxXxXxXxXxXxXxX{}"},
    "openai": {"OPENAI_API_KEY": "{}-Größe-Straße-日本-{}"},
    "anthropic": {"ANTHROPIC_API_KEY": "sk-ant-api03-{}/+/+=={}"},
    "aws": {"AWS_SECRET_ACCESS_KEY": "{}/k+7/MDENG/bPxRfi=CY+{}="},
    "github": {
        "GITHUB_TOKEN": "ghp_{}{}",
        "GITHUB_API_TOKEN": "-----BEGIN KEY-----\n{}\nMIIB+a/b=\n{}\n-----END KEY-----",
    },
    "sendgrid": {"SENDGRID_API_KEY": "SG.{}<b>&amp;'single' \"double\"{}"},
    "twilio": {"TWILIO_AUTH_TOKEN": "{}\\n\\t\\\\ back \\slash{}"},
    "vercel": {"VERCEL_TOKEN": "{}" + "long0123456789-" * 40 + "{}"},
    "cloudflare": {"CLOUDFLARE_API_TOKEN": "{}%2F%25;|*?[]{{}}~!#^(){}"},
}
"""What each value looks like around its two marks."""
LETTERS = string.ascii_letters + string.digits
MARK_LENGTH = 12


@dataclass(frozen=True)
class Plant:
    """The values of one run, by service and variable, and the mark that is in all of them and nowhere else."""

    mark: str
    values: dict[str, dict[str, str]]

    @property
    def by_name(self) -> dict[str, str]:
        """All values by the names of their variables."""
        return {name: value for group in self.values.values() for name, value in group.items()}


def sow() -> Plant:
    """Make up values that no other run has."""
    mark = "q" + "".join(secrets.choice(LETTERS) for _ in range(MARK_LENGTH - 1))
    values: dict[str, dict[str, str]] = {}
    number = 0
    for service, group in BETWEEN.items():
        values[service] = {}
        for name, around in group.items():
            number += 1
            values[service][name] = around.format(f"{mark}{number:02}A", f"{mark}{number:02}Z")
    return Plant(mark, values)


def write_env_files(folder: Path, plant: Plant) -> None:
    """Write each service's ``.env`` file as a person would."""
    folder.mkdir(mode=0o700)
    for service, group in plant.values.items():
        path = folder / f"{service}.env"
        path.touch(0o600)
        path.write_text("".join(f"export {name}={_quoted(value)}\n" for name, value in group.items()), encoding="utf-8")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
