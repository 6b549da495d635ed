"""``harness-nb run``: prepare the project, run its plans, show that, and leave with the report."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import anyio

from harness_nb.cli.keyboard import Keyboard, is_interactive
from harness_nb.cli.opening import DOOR, plain_errors, project_root, read_documents
from harness_nb.cli.trusting import require_trust, say_trusted
from harness_nb.cli.views import PlainView, TerminalView, make_console
from harness_nb.errors import NoPlansError, UnansweredQuestionError
from harness_nb.harness import AsyncHarness
from harness_nb.harness.attendance import attended
from harness_nb.orchestrator import ACCEPT_ALL
from harness_nb.sample import DEFAULT_FOLDER, prepare_sample
from harness_nb.sessions import driver_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskStatus

    from harness_nb.harness import AsyncRun
    from harness_nb.protocol.outcome import RunReport
    from harness_nb.protocol.plans import PlanProblem

PASSED, NOT_PASSED = 0, 1
SIGNALLED = 128
"""Added to a signal's number, as shells do."""


@dataclass(frozen=True)
class RunOrder:
    """What was asked for on the command line."""

    project: Path | None
    sample: bool
    plans: tuple[str, ...] | None
    worker: str | None
    max_parallel: int | None
    params: dict[str, str]
    again: bool
    yes: bool
    trust: bool
    detach: bool = False


def run_plans(order: RunOrder) -> int:
    """Run a project's plans and return the exit status.

    Raises: what ``AsyncHarness.run`` raises, and what preparing the sample does.
    """
    interactive = is_interactive() and attended() is not False
    root = _prepare(order, interactive=interactive)

    async def drive() -> int:
        return await _Drive(order, root, interactive=interactive).through()

    with plain_errors():
        return anyio.run(drive)


def _prepare(order: RunOrder, *, interactive: bool) -> Path:
    if order.worker is not None:
        driver_named(order.worker)
    if order.sample:
        root, fresh = prepare_sample(order.project or DEFAULT_FOLDER)
        print(f"{'Your copy of the sample is' if fresh else 'Going on with your copy of the sample'} in {root}")  # noqa: T201
        return root
    root = project_root(order.project or Path())
    project = read_documents(root)
    show_problems(project.problems, interactive=interactive)
    if not project.plans:
        raise NoPlansError(root)
    if order.trust:
        say_trusted(project)
    require_trust(project, interactive=interactive)
    return root


def show_problems(problems: Sequence[PlanProblem], *, interactive: bool) -> None:
    """Print what is wrong in the documents: by words in a terminal, else a line each."""
    if interactive and problems:
        console = make_console()
        for problem in problems:
            console.print(f"! {problem}", style="yellow", markup=False)
        console.print()
    else:
        for problem in problems:
            print(f"! {problem}", flush=True)  # noqa: T201


class _Drive:
    """One run from the first look to the last line, or to the signal that ends the watching."""

    def __init__(self, order: RunOrder, root: Path, *, interactive: bool) -> None:
        self.order = order
        self.root = root
        self.interactive = interactive
        self._signal = 0
        self._watching = anyio.CancelScope()

    async def through(self) -> int:
        """Run until the end, or until a signal says to leave; sessions are left alive then."""
        status = NOT_PASSED
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._leave_at_signal)
            status = await self._run()
            tasks.cancel_scope.cancel()
        return SIGNALLED + self._signal if self._signal else status

    async def _leave_at_signal(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                self._signal = number
                self._watching.cancel()

    async def _run(self) -> int:
        order = self.order
        report: RunReport | None = None
        async with AsyncHarness(self.root, door=DOOR, attended=self._attended()) as harness:
            before = harness.store.runs.unfinished()
            run = await harness.run(
                order.plans,
                worker=order.worker,
                max_parallel=order.max_parallel,
                params=order.params,
                again=order.again or (order.sample and before is None),  # the sample shows the same each time
                policies=[ACCEPT_ALL] if order.yes else (),
                detach=order.detach,  # and else here: whoever interrupts it at a terminal means it
            )
            if before is not None and before.id == run.id:
                print(f"Going on with run {run.id}, which was left unfinished.", flush=True)  # noqa: T201
            if order.detach:
                self._say_left(run.id)
                return PASSED
            try:
                with self._watching:
                    report = await self._watch(harness, run)
            except UnansweredQuestionError as error:
                print(f"harness-nb: {error}", file=sys.stderr, flush=True)  # noqa: T201
            if report is None:
                self._say_goodbye([one.plan_id for one in run.report.plans if one.state == "running"])
                return NOT_PASSED
        if all(one.earlier for one in report.plans):
            print("\nEverything was complete before, so nothing was done. --again does it anew.")  # noqa: T201
        return PASSED if report.passed else NOT_PASSED

    def _attended(self) -> bool | None:
        """Whether somebody is there: not with ``--yes``, surely at a terminal, and else as the environment says."""
        if self.order.yes:
            return False
        return True if self.interactive else None

    async def _watch(self, harness: AsyncHarness, run: AsyncRun) -> RunReport:
        """Show the run until it ends, or until it asks what nobody will answer.

        Raises: UnansweredQuestionError.
        """
        unanswered: UnansweredQuestionError | None = None
        report: RunReport | None = None

        async def until_end_or_question() -> None:
            nonlocal unanswered
            try:
                await run.wait()
            except UnansweredQuestionError as error:
                unanswered = error
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_end_or_question)
            report = await (self._at_terminal(harness, run) if self.interactive else self._in_lines(harness, run))
        if unanswered is not None:
            raise unanswered
        assert report is not None
        return report

    async def _at_terminal(self, harness: AsyncHarness, run: AsyncRun) -> RunReport:
        from harness_nb.cli.sheets import report_sheet

        console = make_console()
        with Keyboard() as keyboard:
            view = TerminalView(harness, run, console, keyboard)
            await view.follow()
            report = await run.wait()
        console.print(report_sheet(report, root=self.root, width=console.width, seconds=view.seconds))
        return report

    async def _in_lines(self, harness: AsyncHarness, run: AsyncRun) -> RunReport:
        await PlainView(harness, run).follow()
        report = await run.wait()
        print(report, flush=True)  # noqa: T201
        return report

    def _say_left(self, run_id: str) -> None:
        where = quote(os.fspath(self.root))
        ways = f"To watch it: harness-nb status {where} · to end it: harness-nb end {run_id} --project {where}"
        print(f"Run {run_id} goes on by itself. {ways}", flush=True)  # noqa: T201

    def _say_goodbye(self, living: list[str]) -> None:
        if self._signal == signal.SIGHUP:
            return  # nobody is there to read it
        again = f"harness-nb run {quote(os.fspath(self.root))}"
        going = ", ".join(living)
        alive = f"What runs goes on by itself ({going})." if going else "Nothing is running now."
        left = "Interrupted. " if self._signal else ""
        print(f"\n{left}{alive} To go on with the run: {again}", file=sys.stderr, flush=True)  # noqa: T201
