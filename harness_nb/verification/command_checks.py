"""Checks that run commands: a project's own tools and any others.

A project's tools (build, tests, types, lint) have their folder for themselves, since they write into it;
other commands run side by side.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification.commands import CommandResult, run_shell
from harness_nb.verification.defaults import OFFLINE, Purpose, Wanted, default_command
from harness_nb.verification.patterns import LiteralSearch, check_regex, find_in_text
from harness_nb.verification.registry import CheckContext, Outcome, check

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

REGEX_BYTES = 2 * 1024 * 1024
"""How much output a regular expression is looked for in; a text is looked for in all of it."""

EVIDENCE_CHARACTERS = 64 * 1024


@check("command_succeeds")
async def command_succeeds(spec: CommandSucceeds, context: CheckContext) -> Outcome:
    """Pass when the command ends with exit status 0."""
    folder = context.folder(spec.cwd)
    result = await run_shell(spec.command, cwd=folder, env=context.variables(spec.env))
    return _judge(result, spec.command)


@check("command_output")
async def command_output(spec: CommandOutput, context: CheckContext) -> Outcome:
    """Pass when the stream asked for has the text or a match; the exit status does not matter."""
    if spec.regex:
        check_regex(spec.expects)
    search = LiteralSearch(spec.expects)
    # Interleaved pieces of two streams may cut a text in two: for "combined" each stream is searched too.
    searches = {"stdout": search} if spec.stream == "stdout" else {"stderr": search}
    if spec.stream == "combined":
        searches = {"stdout": search, "stderr": LiteralSearch(spec.expects), "combined": LiteralSearch(spec.expects)}

    def look(stream: str, chunk: bytes) -> None:
        for name in (stream, "combined"):
            if name in searches:
                searches[name].add(chunk)

    result = await run_shell(
        spec.command,
        cwd=context.folder(spec.cwd),
        env=context.variables(spec.env),
        kept_bytes=REGEX_BYTES if spec.regex else EVIDENCE_CHARACTERS,
        on_chunk=None if spec.regex else look,
    )
    text: str = getattr(result, spec.stream)
    if spec.regex:
        found = await find_in_text(text, spec.expects, regex=True) is not None
    else:
        found = any(one.found for one in searches.values())
    return Outcome.of(found, _missing(spec, result), output=_evidence(text), notes=f"The command {result.ending}.")


def _missing(spec: CommandOutput, result: CommandResult) -> str:
    what = "no match of" if spec.regex else "no"
    where = "stdout and stderr have" if spec.stream == "combined" else f"{spec.stream} has"
    partly = ""
    if spec.regex and result.dropped_bytes:
        partly = f" in the first and the last {REGEX_BYTES // 2:,} bytes, {result.dropped_bytes:,} bytes between unseen"
    return f"{where} {what} {spec.expects!r}{partly}; the command {result.ending}."


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
    shown = command if len(command) <= 200 else f"{command[:200]}…"
    last = next((line for line in reversed(result.combined.splitlines()) if line.strip()), "")
    said = f" Last line: {last.strip()[:300]}" if last else ""
    error = f"{shown!r} {result.ending}.{said}"
    return Outcome.of(
        result.exit_status == 0, error, output=_evidence(result.combined), notes=f"Ran {shown!r}{reason}."
    )


def _evidence(text: str) -> str | None:
    if len(text) > EVIDENCE_CHARACTERS:
        half = EVIDENCE_CHARACTERS // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half:,} characters dropped here]\n{text[-half:]}"
    return text or None
