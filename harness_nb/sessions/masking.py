"""Taking the values that a session was given out of what is about to be stored: its shim alone knows them all."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args

from harness_nb.errors import ShimFailedError
from harness_nb.protocol.messages import OrchestratorMessage, WorkerMessage
from harness_nb.protocol.payloads import Option, Permission
from harness_nb.sessions.channel import ask_shim, is_listening, socket_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness_nb.store import SessionFolder

_PAYLOADS = [
    model.model_fields["payload"].annotation
    for messages in (WorkerMessage, OrchestratorMessage)
    for model in get_args(get_args(messages)[0])
]
FIELDS: Final = {str(field.alias) for one in (*_PAYLOADS, Option, Permission) for field in one.model_fields.values()}
"""The names that the protocol gives; any other key may be a value."""


def mask_texts(folder: SessionFolder, texts: list[str]) -> list[str]:
    """Return texts with every value that a session was given replaced by its name; one without a shim has none.

    A worker may speak before its shim has written down where it is; that listens from before there is a worker.

    Raises: ShimFailedError, UnreadableFileError.
    """
    if not texts or not _has_shim(folder):
        return texts
    return list(ask_shim(folder, do="mask", texts=texts)["texts"])


def mask_file(folder: SessionFolder, text: str) -> str:
    """Return the text of a file that a worker wrote without any value that its session was given.

    Where it is a JSON object each of its texts is looked at as well: their escapes may be anybody's. A shim that has
    ended saw to the files before.

    Raises: ShimFailedError where it is there and cannot be asked, UnreadableFileError.
    """
    try:
        return _masked_file(folder, text)
    except ShimFailedError:
        if is_listening(folder):
            raise
        return text


def _masked_file(folder: SessionFolder, text: str) -> str:
    [masked] = mask_texts(folder, [text])
    try:
        content = json.loads(masked)
        if not isinstance(content, dict):
            return masked
        plain = with_texts(content, partial(mask_texts, folder))
    except (ValueError, RecursionError):  # half a file, or none of ours: it is set aside as it is
        return masked
    return masked if plain == content else json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def _has_shim(folder: SessionFolder) -> bool:
    try:
        socket_of(folder)
    except FileNotFoundError:
        return False
    return True


def with_texts(content: dict[str, Any], change: Callable[[list[str]], list[str]]) -> dict[str, Any]:
    """Return JSON content with its texts changed, all at once; keys are texts too, but those of the protocol."""
    texts = list(_texts_of(content))
    changed = change(texts)
    return content if changed == texts else dict(_replaced(content, iter(changed)))


def _texts_of(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, part in content.items():
            if key not in FIELDS:
                yield key
            yield from _texts_of(part)
    elif isinstance(content, list):
        for part in content:
            yield from _texts_of(part)


def _replaced(content: Any, texts: Iterator[str]) -> Any:
    """Return the content with other texts, in the order of ``_texts_of``."""
    if isinstance(content, str):
        return next(texts)
    if isinstance(content, dict):
        return {key if key in FIELDS else next(texts): _replaced(part, texts) for key, part in content.items()}
    return [_replaced(part, texts) for part in content] if isinstance(content, list) else content
