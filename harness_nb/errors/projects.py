"""What can be wrong with a project: its folder, its files, its journal and its runs."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from harness_nb.errors.base import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class ProjectNotFoundError(HarnessError):
    """A harness was opened on a folder that is not there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"There is no folder {folder}. Create it, or give the path of your project.")


class NotAFolderError(HarnessError):
    """A file was given where a project's folder is meant."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is a file; give the project's folder.")


class UnwritableFolderError(HarnessError):
    """A folder that the harness must write into cannot be written."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"Cannot write in {folder}: {reason}. Give yourself write permission there, or open a copy of the project."
        )


class LinkedFolderError(UnwritableFolderError):
    """A folder that is ours to write in is a link, which may lead out of the project."""

    refusal = "link_in_the_way"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "it is a link, which may lead out of the project. Put a folder in its place")
        self.tried = {"path": str(folder)}


class UnreadableFileError(HarnessError):
    """A file exists and cannot be used as what it should be."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line else f"{path}"
        self.reason, self.line = reason, line
        super().__init__(f"{where} cannot be read: {reason}. Correct the file, or remove it to start from the default.")


class UnchangeableFileError(HarnessError):
    """A client's own file cannot be changed without losing what is in it."""

    def __init__(self, path: Path, reason: str, client: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line else f"{path}"
        super().__init__(
            f"{where} cannot be changed: {reason}. Nothing was written. Correct it, or add by hand what "
            f"`harness-nb mcp install --client {client} --print` shows."
        )


class FileInTheWayError(HarnessError):
    """Something was to be written where there is something already."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is there already, and {what} overwrites nothing. Choose another folder.")


class UnsafeTokenFileError(HarnessError):
    """A file that should hold a secret token holds none, or lets others read it."""

    refusal = "unsafe_token"

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.tried = {"path": str(path)}
        super().__init__(f"The token in {path} cannot be used: {problem}. {remedy}")


class JournalGoneError(ProjectNotFoundError):
    """What the harness keeps in a project was deleted while that was open."""

    def __init__(self, folder: Path) -> None:
        HarnessError.__init__(
            self,
            f"The .orchestration folder of {folder} was deleted while it was open. Open the project again: "
            f"Harness({str(folder)!r}).",
        )


class JournalTroubleError(HarnessError):
    """The journal cannot be used as it should, now; workers go on meanwhile."""


class JournalBusyError(JournalTroubleError):
    """Another program keeps the journal locked."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The journal {path} has been locked by another program for too long. Close what has it open and try again."
        )


class JournalFullError(JournalTroubleError):
    """The disk that holds the journal is full."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The disk that holds the journal {path} is full, so nothing new can be stored. Free some space; what was "
            "stored can still be read, and workers go on."
        )


class DiskFullError(HarnessError):
    """A file cannot be written since the disk is full."""

    def __init__(self, path: object) -> None:
        super().__init__(f"The disk is full: {path} cannot be written. Free some space there.")


class OutOfDescriptorsError(HarnessError):
    """This process has as many files open as it may."""

    def __init__(self) -> None:
        super().__init__(
            "This process has as many files and connections open as the system lets it have. Close some, or raise the "
            "limit (`ulimit -n`) and start it again."
        )


class JournalDamagedError(JournalTroubleError):
    """The journal is not a database that can be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The journal {path} cannot be used: {reason}. Move it aside; plans, summaries and logs stay.")


class UntrustedProjectError(HarnessError):
    """Commands from a project's plans were to run before the user trusted the project."""

    def __init__(self, project: Path) -> None:
        super().__init__(
            f"{project} is not trusted yet, and its plans contain commands. Read them, then run "
            f"`harness-nb trust {quote(str(project))}` once (or pass --trust, or Harness(…, trust=True))."
        )


