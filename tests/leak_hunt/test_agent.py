"""The real Claude Code in a session: what it is told, keeps at home and sends to its model holds no value."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from tests.leak_hunt.agent import HABIT_NAMES, Conversation, bundled_claude, let_it_work
from tests.leak_hunt.scene import Scene, habit_of, scene
from tests.leak_hunt.searching import in_short

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.row(2), pytest.mark.row(8), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, Conversation]]:
    """The agent's whole work, once for all that is asked about it."""
    program = bundled_claude()
    if program is None:
        pytest.skip(f"the claude-agent-sdk package brings no Claude Code for {platform.platform()}")
    with scene(tmp_path_factory.mktemp("agent")) as made:
        yield made, let_it_work(made, program)


def test_the_agent_got_its_credentials_and_used_them(worked: tuple[Scene, Conversation]) -> None:
    _, talk = worked
    whole = "\n".join(talk.told)
    for habit in HABIT_NAMES:
        assert f"<<{habit}>>" in whole
    assert "[credential:STRIPE_SECRET_KEY]" in whole


@pytest.mark.parametrize("habit", HABIT_NAMES)
def test_what_a_command_prints_reaches_the_agent_masked(habit: str, worked: tuple[Scene, Conversation]) -> None:
    made, talk = worked
    hits = made.search.in_bytes(habit_of("\n".join(talk.told).encode(), habit), habit)
    assert not hits, in_short(hits)


def test_no_request_to_the_model_holds_a_value(worked: tuple[Scene, Conversation]) -> None:
    made, _ = worked
    assert len(made.shown) >= 8
    hits = [hit for name, text in made.shown.items() for hit in made.search.in_text(text, name)]
    assert not hits, in_short(hits)


def test_the_agent_s_home_holds_its_transcript_and_no_value(worked: tuple[Scene, Conversation]) -> None:
    made, _ = worked
    home = made.folder / "agent-home"
    transcripts = list(home.rglob("*.jsonl"))
    assert any("harness_worker_report" in one.read_text() for one in transcripts)
    hits = made.search.in_folder(home)
    assert not hits, in_short(hits)


@pytest.mark.parametrize("where", ["project", "traffic", "state"])
def test_neither_the_project_nor_its_traffic_holds_a_value(where: str, worked: tuple[Scene, Conversation]) -> None:
    made, _ = worked
    folder = made.folder / where
    if any(folder.iterdir()):
        hits = made.search.in_folder(folder)
        assert not hits, in_short(hits)
