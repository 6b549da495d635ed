"""Whoever is killed at whatever moment, the run comes to the same end as the one that nobody disturbed.

A seed says who is killed and when: ``pytest --soak -k 'seed-217]'`` does one again.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.survival.killing import WAYS, blows_of, strike
from tests.survival.outcome import check_command, compare, outcome
from tests.survival.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.row(9, 10, 11), pytest.mark.timeout(300)]

SLICE = 10
SEEDS = 310


def play(root: Path, seed: int | None = None) -> Scene:
    """Let a run go from its beginning to its end, with the kills of a seed; the caller ends it."""
    chance = random.Random(seed)
    blows = blows_of(seed) if seed is not None else []
    detached = chance.random() < 0.6 or any(blow.victim == "holder" for blow in blows)
    scene = Scene(root, WAYS[0] if seed is None else chance.choice(WAYS), detached=detached)
    try:
        scene.open()
        scene.open_door()
        for blow in blows:
            strike(scene, blow, chance)
        scene.finish()
    except BaseException as error:
        error.add_note(scene.story(seed))
        scene.end()
        raise
    return scene


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How everything stands at the end of a run that nobody disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        scene = play(tmp_path_factory.mktemp("unkilled") / "project")
        try:
            check_command(scene)
            return outcome(scene)
        finally:
            scene.end()


def kill_and_compare(root: Path, seed: int, unkilled: dict[str, Any]) -> None:
    scene = play(root, seed)
    try:
        compare(scene, unkilled)
    except BaseException as error:
        error.add_note(scene.story(seed))
        raise
    finally:
        scene.end()


def test_a_run_that_nobody_disturbs_does_all_of_it(unkilled: dict[str, Any]) -> None:
    assert unkilled["run"][0] == "passed"
    kinds = {kind for said in unkilled["said"].values() for kind, _ in said}
    assert kinds >= {"verification_needed", "decision_needed", "action_needed", "credentials_needed"}
    assert unkilled["made"]["chosen"] == "b\n"
    assert unkilled["pending"] == []


@pytest.mark.parametrize("seed", range(SLICE), ids="seed-{}".format)
def test_whoever_is_killed_the_run_comes_to_the_same_end(tmp_path: Path, unkilled: dict[str, Any], seed: int) -> None:
    kill_and_compare(tmp_path / "project", seed, unkilled)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SLICE, SEEDS), ids="seed-{}".format)
def test_whoever_is_killed_whenever_the_run_comes_to_the_same_end(
    tmp_path: Path, unkilled: dict[str, Any], seed: int
) -> None:
    kill_and_compare(tmp_path / "project", seed, unkilled)
