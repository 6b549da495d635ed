"""Reading a big project, and judging its files."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import yaml

from harness_nb import AsyncHarness, VerificationEngine
from tests.benchmarks.figures import Figure, median, milliseconds, project

if TYPE_CHECKING:
    from pathlib import Path

PLAN = """---
phase: "{phase:02}"
plan: "{number:02}"
type: execute
wave: {wave}
depends_on: [{depends}]
files_modified: [src/part{phase}/file{number}.py, docs/part{phase}.md]
autonomous: true
must_haves:
  truths:
    - "Part {phase} does what step {number} says"
  artifacts:
    - path: src/part{phase}/file{number}.py
      provides: step {number}
must_pass:
  - {{id: there, type: file_exists, path: src/part{phase}/file{number}.py}}
---

<objective>
Step {number} of part {phase}, where a < b & c.
</objective>

<tasks>
<task type="auto">
  <name>Write it</name>
  <files>src/part{phase}/file{number}.py</files>
  <action>Write the file, then look at it.</action>
  <run lang="sh">true</run>
  <verify><automated>test -f src/part{phase}/file{number}.py</automated></verify>
  <done>It is there.</done>
</task>
<task type="checkpoint:decision">
  <name>Choose</name>
  <decision>Which way?</decision>
  <options><option id="a"><name>A</name></option><option id="b"><name>B</name></option></options>
</task>
</tasks>
"""


def write_plans(root: Path, count: int) -> list[Path]:
    """Write a project of that many plans, ten a phase."""
    files = []
    for index in range(count):
        phase, number = divmod(index, 10)
        folder = root / "planning" / "plans" / f"{phase + 1:02}-part"
        folder.mkdir(parents=True, exist_ok=True)
        depends = f'"{phase + 1:02}-{number:02}"' if number else ""
        path = folder / f"{phase + 1:02}-{number + 1:02}-PLAN.md"
        path.write_text(PLAN.format(phase=phase + 1, number=number + 1, wave=number + 1, depends=depends))
        files.append(path)
    return files


async def many_plans(count: int, times: int) -> Figure:
    """Time ``get_state``: all plans read, and the graph of them built."""
    ours, bare = [], []
    with project() as root:
        files = write_plans(root, count)
        async with AsyncHarness(root) as h:
            for _ in range(times):
                began = time.perf_counter()
                state = await h.get_state()
                ours.append(time.perf_counter() - began)
                assert len(state.plans) == count
                began = time.perf_counter()
                for path in files:
                    yaml.load(path.read_text().split("---")[1], yaml.CSafeLoader)
                bare.append(time.perf_counter() - began)
    return Figure(
        f"get_state() of {count} plans (median of {times})",
        milliseconds(median(ours)),
        f"{milliseconds(median(bare))} reading their YAML alone",
        "< 2 s",
        median(ours) < 2,
    )


async def many_checks(times: int) -> Figure:
    """Time 200 checks of files and 20 commands against the 20 commands alone, side by side."""
    ours, bare = [], []
    with project() as root:
        checks: list[dict[str, object]] = []
        for number in range(200):
            (root / f"file{number}.txt").write_text(f"line\nthe number is {number}\n" * 50)
            checks.append(
                {"id": f"f{number}", "type": "file_contains", "path": f"file{number}.txt", "pattern": f"is {number}"}
            )
        checks += [{"id": f"c{number}", "type": "command_succeeds", "command": "true"} for number in range(20)]
        engine = VerificationEngine(root)
        for _ in range(times):
            bare.append(_commands_alone(engine.max_concurrent))
            began = time.perf_counter()
            report = await engine.verify({"must_pass": checks})
            ours.append(time.perf_counter() - began)
            assert report.passed
    share = median(ours) / median(bare)
    return Figure(
        f"200 file checks and 20 commands (median of {times})",
        milliseconds(median(ours)),
        f"{milliseconds(median(bare))} the 20 commands alone",
        f"≤ 1.5 times it: {share:.2f}",
        share <= 1.5,
    )


def _commands_alone(side_by_side: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(min(side_by_side, os.cpu_count() or 1)) as pool:
        for done in pool.map(lambda _: subprocess.run("true", shell=True, check=False), range(20)):
            assert done.returncode == 0
    return time.perf_counter() - began
