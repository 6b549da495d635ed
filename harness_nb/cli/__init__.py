"""The shell's door: ``harness-nb``, for people at a terminal, for scripts, and for workers inside a session."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    from harness_nb.cli.app import run_app

    sys.exit(run_app())
