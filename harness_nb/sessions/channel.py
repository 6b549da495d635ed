"""Talking to a session's shim over its socket: one question and its reply, or all that it announces."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_nb.errors import ForeignSocketError, ShimFailedError, ShimSilentError, UnreadableFileError
from harness_nb.store import Layout
from harness_nb.store.atomic import read_json
from harness_nb.store.layout import runtime_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness_nb.store import SessionFolder

REPLY_TIMEOUT = 10.0


def ask_shim(folder: SessionFolder, **message: Any) -> dict[str, Any]:
    """Send a shim one order and return its reply.

    Raises: ShimFailedError, and the ShimSilentError among those where it is there and does not answer.
    """
    session_id = folder.path.name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(REPLY_TIMEOUT)
            connection.connect(socket_of(folder))
            connection.sendall(json.dumps(message).encode() + b"\n")
            with connection.makefile("rb") as reader:
                reply: dict[str, Any] = json.loads(reader.readline() or b'{"ok": false, "error": "it has ended"}')
    except (TimeoutError, BlockingIOError):  # the latter where as many as its socket holds wait already
        raise ShimSilentError(session_id, REPLY_TIMEOUT) from None
    except (OSError, ValueError) as error:
        raise ShimFailedError(session_id, _why(folder, error)) from None
    if not reply.get("ok"):
        raise ShimFailedError(session_id, str(reply.get("error")))
    return reply


def _why(folder: SessionFolder, error: Exception) -> str:
    if folder.exit.exists():
        return "it has ended"
    if isinstance(error, FileNotFoundError) and not folder.shim.exists():
        return "it has no terminal, or is only just starting"
    if isinstance(error, FileNotFoundError | ConnectionError):
        return "it has ended, and its shim left no exit status"
    return getattr(error, "strerror", None) or "its shim is gone"


async def watch_shim(folder: SessionFolder) -> AsyncIterator[dict[str, Any]]:
    """Yield what a shim announces, ``{"output": size}`` and at last ``{"exit": …}``, until it ends.

    Raises: OSError where nobody listens any more.
    """
    # asyncio's own streams: a cancelled read lets go of its descriptor before another socket can get that number
    reader, writer = await asyncio.open_unix_connection(socket_of(folder))
    try:
        writer.write(b'{"do": "watch"}\n')
        while (line := await reader.readline()).endswith(b"\n"):
            yield _news(line)
    finally:
        writer.close()


def _news(line: bytes) -> dict[str, Any]:
    try:
        news = json.loads(line)
    except ValueError:
        news = None
    if not isinstance(news, dict):
        raise ConnectionError("what listens there is no shim")
    return news


def socket_of(folder: SessionFolder) -> str:
    """Return the path of a shim's socket, also where the session's folder was deleted: sockets lie outside of it.

    Raises: FileNotFoundError where the session has no shim (yet); UnreadableFileError where no shim wrote what is
    there, and the ForeignSocketError among those.
    """
    try:
        path = read_json(folder.shim).get("socket")
    except FileNotFoundError:
        usual = Layout(folder.path.parents[2]).socket(folder.path.name)
        if not usual.exists():
            raise
        return str(usual)
    if not isinstance(path, str) or not path or "\0" in path:
        raise UnreadableFileError(folder.shim, "it does not say where the session's shim listens")
    if not _may_be_its_own(Path(path), folder.path.name):
        raise ForeignSocketError(folder.shim, folder.path.name, path)
    return path


def _may_be_its_own(path: Path, session_id: str) -> bool:
    """Say whether a socket is where this user's shims make theirs, and is this session's.

    A folder with a lie in it may come from anywhere, an archive say: what is granted must not go to a socket that
    somebody else listens on, or another session, and no other program is to be sent our orders.
    """
    if path.name != f"{session_id[-40:]}.sock" or path.parents[1].name not in runtime_names():
        return False
    try:
        around, within = path.parents[1].lstat(), path.parent.lstat()
    except OSError:  # nobody can listen there
        return True
    ours = all(stat.S_ISDIR(one.st_mode) and one.st_uid == os.getuid() for one in (around, within))
    return ours and not around.st_mode & 0o077  # which lets nobody in, whatever is inside


def is_listening(folder: SessionFolder) -> bool:
    """Say whether a shim takes orders for this session; one that has too many of them to do does, too.

    Raises: OSError where this process can open nothing more.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REPLY_TIMEOUT)
        try:
            connection.connect(socket_of(folder))
        except (TimeoutError, BlockingIOError):
            return True
        except OSError:
            return False
    return True
