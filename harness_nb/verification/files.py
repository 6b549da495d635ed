"""Checks that look at files: existence, content, valid JSON. They read and never write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

import anyio.to_thread

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification.patterns import Match, find_in_file
from harness_nb.verification.registry import CheckContext, Outcome, check
from harness_nb.verification.shortening import shortened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness_nb.protocol.checks import FileContains, FileExists, FileNotContains, JsonValid

MAX_SHOWN_PROBLEMS = 10
MAX_SHOWN_LENGTH = 300


@check("file_exists")
async def file_exists(spec: FileExists, context: CheckContext) -> Outcome:
    """Pass when the path is there; one that ends in a slash must be a folder."""
    path = context.path(spec.path)

    def look() -> Outcome:
        if not path.exists():
            how = "is a link to something that is not there" if path.is_symlink() else "does not exist"
            return Outcome(False, f"{spec.path} {how}.")
        if spec.path.endswith("/") and not path.is_dir():
            return Outcome(False, f"{spec.path} is a file, and a folder was asked for.")
        return Outcome(True)

    return await anyio.to_thread.run_sync(look, abandon_on_cancel=True)


@check("file_contains")
async def file_contains(spec: FileContains, context: CheckContext) -> Outcome:
    """Pass when the file has the text, or a match of the regular expression."""
    match = await _find(spec, context)
    what = f"no match of the regular expression {spec.pattern!r}" if spec.regex else f"no {spec.pattern!r} in it"
    return Outcome.of(match, f"{spec.path} has {what}.", output=str(match) if match else None)


@check("file_not_contains")
async def file_not_contains(spec: FileNotContains, context: CheckContext) -> Outcome:
    """Pass when the file is there and has neither the text nor a match; a missing file proves nothing."""
    match = await _find(spec, context)
    error = f"{spec.path} contains {spec.pattern!r} in {match}." if match else ""
    return Outcome.of(match is None, error, output=str(match) if match else None)


async def _find(spec: FileContains | FileNotContains, context: CheckContext) -> Match | None:
    path = context.path(spec.path)
    await anyio.to_thread.run_sync(_require_file, path, spec.path, abandon_on_cancel=True)
    return await find_in_file(path, spec.pattern, regex=spec.regex)


def _require_file(path: Path, name: str) -> None:
    # Only a regular file: opening a pipe or a device may block for ever.
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "does not exist"
        raise CheckCouldNotRunError(f"{name} {what}.")


@check("json_valid")
async def json_valid(spec: JsonValid, context: CheckContext) -> Outcome:
    """Pass when the file is JSON, and valid under the JSON Schema where the check has one."""
    path = context.path(spec.path)

    def look() -> Outcome:
        _require_file(path, spec.path)
        try:
            document = _load(path)
        except ValueError as error:
            return Outcome(False, f"{spec.path} is not valid JSON: {error}.")
        if spec.json_schema is None:
            return Outcome(True)
        problems = _schema_problems(document, *_read_schema(spec, context))
        sentence = f"{spec.path} does not keep its schema: {problems[0]}." if problems else ""
        return Outcome.of(not problems, sentence, output="\n".join(problems) or None)

    return await anyio.to_thread.run_sync(look, abandon_on_cancel=True)


def _load(path: Path) -> Any:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a JSON number")

    return json.loads(path.read_bytes(), parse_constant=refuse)


def _read_schema(spec: JsonValid, context: CheckContext) -> tuple[Any, Path]:
    if not isinstance(spec.json_schema, str):
        return spec.json_schema, context.project_root
    path = context.path(spec.json_schema)
    _require_file(path, f"The schema {spec.json_schema}")
    try:
        return _load(path), path.parent
    except ValueError as error:
        raise CheckCouldNotRunError(f"The schema {spec.json_schema} is not valid JSON: {error}.") from error


def _schema_problems(document: Any, schema: Any, folder: Path) -> list[str]:
    import jsonschema
    from jsonschema import validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        validator = kind(schema, registry=Registry(retrieve=_schemas_beside(folder)))  # type: ignore[call-arg]
        errors = sorted(validator.iter_errors(document), key=lambda error: error.json_path)
    except jsonschema.SchemaError as wrong:
        raise CheckCouldNotRunError(f"The schema is not a valid JSON Schema: {wrong.message}.") from wrong
    except Unresolvable as missing:
        raise CheckCouldNotRunError(
            f"The schema refers to {missing.ref!r}, which is no file beside it; nothing is downloaded."
        ) from missing
    return [f"{error.json_path}: {shortened(error.message, MAX_SHOWN_LENGTH)}" for error in errors[:MAX_SHOWN_PROBLEMS]]


def _schemas_beside(folder: Path) -> Callable[[str], Any]:
    """Return a function that reads the schemas a schema refers to, from files alone."""
    from referencing import Resource
    from referencing.exceptions import NoSuchResource
    from referencing.jsonschema import DRAFT202012

    def retrieve(uri: str) -> Any:
        parts = urlsplit(uri)
        path = folder / unquote(parts.path)
        if parts.scheme not in ("", "file") or not path.is_file():
            raise NoSuchResource(ref=uri)  # type: ignore[call-arg]
        return Resource.from_contents(_load(path), default_specification=DRAFT202012)

    return retrieve
