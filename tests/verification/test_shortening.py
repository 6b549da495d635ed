"""What a check says is shortened only once its values are masked: a mask knows no half of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import VerificationEngine
from harness_nb.credentials import Redactor

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.row(2), pytest.mark.anyio]

SECRET = "s3cr3t-" + "long0123456789-" * 80
CHECKS: dict[str, dict[str, Any]] = {
    "the last line": {"type": "command_succeeds", "command": "cat value.txt; false"},
    "the command": {"type": "command_succeeds", "command": f": {'x' * 150} {SECRET}; false"},
    "a match": {"type": "file_not_contains", "path": "value.txt", "pattern": "s3cr.*", "regex": True},
    "a schema's problem": {"type": "json_valid", "path": "value.json", "schema": {"type": "object"}},
}


@pytest.mark.parametrize("where", CHECKS)
async def test_of_a_value_that_is_longer_than_what_is_shown_nothing_is_shown(where: str, tmp_path: Path) -> None:
    (tmp_path / "value.txt").write_text(f"key={SECRET}\n")
    (tmp_path / "value.json").write_text(json.dumps([SECRET]))
    engine = VerificationEngine(tmp_path, redact=Redactor({"TOKEN": SECRET}))
    report = await engine.verify([{"id": "it", **CHECKS[where]}])
    assert not report.passed
    said = json.dumps(report.to_wire())
    assert "[credential:TOKEN]" in said
    assert "long0123456789" not in said
