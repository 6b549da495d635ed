"""How JupyterHub, Binder and any JupyterLab reach the page: jupyter-server-proxy starts it on a Unix socket.

Nobody but the same user can connect there, and whoever comes through the proxy was let in by Jupyter: so no token.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = "harness-nb"
"""Where it is, below the address of the Jupyter server."""
STARTING = 30


def setup() -> dict[str, Any]:
    """Return what jupyter-server-proxy is told of the page."""
    command = [
        sys.executable, "-m", "harness_nb.cli", "dashboard", "--project", str(_folder()),
        "--socket", "{unix_socket}", "--base-url", f"{{base_url}}{NAME}/",
    ]  # fmt: skip
    there = find_spec("voila") is not None  # without the extra there is nothing to offer
    icon = Path(__file__).parent / "page" / "icon.svg"
    return {
        "command": command,
        "unix_socket": True,
        "absolute_url": True,
        "timeout": STARTING,
        "launcher_entry": {"enabled": there, "title": "harness-nb board", "icon_path": str(icon), "category": "Other"},
    }


def _folder() -> Path:
    """Return the folder that the Jupyter server serves."""
    from jupyter_server.serverapp import ServerApp

    return Path(ServerApp.instance().root_dir) if ServerApp.initialized() else Path.cwd()
