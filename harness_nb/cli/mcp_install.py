"""``harness-nb mcp install``: writes a client's configuration, so that it starts our server for a project.

A client's file is somebody else's: only our own entry in it is changed, it is replaced whole or not at all, and one
that is no plain JSON is left alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from harness_nb.cli.mcp import require_mcp
from harness_nb.cli.opening import project_root
from harness_nb.errors import (
    UnchangeableFileError,
    UnknownClientError,
    UnreadableFileError,
    UnsupportedPlatformError,
    UnwritableFolderError,
)
from harness_nb.sample import shown
from harness_nb.store.atomic import is_blank, read_json, write_text
from harness_nb.store.trust import is_trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "harness-nb"
NEW_FILE = 0o644


@dataclass(frozen=True)
class McpClient:
    """A program that starts MCP servers: where it reads which ones, and what its user does next.

    ``own_file`` is a path in the project, or a function where the file is the user's: all projects share that one.
    """

    own_file: str | Callable[[], Path]
    next_step: str
    section: str = "mcpServers"
    typed: bool = False

    def file(self, project: Path) -> Path:
        """Return the file that this client reads, where it really lies."""
        return (project / self.own_file if isinstance(self.own_file, str) else self.own_file()).resolve()

    def entry(self, project: Path) -> dict[str, Any]:
        """Return what starts the server of a project."""
        command, *words = own_command()
        kind = {"type": "stdio"} if self.typed else {}
        return {**kind, "command": command, "args": [*words, "mcp", "--project", os.fspath(project)]}


def _claude_desktop_file() -> Path:
    name = "claude_desktop_config.json"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Claude" / name
    if sys.platform == "linux":
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "Claude" / name
    raise UnsupportedPlatformError(sys.platform)


CLIENTS = {
    "claude-code": McpClient(
        ".mcp.json", "Start `claude` in {project} and allow the server when it asks; /mcp shows it.", typed=True
    ),
    "claude-desktop": McpClient(_claude_desktop_file, "Quit Claude Desktop and start it again."),
    "cursor": McpClient(".cursor/mcp.json", "Open {project} in Cursor and switch the server on in its MCP settings."),
    "gemini": McpClient(".gemini/settings.json", "Start `gemini` in {project}; /mcp shows the server."),
    "vscode": McpClient(
        ".vscode/mcp.json",
        "Open {project} in VS Code, open .vscode/mcp.json there, and click Start above the server.",
        section="servers",
        typed=True,
    ),
}


def install(project: Path, names: Sequence[str], *, only_print: bool = False) -> None:
    """Write the configuration of one client or several, and say what was written where and what to do next.

    Raises: McpMissingError, UnknownClientError, ProjectNotFoundError, NotAFolderError, UnchangeableFileError,
    UnwritableFolderError.
    """
    require_mcp()
    root = project_root(project)
    for name in names:
        if name not in CLIENTS:
            raise UnknownClientError(name, CLIENTS)
    for name in dict.fromkeys(names):
        lines = _preview(name, root) if only_print else _write(name, root)
        print("\n".join(lines))  # noqa: T201
    if not only_print and not is_trusted(root):
        print(f"Its plans may run commands once you trust them: harness-nb trust {quote(os.fspath(root))}")  # noqa: T201


def own_command() -> list[str]:
    """Return the words that start this environment's harness-nb from anywhere, whatever PATH says there."""
    script = Path(sys.executable).with_name("harness-nb")
    return [os.fspath(script)] if script.exists() else [sys.executable, "-m", "harness_nb.cli"]


def _preview(name: str, root: Path) -> list[str]:
    client = CLIENTS[name]
    servers = {_name_for(client, root, {}): client.entry(root)}
    # standard output is for a pipe: where it belongs is said beside it
    print(f"For {client.file(root)}:", file=sys.stderr)  # noqa: T201
    return [json.dumps({client.section: servers}, indent=2, ensure_ascii=False)]


def _write(name: str, root: Path) -> list[str]:
    client = CLIENTS[name]
    path = client.file(root)
    content = _content_of(path, name)
    servers = content.setdefault(client.section, {})
    if not isinstance(servers, dict):
        raise UnchangeableFileError(path, f"its {client.section!r} is no object", name)
    own, entry = _name_for(client, root, servers), client.entry(root)
    old = servers.get(own)
    if isinstance(old, dict) and "command" in old:
        entry = old | entry  # what the user added, such as an environment, stays
    next_step = client.next_step.format(project=shown(root) if root != Path.cwd() else "this folder")
    if old == entry:
        return [f"{path} has the server {own!r} already: nothing to change.", next_step]
    servers[own] = entry
    _replace(path, content)
    words = " ".join(quote(word) for word in (entry["command"], *entry["args"]))
    return [f"Wrote the server {own!r} into {path}. It starts: {words}", next_step]


def _content_of(path: Path, name: str) -> dict[str, Any]:
    try:
        return {} if is_blank(path) else read_json(path, links=True)
    except FileNotFoundError:
        return {}
    except UnreadableFileError as error:
        raise UnchangeableFileError(path, error.reason, name, error.line) from None
    except OSError as error:
        raise UnchangeableFileError(path, error.strerror or str(error), name) from None


def _replace(path: Path, content: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        mode = path.stat().st_mode & 0o777 if path.exists() else NEW_FILE
        text = json.dumps(content, indent=_indent_of(old), ensure_ascii=False)
        write_text(path, f"{text}\n", mode=mode)
    except OSError as error:
        raise UnwritableFolderError(path.parent, error.strerror or str(error)) from None


def _indent_of(text: str) -> str:
    found = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    return found[1] if found else "  "


def _name_for(client: McpClient, root: Path, servers: dict[str, Any]) -> str:
    """Return our name in a client's file; where all projects share that, each has a name of its own."""
    if isinstance(client.own_file, str):
        return NAME
    base = f"{NAME}-{re.sub(r'[^A-Za-z0-9_-]+', '-', root.name).strip('-') or 'project'}"
    names = (base, *(f"{base}-{number}" for number in range(2, len(servers) + 2)))
    return next(name for name in names if name not in servers or _project_of(servers[name]) == os.fspath(root))


def _project_of(entry: Any) -> str | None:
    """Return the project that an entry of ours is for; one that somebody else wrote has none."""
    words = entry.get("args") if isinstance(entry, dict) else None
    if not isinstance(words, list) or words[-3:-1] != ["mcp", "--project"]:
        return None
    return str(words[-1])
