"""The leak hunt in a browser: what pages show, what is saved of them, and what a trace of the browser keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import yaml
from playwright.sync_api import expect

from tests.browser.asking import card, live, opened
from tests.browser.watching import end_sessions
from tests.dashboard.serving import served
from tests.leak_hunt.planting import sow, write_env_files
from tests.leak_hunt.scene import REPOSITORY
from tests.leak_hunt.searching import Search, in_short
from tests.leak_hunt.workers import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

    from tests.browser.lab import Lab
    from tests.browser.server import JupyterServer
    from tests.leak_hunt.searching import Hit

pytestmark = [pytest.mark.row(2), pytest.mark.timeout(240)]

PLAN = """\
import os, sys
os.environ["PYTHONPATH"] = {repository!r}
from harness_nb import Harness, Plan, RunBlock, Task, lookup_credentials
names = ["STRIPE_SECRET_KEY", "SENDGRID_API_KEY"]
code = f"{{sys.executable}} {habits} {{' '.join(names)}}"
plan = Plan(
    id="01-01", title="Misbehave",
    tasks=[
        Task(name="Ask", type="checkpoint:credentials", service="sendgrid", env_vars=names[1:], reason="to send"),
        Task(name="Print", runs=[RunBlock(lang="sh", code=code)]),
    ],
    credentials_needed=[dict(service="stripe", envVars=names[:1], reason="to pay")],
    must_pass=[dict(id="prints", type="command_output", command="cat {credentials}/s[te]*.env", expects="never there")],
)
"""
LOOKING = """\
found = lookup_credentials("stripe", directory={credentials!r})
display(found, found.credentials, vars(found), run.report, run.report.to_frame())
display(h.frames.messages(), h.frames.events())
print(found, repr(found), [s.output() for s in h.list_sessions()])
h.board
"""
CRASHING = """\
%xmode Verbose
raise RuntimeError(found, found.credentials)
"""
ASKING = "h.ask('credentials', service='github', env_vars=['GITHUB_TOKEN'], reason='to push')"


@contextmanager
def traced(context: BrowserContext, path: Path) -> Iterator[None]:
    """Keep a trace of what happens in a browser: each step with the page as it was, and all that came and went."""
    context.tracing.start(screenshots=True, snapshots=True)
    try:
        yield
    finally:
        context.tracing.stop(path=path)


def everything_on(page: Page) -> str:
    """Return a page as it is: its text, which is a screenshot's, its elements, and what they say to nobody's eyes."""
    return "\n".join((page.locator("body").inner_text(), page.content(), page.locator("body").aria_snapshot()))


def test_nothing_that_a_notebook_or_a_page_shows_or_saves_holds_a_value(
    lab: Lab, project: Path, jupyter: JupyterServer, context: BrowserContext, tmp_path: Path
) -> None:
    plant = sow()
    search = Search(plant)
    credentials = tmp_path / "credentials"
    write_env_files(credentials, plant)
    (project / ".orchestration").mkdir()
    config = {"credentialsDir": os.fspath(credentials), "maxRetries": 0}
    (project / ".orchestration" / "config.yaml").write_text(yaml.safe_dump(config))
    shown: dict[str, str] = {}
    plan = PLAN.format(repository=os.fspath(REPOSITORY), habits=HERE / "habits.py", credentials=credentials)
    lab.open_cells(
        plan, opened(project), "run = h.run(plans=[plan])\nrun", ASKING,
        LOOKING.format(credentials=os.fspath(credentials)), CRASHING,
    )  # fmt: skip
    with traced(context, tmp_path / "trace.zip"):
        for cell in range(3):
            lab.run(cell)
        for service in ("stripe", "sendgrid"):
            card(live(lab, 2), service).get_by_role("button", name="Allow").click()
        expect(live(lab, 2).locator(".hnb-report")).to_be_visible(timeout=90_000)
        lab.run(3, wait=False)
        card(lab.output(3), "github").get_by_role("button", name="Allow").click()
        lab.wait_until_ran(3)
        for cell in (4, 5):
            lab.run(cell)
        lab.wait_for_text(5, "RuntimeError")
        shown["the notebook"] = everything_on(lab.page)
        lab.picture("notebook")
        lab.save()
        with served(project, folder=tmp_path) as server:
            page = context.new_page()
            page.goto(server.opening)
            expect(page.get_by_text("Run ✕ failed").first).to_be_visible(timeout=90_000)
            shown["the page"] = everything_on(page)
            page.close()
            shown["the server's log"] = server.log.read_text()
    end_sessions(project)
    export = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "html",
        "--output-dir",
        str(tmp_path),
        "--output",
        "saved.html",
    ]
    subprocess.run([*export, str(lab.root / "test.ipynb")], check=True, capture_output=True, timeout=120)

    assert "[credential:STRIPE_SECRET_KEY]" in shown["the notebook"], "it shows what was printed, masked"
    hits: list[Hit] = [hit for name, text in shown.items() for hit in search.in_text(text, name)]
    for file in (tmp_path / "trace.zip", tmp_path / "saved.html"):
        hits += search.in_file(file, file.name)
    hits += search.in_folder(jupyter.root.parent)
    assert not hits, in_short(hits)


def test_a_value_that_a_page_shows_is_found_in_it_and_in_its_trace(context: BrowserContext, tmp_path: Path) -> None:
    """Kept, since a search that finds nothing anywhere would pass, too."""
    plant = sow()
    search = Search(plant)
    value = plant.values["aws"]["AWS_SECRET_ACCESS_KEY"]
    with traced(context, tmp_path / "trace.zip"):
        page = context.new_page()
        page.set_content(f"<p>the key is</p><pre>{value}</pre>")
        assert search.in_text(everything_on(page), "the page")
        page.locator("pre").click()
        page.close()
    assert search.in_file(tmp_path / "trace.zip", "the trace")
