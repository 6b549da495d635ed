"""A session shows itself: what it prints, how to read it in peace, and how to talk to it and end it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect

from tests.browser.asking import live, opened

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator

    from tests.browser.lab import Lab

TALKER = r"""
import sys
print("\x1b[31mred\x1b[0m and \x1b[1;38;2;10;120;200mblue\x1b[0m <b>plain</b>", flush=True)
for number in range(300):
    print(f"line {number}{' needle' if number % 100 == 7 else ''}", flush=True)
for line in sys.stdin:
    if line.strip() == "more":
        print(*[f"more {number}" for number in range(200)], sep="\n", flush=True)
    print("heard", line.strip(), flush=True)
"""
FLOOD = r"""
import os, sys
line = b"x" * 99 + b"\n"
for _ in range(1000):
    os.write(1, line * 1000)
print("the flood is over", flush=True)
os.write(1, bytes(range(256)) * 400)
os.write(1, b"\nthe end\n")
sys.stdin.readline()
"""
NOTE_COPIED = """button => new MutationObserver(() => { window.copied ||= button.textContent === "Copied"; })
    .observe(button, { childList: true })"""
SHOW = "s = h.start_session(command=[sys.executable, {script!r}])\ns"


def scripted(project: Path, text: str) -> str:
    """Write a worker, and return the cell that starts and shows it."""
    script = project / "worker.py"
    script.write_text(text)
    return "import sys\n" + SHOW.format(script=str(script))


def scroll(log: Locator) -> int:
    """Return how far an output is scrolled, in pixels."""
    return int(log.evaluate("log => log.scrollTop"))


def test_output_can_be_followed_read_in_peace_searched_and_copied_and_the_worker_spoken_to(
    lab: Lab, project: Path
) -> None:
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.open_cells(opened(project), scripted(project, TALKER), "s.send('more\\n')")
    for cell in (0, 1):
        lab.run(cell)
    view = live(lab, 1)
    log, note, field = view.locator(".hnb-log"), view.locator(".hnb-log-note"), view.get_by_label("Type a line")
    expect(log).to_contain_text("line 299")
    expect(log.locator(".hnb-fg-red")).to_have_text("red")
    expect(log).to_contain_text("<b>plain</b>")
    expect(note).to_contain_text("following")
    assert log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") < 8

    log.hover()
    lab.page.mouse.wheel(0, -1500)
    expect(note).to_contain_text("paused")
    place = scroll(log)
    lab.run(2)
    expect(note).to_contain_text("more below")
    assert scroll(log) == place
    expect(log).not_to_contain_text("heard more")
    view.get_by_role("button", name="Follow").click()
    expect(log).to_contain_text("heard more")
    expect(note).to_contain_text("following")

    view.get_by_role("button", name="Find").click()
    find = view.get_by_label("Find in the output")
    find.fill("needle")
    expect(view.locator(".hnb-find output")).to_have_text("3 of 3")
    expect(log.locator(".hnb-here")).to_have_text("line 207 needle")
    find.press("Enter")
    expect(log.locator(".hnb-here")).to_have_text("line 7 needle")
    expect(view.locator(".hnb-find output")).to_have_text("1 of 3")
    assert lab.accessibility_faults(".hnb-live") == []
    find.press("Escape")
    expect(find).to_be_hidden()
    expect(log.locator(".hnb-hit")).to_have_count(0)

    copy = view.get_by_role("button", name="Copy")
    copy.evaluate(NOTE_COPIED)  # it says so for a moment only, which a look from here may miss
    copy.click()
    lab.page.wait_for_function("window.copied")
    assert "line 207 needle\nline 208" in lab.page.evaluate("navigator.clipboard.readText()")

    field.fill("hello there")
    field.press("Enter")
    expect(log).to_contain_text("heard hello there")
    expect(field).to_have_value("")

    view.get_by_role("button", name="Interrupt").click()
    expect(view.locator(".hnb-head")).to_contain_text("failed")
    expect(view.locator(".hnb-head")).to_contain_text("SIGINT")
    lab.theme("dark")
    assert lab.accessibility_faults(".hnb-live") == []
    expect(field).to_be_hidden()
    lab.expect_no_faults()


def test_stop_asks_twice_and_a_flood_leaves_the_page_and_the_file_small(lab: Lab, project: Path) -> None:
    """100 MB and then bytes that are no text: the page stays small and answers; the file too."""
    lab.open_cells(opened(project), scripted(project, FLOOD))
    lab.run_all()
    view = live(lab, 1)
    expect(view.locator(".hnb-log")).to_contain_text("the end", timeout=60_000)
    expect(view.locator(".hnb-log-note")).to_contain_text("1,000,4", timeout=60_000)
    lines = view.locator(".hnb-log > div")
    assert lines.count() <= 1000
    expect(view.locator(".hnb-head")).to_contain_text("runs")
    for _ in range(5):  # the second question stands for four seconds only, which a busy machine may let pass
        view.get_by_role("button", name="Stop", exact=True).click()
        with suppress(PlaywrightTimeoutError):
            view.get_by_role("button", name="Really stop it?").click(timeout=4000)
            break
    expect(view.locator(".hnb-head")).to_contain_text("failed")
    expect(view.locator(".hnb-head")).to_contain_text("ended by stop")
    lab.save()
    assert (lab.root / "test.ipynb").stat().st_size < 1_000_000
    lab.expect_no_faults()
