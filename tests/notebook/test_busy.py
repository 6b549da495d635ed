"""A cell that blocks in a kernel without clicks says how to answer from a shell."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import start_new_kernel

from harness_nb.harness import display
from harness_nb.notebook import busy
from tests.orchestrator.written_plans import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb import Harness, Plan

LIMIT = 60


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook with somebody there, whose kernel takes no clicks while it is busy."""
    monkeypatch.setattr(display, "attended", lambda: True)
    monkeypatch.setattr(busy, "clicks_reach_a_busy_kernel", lambda: False)


def keep_printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Keep what is printed, to be looked at again and again: capsys loses what another thread prints meanwhile.

    Not a fixture: pytest puts its own standard output back before the test itself begins.
    """
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    return text


def answer_all(harness: Harness, printed: io.StringIO, number: int) -> None:
    """Answer each question once how to do it is printed."""
    for one in range(1, number + 1):
        until(lambda one=one: printed.getvalue().count("harness-nb respond") >= 2 * one, LIMIT)  # type: ignore[misc]
        harness.get_pending()[0].answer("redis")


@pytest.mark.row(10)
@pytest.mark.usefixtures("deaf")
def test_questions_that_are_open_and_that_open_are_printed_once_while_a_run_is_waited_for(
    harness: Harness, asking: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = keep_printed(monkeypatch)
    first, second = asking(1), asking(2)
    run = harness.run(plans=[first, second.replace(depends_on=["01-01"])])
    harness.wait_for_state(states=["checkpoint"], timeout=LIMIT)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(run.wait, LIMIT)
        answer_all(harness, printed, 2)
        assert waiting.result().passed
    asked = re.findall(r"\? (\S+): Which cache\?\n    harness-nb respond \S+ --option sqlite", printed.getvalue())
    assert asked == ["01-01", "01-02"]
    assert printed.getvalue().count("This kernel takes no clicks while a cell runs.") == 2


@pytest.mark.usefixtures("deaf")
def test_a_question_that_this_cell_asks_itself_is_printed_too(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = keep_printed(monkeypatch)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(copy_context().run, lambda: harness.ask("action", action="Turn the key"))
        until(lambda: harness.get_pending(), LIMIT)
        until(lambda: "--approve" in printed.getvalue(), LIMIT)
        harness.get_pending()[0].approve()
        asked.result(timeout=LIMIT)
    assert "Turn the key" in printed.getvalue()


def test_where_clicks_get_through_nothing_is_printed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "attended", lambda: True)
    monkeypatch.setattr(busy, "clicks_reach_a_busy_kernel", lambda: True)
    with pytest.raises(TimeoutError):
        harness.start_session(command=["sleep", "600"]).wait(timeout=0.1)
    assert capsys.readouterr().out == ""


@pytest.mark.row(10)
def test_the_line_that_a_busy_kernel_without_subshells_prints_answers_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real kernel blocks in a cell; what it printed is run in a real shell, and the cell ends."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager, client = start_new_kernel(env=dict(os.environ), cwd=str(tmp_path))
    printed: list[str] = []

    def take(message: dict[str, Any]) -> None:
        content = message["content"]
        printed.append(content.get("text") or "\n".join(content.get("traceback", [])))
        said = re.search(r"harness-nb respond .*--approve.*", "".join(printed))
        if said and "answered" not in done:
            done["answered"] = subprocess.run(
                said[0], shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, check=True, timeout=LIMIT,
                capture_output=True,
            )  # fmt: skip

    done: dict[str, Any] = {}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    code = f"""
from harness_nb import Harness
h = Harness({str(root)!r})
type(get_ipython().kernel)._supports_kernel_subshells = False
print(h.ask("action", action="Turn the key").type)
h.close()
"""
    try:
        client.execute_interactive(code, allow_stdin=True, output_hook=take, timeout=LIMIT)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    assert done, "".join(printed)
    assert "".join(printed).count("? this notebook: ") == 1
    assert "".join(printed).endswith("action_completed\n")
