"""With ``deliver: message`` an agent is told the values: it is listed where they may be then, and nowhere else."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from tests.leak_hunt.agent import bundled_claude, let_it_work
from tests.leak_hunt.scene import Scene, scene
from tests.leak_hunt.searching import in_short

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.row(2), pytest.mark.timeout(300)]

MAY_HOLD_VALUES = {
    "credentials": "where they come from",
    "agent-home": "the agent's own transcript",
    "traffic": "what the worker's MCP server and the agent said to each other",
}
"""The folders of the scene in which values may lie; requests to the model hold them, too."""


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The agent's whole work, once for all that is asked about it."""
    program = bundled_claude()
    if program is None:
        pytest.skip(f"the claude-agent-sdk package brings no Claude Code for {platform.platform()}")
    with scene(tmp_path_factory.mktemp("told"), deliver="message") as made:
        let_it_work(made, program)
        yield made


@pytest.mark.parametrize("folder", MAY_HOLD_VALUES)
def test_values_are_where_they_may_be(folder: str, worked: Scene) -> None:
    assert worked.search.in_folder(worked.folder / folder)


def test_the_model_is_told_the_values(worked: Scene) -> None:
    assert any(worked.search.in_text(text, name) for name, text in worked.shown.items())


def test_values_are_nowhere_else(worked: Scene) -> None:
    hits = worked.search.in_folder(worked.folder, but=[worked.folder / name for name in MAY_HOLD_VALUES])
    assert not hits, in_short(hits)
    assert not worked.processes, in_short(worked.processes)
