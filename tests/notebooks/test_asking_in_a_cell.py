"""A checkpoint raised from a cell shows its form in that cell, where a person runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import start_new_kernel

from harness_nb import Harness

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

PATIENCE = 60
ASK = """
from harness_nb import Harness
h = Harness({project!r})
print(h.ask("decision", decision="Which cache?", options=[{{"id": "files", "name": "Files"}}]))
"""


@pytest.fixture
def kernel() -> Generator[BlockingKernelClient]:
    manager, client = start_new_kernel()
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def outputs(client: BlockingKernelClient, request: str) -> Generator[dict[str, Any]]:
    """Yield what a request puts out, until it is done."""
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return
        yield message


def test_somebody_who_runs_the_cell_sees_the_form_while_it_waits(kernel: BlockingKernelClient, tmp_path: Path) -> None:
    request = kernel.execute(ASK.format(project=str(tmp_path)), allow_stdin=True)
    found = outputs(kernel, request)
    form = next(one for one in found if one["msg_type"] == "display_data")
    assert "Which cache?" in form["content"]["data"]["text/html"]
    with Harness(tmp_path) as h:
        h.get_pending()[0].answer("files")
    rest = list(found)
    printed = "".join(one["content"]["text"] for one in rest if one["msg_type"] == "stream")
    assert printed.startswith("answer: Files")


def test_a_program_that_runs_the_cell_gets_no_form_and_an_error(kernel: BlockingKernelClient, tmp_path: Path) -> None:
    request = kernel.execute(ASK.format(project=str(tmp_path)), allow_stdin=False)
    found = list(outputs(kernel, request))
    assert [one["msg_type"] for one in found if one["msg_type"] in ("display_data", "error")] == ["error"]
