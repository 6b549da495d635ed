"""Harnesses that end what they started, and projects whose plans are written by the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness_nb import Harness
from tests.orchestrator.written_plans import end_everything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty project folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def opened(root: Path) -> Iterator[Callable[..., Harness]]:
    """Return a function that opens the project; whatever lives at the end of the test is ended."""

    def open_it(folder: Path = root, **more: Any) -> Harness:
        return Harness(folder, **{"trust": True, **more})

    yield open_it
    for harness in list(Harness._opened.values()):
        end_everything(harness)


@pytest.fixture
def harness(opened: Callable[..., Harness]) -> Harness:
    """A harness on an empty, trusted project."""
    return opened()
