"""A person at the page: opens it, looks, answers; and workers that ask by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from harness_nb.errors import ShimFailedError
from harness_nb.sessions import ask_shim
from harness_nb.store import Store
from tests.browser.lab import BACKGROUND, GRAVE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page

    from tests.dashboard.serving import Server

START = """\
import sys
from harness_nb import Harness
print(Harness(sys.argv[1]).start_session(command=sys.argv[2:]).id)
"""
RUN = """\
import sys
from harness_nb import Harness
Harness(sys.argv[1], trust=True).run().wait()
"""
ASK = """\
import json, subprocess, sys
harness = [sys.executable, "-m", "harness_nb.cli", "worker"]
def said(*words):
    return subprocess.run([*harness, *words], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
for question in sys.argv[1:]:
    print("asking:", question, flush=True)
    options = [{"id": "sqlite", "name": "SQLite", "recommended": True}, {"id": "redis", "name": "Redis"}]
    payload = {"decision": question, "context": "One process.", "options": options}
    asked = said("report", "decision_needed", "--payload", json.dumps(payload))
    answer = json.loads(said("await", asked))
    print("heard:", answer["payload"]["selectedOptionId"], flush=True)
"""
"""A worker that asks for a decision per argument, one after the other, and prints each answer."""
ASK_ALL = """\
import json, subprocess, sys
harness = [sys.executable, "-m", "harness_nb.cli", "worker"]
def said(*words):
    return subprocess.run([*harness, *words], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
for kind, payload in json.loads(sys.argv[1]):
    answer = json.loads(said("await", said("report", kind, "--payload", json.dumps(payload))))
    print("heard:", answer["type"], flush=True)
"""
"""A worker that asks whatever its argument says, a type and a payload each, and prints the type of each answer."""


def start_elsewhere(project: Path, *command: str) -> str:
    """Start a session in a process of its own, which is gone when this returns, and return the session's id."""
    words = [sys.executable, "-c", START, str(project), *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@contextmanager
def running_elsewhere(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a project's plans in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", RUN, str(project)]) as run:
        try:
            yield run
        finally:
            run.terminate()


def start_asking(project: Path, *questions: str) -> str:
    """Start a worker that asks these questions one after the other."""
    return start_elsewhere(project, sys.executable, "-c", ASK, *questions)


def start_asking_all(project: Path, *questions: tuple[str, dict[str, object]]) -> str:
    """Start a worker that asks questions of any kind, one after the other."""
    return start_elsewhere(project, sys.executable, "-c", ASK_ALL, json.dumps(questions))


def end_sessions(project: Path) -> None:
    """End what still lives of a project's sessions."""
    with closing(Store(project)) as store:
        for session in store.sessions.select(live=True):
            with suppress(ShimFailedError):
                ask_shim(store.layout.session(session.id), do="stop", by="test", grace=1.0)


class Watcher:
    """One browser page that shows a project's board."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.faults.append(f"{error.message}\n{error.stack}"))
        self.page.on("console", self._hear)
        self.open(address)

    @classmethod
    def of(cls, context: BrowserContext, server: Server) -> Watcher:
        """Open a server's page as a person does, by the address that it printed."""
        return cls(context, server.opening)

    def open(self, address: str) -> None:
        """Open an address, and wait until the board is there."""
        self.page.goto(address)
        self.wait_until_live()

    def wait_until_live(self) -> None:
        """Wait until the board is there and says that it lives."""
        expect(self.page.locator(".page-state")).to_have_text("Live")
        expect(self.board.locator(".hnb-head")).to_be_visible()

    @property
    def board(self) -> Locator:
        """The board."""
        return self.page.locator(".hnb-live")

    @property
    def log(self) -> Locator:
        """The output of the session that is shown."""
        return self.board.locator(".hnb-log")

    @property
    def notice(self) -> Locator:
        """What the page says of its server."""
        return self.page.locator("p.page-notice")

    def accessibility_faults(self) -> list[str]:
        """Return axe-core's serious and critical faults of the whole page."""
        return [
            f"{fault['impact']} {fault['id']}: {node['html'][:300]} ({node['failureSummary']})"
            for fault in Axe().run(self.page).response["violations"]
            if fault["impact"] in GRAVE
            for node in fault["nodes"]
        ]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not BACKGROUND.search(message.text):
            self.faults.append(message.text)
