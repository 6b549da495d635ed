"""A server that many requests are sent to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dashboard.serving import Server, served

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page of an empty project."""
    folder = tmp_path_factory.mktemp("dashboard")
    project = folder / "inventory"
    project.mkdir()
    with served(project, folder=folder) as server:
        yield server
