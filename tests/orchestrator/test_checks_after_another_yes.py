"""Checks may print what a plan's worker was given, and the process that runs them did not say the yes."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness_nb.orchestrator import Desk
from harness_nb.store import Store
from tests.leaks import files_that_hold
from tests.orchestrator.written_plans import configure, until, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb import Harness

pytestmark = pytest.mark.row(2)

SECRET = "s3cr3t-passw0rd-42"


def test_a_check_shows_no_value_that_another_process_has_granted(
    root: Path, tmp_path: Path, opened: Callable[..., Harness]
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "redis.env").write_text(f"REDIS_PASSWORD={SECRET}\n")
    configure(root, credentialsDir=str(tmp_path / "credentials"), maxRetries=0)
    printing = {"id": "prints", "type": "command_output", "command": f"cat {tmp_path}/credentials/*", "expects": "not"}
    need = {"service": "redis", "envVars": ["REDIS_PASSWORD"], "reason": "to log in"}
    write_plan(root, "01-01", "true", must_pass=[printing], credentials_needed=[need])
    harness = opened()
    run = harness.run()
    until(harness.get_pending)
    with closing(Store(root)) as store:  # as another process does it, with a desk of its own
        Desk(store).approve(store.messages.pending()[0], actor="somebody", door="cli")
    [plan] = run.wait(timeout=60).plans
    assert plan.report is not None
    assert "REDIS_PASSWORD=[credential:REDIS_PASSWORD]" in json.dumps(plan.report.to_wire())
    assert files_that_hold(root, SECRET.encode()) == []
