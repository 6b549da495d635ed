"""What the notebook's kernel can do: whether there is one, and whether a click reaches it while a cell runs."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any


def kernel() -> Any:
    """Return the kernel that this code runs in, or None outside of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def has_widgets() -> bool:
    """Say whether living views can be made here; without a kernel, or the extra ``lab``, all is shown once."""
    return kernel() is not None and find_spec("anywidget") is not None


def clicks_reach_a_busy_kernel() -> bool:
    """Say whether the kernel can take orders of a page while a cell runs: ipykernel can from version 7 on."""
    return bool(getattr(kernel(), "_supports_kernel_subshells", False))
