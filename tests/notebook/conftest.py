"""Harnesses that end what they started, and a view that only writes down what it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Plan, RunBlock, Task
from harness_nb.harness.loop_thread import loop_thread
from harness_nb.notebook.displays import scene_of
from harness_nb.notebook.live import Live
from tests.orchestrator.conftest import harness, opened, root

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.notebook.pictures import Picture

__all__ = ["asking", "harness", "opened", "root", "shown"]

OPTIONS = [
    {"id": "sqlite", "name": "SQLite", "recommended": True, "pros": "no server", "cons": "one writer"},
    {"id": "redis", "name": "Redis"},
]
KINDS: dict[str, dict[str, Any]] = {
    "decision": {"decision": "Which cache?", "options": OPTIONS},
    "verification": {"what_built": "A page", "how_to_verify": ["1. Open it", "Look at it"]},
    "action": {"action": "Turn the key", "instructions": "To the left."},
    "credentials": {"service": "db", "env_vars": ["DB_URL"], "reason": "to load rows"},
}
"""What each kind of checkpoint asks in these tests, as ``h.ask`` takes it."""


@pytest.fixture
def asking() -> Callable[..., Plan]:
    """Return a function that makes a plan which asks for a decision and writes it down."""

    def plan(number: int = 1) -> Plan:
        ask = Task(name="Choose", type="checkpoint:decision", decision="Which cache?", options=OPTIONS)
        keep = Task(name="Keep", runs=[RunBlock(lang="sh", code=f'echo "$HARNESS_DECISION" > {number}.txt')])
        check = {"id": "kept", "type": "file_exists", "path": f"{number}.txt"}
        return Plan(id=f"01-0{number}", title=f"Plan {number}", tasks=[ask, keep], must_pass=[check])

    return plan


class Shown:
    """A living view without a page: what the page would get, and what people would do there."""

    def __init__(self, handle: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.saved: list[Picture] = []
        self.live = Live(scene_of(handle), save=self.saved.append)
        self.live.attach(self)  # type: ignore[arg-type]
        self._portal = loop_thread().portal
        self._number = 0

    def send(self, message: dict[str, Any]) -> None:
        """Take what is sent to the pages."""
        self.sent.append(message)

    def follow(self) -> None:
        """Keep it up to date from now on, until what it shows has ended."""
        harness = self.live._harness
        self._portal.call(harness.keep, self.live.serve)

    def order(self, do: str, **more: Any) -> dict[str, Any]:
        """Do something in the page, and return what it was told."""
        self._number += 1
        self._portal.call(self.live.obey, {"do": do, "page": "p", "number": self._number, **more})
        return next((one for one in reversed(self.sent) if one.get("number") == self._number), {})

    def fragments(self, name: str) -> dict[str, str]:
        """Return a list as the page has it now."""
        found: dict[str, str] = {}
        for message in self.sent:
            if name in message.get("lists", {}):
                found = dict(message["lists"][name])
            if name in message.get("patch", {}):
                patch = message["patch"][name]
                found = {key: patch["changed"].get(key, found.get(key, "")) for key in patch["order"]}
        return found

    def lines(self) -> list[str]:
        """Return the output as the page has it now."""
        lines: dict[int, str] = {}
        for message in self.sent:
            if piece := message.get("output"):
                if piece["reset"]:
                    lines = {}
                lines = {number: text for number, text in lines.items() if number < piece["first"]}
                lines |= dict(enumerate(piece["lines"], piece["first"]))
        return [lines[number] for number in sorted(lines)]


@pytest.fixture
def shown() -> Callable[[Any], Shown]:
    """Return a function that shows a handle without a browser."""
    return Shown