class ChangedCommandsError(UntrustedProjectError):
    """Commands were to run that are not those which the user trusted.

    ``plans`` are the ids of the plans, ``difference`` is the beginning of a unified diff. An earlier version of this
    program did not remember what was trusted: ``remembered`` is false then.
    """

    def __init__(self, project: Path, plans: Iterable[str], difference: str, *, remembered: bool = True) -> None:
        self.plans, self.difference = tuple(plans), difference
        named = ", ".join(self.plans[:6]) + (f" and {len(self.plans) - 6} more" if len(self.plans) > 6 else "")
        since = "changed since you trusted them" if remembered else "were trusted when nobody noted what they are"
        where = quote(str(project))
        HarnessError.__init__(
            self,
            f"The commands of {named} in {project} {since}, so they are not run.\n{difference}\n"
            f"`harness-nb trust --show {where}` shows all of it; where it is right, run `harness-nb trust {where}` "
            "(or h.trust(), or Harness(…, trust=True)).",
        )


class UnconfirmedTrustError(HarnessError):
    """Commands were to be trusted where nobody could be asked whether they may run."""

    def __init__(self, project: Path) -> None:
        super().__init__(
            "Nobody is here who could be asked, so nothing was trusted. Read the commands above, then run "
            f"`harness-nb trust --yes {quote(str(project))}`."
        )


class NoPlansError(HarnessError):
    """A run was asked for in a project that has no plans."""

    def __init__(self, project: Path) -> None:
        super().__init__(
            f"There are no plans in {project}. Write one as planning/plans/01-name/01-01-PLAN.md "
            "(`harness-nb init` makes a starter), or pass plans=[Plan(…)]."
        )


class UnknownPlanError(HarnessError):
    """A plan was named that the project does not have."""

    def __init__(self, plan_id: str, known: Iterable[str]) -> None:
        names = list(known)
        shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "") or "none"
        super().__init__(f"There is no plan {plan_id!r}. The project has: {shown}.")


class UnknownRunError(HarnessError):
    """A run was named that the journal does not have."""

    def __init__(self, run_id: str, known: Iterable[str]) -> None:
        names = list(known)[-6:]
        super().__init__(f"There is no run {run_id!r}. The last ones were: {', '.join(names) or 'none'}.")


class NothingToExportError(HarnessError):
    """A project was to be exported in which nothing ever happened."""

    def __init__(self, project: Path) -> None:
        super().__init__(f"Nothing ever happened in {project}, so there is nothing to export. Run it first.")


class ExportedProjectError(HarnessError):
    """Something was to be started in a folder that is a record of what happened elsewhere."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} was exported: it is a record of what happened elsewhere, so nothing can be started in it. "
            "Look at it with frames, get_output() and board, or open the project itself."
        )


class SecondRunError(HarnessError):
    """Another process, or this one, is already running the project's plans."""

    def __init__(self, project: Path, note: dict[str, object]) -> None:
        who = f"process {note['pid']} ({note.get('door', 'unknown')}, since {note.get('since')})" if note else "someone"
        super().__init__(
            f"A run of {project} is going on already: {who}. Watch it with `harness-nb status`, or stop it there first."
        )


class RunTakenOverError(HarnessError):
    """Another process does this run now, so this one must not."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Another process has taken over the run {run_id}; nothing more is done here.")


class HolderFailedError(HarnessError):
    """The process that is to do a run could not be started."""

    def __init__(self, log: Path, reason: str) -> None:
        super().__init__(f"The process that does the run could not be started ({reason}); see {log}.")


class RunPausedError(HarnessError):
    """A run has not ended and cannot go on by itself."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(f"Run {run_id} is paused: {reason} Its sessions are left alone; run() goes on with it.")


class RunFailedError(HarnessError):
    """A run ended without all of its plans complete."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__("The run did not reach its end:\n" + "\n".join(f"  {line}" for line in lines))


class HarnessClosedError(HarnessError):
    """A harness was used after it was closed, or before it was opened."""

    def __init__(self) -> None:
        super().__init__("This harness is not open. Use `async with AsyncHarness(…)`, or make a new Harness(…).")


class UnusableArgumentError(HarnessError, TypeError, ValueError):
    """A verb was called with something that it cannot use."""

    def __init__(self, argument: str, problem: str, remedy: str) -> None:
        super().__init__(f"{argument} cannot be used: {problem}. {remedy}.")


class UnknownSettingWarning(UserWarning):
    """A file of settings says something that has no effect; the text names the line."""


class NoFrontmatterWarning(UserWarning):
    """The quick state was to be set in a roadmap that has no place for it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no frontmatter; pass insert=True to add one")
