"""A harness on an empty project; everything that a test starts is ended."""

from __future__ import annotations

from tests.orchestrator.conftest import harness, opened, root

__all__ = ["harness", "opened", "root"]
