"""Every kind of worker misbehaves with its credentials; nothing that is left holds a piece of a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.leak_hunt.habits import HABITS
from tests.leak_hunt.scene import Scene, habit_of, play, rest_of, scene, whole_project
from tests.leak_hunt.searching import in_short

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.row(2), pytest.mark.timeout(300)]

PRINTING = ("terminal", "pipes", "crash", "message", "runbook")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The whole scene, once for all that is asked about it."""
    with scene(tmp_path_factory.mktemp("hunt")) as made:
        play(made)
        yield made


@pytest.mark.parametrize("habit", [one.__name__ for one in HABITS])
@pytest.mark.parametrize("who", PRINTING)
def test_what_a_worker_prints_is_masked_before_it_is_stored(who: str, habit: str, played: Scene) -> None:
    hits = played.search.in_bytes(habit_of(played.output(who), habit), f"{who}, {habit}")
    assert not hits, in_short(hits)


@pytest.mark.parametrize("who", ["terminal", "pipes", "crash", "message", "file", "mcp", "runbook", "broken"])
def test_what_a_worker_prints_besides_is_masked_too(who: str, played: Scene) -> None:
    hits = played.search.in_bytes(rest_of(played.output(who)), who)
    assert not hits, in_short(hits)


def test_no_file_of_the_project_its_home_or_its_exports_holds_a_value(played: Scene) -> None:
    for folder in whole_project(played):
        if any(folder.iterdir()):
            logs = list(folder.rglob("terminal.log"))
            hits = played.search.in_folder(folder, but=logs)
            assert not hits, in_short(hits)


def test_no_export_holds_what_a_worker_printed(played: Scene) -> None:
    hits = [
        hit for log in (played.folder / "exports").rglob("terminal.log") for hit in played.search.in_file(log, log.name)
    ]
    assert not hits, in_short(hits)


def test_no_process_but_a_worker_s_own_holds_a_value(played: Scene) -> None:
    assert not played.processes, in_short(played.processes)


def test_no_door_shows_a_value(played: Scene) -> None:
    hits = [
        hit for name, text in played.shown.items() if "output" not in name for hit in played.search.in_text(text, name)
    ]
    assert not hits, in_short(hits)


def test_mcp_traffic_holds_no_value_but_those_that_a_client_sent_itself(played: Scene) -> None:
    said_by_clients = [*played.traffic.glob("told-*.sent"), *played.traffic.glob("misbehaving-*.sent")]
    assert len(said_by_clients) >= 3
    hits = played.search.in_folder(played.traffic, but=said_by_clients)
    assert not hits, in_short(hits)


def test_credentials_went_through_every_door(played: Scene) -> None:
    assert set(played.doors) >= {"python", "with values", "shell", "mcp", "mcp with values", "http", "http with values"}
