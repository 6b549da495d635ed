"""``harness-nb doctor`` on what notebooks need."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from harness_nb.cli import doctor

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_it_names_the_versions_that_decide_whether_clicks_get_through(shell: Shell) -> None:
    line = next(line for line in shell("doctor").out.splitlines() if "notebook" in line)
    assert f"JupyterLab {version('jupyterlab')}, ipykernel {version('ipykernel')}" in line
    assert "clicks get through while a cell runs" in line


@pytest.mark.parametrize(
    ("ipykernel", "level"),
    [("6.30.1", "note"), ("7.0.0", "fine"), ("7.4.0rc1", "fine"), ("10.0.0", "fine")],
)
def test_an_older_kernel_is_noted_with_what_to_do(ipykernel: str, level: str) -> None:
    finding = doctor._kernel(ipykernel, "4.6.6")
    assert finding.level == level
    assert ("harness-nb respond" in finding.remedy) is (level == "note")


def test_what_is_missing_of_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in ("jupyterlab", "anywidget") else object())
    notebook = next(iter(doctor._extras()))
    assert notebook.found == "without jupyterlab, anywidget"
    assert "harness-nb[lab]" in notebook.remedy


@pytest.mark.parametrize(
    ("what", "module", "extra"),
    [("page", "voila", "dashboard"), ("agents", "mcp", "mcp"), ("sample", "vega_datasets", "sample")],
)
def test_each_door_and_the_sample_say_what_they_lack(
    monkeypatch: pytest.MonkeyPatch, shell: Shell, what: str, module: str, extra: str
) -> None:
    assert any(line.split()[1:] == [what, "installed"] for line in shell("doctor").out.splitlines())
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == module else object())
    [lacking] = [one for one in doctor._extras() if one.level == "note"]
    assert (lacking.what, lacking.found) == (what, f"without {module}")
    assert f"harness-nb[{extra}]" in lacking.remedy
