"""Who is killed and when: everything follows from a seed."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.survival.scene import Life, Scene

LAST = 76
"""The last of a run's events that is waited for: a run that nobody disturbs has three more."""
WAYS = ("api", "shell", "hand")
DELAYS = (0.0, 0.004, 0.02, 0.06, 0.3)


@dataclass(frozen=True)
class Blow:
    """One kill: whom, after which event, and how many seconds after it."""

    victim: str
    event: int
    delay: float


def blows_of(seed: int) -> list[Blow]:
    """Return the kills of a seed: one or two, each kind of victim as often as the others."""
    chance = random.Random(seed)
    names = sorted(VICTIMS)
    first = names[seed % len(names)]
    others = [chance.choice(names)] if chance.random() < 0.4 else []
    events = sorted(chance.randrange(1, LAST) for _ in range(1 + len(others)))
    return [
        Blow(name, event, chance.choice(DELAYS) + chance.random() * 0.01)
        for name, event in zip([first, *others], events, strict=True)
    ]


def strike(scene: Scene, blow: Blow, chance: random.Random) -> None:
    """Wait for the moment, kill, and start anew what somebody would start anew."""
    begun = scene.store.events.last
    if scene.wait_for(lambda: scene.store.events.last >= max(begun, blow.event)):
        said = VICTIMS[blow.victim](scene, chance, blow.delay)
        scene.killed.append(f"{said} (event {scene.store.events.last}, planned {blow.event} + {blow.delay:.3f} s)")


def kill_kernel(scene: Scene, chance: random.Random, delay: float) -> str:
    time.sleep(delay)
    assert scene.kernel is not None
    scene.kernel.kill()
    scene.kernel.wait()
    scene.open()
    return "the kernel"


def kill_door(scene: Scene, chance: random.Random, delay: float) -> str:
    """Kill the second door right after it said that it is about to answer."""
    before = len(scene.said_by_door())
    answering = scene.wait_for(lambda: len(scene.said_by_door()) > before)
    time.sleep(chance.random() * 0.03)
    assert scene.door is not None
    scene.door.kill()
    scene.door.wait()
    scene.open_door()
    return f"the second door, {scene.said_by_door()[-1] if answering else 'idle'}"


def kill_holder(scene: Scene, chance: random.Random, delay: float) -> str:
    """Kill the process that does a detached run; those who have the project open start another one."""
    if not scene.wait_for(lambda: scene.holder() is not None):
        return "no process of the run: it had ended"
    time.sleep(delay)
    holder = scene.holder()
    if holder is None:
        return "no process of the run: it had just ended"
    os.kill(holder, signal.SIGKILL)
    return "the run's own process"


def kill_shim(scene: Scene, chance: random.Random, delay: float) -> str:
    return _kill_of_a_session(scene, chance, delay, "shim")


def kill_worker(scene: Scene, chance: random.Random, delay: float) -> str:
    return _kill_of_a_session(scene, chance, delay, "worker")


def _kill_of_a_session(scene: Scene, chance: random.Random, delay: float, what: str) -> str:
    found: list[Life] = []

    def look() -> bool:
        found[:] = scene.lives()
        return bool(found)

    if not scene.wait_for(look):
        return f"no {what}: none lived any more"
    life = chance.choice(found)
    time.sleep(delay)
    try:
        os.kill(life.shim if what == "shim" else life.worker, signal.SIGKILL)
    except ProcessLookupError:
        return f"no {what}: that of {life.session_id} had just ended"
    scene.hurt.setdefault(life.session_id, set()).add(what)
    return f"the {what} of {life.session_id}"


VICTIMS: dict[str, Callable[[Scene, random.Random, float], str]] = {
    "door": kill_door,
    "holder": kill_holder,
    "kernel": kill_kernel,
    "shim": kill_shim,
    "worker": kill_worker,
}
"""Whoever can be killed, and how: what is started anew afterwards is part of that."""
