"""Files written whole, and read with patience for what other programs wrote."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from harness_nb.errors import UnreadableFileError
from harness_nb.protocol.base import WireModel, problems_of

if TYPE_CHECKING:
    from pathlib import Path

M = TypeVar("M", bound=WireModel)


def write_text(path: Path, text: str, *, durable: bool = True, mode: int = 0o644) -> None:
    """Write a file by temporary file and rename, so that a reader sees all of it or none.

    ``durable`` also waits for the disk; views that the journal can rebuild do without.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_model(path: Path, model: WireModel, *, durable: bool = True) -> None:
    """Write a model as indented JSON, whole."""
    write_text(path, json.dumps(model.to_wire(), indent=2, ensure_ascii=False) + "\n", durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises: FileNotFoundError, UnreadableFileError.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # both bad JSON and bad UTF-8
        line = getattr(error, "lineno", None)
        raise UnreadableFileError(path, str(error), line) from None
    if not isinstance(content, dict):
        raise UnreadableFileError(path, f"it holds a {type(content).__name__} instead of an object")
    return content


def read_model(path: Path, model: type[M]) -> M:
    """Return a JSON file as a model.

    Raises: FileNotFoundError, UnreadableFileError.
    """
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise UnreadableFileError(path, problems_of(error)) from None


def same_file(one: Path, other: Path) -> bool:
    """Say whether two names are links to one file; false where either is missing."""
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False


def link_if_absent(source: Path, target: Path) -> bool:
    """Give a file a second name unless that name is taken; never overwrites."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True
