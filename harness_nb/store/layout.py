"""Every path under ``.orchestration/``, and of the sockets beside it, named once."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from harness_nb.errors import LinkedFolderError, UnfitNameError, UnwritableFolderError
from harness_nb.protocol.shown import short_line
from harness_nb.store.private import FOLDER as FOLDER_MODE
from harness_nb.store.private import make_private_folder, tighten, write_private

FOLDER = ".orchestration"
LONGEST_NAME = 255
"""Bytes of a folder's name, as most file systems have it."""
SHOWN = 60
LONGEST_BASE = 32
"""Bytes that leave room for a socket's name: macOS allows 104 for the whole path."""

GITIGNORE = """\
# What a run leaves here is for this machine; the settings are worth sharing.
*
!.gitignore
!config.yaml
"""


@dataclass(frozen=True)
class SessionFolder:
    """The files of one session."""

    path: Path

    @property
    def status(self) -> Path:
        """Where the session stands, for people and other programs."""
        return self.path / "status.json"

    @property
    def checkpoint(self) -> Path:
        """The oldest open question; also where a worker puts a new one."""
        return self.path / "checkpoint.json"

    @property
    def response(self) -> Path:
        """The answer to the oldest question that was asked by file."""
        return self.path / "checkpoint_response.json"

    @property
    def result(self) -> Path:
        """How the session ended."""
        return self.path / "result.json"

    @property
    def asked(self) -> Path:
        """Questions that were taken in, one file each."""
        return self.path / "asked"

    @property
    def sent(self) -> Path:
        """Answers that the harness made, one file each; ``response`` is a link to one of them."""
        return self.path / "sent"

    @property
    def answered(self) -> Path:
        """Answers that the worker has taken."""
        return self.path / "answered"

    @property
    def late(self) -> Path:
        """Answers that came when there was nothing to answer any more."""
        return self.path / "late"

    @property
    def rejected(self) -> Path:
        """Files that could not be read, each with its reason beside it."""
        return self.path / "rejected"

    @property
    def output(self) -> Path:
        """What the worker printed, byte for byte."""
        return self.path / "output" / "terminal.log"

    @property
    def scripts(self) -> Path:
        """The run blocks of a runbook as files, so that tracebacks name a file and a line."""
        return self.path / "scripts"

    @property
    def assignment(self) -> Path:
        """What the session was started to do, for workers that are told by a file."""
        return self.path / "assignment.json"

    @property
    def shim(self) -> Path:
        """Where the session's shim is to be found."""
        return self.path / "shim.json"

    @property
    def lock(self) -> Path:
        """The lock that the shim holds while it lives."""
        return self.path / "shim.lock"

    @property
    def exit(self) -> Path:
        """How the worker's process ended, written by the shim."""
        return self.path / "exit.json"

    @property
    def judging(self) -> Path:
        """The lock of whoever judges the session's work in this moment."""
        return self.path / "judging.lock"

    @property
    def token(self) -> Path:
        """What the session's worker shows to be heard as this session, readable by its owner alone."""
        return self.path / "token"

    def asked_copy(self, message_id: str) -> Path:
        """Where a question is kept."""
        return self.asked / f"{file_stem(message_id)}.json"

    def sent_copy(self, question_id: str) -> Path:
        """Where the harness's answer to a question is kept."""
        return self.sent / f"{file_stem(question_id)}.json"

    def answered_copy(self, question_id: str) -> Path:
        """Where the worker puts the answer to a question when it takes it."""
        return self.answered / f"{file_stem(question_id)}.json"

    def create(self) -> None:
        """Make the folder and those inside it; a project that was deleted does not come back by that.

        Raises: UnwritableFolderError, and FileNotFoundError where there is no ``.orchestration``.
        """
        try:
            for folder in (self.path.parent, self.path, self.asked, self.sent, self.answered, self.output.parent):
                if folder.is_symlink():
                    raise LinkedFolderError(folder)
                folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            raise UnwritableFolderError(self.path.parent, error.strerror or str(error)) from None


