"""A saved notebook says what was true then: with and without a kernel, untrusted, and exported."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.asking import ONE_QUESTION, card, choose, live, opened

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator

    from tests.browser.lab import Lab

RUN = "run = h.run(plans=[plan])\nrun"
AGAIN = "run.report"


def expect_readable(where: Locator, *texts: str) -> None:
    """Fail unless the texts are there to be read, and nothing is said of widgets."""
    for text in texts:
        expect(where.get_by_text(text).first).to_be_visible()
    for noise in ("Error displaying widget", "Loading widget", "model not found", "This may be because"):
        expect(where.get_by_text(noise).first).to_be_hidden()


def test_saved_in_mid_run_it_reads_well_without_its_kernel_and_exported(lab: Lab, project: Path) -> None:
    lab.open_cells(ONE_QUESTION, opened(project), RUN)
    lab.run_all()
    expect(card(live(lab, 2), "Which cache")).to_be_visible()
    saved = lab.output(2).locator("[data-saved]")
    expect(saved).to_contain_text("harness-nb respond", timeout=30_000)
    expect(saved).to_be_hidden()
    lab.save()
    lab.close(shut_down=True)

    lab.open()
    said = ("Which cache should the API use?", "harness-nb respond", "This is how it stood at")
    expect_readable(lab.output(2), *said)
    assert lab.accessibility_faults("[data-saved]") == []
    lab.theme("dark")
    assert lab.accessibility_faults("[data-saved]") == []
    lab.picture("saved-dark", lab.output(2))

    lab.shut_down_kernels()
    lab.distrust()
    lab.open()
    expect(lab.output(2)).to_contain_text("Which cache should the API use?")
    expect(lab.output(2)).to_contain_text("harness-nb respond")
    expect_readable(lab.output(2))
    lab.picture("untrusted", lab.output(2))

    file = lab.root / "test.ipynb"
    export = [sys.executable, "-m", "nbconvert", "--to", "html", "--output", "exported.html", str(file)]
    subprocess.run(export, check=True, capture_output=True, timeout=120, cwd=lab.root)
    lab.page.goto((lab.root / "exported.html").as_uri())
    expect_readable(lab.page.locator("body"), *said)
    lab.picture("exported")


def test_saved_after_the_end_it_shows_the_report_once(lab: Lab, project: Path) -> None:
    lab.open_cells(ONE_QUESTION, opened(project), RUN, AGAIN)
    for cell in range(3):
        lab.run(cell)
    choose(live(lab, 2), "Which cache", "Redis")
    expect(live(lab, 2).locator(".hnb-report")).to_contain_text("passed")
    lab.run(3)
    expect(lab.output(2).locator("[data-saved]")).to_contain_text("passed")
    lab.save()
    lab.close(shut_down=True)
    lab.open()
    expect_readable(lab.output(2), "Redis", "1 of 1 plans")
    expect_readable(lab.output(3), "passed")
    expect(lab.output(2).locator(".hnb-live")).to_have_count(0)
    lab.expect_no_faults()
