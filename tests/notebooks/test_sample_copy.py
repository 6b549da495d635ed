"""Which copy of the sample the quickstart works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.sample import prepare_sample, sample_for_notebook

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_notebook_that_lies_in_a_copy_works_on_that_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = prepare_sample(tmp_path / "mine")
    monkeypatch.chdir(folder)
    assert sample_for_notebook() == folder
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    assert sample_for_notebook() == folder


def test_elsewhere_the_copy_is_beside_the_notebook_and_the_same_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = sample_for_notebook()
    (folder / "note.txt").write_text("mine")
    assert sample_for_notebook() == folder == tmp_path / "harness-nb-sample"
    assert (folder / "note.txt").exists()


def test_where_a_program_runs_the_notebook_it_starts_afresh_and_leaves_nothing_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HARNESS_UNATTENDED", "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = sample_for_notebook(), sample_for_notebook()
    assert first != second
    assert list((tmp_path / "here").iterdir()) == []
