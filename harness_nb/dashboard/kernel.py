"""What the kernel of a visit runs: the project's board, and nothing else."""

from __future__ import annotations

import os
from typing import Final

from harness_nb import templates
from harness_nb.errors import HarnessError
from harness_nb.harness import Harness
from harness_nb.notebook.displays import show_page

DOOR: Final = "page"
"""How the journal names this door."""
PROJECT: Final = "HARNESS_DASHBOARD_PROJECT"
"""The variable that tells a kernel which project's board it shows."""


def show_project() -> None:
    """Show the board of the project that the environment names.

    It watches and answers; it runs nothing, and nothing is answered by a policy because of it. A session whose shim was
    killed it ends and journals as lost, as every process does that notices.
    """
    from IPython.display import HTML, display

    try:
        show_page(Harness(os.environ[PROJECT], door=DOOR, judges=False).board)
    except (HarnessError, OSError) as error:
        display(HTML(templates.render("gone.html", text=str(error))))  # type: ignore[no-untyped-call]
