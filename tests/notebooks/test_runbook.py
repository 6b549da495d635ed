"""The runbook under papermill: other parameters give another record, and a check that fails turns the cell red."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import papermill  # type: ignore[import-untyped]
import psutil
import pytest

from harness_nb import Harness
from tests.notebooks.save import NOTEBOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_service_stays(tmp_path: Path) -> Iterator[None]:
    """A runbook that ends before its last cells leaves its service running; that is what an incident wants."""
    yield
    for record in tmp_path.rglob("*-incident"):
        with Harness(record) as h:
            for session in h.list_sessions("running"):
                session.stop()
    assert services_in(tmp_path) == []


def run(folder: Path, **parameters: Any) -> Any:
    """Run the runbook as papermill does, and return the notebook that it wrote."""
    folder.mkdir(exist_ok=True)
    return papermill.execute_notebook(
        NOTEBOOKS / "runbook.ipynb",
        folder / "night.ipynb",
        parameters={"folder": str(folder), **parameters},
        cwd=folder,
        progress_bar=False,
    )


def printed(notebook: Any) -> str:
    """Return what all cells printed and answered, as text."""
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    return "\n".join(one.get("text") or one.get("data", {}).get("text/plain", "") for one in outputs)


def services_in(folder: Path) -> list[psutil.Process]:
    return [one for one in psutil.process_iter() if "service.py" in " ".join(_cmdline(one)) and _is_in(one, folder)]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _is_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd().startswith(str(folder))
    except psutil.Error:
        return False


def test_two_incidents_with_other_parameters_both_end_well(tmp_path: Path) -> None:
    quiet = printed(run(tmp_path / "1"))
    loud = printed(run(tmp_path / "2", service="payments", severity="high", max_waiting=5))
    assert "orders: back to normal" in quiet
    assert "9 orders wait in payments, and 5 are normal" in loud
    assert "payments: back to normal" in loud
    with Harness(tmp_path / "1" / "orders-incident") as h:
        assert list(h.frames.messages(type="decision_made")["actor"]) == ["policy"]
        assert h.frames.messages(type="action_needed").empty
    with Harness(tmp_path / "2" / "payments-incident") as h:
        assert list(h.frames.messages(type="action_needed")["text"]) == ["Tell the shop that payments are late"]
    assert services_in(tmp_path) == []


def test_a_remedy_that_does_not_help_turns_the_last_cell_red_and_names_the_check(tmp_path: Path) -> None:
    with pytest.raises(papermill.PapermillExecutionError, match="queue-is-normal") as red:
        run(tmp_path, remedy="restart")
    assert red.value.ename == "RunFailedError"
    assert "raise_for_failure" in red.value.source
    assert services_in(tmp_path) == []


def test_where_nothing_is_stuck_nothing_is_touched(tmp_path: Path) -> None:
    with pytest.raises(papermill.PapermillExecutionError, match="nothing to do"):
        run(tmp_path, max_waiting=20)
    with Harness(tmp_path / "orders-incident") as h:
        assert list(h.frames.sessions()["plan_id"].dropna()) == ["01-01"]
        assert h.frames.messages(type="decision_needed").empty
