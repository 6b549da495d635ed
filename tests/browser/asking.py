"""Notebook cells whose plans ask, and what the journal says of the answers."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from harness_nb.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator

    from tests.browser.lab import Lab

ONE_QUESTION = """\
from harness_nb import Harness, Plan, RunBlock, Task
plan = Plan(
    id="01-01", title="Cache layer",
    tasks=[
        Task(name="Choose", type="checkpoint:decision", decision="Which cache should the API use?",
             context="One process, 40 requests a second.",
             options=[
                 {"id": "sqlite", "name": "SQLite", "recommended": True, "pros": "no server", "cons": "one writer"},
                 {"id": "redis", "name": "Redis", "pros": "shared", "cons": "one more thing to run"},
             ]),
        Task(name="Keep it", runs=[RunBlock(lang="sh", code='echo "cache=$HARNESS_DECISION" | tee cache.txt')]),
    ],
    must_pass=[{"id": "kept", "type": "file_exists", "path": "cache.txt"}],
)
"""
"""A cell with one plan, ``plan``, that asks for a decision and writes it to ``cache.txt``."""


def opened(project: Path) -> str:
    """Return a cell that opens the project as ``h``."""
    return f"from harness_nb import Harness\nh = Harness({str(project)!r}, trust=True)"


def live(lab: Lab, cell: int) -> Locator:
    """Return the living view below a cell."""
    return lab.output(cell).locator(".hnb-live")


def card(view: Locator, text: str) -> Locator:
    """Return the form in a view that asks something."""
    return view.locator(".hnb-card").filter(has_text=text)


def settled(view: Locator, text: str) -> Locator:
    """Return the line in a view that says how a question was answered."""
    return view.locator(".hnb-answered").filter(has_text=text)


def choose(view: Locator, text: str, option: str) -> None:
    """Answer a decision by clicking."""
    form = card(view, text)
    form.get_by_role("radio", name=option).check()
    form.get_by_role("button", name="Answer").click()


def answers(project: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return each answer's door and payload, by the plan that asked."""
    with closing(Store(project)) as store:
        sessions = {one.id: one for one in store.sessions.select()}
        found = {}
        for question in store.messages.select(direction="in"):
            answer = store.messages.answer_to(question.id, question.session_id)
            if answer is not None:
                session = sessions[question.session_id]
                found[session.plan_id or session.id] = (str(answer.door), dict(answer.payload))
        return found
