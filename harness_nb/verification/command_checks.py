"""Checks that run commands: a project's own tools and any others.

A project's tools (build, tests, types, lint) have their folder for themselves, since they write into it;
other commands run side by side.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification.commands import CommandResult, HeadAndTail, run_shell
from harness_nb.verification.defaults import OFFLINE, Purpose, Wanted, default_command
from harness_nb.verification.patterns import LiteralSearch, check_regex, find_in_text
from harness_nb.verification.registry import CheckContext, Outcome, check
from harness_nb.verification.shortening import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_nb.protocol.checks import (
        BuildSucceeds,
        CommandOutput,
        CommandSucceeds,
        LintClean,
        TestsPass,
        TypeCheck,
    )

_IDLE_LINE = re.compile(r"\s*(?:set\s+[-+][^;&|#$`]*)?(?:#.*)?")

REGEX_BYTES = 2 * 1024 * 1024
"""How much output a regular expression is looked for in; a text is looked for in all of it."""


@check("command_succeeds")
async def command_succeeds(spec: CommandSucceeds, context: CheckContext) -> Outcome:
    """Pass when the command ends with exit status 0."""
    _refuse_if_idle(spec.command)
    folder = context.folder(spec.cwd)
    result = await run_shell(spec.command, cwd=folder, env=context.variables(spec.env))
    return _judge(result, spec.command)


@check("command_output")
async def command_output(spec: CommandOutput, context: CheckContext) -> Outcome:
    """Pass when the stream asked for has the text or a match; the exit status does not matter.

    But a command that the shell cannot find or execute did not run, whatever is said about that.
    """
    _refuse_if_idle(spec.command)
    if spec.regex:
        check_regex(spec.expects)
    held = HeadAndTail(REGEX_BYTES)
    # Interleaved pieces of two streams may cut a text in two: each stream is searched for itself too.
    searches = {name: LiteralSearch(spec.expects) for name in ("stdout", "stderr", "combined")}

    def look(stream: str, chunk: bytes) -> None:
        if spec.stream in (stream, "combined"):
            held.add(chunk)
            searches[stream].add(chunk)
            searches["combined"].add(chunk)

    folder = context.folder(spec.cwd)
    result = await run_shell(spec.command, cwd=folder, env=context.variables(spec.env), on_chunk=look)
    if result.could_not_run:
        raise CheckCouldNotRunError(f"{spec.command!r} {result.ending}.")
    if spec.regex:
        found = any([await find_in_text(text, spec.expects, regex=True) for text in held.ends()])
    else:
        found = any(search.found for search in searches.values())
    error = f"{_missing(spec, held)}; the command {result.ending}."
    output = getattr(result, spec.stream) or None
    return Outcome.of(found, error, output=output, notes=f"The command {result.ending}.")


def _refuse_if_idle(command: str) -> None:
    """Refuse a script that the shell ends with status 0 because there is nothing in it to do."""
    if all(_IDLE_LINE.fullmatch(line) for line in command.splitlines()):
        shown = shortened(command, 200)
        raise CheckCouldNotRunError(
            f"Could not run: {shown!r} holds no command, only blank lines, comments or options; write one."
        )


def _missing(spec: CommandOutput, held: HeadAndTail) -> str:
    what = "no match of" if spec.regex else "no"
    where = "stdout and stderr have" if spec.stream == "combined" else f"{spec.stream} has"
    partly = ""
    if spec.regex and held.dropped:
        partly = f" in the first and the last {REGEX_BYTES // 2:,} bytes, {held.dropped:,} bytes between unseen"
    return f"{where} {what} {spec.expects!r}{partly}"


@check("build_succeeds", resources=lambda spec, context: _folder(spec, context))
async def build_succeeds(spec: BuildSucceeds, context: CheckContext) -> Outcome:
    """Pass when the build ends with exit status 0."""
    return await _run_tool("build", spec, context)


@check("tests_pass", resources=lambda spec, context: _folder(spec, context))
async def tests_pass(spec: TestsPass, context: CheckContext) -> Outcome:
    """Pass when the tests end with exit status 0, and some ran."""
    return await _run_tool("test", spec, context, [spec.test_pattern] if spec.test_pattern else [])


@check("type_check", resources=lambda spec, context: _folder(spec, context))
async def type_check(spec: TypeCheck, context: CheckContext) -> Outcome:
    """Pass when the type checker ends with exit status 0."""
    return await _run_tool("type", spec, context, tsconfig=spec.tsconfig)


@check("lint_clean", resources=lambda spec, context: _folder(spec, context))
async def lint_clean(spec: LintClean, context: CheckContext) -> Outcome:
    """Pass when the linter ends with exit status 0."""
    return await _run_tool("lint", spec, context, spec.files or ())


def _folder(spec: BuildSucceeds | TestsPass | TypeCheck | LintClean, context: CheckContext) -> list[str]:
    try:
        return [f"folder:{context.path(spec.cwd or '.').resolve()}"]
    except CheckCouldNotRunError:
        return []


async def _run_tool(
    purpose: Purpose,
    spec: BuildSucceeds | TestsPass | TypeCheck | LintClean,
    context: CheckContext,
    selection: Sequence[str] = (),
    tsconfig: str | None = None,
) -> Outcome:
    """Run a project's tool: the check's own command with what is picked after it, or the project's default."""
    folder = context.folder(spec.cwd)
    if spec.command:
        if tsconfig:
            selection = ["-p", tsconfig]
        _refuse_if_idle(spec.command)
        command = " ".join([spec.command, *map(shlex.quote, selection)])
        return _judge(await run_shell(command, cwd=folder, env=context.variables()), command)
    default = default_command(Wanted(purpose, folder, selection, tsconfig))
    result = await run_shell(default.command, cwd=folder, env=context.variables(OFFLINE))
    outcome = _judge(result, default.command, f" ({default.reason})")
    if outcome.passed and default.nothing_ran:
        empty = await find_in_text(result.combined, default.nothing_ran, regex=True)
        if empty:
            error = f"{default.command} found no tests to run."
            return Outcome(False, error, outcome.output, outcome.notes)
    return outcome


def _judge(result: CommandResult, command: str, reason: str = "") -> Outcome:
    shown = shortened(command, 200)
    last = next((line for line in reversed(result.combined.splitlines()) if line.strip()), "")
    said = f" Last line: {shortened(last.strip(), 300)}" if last else ""
    error = f"{shown!r} {result.ending}.{said}"
    return Outcome.of(result.exit_status == 0, error, output=result.combined or None, notes=f"Ran {shown!r}{reason}.")
