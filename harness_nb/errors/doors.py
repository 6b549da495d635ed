"""What can be wrong at one door alone: the shell, an agent's tools, the page."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from harness_nb.errors.base import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class UnsupportedPlatformError(HarnessError):
    """The operating system lacks what sessions are built on."""

    def __init__(self, platform: str) -> None:
        super().__init__(
            f"harness_nb needs terminals and sockets that {platform} lacks. Use Linux, macOS, or WSL on Windows."
        )


class SampleMissingError(HarnessError):
    """The sample project cannot be had from this installation."""

    def __init__(self, missing: str, remedy: str) -> None:
        super().__init__(f"The sample project cannot be run here: {missing}. {remedy}")


class LabMissingError(HarnessError):
    """JupyterLab was to be opened where it, or what its views need, is not installed."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(f"There is no {', no '.join(missing)} here. Install it with: pip install 'harness-nb[lab]'")


class McpMissingError(HarnessError):
    """An MCP server was to be started where the package that it is built on is not installed."""

    def __init__(self) -> None:
        super().__init__("An MCP server needs the mcp package. Install it with: pip install 'harness-nb[mcp]'")


class UnknownClientError(HarnessError):
    """The configuration of a client was to be written that we do not know."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"There is no client {name!r}. Use one of: {', '.join(known)}; for any other, `harness-nb mcp install "
            "--print` shows what to put into its configuration."
        )


class PortTakenError(HarnessError):
    """A door was to listen on a port that another program has."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(f"Cannot listen on port {port}: {reason}. Choose another with --port, or 0 for any free one.")


class DashboardMissingError(HarnessError):
    """The page was to be served where what it is built on is not installed."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(
            f"There is no {', no '.join(missing)} here. Install it with: pip install 'harness-nb[dashboard]'"
        )


class DashboardSocketError(HarnessError):
    """The page was to be served on a Unix socket that cannot be made."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"Cannot listen on the socket {path}: {reason}. Give a short path in a folder of your own.")


class UnknownOrderError(HarnessError):
    """A page sent what is no order of it; ``place`` is the first field that is wrong."""

    def __init__(self, place: str) -> None:
        what = f" ({place} is wrong)" if place else ""
        super().__init__(f"That is no order of this page{what}. Reload the page.")


class UnknownToolError(HarnessError):
    """A client called a tool that the server does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no tool {name!r}. The tools are: {', '.join(known)}.")


class ToolArgumentsError(HarnessError):
    """A client called a tool with arguments that it cannot use."""

    def __init__(self, tool: str, problems: str, known: Iterable[str]) -> None:
        fields = ", ".join(known) or "none"
        super().__init__(f"{tool} cannot be called like this: {problems}. Its fields are: {fields}.")


class ResourceNotFoundError(HarnessError):
    """A client asked for a resource that the server does not have."""

    def __init__(self, uri: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no resource {uri!r}. There are: {', '.join(known)}.")


class NoReportError(HarnessError):
    """A report was asked for that nothing has written yet."""

    def __init__(self, why: str) -> None:
        super().__init__(f"There is no such report: {why}. harness_get_state tells where each plan stands.")


class UnforeseenError(HarnessError):
    """Something went wrong at a door that nobody thought of; what it was is in the log, since it may hold a secret."""

    def __init__(self, what: str, kind: str) -> None:
        super().__init__(f"{what} failed ({kind}); the server's standard error says where. Try it once more.")


class UnknownPromptError(HarnessError):
    """A client asked for a prompt that the server does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no prompt {name!r}. The prompts are: {', '.join(known)}.")


class OtherProjectError(HarnessError):
    """A server was asked about a project that is not its own."""

    refusal = "other_project"

    def __init__(self, path: Path, root: Path) -> None:
        self.tried = {"path": str(path)}
        super().__init__(
            f"This server serves {root}, not {path}. Start one for that: harness-nb mcp --project {quote(str(path))}"
        )


class OutsideProjectError(HarnessError):
    """A session was to work in a folder that is not inside the project."""

    refusal = "outside_project"

    def __init__(self, path: Path, root: Path) -> None:
        self.tried = {"path": str(path)}
        super().__init__(f"{path} lies outside of the project {root}. Give a folder inside of it, for example '.'.")


class PlanTakenError(HarnessError):
    """An agent was about to have a plan done a second time at once."""

    def __init__(self, plan_id: str, session_id: str, state: str) -> None:
        super().__init__(
            f"The plan {plan_id!r} is being done by session {session_id!r} already ({state}). Go on with that one: "
            f'harness_start_session(workingDir: ".", resume: "{session_id}"); or end it with harness_end_session first.'
        )


class PlanWaitsError(HarnessError):
    """An agent was about to have a plan done before those that it depends on."""

    def __init__(self, plan_id: str, waits_for: Iterable[str]) -> None:
        super().__init__(
            f"The plan {plan_id!r} waits for plans that are not complete: {', '.join(waits_for)}. Do those first; "
            "graph.available of harness_get_state lists what may start now."
        )


class NoPlaceForStateError(HarnessError):
    """The quick state was to be set in a roadmap that has no frontmatter to hold it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} has no frontmatter, so there is no place for the state. Begin the file with the lines "
            "`---`, `status: planning`, `---`, then set it again."
        )
