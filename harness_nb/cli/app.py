"""The commands and their options; what each does lives in a module of its own, loaded when it is called."""

from __future__ import annotations

import io
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from harness_nb.cli.worker_commands import pairs_of, worker_app
from harness_nb.errors import HarnessError, UnsupportedPlatformError

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="harness-nb",
    help="Run plans, runbooks and agents: in parallel, answerable, verified, durable.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(worker_app, name="worker", no_args_is_help=True)
mcp_app = typer.Typer()
app.add_typer(mcp_app, name="mcp")

ProjectArgument = Annotated[Path, typer.Argument(help="The project's folder.", show_default="here")]
ProjectOption = Annotated[Path, typer.Option("--project", help="The project's folder.", show_default="here")]
HERE = Path()


def run_app() -> int:
    """Run the command line; what a user can mend is one sentence on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # signs that this terminal's encoding lacks are no reason to fail
    warnings.showwarning = lambda message, *_, **__: print(f"! {message}", file=sys.stderr)  # noqa: T201
    try:
        if sys.platform == "win32":
            raise UnsupportedPlatformError("Windows")
        app()
    except HarnessError as error:
        print(f"harness-nb: {error}", file=sys.stderr)  # noqa: T201
        return UNUSABLE
    except BrokenPipeError:  # whoever read our output has gone, for example `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _version(value: bool) -> None:  # noqa: FBT001 — typer calls it
    if value:
        from harness_nb import __version__

        typer.echo(f"harness-nb {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to make it.", show_default="here")] = HERE) -> None:
    """Make a starter project: two small plans, a roadmap and the settings, all with comments."""
    from harness_nb.cli.new_project import make_project

    make_project(folder)


@app.command()
def run(
    project: Annotated[Path | None, typer.Argument(help="The project's folder.", show_default="here")] = None,
    *,
    sample: Annotated[
        bool, typer.Option("--sample", help="Run a copy of the sample project, in PROJECT or ./harness-nb-sample.")
    ] = False,
    plans: Annotated[str | None, typer.Option(help="Only these plans, for example 01-01,01-02.")] = None,
    worker: Annotated[str | None, typer.Option(help="The kind of worker that does the plans.")] = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="How many plans run at the same time.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter for the plans, name=value.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Do plans again that are complete.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Nobody is there: answer all by policy: the recommended option, yes, done.")
    ] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Trust the commands in this project's plans.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave the run to a process of its own, and do not wait for it.")
    ] = False,
    lab: Annotated[
        bool, typer.Option("--lab", help="Open the sample's quickstart in JupyterLab; with --yes, run it here first.")
    ] = False,
) -> None:
    """Run a project's plans; exit status 0 when all passed (or the run was left), 1 when not, 130 when interrupted."""
    from harness_nb.cli.running import RunOrder, run_plans

    names = tuple(name.strip() for name in plans.split(",") if name.strip()) if plans is not None else None
    if names == ():
        raise typer.BadParameter("--plans names none; say which, for example 01-01,01-02, or leave it out")
    order = RunOrder(
        project=project, sample=sample, plans=names, worker=worker, max_parallel=max_parallel,
        params=pairs_of(param), again=again, yes=yes, trust=trust, detach=detach,
    )  # fmt: skip
    if not lab:
        raise typer.Exit(run_plans(order))
    from harness_nb.cli.lab import open_lab, require_lab

    if not sample:
        raise typer.BadParameter("--lab opens the sample's quickstart: add --sample, or use `jupyter lab` as ever")
    require_lab()
    if yes and (failed := run_plans(order)):
        raise typer.Exit(failed)
    open_lab(project, unless_alone=yes)


