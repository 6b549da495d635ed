"""The sample project, done from its beginning to its end by an orchestrator that has nothing but the ten tools."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.sample import prepare_sample
from harness_nb.store import Store
from tests.leaks import files_that_hold
from tests.mcp_server.orchestrating import Orchestrator, end_everything, tools_of
from tests.orchestrator.written_plans import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

HERE = Path(__file__).parent
TOKEN = (HERE.parents[1] / "notebooks/sample/credentials/weather-demo.env").read_text().strip().rpartition("=")[2]
PLANS = ["01-01", "01-02", "01-03", "01-04", "02-01", "02-02", "03-01", "03-02", "03-03"]
ASKED = {
    "02-01": ("decision_needed", "decision_made"),
    "02-02": ("credentials_needed", "credentials_provided"),
    "03-01": ("verification_needed", "verification_result"),
    "03-03": ("action_needed", "action_completed"),
}


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Path]:
    """A trusted copy of the sample, in which nothing lives when the test is done."""
    folder, _ = prepare_sample(tmp_path / "weather")
    yield folder
    end_everything(folder)


def proven(sample: Path, state: dict[str, Any], orchestrator: Orchestrator) -> None:
    """See that all was done, in order, two at a time, judged, written down, and that nobody kept the token."""
    assert {plan["id"]: plan["state"] for plan in state["plans"]} == dict.fromkeys(PLANS, "complete")
    assert all(plan["verified"] for plan in state["plans"])
    assert sorted(orchestrator.started) == PLANS, "each plan was started once"
    assert orchestrator.started[0] == "01-01"
    assert frozenset(("01-02", "01-03")) not in orchestrator.beside, "both write the same notes"
    assert frozenset(("03-01", "03-02")) in orchestrator.beside
    for plan in PLANS:
        [file] = sample.glob(f"planning/plans/*/{plan}-*-SUMMARY.md")
        assert "Status: VERIFIED" in file.read_text()
    file = sample / ".orchestration" / "dependency-graph.json"  # written once the verdict is in the journal
    until(lambda: sorted(json.loads(file.read_text())["completed"]) == PLANS)
    graph = json.loads(file.read_text())
    assert graph["available"] == graph["running"] == graph["blocked"] == []
    assert (sample / "site" / "index.html").is_file()
    assert files_that_hold(sample, TOKEN.encode()) == [sample / "credentials" / "weather-demo.env"]


def answers(sample: Path) -> dict[str, tuple[str, str]]:
    """Return what was asked in each plan and what answered it, all of it through MCP."""
    with closing(Store(sample)) as store:
        given = [one for one in store.messages.select(direction="out") if one.in_response_to and one.door == "mcp"]
        asked = {one.id: one for one in store.messages.select(direction="in")}
    pairs = [(asked[str(one.in_response_to)], one) for one in given]
    return {asks.payload["plan"]: (asks.type, one.type) for asks, one in pairs if asks.payload.get("plan")}


def taken_by_file(sample: Path) -> int:
    """Return how many answers workers have taken from their files."""
    return len(list(sample.glob(".orchestration/sessions/*/answered/*.json")))


@pytest.mark.row(2, 3, 4, 5, 12, 13)
async def test_workers_that_have_nothing_but_the_workers_tools_do_all_of_it(sample: Path) -> None:
    """Credentials reach them in the literal form of the document: inside the answer that they await."""
    with (sample / ".orchestration" / "config.yaml").open("a") as settings:
        settings.write("deliver: message\n")
    async with tools_of(sample) as tools:
        orchestrator = Orchestrator(tools, command=[sys.executable, str(HERE / "agent_worker.py"), "plan"])
        state = await orchestrator.finish()
    proven(sample, state, orchestrator)
    assert answers(sample) == ASKED


@pytest.mark.row(2, 3, 4, 5, 6, 12)
async def test_shell_scripts_that_use_files_alone_do_all_of_it(sample: Path) -> None:
    """Only the credentials come another way, as they must: through ``harness-nb worker exec``."""
    async with tools_of(sample) as tools:
        orchestrator = Orchestrator(tools, command=["sh", str(HERE / "file_worker.sh")])
        state = await orchestrator.finish()
    proven(sample, state, orchestrator)
    assert answers(sample) == ASKED
    assert taken_by_file(sample) == len(ASKED)


@pytest.mark.row(3, 4, 5, 12)
async def test_the_built_in_worker_does_all_of_it_and_a_new_server_goes_on_where_one_ended(sample: Path) -> None:
    """A client that leaves takes its server along; the sessions go on, and the next server finds and judges them."""
    async with tools_of(sample) as tools:
        first = Orchestrator(tools)
        await first.finish(until="01-01")
        begun = await tools.start_session(plan="01-04")
    async with tools_of(sample) as tools:
        await tools.judged(begun)
        second = Orchestrator(tools, started=[*first.started, "01-04"], beside=first.beside)
        state = await second.finish()
    proven(sample, state, second)
    assert answers(sample) == ASKED
