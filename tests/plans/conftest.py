"""Small projects for the tests of this room, written as their authors would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

WritePlan = Callable[..., Path]


@pytest.fixture
def write_plan(tmp_path: Path) -> WritePlan:
    """Write a plan under planning/plans: ``write_plan("01-one/01-01-PLAN.md", "depends_on: [01-00]")``."""

    def write(name: str, frontmatter: str | None = "", body: str = "", place: str = "planning/plans") -> Path:
        file = tmp_path / place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        head = "" if frontmatter is None else f"---\n{frontmatter.strip()}\n---\n"
        file.write_text(head + body, encoding="utf-8")
        return file

    return write
