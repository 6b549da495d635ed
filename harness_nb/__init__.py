"""Run plans, runbooks and agents from a notebook or a shell: in parallel, answerable, verified, durable."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness_nb._version import __version__
from harness_nb.errors import UnsupportedPlatformError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from harness_nb.credentials import CredentialProvider, CredentialResult, lookup_credentials
    from harness_nb.errors import HarnessError
    from harness_nb.harness import AsyncHarness, Harness, Question, Run, Session
    from harness_nb.orchestrator import ACCEPT_ALL
    from harness_nb.protocol.files import Policy
    from harness_nb.protocol.outcome import RunReport
    from harness_nb.protocol.plans import Plan, RunBlock, Task
    from harness_nb.protocol.report import Report
    from harness_nb.verification import VerificationEngine

_HOMES = {
    "ACCEPT_ALL": "harness_nb.orchestrator",
    "AsyncHarness": "harness_nb.harness",
    "CredentialProvider": "harness_nb.credentials",
    "CredentialResult": "harness_nb.credentials",
    "Harness": "harness_nb.harness",
    "HarnessError": "harness_nb.errors",
    "Plan": "harness_nb.protocol.plans",
    "Policy": "harness_nb.protocol.files",
    "Question": "harness_nb.harness",
    "Report": "harness_nb.protocol.report",
    "Run": "harness_nb.harness",
    "RunBlock": "harness_nb.protocol.plans",
    "RunReport": "harness_nb.protocol.outcome",
    "Session": "harness_nb.harness",
    "Task": "harness_nb.protocol.plans",
    "VerificationEngine": "harness_nb.verification",
    "lookup_credentials": "harness_nb.credentials",
}

__all__ = [
    "ACCEPT_ALL",
    "AsyncHarness",
    "CredentialProvider",
    "CredentialResult",
    "Harness",
    "HarnessError",
    "Plan",
    "Policy",
    "Question",
    "Report",
    "Run",
    "RunBlock",
    "RunReport",
    "Session",
    "Task",
    "VerificationEngine",
    "__version__",
    "lookup_credentials",
]


def __getattr__(name: str) -> Any:
    """Load a public name's module at its first use, so that importing the package stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if sys.platform == "win32":  # here, because what is loaded next already needs what Windows lacks
        raise UnsupportedPlatformError("Windows")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Make ``%%session`` and ``%harness`` known; ``%load_ext harness_nb`` calls this."""
    import_module("harness_nb.notebook.magics").load(ipython)
