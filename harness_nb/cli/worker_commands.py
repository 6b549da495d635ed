"""The commands for workers inside a session, and their options."""

from __future__ import annotations

from typing import Annotated

import typer

worker_app = typer.Typer(help="For workers inside a session: report, wait for answers, use credentials.")


@worker_app.command("report")
def worker_report(
    message_type: Annotated[str, typer.Argument(metavar="TYPE", help="For example decision_needed.")],
    fields: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="The payload's fields.")] = None,
    *,
    payload: Annotated[str | None, typer.Option(help="The payload as JSON; - reads it from standard input.")] = None,
) -> None:
    """Send a message to the harness, and print its id."""
    from harness_nb.cli.worker import report

    report(message_type, payload, pairs_of(fields))


@worker_app.command("await")
def worker_await(
    message_id: Annotated[str | None, typer.Argument(help="The question; without it, any message.")] = None,
    *,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait; exit status 3 after that.")] = None,
    export: Annotated[
        bool, typer.Option("--export", help='Print credentials as lines for: eval "$(harness-nb worker await ID …)"')
    ] = False,
) -> None:
    """Wait for the answer to a question, or for any message, and print it as JSON."""
    from harness_nb.cli.worker import wait_for_credentials, wait_for_message

    if export and message_id is None:
        raise typer.BadParameter("say which question: harness-nb worker await MESSAGE_ID --export")
    if export:
        raise typer.Exit(wait_for_credentials(str(message_id), timeout))
    raise typer.Exit(wait_for_message(message_id, timeout))


@worker_app.command("guide")
def worker_guide() -> None:
    """Print the instructions for workers: how to report, when to ask, how to wait."""
    from harness_nb.cli.worker import print_guide

    print_guide()


@worker_app.command("exec")
def worker_exec(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="The command and its arguments.")],
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Leave what it prints as it is, for a program that takes values in.")
    ] = False,
) -> None:
    """Run a command with all credentials that this session was given in its environment; what it prints is masked."""
    from harness_nb.cli.worker import execute

    raise typer.Exit(execute(command, raw=raw))


def pairs_of(texts: list[str] | None) -> dict[str, str]:
    """Return ``name=value`` words as a dictionary.

    Raises: typer.BadParameter for a word without an equals sign.
    """
    pairs = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} is not name=value")
        pairs[name.strip()] = value
    return pairs
