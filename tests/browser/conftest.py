"""One browser and one JupyterLab for all tests of this room, and a page of its own for each."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.chromium import NoBrowserError, bring_chromium
from tests.browser.lab import PATIENCE, Lab
from tests.browser.server import JupyterServer, start_jupyter, stop_jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


# for this room only: while Playwright runs, its loop is the main thread's, and `anyio.run` elsewhere would fail
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium, brought first where there is none."""
    with sync_playwright() as playwright:
        try:
            path = bring_chromium(playwright.chromium.executable_path)
        except NoBrowserError as error:
            pytest.fail(str(error), pytrace=False)
        expect.set_options(timeout=PATIENCE * 1000)
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A JupyterLab that serves an empty folder."""
    server = start_jupyter(tmp_path_factory.mktemp("jupyter"), token="browser-tests")
    yield server
    stop_jupyter(server)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: HARNESS_PICTURES, so that a person can look at them, or the test's own folder."""
    return Path(os.environ.get("HARNESS_PICTURES", tmp_path / "pictures"))


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What the pages share: a cache, so that each but the first loads JupyterLab in half the time."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def lab(context: BrowserContext, jupyter: JupyterServer, pictures: Path) -> Iterator[Lab]:
    """A page of its own, with nothing in it yet; its kernels are shut down with the test, its settings forgotten."""
    page = context.new_page()
    lab = Lab(page, jupyter, pictures)
    yield lab
    page.close()
    lab.shut_down_kernels()
    shutil.rmtree(jupyter.settings, ignore_errors=True)


@pytest.fixture
def another(context: BrowserContext, jupyter: JupyterServer, pictures: Path) -> Iterator[Lab]:
    """A second page."""
    page = context.new_page()
    yield Lab(page, jupyter, pictures)
    page.close()


@pytest.fixture
def project(jupyter: JupyterServer, request: pytest.FixtureRequest) -> Path:
    """An empty folder that this test's notebook works in."""
    folder = jupyter.root / re.sub(r"\W+", "-", request.node.name)[:60]
    folder.mkdir()
    return folder