@dataclass(frozen=True)
class Layout:
    """The files of one project; ``root`` is the project's folder."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where everything that the harness writes lives."""
        return self.root / FOLDER

    @property
    def config(self) -> Path:
        """The settings that people edit."""
        return self.folder / "config.yaml"

    @property
    def graph(self) -> Path:
        """The plans, what they depend on and where they are."""
        return self.folder / "dependency-graph.json"

    @property
    def active_files(self) -> Path:
        """What running sessions may touch."""
        return self.folder / "active-files.json"

    @property
    def database(self) -> Path:
        """The journal."""
        return self.folder / "harness.db"

    @property
    def lease(self) -> Path:
        """The lock of whoever runs the project's plans."""
        return self.folder / "lease.lock"

    @property
    def holder_log(self) -> Path:
        """What the processes of detached runs said when they could not go on."""
        return self.folder / "holder.log"

    @property
    def views_lock(self) -> Path:
        """The lock of whoever writes views and the roadmap in this moment."""
        return self.folder / "views.lock"

    @property
    def sessions(self) -> Path:
        """One folder per session."""
        return self.folder / "sessions"

    @property
    def export_note(self) -> Path:
        """What says that this folder is a record of what happened elsewhere."""
        return self.folder / "export.json"

    def door_token(self, door: str) -> Path:
        """What a client shows to be let in by a door that listens on a port: ``mcp`` or ``dashboard``."""
        return self.folder / f"{door}.token"

    def session(self, session_id: str) -> SessionFolder:
        """Return the files of one session.

        Raises: UnfitNameError for an id that would lead elsewhere, LinkedFolderError where a link would.
        """
        folder = self.sessions / require_name(session_id)
        if folder.is_symlink():
            raise LinkedFolderError(folder)
        return SessionFolder(folder)

    @property
    def cells(self) -> Path:
        """The texts of notebook cells that were run as commands, each under its hash."""
        return self.folder / "cells"

    @property
    def sockets(self) -> Path:
        """A short private folder for sockets: a path in the project may be longer than a socket's may be."""
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return runtime_folder() / digest

    def socket(self, session_id: str) -> Path:
        """Where a session's shim listens."""
        return self.sockets / f"{require_name(session_id)[-40:]}.sock"

    @property
    def bells(self) -> Path:
        """One datagram socket per process that wants to be woken."""
        return self.sockets / "bells"

    def create(self) -> None:
        """Make ``.orchestration/`` with a ``.gitignore`` of its own, and the folder for sockets.

        Raises: UnwritableFolderError, and the LinkedFolderError among those.
        """
        for folder in (self.folder, self.sessions):
            if folder.is_symlink():
                raise LinkedFolderError(folder)
        try:
            make_private_folder(self.sessions)
            tighten(self.folder)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                write_private(ignore, GITIGNORE)
            make_private_folder(self.bells)
            tighten(self.sockets)
        except OSError as error:
            raise UnwritableFolderError(Path(error.filename or self.folder), error.strerror or str(error)) from None


def require_name(session_id: str) -> str:
    """Return a session's id if it can be the name of a folder of its own.

    Raises: UnfitNameError.
    """
    if "/" in session_id or session_id in ("", ".", ".."):
        why = "it would lead out of the folder of sessions"
    elif not session_id.isprintable():
        why = "it holds signs that cannot be seen"
    elif len(session_id.encode(errors="surrogatepass")) > LONGEST_NAME:
        why = f"it is longer than the {LONGEST_NAME} bytes that a name may have"
    else:
        return session_id
    raise UnfitNameError(session_id, short_line(repr(session_id), SHOWN), why)


def file_stem(identifier: str) -> str:
    """Return a message's id as the name of a file: as it is where it is fit for that, else a hash of it."""
    return fit_file_stem(identifier) or hashlib.sha256(identifier.encode(errors="surrogatepass")).hexdigest()[:32]


def fit_file_stem(identifier: object) -> str | None:
    """Return an id that somebody else chose, if it is fit to be a file's name."""
    text = str(identifier or "")
    fit = text and all(sign.isalnum() or sign in "-_." for sign in text) and not text.startswith(".")
    return text if fit and len(text.encode()) <= 100 else None


def state_folder() -> Path:
    """Return where this user's own state is kept, outside of any project; ``HARNESS_STATE_DIR`` says otherwise."""
    folder = os.environ.get("HARNESS_STATE_DIR")
    if folder:
        return Path(folder)
    from platformdirs import user_state_path

    return user_state_path("harness-nb")


def runtime_names() -> tuple[str, str]:
    """Return how a user's own folder for sockets may be called, wherever it lies."""
    return "harness-nb", f"harness-nb-{os.getuid()}"


def runtime_folder(longest: int | None = None) -> Path:
    """Return this user's own folder for sockets, made with mode 0700; ``longest`` is how many bytes its path may have.

    Raises: UnwritableFolderError, also where somebody else owns a folder of that name.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    most = LONGEST_BASE if longest is None else longest - len("/harness-nb")
    fit = base and len(os.fsencode(base)) <= most and os.access(base, os.W_OK)
    folder = Path(str(base), "harness-nb") if fit else Path("/tmp", runtime_names()[1])  # noqa: S108 — owned and 0700, checked below
    make_private_folder(folder)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UnwritableFolderError(folder, "it belongs to somebody else or others may enter it")
    return folder
