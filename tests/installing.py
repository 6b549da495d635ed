"""The pip that installs for tests; the environment that they run in may well have none of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def pip_for(python: str | Path) -> list[str]:
    """Return the beginning of a command with which pip installs for this Python."""
    return [_python_with_pip(), "-m", "pip", "--python", os.fspath(python)]


@cache
def _python_with_pip() -> str:
    for name in (sys.executable, shutil.which("python3"), shutil.which("python"), f"{sys.base_prefix}/bin/python3"):
        if name and not subprocess.run([name, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
            return name
    pytest.fail("No Python here has pip; the README's test command needs one too.", pytrace=False)
