"""The process that runs the sample is killed at some moment; ``run()`` in another one brings it to the same end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness_nb import Harness
from harness_nb.protocol.messages import QUESTIONS
from harness_nb.sessions.starting import NEVER_STARTED
from harness_nb.store import Store
from tests.orchestrator.written_plans import end_everything

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).resolve().parents[2] / "notebooks" / "sample"
LIMIT = 110
RUN = """
import sys
from harness_nb import ACCEPT_ALL, Harness
with Harness(sys.argv[1], trust=True) as h:
    report = h.run(policies=[ACCEPT_ALL]).wait(timeout=100)
print(report)
sys.exit(0 if report.passed else 1)
"""


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Sample:
    """A copy of the sample on a port of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        shutil.copytree(SAMPLE, root, ignore=shutil.ignore_patterns(".orchestration"))
        for file in root.rglob("*.md"):
            file.write_text(file.read_text().replace("8765", str(self.port)))
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        """Begin (or go on with) the run in a process of its own."""
        environment = {**os.environ, "HARNESS_CREDENTIALS_DIR": str(self.root / "credentials")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(self.root)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self.process

    def finish(self) -> None:
        """Let the run come to its end."""
        process = self.start()
        output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, output

    def kill_at(self, event: int, delay: float) -> bool:
        """Kill the run's process ``delay`` seconds after its journal's n-th event; false if it had ended before."""
        process = self.start()
        store = Store(self.root)
        try:
            while store.events.last < event and process.poll() is None:
                time.sleep(0.003)
        finally:
            store.close()
        time.sleep(delay)
        ended = process.poll() is not None
        process.kill()
        process.communicate()
        return not ended

    def end(self) -> None:
        """End the run, its sessions and, by its file, the service that plan 02-02 started."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        end_everything(Harness(self.root))
        for one in psutil.process_iter(["cmdline"]):
            if one.info["cmdline"] and one.info["cmdline"][-3:] == ["weather/api.py", "--port", str(self.port)]:
                one.send_signal(signal.SIGTERM)

    def outcome(self) -> dict[str, Any]:
        """Return all that two runs must have in common."""
        store = Store(self.root)
        try:
            [run] = store.runs.select()
            assert run.report
            questions = [one for one in store.messages.select(direction="in") if one.type in QUESTIONS]
            answers = Counter(one.in_response_to for one in store.messages.select(direction="out"))
            assert all(answers[one.id] == 1 for one in questions), "each question was answered once"
            return {
                "state": run.state,
                "plans": [_plan_outcome(one) for one in run.report["plans"]],
                "phases": {name: _verdicts(one) for name, one in run.report["phases"].items()},
                "questions": sorted((one.payload["plan"], one.type) for one in questions),
                "events": store.events.last,
                "files": self.files(),
            }
        finally:
            store.close()

    def files(self) -> set[str]:
        """Return the names of all files that the plans made."""
        found = {file.relative_to(self.root) for file in self.root.rglob("*") if file.is_file()}
        return {str(one) for one in found if one.parts[0] != ".orchestration" and "__pycache__" not in one.parts}

    def attempts(self) -> dict[str, list[str]]:
        """Return for each plan how its sessions ended, without those that never came to be."""
        with Harness(self.root) as harness:
            records = [one.record for one in harness.list_sessions()]
        found: dict[str, list[str]] = {}
        for one in records:
            if one.reason != NEVER_STARTED and one.worker != "python":
                found.setdefault(str(one.plan_id), []).append(f"{one.state} {one.reason or ''}".strip())
        return found


def _plan_outcome(plan: dict[str, Any]) -> tuple[Any, ...]:
    return (plan["planId"], plan["state"], plan.get("verified"), plan["earlier"], _verdicts(plan["report"]))


def _verdicts(report: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(one["specId"], one["passed"]) for one in report["results"]]


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Sample]:
    """A copy of the sample; everything that it started is ended."""
    made = Sample(tmp_path / "sample")
    yield made
    made.end()


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """How a run ends that nobody disturbs."""
    before = os.environ.get("HARNESS_STATE_DIR")
    os.environ["HARNESS_STATE_DIR"] = str(tmp_path_factory.mktemp("state"))
    made = Sample(tmp_path_factory.mktemp("unkilled") / "sample")
    try:
        made.finish()
        yield made.outcome()
    finally:
        made.end()
        os.environ.pop("HARNESS_STATE_DIR")
        os.environ.update({"HARNESS_STATE_DIR": before} if before else {})


def kill_and_compare(sample: Sample, unkilled: dict[str, Any], seed: int, kills: int) -> None:
    """Kill the run at some moments of its way, and see that it ends as the one that nobody killed."""
    chance = random.Random(seed)
    last = unkilled["events"]
    moments = sorted(chance.randrange(2, last - 8) for _ in range(kills))
    killed = [sample.kill_at(moment, chance.choice([0.0, 0.01, 0.05])) for moment in moments]
    assert any(killed)
    sample.finish()
    outcome = sample.outcome()
    for key in ("state", "plans", "phases", "questions", "files"):
        assert outcome[key] == unkilled[key], f"seed {seed}, killed at {moments}: {key}"
    assert sample.attempts() == {one[0]: ["completed"] for one in unkilled["plans"]}, "no plan was done twice"


@pytest.mark.row(3, 4, 5, 11)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_run_goes_on_to_the_same_end(sample: Sample, unkilled: dict[str, Any], seed: int) -> None:
    """Same outcomes, checks, questions and files; nothing asked or done twice."""
    kill_and_compare(sample, unkilled, seed, kills=1)


@pytest.mark.soak
@pytest.mark.row(11)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(100, 130))
def test_a_run_killed_again_and_again_comes_to_the_same_end(
    sample: Sample, unkilled: dict[str, Any], seed: int
) -> None:
    """Killed up to four times."""
    kill_and_compare(sample, unkilled, seed, kills=1 + seed % 4)
