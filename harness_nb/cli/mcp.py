"""``harness-nb mcp``: the servers that agents talk to."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness_nb.cli.opening import project_root
from harness_nb.errors import McpMissingError

if TYPE_CHECKING:
    from pathlib import Path


def serve_project(project: Path) -> None:
    """Serve a project to the client that started us, on standard input and output.

    Raises: McpMissingError, ProjectNotFoundError, NotAFolderError, and what opening the project does.
    """
    require_mcp()
    root = project_root(project)
    from harness_nb.mcp_server.server import make_server
    from harness_nb.mcp_server.stdio import serve_stdio

    serve_stdio(make_server(root))


def serve_on_port(project: Path, port: int, token_file: Path | None) -> None:
    """Serve a project on a port of this machine, to clients that show the token.

    Raises: McpMissingError, PortTakenError, UnsafeTokenFileError, and what ``serve_project`` does.
    """
    require_mcp()
    root = project_root(project)
    from harness_nb.mcp_server.http import serve_http

    serve_http(root, port, token_file)


def serve_worker() -> None:
    """Serve a session's own worker, on standard input and output.

    Raises: McpMissingError, and what the worker's server does.
    """
    require_mcp()
    from harness_nb.mcp_server.worker import serve

    serve()


def require_mcp() -> None:
    """Make sure that the mcp extra is there, and that what is logged is one line each on standard error.

    Raises: McpMissingError.
    """
    if find_spec("mcp") is None:
        raise McpMissingError
    logging.basicConfig(level=logging.WARNING, format="harness-nb: %(message)s")
