"""Plans for tests: in Python, or as files with the settings beside them; and the end of all that they started."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import yaml

from harness_nb import Harness, Plan, RunBlock, Task
from harness_nb.store.locks import is_held
from tests.trusting import trust_again

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FINE = ({"id": "fine", "type": "command_succeeds", "command": "true"},)
"""A manifest that passes."""


def plan(plan_id: str, code: str = "true", *, lang: str = "sh", **keys: Any) -> Plan:
    """Return a plan written in Python with one run block; ``keys`` are frontmatter."""
    keys.setdefault("must_pass", list(FINE))
    return Plan.model_validate({"id": plan_id, "tasks": [_task(code, lang)], **keys})


def _task(code: str, lang: str) -> Task:
    return Task.model_validate({"name": "Do it", "runs": [RunBlock.model_validate({"lang": lang, "code": code})]})


def write_plan(root: Path, plan_id: str, code: str | None = "true", *, body: str = "", **keys: Any) -> Path:
    """Write ``planning/plans/NN-phase/NN-MM-PLAN.md`` with one run block (none for ``None``) and ``body``."""
    phase, _, number = plan_id.partition("-")
    folder = root / "planning" / "plans" / f"{phase}-phase"
    folder.mkdir(parents=True, exist_ok=True)
    keys.setdefault("must_pass", list(FINE))
    head = yaml.safe_dump({"phase": f"{phase}-phase", "plan": number, "type": "execute", **keys}, sort_keys=False)
    run = f'<run lang="sh">\n{code}\n</run>\n' if code is not None else ""
    task = f'<task type="auto">\n<name>Do {plan_id}</name>\n<action>Do it</action>\n{run}</task>'
    file = folder / f"{plan_id}-PLAN.md"
    file.write_text(
        f"---\n{head}---\n\n<objective>\nThe plan {plan_id}\n</objective>\n\n<tasks>\n{task}\n{body}</tasks>\n"
    )
    trust_again(root)
    return file


def configure(root: Path, **settings: Any) -> None:
    """Write ``config.yaml``; ``retryDelay`` is short unless said otherwise."""
    folder = root / ".orchestration"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"retryDelay": 0.01, **settings}))


def states(report: Any) -> dict[str, str]:
    """Return each plan's state of a run's report."""
    return {one.plan_id: one.state for one in report.plans}


def until(condition: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait until something is so that nobody announces, such as a file that a worker writes."""
    limit = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < limit, "it did not come to be"
        time.sleep(0.01)


def end_everything(harness: Harness) -> None:
    """Close a harness, and end every session of its project, and the process of its run."""
    root = harness.root
    harness.close()
    if not root.is_dir():
        return
    with Harness(root) as again:
        run = again.current_run
        if run is not None and not run.ended:
            run.stop()
        until(lambda: not is_held(again._twin.store.layout.lease))
        for session in again.list_sessions():
            if session.record.live:
                session.stop(grace=0.5)
