"""Magics for people who rather type a command than Python: ``%%session`` and ``%harness``.

A cell's text is run by bash where there is one, as with IPython's own ``%%bash``, and else by sh. It gets there as a
file: several lines, quotes and ``set -e`` mean what they mean in any script, and a list of processes shows a path and
not what the cell says. The file stays, readable by its owner alone, because the session may outlive the kernel.
"""

from __future__ import annotations

import hashlib
import shutil
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from harness_nb.errors import HarnessError
from harness_nb.harness.attendance import attended
from harness_nb.harness.blocking import Harness
from harness_nb.notebook.board import ControlRoom
from harness_nb.notebook.displays import show
from harness_nb.store.atomic import write_text
from harness_nb.store.private import make_private_folder

if TYPE_CHECKING:
    from argparse import Namespace

    from IPython.core.interactiveshell import InteractiveShell

    from harness_nb.harness.blocking_handles import Session


@magics_class
class HarnessMagics(Magics):
    """``%%session`` and ``%harness``."""

    @magic_arguments()
    @argument("worker", nargs="?", default="command", help="who gets the text (default: command, which is a shell)")
    @argument("-n", "--name", metavar="VAR", help="assign the Session to this variable")
    @argument("-p", "--project", metavar="PATH", help="the project (default: the one opened last, else this folder)")
    @argument("-d", "--dir", metavar="PATH", help="where it runs (default: the project's folder)")
    @argument("--wait", action=BooleanOptionalAction, help="wait for its end (default: only where nobody is there)")
    @argument("-t", "--timeout", type=float, metavar="SECONDS", help="wait at most that long; the session goes on")
    @cell_magic
    def session(self, line: str, cell: str) -> None:
        """Run this cell's text as a session, a process that outlives the kernel, and show it below.

        The text is a script for bash (sh where there is none), or the prompt of a worker that takes prompts. It is
        taken as it is: neither {var} nor $var stands for a variable of Python. How it ended, its exit status too, is
        in what is shown, and in the variable that --name names.
        """
        options = parse_argstring(self.session, line)
        if options.name is not None and not options.name.isidentifier():
            raise UsageError(f"--name {options.name} is no name of a variable. Use letters, digits and _.")
        try:
            session = _start(options, cell)
        except HarnessError as error:
            raise UsageError(str(error)) from None
        if options.name is not None:
            assert self.shell is not None
            self.shell.user_ns[options.name] = session
        try:
            _show(session, options)
        except (HarnessError, TimeoutError) as error:
            raise UsageError(str(error)) from None

    @magic_arguments()
    @argument("project", nargs="?", metavar="PATH", help="the project (default: the one opened last, else this folder)")
    @argument("--board", action="store_true", help="show the whole board")
    @line_magic
    def harness(self, line: str) -> None:
        """Say in one line how the project stands: plans done, running and failed, and what waits for you."""
        options = parse_argstring(self.harness, line)
        try:
            harness = _harness(options.project)
            text = "" if options.board else ControlRoom(harness._twin).first_line()
        except HarnessError as error:
            raise UsageError(str(error)) from None
        if options.board:
            show(harness)
        else:
            from IPython.display import display

            display({"text/plain": text}, raw=True)


def load(ipython: InteractiveShell) -> None:
    """Make the magics known to this IPython."""
    ipython.register_magics(HarnessMagics)


def _harness(project: str | None) -> Harness:
    opened = Harness.opened_last() if project is None else None
    return opened or Harness(_unquoted(project or "."))


def _start(options: Namespace, cell: str) -> Session:
    if not cell.strip():
        raise UsageError("There is nothing to run. Write a command, or a prompt, below %%session.")
    harness = _harness(options.project)
    folder = _unquoted(options.dir) if options.dir else None
    if options.worker == "command":
        return harness.start_session(command=_script(harness, cell, folder), working_dir=folder)
    return harness.start_session(worker=options.worker, prompt=cell, working_dir=folder)


def _script(harness: Harness, cell: str, folder: str | None) -> list[str]:
    """Write the cell's text into a file, the same one for the same text, and return how it is run."""
    layout = harness._twin.store.layout
    text = cell if cell.endswith("\n") else cell + "\n"
    make_private_folder(layout.cells)
    path = layout.cells / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.sh"
    write_text(path, text, durable=False, mode=0o600)
    shell = "bash" if shutil.which("bash") else "sh"
    return [shell, str(path if folder else path.relative_to(layout.root))]


def _show(session: Session, options: Namespace) -> None:
    """Show it at once where somebody is there to watch, and else, when it has ended, how it ended."""
    alone = attended() is False
    wait = options.timeout is not None or alone if options.wait is None else options.wait
    if not wait:
        show(session)
        return
    if not alone:
        show(session)
    try:
        session.wait(timeout=options.timeout)
    finally:
        if alone:
            show(session)


def _unquoted(text: str) -> str:
    """Return an option's value without its quotes, which IPython leaves on."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return str(Path(text[1:-1] if quoted else text).expanduser())


__all__ = ["HarnessMagics", "load"]