@app.command()
def status(
    project: ProjectArgument = HERE,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """Show where the project stands: plans, sessions, open questions, problems."""
    from harness_nb.cli.status import show_status

    show_status(project, as_json=json)


@app.command()
def respond(
    message_id: Annotated[str | None, typer.Argument(help="The question; without it, list the open ones.")] = None,
    *,
    option: Annotated[str | None, typer.Option(help="Decide for this option, by id or name.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Say yes: right, done, allowed, recommended.")] = False,
    reject: Annotated[str | None, typer.Option(metavar="REASON", help="Say no, and why.")] = None,
    abort: Annotated[str | None, typer.Option(metavar="REASON", help="End the task, and why.")] = None,
    notes: Annotated[str | None, typer.Option(help="What the worker should know besides.")] = None,
    scope: Annotated[
        str | None,
        typer.Option("--for", help="Allow credentials for this session, plan, run or project.", show_default="session"),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Allow credentials until then: 18:00, 2h, a moment.")] = None,
    session: Annotated[str | None, typer.Option(help="Whose question, where several use the same id.")] = None,
    project: ProjectOption = HERE,
) -> None:
    """Answer a worker's question, or list the open ones."""
    from harness_nb.cli.respond import answer_question, list_questions, reply_from

    chosen = [option is not None, approve, reject is not None, abort is not None]
    if sum(chosen) > 1:
        raise typer.BadParameter("choose one of --option, --approve, --reject and --abort")
    if (scope is not None or until is not None) and not approve:
        raise typer.BadParameter("--for and --until go with --approve")
    if message_id is None:
        if any(chosen) or session is not None:
            raise typer.BadParameter("say which question: harness-nb respond MESSAGE_ID …")
        list_questions(project)
        return
    reply = reply_from(option, approve=approve, reject=reject, abort=abort, notes=notes, scope=scope, until=until)
    answer_question(project, message_id, reply, session=session)


@app.command()
def grants(
    project: ProjectArgument = HERE,
    *,
    revoke: Annotated[str | None, typer.Option(metavar="ID", help="Take this one back.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """Say who allowed which credentials to whom and until when; or take a yes back."""
    from harness_nb.cli.grants import revoke_grant, show_grants

    if revoke is not None:
        revoke_grant(project, revoke)
    else:
        show_grants(project, as_json=json)


@app.command()
def sync(project: ProjectArgument = HERE) -> None:
    """Read plans, summaries and roadmap from disk into the state, and write the dependency graph unless a run does."""
    from harness_nb.cli.status import sync_project

    sync_project(project)


@app.command()
def trust(
    project: ProjectArgument = HERE,
    *,
    show: Annotated[bool, typer.Option("--show", help="Only show what would be trusted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, also without a terminal.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Trust it no longer.")] = False,
) -> None:
    """Show the new and changed commands of this project's plans, and let them run, now and later."""
    from harness_nb.cli.trusting import trust_commands, trust_no_longer

    if remove:
        trust_no_longer(project)
        return
    raise typer.Exit(trust_commands(project, show=show, yes=yes))


@app.command()
def recover(
    project: ProjectArgument = HERE,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """Say what became of the sessions that were alive: adopted, finished meanwhile, died, resumed, retried, unknown."""
    from harness_nb.cli.recovering import show_recovery

    show_recovery(project, as_json=json)


@app.command()
def export(
    run: Annotated[str | None, typer.Argument(help="The run's id.", show_default="the newest run")] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder to write.", show_default="./PROJECT-RUN")
    ] = None,
    project: ProjectOption = HERE,
) -> None:
    """Write a run as a folder that opens elsewhere; without any run, the whole project."""
    from harness_nb.cli.exporting import export_run

    export_run(project, run, output)


@app.command()
def doctor(project: ProjectArgument = HERE) -> None:
    """Look whether all that is needed is there, and say what to do where it is not."""
    from harness_nb.cli.doctor import examine

    raise typer.Exit(examine(project))


@app.command()
def credentials(
    project: ProjectArgument = HERE,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """List which credentials are there and where from, without their values."""
    from harness_nb.cli.credential_list import list_credentials

    list_credentials(project, as_json=json)


@app.command()
def output(
    session: Annotated[str, typer.Argument(help="A session's id, or a plan's: its newest attempt.")],
    *,
    lines: Annotated[int, typer.Option(min=0, help="How many of the last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the session ends.")] = False,
    project: ProjectOption = HERE,
) -> None:
    """Print what a session's worker printed."""
    from harness_nb.cli.output import print_output

    raise typer.Exit(print_output(project, session, lines=lines, follow=follow))


@app.command()
def end(
    session: Annotated[str, typer.Argument(help="A session's id, or a plan's: its newest attempt; or a run's.")],
    *,
    grace: Annotated[float, typer.Option(min=0, help="Seconds until what still lives is killed.")] = 5.0,
    project: ProjectOption = HERE,
) -> None:
    """End a session's processes, or a run with all of its sessions, whatever process does it."""
    from harness_nb.cli.ending import end_session

    end_session(project, session, grace=grace)


@app.command()
def dashboard(
    *,
    project: ProjectOption = HERE,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")] = 4173,
    token_file: Annotated[
        Path | None,
        typer.Option(help="The file with the token that opens it.", show_default=".orchestration/dashboard.token"),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    socket: Annotated[
        Path | None, typer.Option(help="Serve on this Unix socket instead, for a proxy that lets its users in.")
    ] = None,
    base_url: Annotated[str, typer.Option(help="Where that proxy shows it.", hidden=True)] = "/",
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that a page may lose its connection before its kernel ends.")
    ] = 20.0,
) -> None:
    """Serve the project's board as a page in the browser, on this machine alone."""
    from harness_nb.cli.dashboard import serve_on_port, serve_on_socket

    if socket is not None:
        serve_on_socket(project, socket, base_url, grace=grace)
    else:
        serve_on_port(project, port, token_file, browser=not no_browser, grace=grace)


@mcp_app.callback(invoke_without_command=True)
def mcp(
    context: typer.Context,
    *,
    project: ProjectOption = HERE,
    http: Annotated[
        bool, typer.Option("--http", help="Serve on a port of this machine instead of on standard input and output.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port for --http; 0 takes any that is free.")] = 4174,
    token_file: Annotated[
        Path | None,
        typer.Option(help="The file with the token that clients show.", show_default=".orchestration/mcp.token"),
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker", help="Serve the worker of the session that this is started in.")
    ] = False,
) -> None:
    """Serve a project to an agent that speaks MCP: on standard input and output, or with --http on a port.

    Clients start it themselves; `harness-nb mcp install` writes their configuration.
    """
    if context.invoked_subcommand is not None:
        return
    from harness_nb.cli.mcp import serve_on_port, serve_project, serve_worker

    if worker and http:
        raise typer.BadParameter("a worker is served on standard input and output alone: leave --http out")
    if worker:
        serve_worker()
    elif http:
        serve_on_port(project, port, token_file)
    else:
        serve_project(project)


@mcp_app.command("install")
def mcp_install(
    *,
    client: Annotated[
        list[str] | None,
        typer.Option(
            help="claude-code, claude-desktop, cursor, gemini or vscode; may be given several times.",
            show_default="claude-code",
        ),
    ] = None,
    project: ProjectOption = HERE,
    print_only: Annotated[bool, typer.Option("--print", help="Print the configuration instead of writing it.")] = False,
) -> None:
    """Write a client's configuration, so that it starts the server of this project; asked twice, nothing changes."""
    from harness_nb.cli.mcp_install import install

    install(project, client or ["claude-code"], only_print=print_only)
