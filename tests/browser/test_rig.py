"""The rig itself: notebooks run, widgets hear clicks, kernels restart, themes change, faults are noticed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.lab import Lab

BUTTON = """\
import ipywidgets
shown = ipywidgets.Output()
button = ipywidgets.Button(description="Press me")
button.on_click(lambda _: shown.append_stdout("pressed"))
ipywidgets.VBox([button, shown])
"""


def test_cells_run_and_the_saved_file_has_their_output(lab: Lab) -> None:
    lab.open_cells("#%% md\n# Title", "print(6 * 7)", "1 / 0")
    lab.run_all()
    lab.wait_for_text(1, "42")
    lab.wait_for_text(2, "ZeroDivisionError")
    lab.save()
    saved = json.loads((lab.root / "test.ipynb").read_text())
    assert saved["cells"][1]["outputs"][0]["text"] == ["42\n"]
    lab.expect_no_faults()


def test_a_click_on_a_widget_reaches_the_kernel(lab: Lab) -> None:
    lab.open_cells("import sys; print(sys.prefix)", BUTTON)
    lab.run_all()
    lab.page.get_by_role("button", name="Press me").click()
    lab.wait_for_text(1, "pressed")
    lab.expect_no_faults()


def test_a_restarted_kernel_has_forgotten_and_a_declined_restart_has_not(lab: Lab) -> None:
    lab.open_cells("known = 1", "print('known' in globals())")
    lab.run_all()
    lab.restart(accept=False)
    lab.run(1)
    lab.wait_for_text(1, "True")
    lab.restart()
    lab.run(1)
    lab.wait_for_text(1, "False")


def test_the_stop_button_interrupts_a_cell(lab: Lab) -> None:
    lab.open_cells("import time; print('begun', flush=True); time.sleep(600)")
    lab.run(0, wait=False)
    lab.wait_for_text(0, "begun")
    lab.wait_until_busy(0)
    lab.interrupt()
    lab.wait_for_text(0, "KeyboardInterrupt")
    lab.wait_until_idle()


def test_the_theme_and_the_window_can_be_changed_and_looked_at(lab: Lab) -> None:
    lab.open_cells("1")
    colours = set()
    for theme in ("light", "dark"):
        lab.theme(theme)
        colours.add(lab.page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')"))
        lab.hide_sidebar()
        for width in (480, 1280):
            lab.size(width)
            assert lab.picture(f"rig-{theme}-{width}").stat().st_size > 5000
    assert len(colours) == 2


def test_faults_of_accessibility_are_found_in_our_own_elements_only(lab: Lab) -> None:
    html = '<div class="hnb"><button>Stop</button></div><button></button><div class="hnb ours"><button></button></div>'
    lab.open_cells(f"from IPython.display import HTML; HTML({html!r})")
    lab.run_all()
    lab.output(0).locator(".hnb").first.wait_for()
    assert len(lab.accessibility_faults()) == len(lab.accessibility_faults(".hnb.ours")) == 1
    assert lab.accessibility_faults()[0].startswith("critical button-name")


def test_an_error_on_the_page_is_noticed(lab: Lab) -> None:
    lab.open_cells("1")
    lab.page.evaluate("console.error('broken view')")
    with pytest.raises(AssertionError, match="broken view"):
        lab.expect_no_faults()
