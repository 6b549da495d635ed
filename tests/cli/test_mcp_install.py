"""``harness-nb mcp install``: each client finds our server in its own file, and everything else in there stays."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Shell

pytestmark = pytest.mark.row(12)

IN_PROJECT = {
    "claude-code": (".mcp.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "gemini": (".gemini/settings.json", "mcpServers"),
    "vscode": (".vscode/mcp.json", "servers"),
}
TYPED = ("claude-code", "vscode")
OURS = str(Path(sys.executable).with_name("harness-nb"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "the project"
    folder.mkdir()
    return folder


def install(shell: Shell, project: Path, *more: str, home: Path | None = None) -> Done:
    env = {"HOME": str(home), "XDG_CONFIG_HOME": ""} if home else None
    return shell("mcp", "install", "--project", project, *more, env=env)


def words(project: Path) -> list[str]:
    return ["mcp", "--project", str(project)]


@pytest.mark.parametrize("client", IN_PROJECT)
def test_each_client_of_a_project_finds_the_server_in_its_own_file(shell: Shell, project: Path, client: str) -> None:
    file, section = IN_PROJECT[client]
    done = install(shell, project, "--client", client)
    assert done.code == 0, done.err
    kind = {"type": "stdio"} if client in TYPED else {}
    expected = {section: {"harness-nb": {**kind, "command": OURS, "args": words(project)}}}
    assert json.loads((project / file).read_text()) == expected
    assert str(project / file) in done.out
    assert "harness-nb trust" in done.out
    assert os.access(OURS, os.X_OK)
    written = [str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()]
    assert written == [file]


@pytest.mark.skipif(sys.platform != "linux", reason="where the file lies differs")
def test_claude_desktop_has_one_file_for_all_projects_so_each_has_a_name(shell: Shell, tmp_path: Path) -> None:
    projects = [tmp_path / name for name in ("one/shop", "two/shop", "café site")]
    for folder in projects:
        folder.mkdir(parents=True)
        done = install(shell, folder, "--client", "claude-desktop", home=tmp_path)
        assert "Quit Claude Desktop and start it again." in done.out
    install(shell, projects[0], "--client", "claude-desktop", home=tmp_path)
    servers = json.loads((tmp_path / ".config/Claude/claude_desktop_config.json").read_text())["mcpServers"]
    assert {name: entry["args"][-1] for name, entry in servers.items()} == {
        "harness-nb-shop": str(projects[0]),
        "harness-nb-shop-2": str(projects[1]),
        "harness-nb-caf-site": str(projects[2]),
    }


def test_without_a_name_it_is_claude_code_and_several_may_be_named(shell: Shell, project: Path) -> None:
    install(shell, project)
    assert (project / ".mcp.json").exists()
    install(shell, project, "--client", "cursor", "--client", "vscode")
    assert (project / ".cursor/mcp.json").exists()
    assert (project / ".vscode/mcp.json").exists()


@pytest.mark.parametrize("client", IN_PROJECT)
def test_what_is_in_the_file_stays_as_it_is(shell: Shell, project: Path, client: str) -> None:
    file, section = IN_PROJECT[client]
    other: dict[str, Any] = {"url": "https://example.com/mcp", "headers": {"X": "ü"}}
    before = {"theme": "dark", section: {"another": other}, "more": [1, 2.5, None]}
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_text(json.dumps(before, indent=4, ensure_ascii=False))
    (project / file).chmod(0o600)
    assert install(shell, project, "--client", client).code == 0
    text = (project / file).read_text()
    after = json.loads(text)
    assert after[section].pop("harness-nb")["args"] == words(project)
    assert after == before
    assert list(after) == list(before)
    assert '\n    "theme"' in text
    assert "ü" in text
    assert (project / file).stat().st_mode & 0o777 == 0o600


def test_asked_twice_nothing_changes(shell: Shell, project: Path) -> None:
    install(shell, project)
    before = ((project / ".mcp.json").read_bytes(), (project / ".mcp.json").stat().st_ino)
    done = install(shell, project)
    assert "has the server 'harness-nb' already: nothing to change" in done.out
    assert ((project / ".mcp.json").read_bytes(), (project / ".mcp.json").stat().st_ino) == before


def test_an_entry_for_another_place_is_brought_up_to_date_and_keeps_what_the_user_added(
    shell: Shell, project: Path
) -> None:
    old = {"type": "stdio", "command": "/gone/harness-nb", "args": words(Path("/gone")), "env": {"A": "b"}}
    (project / ".mcp.json").write_text(json.dumps({"mcpServers": {"harness-nb": old}}))
    assert install(shell, project).code == 0
    [entry] = json.loads((project / ".mcp.json").read_text())["mcpServers"].values()
    assert entry == {"type": "stdio", "command": OURS, "args": words(project), "env": {"A": "b"}}


BROKEN = {
    '{\n  "mcpServers": {\n    "a": 1,,\n  }\n}': ".mcp.json:3 cannot be changed: ",
    '{\n  // mine\n  "mcpServers": {}\n}': ".mcp.json:2 cannot be changed: ",
    "[]": ".mcp.json cannot be changed: it holds a list instead of an object",
    '{"mcpServers": []}': ".mcp.json cannot be changed: its 'mcpServers' is no object",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_is_no_plain_json_is_left_alone(shell: Shell, project: Path, text: str) -> None:
    (project / ".mcp.json").write_text(text)
    done = install(shell, project)
    assert (done.code, done.out) == (2, "")
    assert BROKEN[text] in done.err
    assert "harness-nb mcp install --client claude-code --print" in done.err
    assert done.err.count("\n") == 1
    assert (project / ".mcp.json").read_text() == text
    assert [path.name for path in project.iterdir()] == [".mcp.json"]


def test_an_empty_file_is_filled(shell: Shell, project: Path) -> None:
    (project / ".mcp.json").touch()
    assert install(shell, project).code == 0
    assert "harness-nb" in json.loads((project / ".mcp.json").read_text())["mcpServers"]


def test_a_link_to_the_file_stays_a_link(shell: Shell, project: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles.json").write_text("{}")
    (project / ".mcp.json").symlink_to(tmp_path / "dotfiles.json")
    assert install(shell, project).code == 0
    assert (project / ".mcp.json").is_symlink()
    assert "harness-nb" in (tmp_path / "dotfiles.json").read_text()


def test_print_writes_nothing_and_can_be_piped(shell: Shell, project: Path) -> None:
    done = install(shell, project, "--client", "vscode", "--print")
    assert json.loads(done.out) == {
        "servers": {"harness-nb": {"type": "stdio", "command": OURS, "args": words(project)}}
    }
    assert ".vscode/mcp.json" in done.err
    assert list(project.iterdir()) == []


def test_unknown_clients_and_folders_are_refused_before_anything_is_written(shell: Shell, project: Path) -> None:
    done = install(shell, project, "--client", "cursor", "--client", "emacs")
    assert done.code == 2
    assert "There is no client 'emacs'. Use one of: claude-code, claude-desktop, cursor, gemini, vscode" in done.err
    assert list(project.iterdir()) == []
    assert "There is no folder" in install(shell, project / "gone").err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(shell: Shell, project: Path) -> None:
    project.chmod(0o500)
    done = install(shell, project)
    project.chmod(0o700)
    assert done.code == 2
    assert f"Cannot write in {project}" in done.err


def test_a_file_where_the_clients_folder_should_be_is_named(shell: Shell, project: Path) -> None:
    (project / ".cursor").write_text("mine")
    done = install(shell, project, "--client", "cursor")
    assert done.code == 2
    assert ".cursor" in done.err
    assert "Traceback" not in done.err
    assert (project / ".cursor").read_text() == "mine"


@pytest.mark.anyio
async def test_what_was_written_starts_the_server_from_anywhere(shell: Shell, project: Path, tmp_path: Path) -> None:
    from mcp import Client, StdioServerParameters

    install(shell, project)
    [entry] = json.loads((project / ".mcp.json").read_text())["mcpServers"].values()
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}  # what a client's own launcher passes on
    started = StdioServerParameters(command=entry["command"], args=entry["args"], env=bare, cwd="/")
    async with Client(started) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert "harness_start_session" in names
    assert (project / ".orchestration").is_dir()
